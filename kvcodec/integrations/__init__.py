"""kvcodec in the places where other libraries ask for storage; one module for each library.

``kvcodec.integrations.langchain``: LangChain's ``BaseStore`` and ``BaseChatMessageHistory``.
``kvcodec.integrations.opentelemetry``: spans and metrics of a ``WatchedKV``.
``kvcodec.integrations.openai_agents``: a ``Session`` of OpenAI's Agents SDK.
``kvcodec.integrations.claude_agent``: a ``SessionStore`` of Claude's Agent SDK.
``kvcodec.integrations.pydantic_ai``: a ``ConversationStore`` of Pydantic AI.

A module imports its library: kvcodec itself depends on none of them.
"""
