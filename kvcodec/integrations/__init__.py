"""kvcodec in the places where other libraries ask for storage; one module for each library.

``kvcodec.integrations.langchain``: LangChain's ``BaseStore`` and ``BaseChatMessageHistory``.
``kvcodec.integrations.langgraph``: LangGraph's checkpointer and serializer.
``kvcodec.integrations.pykeyvalue``: py-key-value's ``AsyncKeyValue``, for FastMCP.
``kvcodec.integrations.opentelemetry``: spans and metrics of a ``WatchedKV``. A module imports its
library: kvcodec itself depends on none of them.
"""
