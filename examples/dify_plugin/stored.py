"""What the plugin stores: four declarations, and no line of parsing.

In a module of its own: the SDK loads the files under tools/ in a way that leaves them out of
``sys.modules``, where the types of a class's fields are looked up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec

from kvcodec import KeyRing, Keyspace


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user likes."""

    name: str = ""
    language: Literal["en", "de", "fr"] = "en"
    tone: Literal["friendly", "brief"] = "friendly"


class Message(msgspec.Struct, frozen=True):
    """What somebody said."""

    role: Literal["user", "assistant"]
    text: str


class ApiToken(msgspec.Struct, frozen=True):
    """A secret of a user's, stored encrypted and never shown."""

    token: str

    def __repr__(self) -> str:
        """Show the last four characters, by which a user knows it."""
        return f"ApiToken(...{self.token[-4:]})"


PREFERENCES = Keyspace("preferences", Preferences)
HISTORY = Keyspace("history", Message, key=tuple[str, str])  # (user, conversation)
DOCUMENTS = Keyspace("documents", bytes)


@lru_cache(maxsize=4)
def tokens(encryption_key: str) -> Keyspace[ApiToken]:
    """Declare the users' tokens, sealed with the key among the plugin's credentials.

    To change the key: ``KeyRing(new, retired=[old])`` reads what the old one has sealed.
    """
    return Keyspace("tokens", ApiToken, cipher=KeyRing(encryption_key))


KEPT_MESSAGES = 200
"""Of a conversation: the plugin's quota is 1 MiB, for all users together."""
