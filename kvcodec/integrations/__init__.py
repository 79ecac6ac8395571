"""kvcodec in the places where other libraries ask for storage; one module for each library.

``kvcodec.integrations.langchain``: LangChain's ``BaseStore``, ``BaseChatMessageHistory`` and
``BaseCache``.
``kvcodec.integrations.mcp``: the MCP SDK's ``TokenStorage`` and ``EventStore``.
``kvcodec.integrations.opentelemetry``: spans and metrics of a ``WatchedKV``.
``kvcodec.integrations.slack``: the Slack SDK's ``InstallationStore`` and ``OAuthStateStore``, and
their async twins. A module imports its
library: kvcodec itself depends on none of them.
"""
