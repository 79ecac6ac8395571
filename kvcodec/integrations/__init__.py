"""kvcodec in the places where other libraries ask for storage; one module for each library.

A module imports its library, and kvcodec itself depends on none of them:

    claude_agent   the Claude Agent SDK's ``SessionStore``
    langchain      ``BaseStore``, ``BaseChatMessageHistory`` and ``BaseCache``
    langgraph      a checkpointer, and a serializer for others
    mcp            the client's ``TokenStorage``, the server's ``EventStore``
    openai_agents  the OpenAI Agents SDK's ``Session``
    opentelemetry  spans and metrics of a ``WatchedKV``
    pydantic_ai    ``ConversationStore``
    pykeyvalue     ``AsyncKeyValue``, for FastMCP
    slack          ``InstallationStore`` and ``OAuthStateStore``
"""
