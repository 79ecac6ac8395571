"""The probe's provider: it has no credentials."""

from __future__ import annotations

from typing import Any

from dify_plugin import ToolProvider


class ProbeProvider(ToolProvider):
    """Accepts any credentials."""

    def _validate_credentials(self, credentials: dict[str, Any]) -> None:
        pass
