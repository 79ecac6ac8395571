"""The provider: checks the encryption key when an administrator enters it."""

from __future__ import annotations

from typing import Any

from dify_plugin import ToolProvider
from dify_plugin.errors.tool import ToolProviderCredentialValidationError

from kvcodec import ConfigError, KeyRing


class AssistantProvider(ToolProvider):
    """One credential: the key that seals the users' tokens."""

    def _validate_credentials(self, credentials: dict[str, Any]) -> None:
        try:
            KeyRing(credentials.get("encryption_key", ""))
        except ConfigError as error:  # its message never holds the key
            raise ToolProviderCredentialValidationError(str(error)) from error
