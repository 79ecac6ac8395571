"""kvcodec in the places where other libraries ask for storage; one module for each library.

``kvcodec.integrations.langchain``: LangChain's ``BaseStore`` and ``BaseChatMessageHistory``. A
module imports its library: kvcodec itself depends on none of them.
"""
