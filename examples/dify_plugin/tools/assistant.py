"""The tool: what it answers. What it stores is declared in stored.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from dify_plugin import Tool
from stored import (
    DOCUMENTS,
    HISTORY,
    KEPT_MESSAGES,
    PREFERENCES,
    ApiToken,
    Message,
    Preferences,
    tokens,
)

from kvcodec import (
    DecodeError,
    Files,
    KVCodecError,
    LimitExceeded,
    Log,
    NotEncrypted,
    OutcomeUnknown,
    QuotaExceeded,
    Store,
    Tampered,
    TooLarge,
    Unavailable,
    UnknownKey,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dify_plugin.entities.tool import ToolInvokeMessage

NOTED = {"en": "Noted", "de": "Notiert", "fr": "C'est noté"}


class AssistantTool(Tool):
    """Runs one action for one user. Every answer is a text, also when the storage fails."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        yield self.create_text_message(self._answer(tool_parameters))

    def _answer(self, parameters: dict[str, Any]) -> str:
        user = self.runtime.user_id
        if not user:
            return "I do not know who you are, so I cannot remember anything for you."
        visit = Visit(
            storage=self.session.storage,
            user=user,
            conversation=self.session.conversation_id or "no conversation",
            encryption_key=self.runtime.credentials["encryption_key"],
        )
        try:
            return visit.run(**parameters)
        except KVCodecError as error:
            return friendly(error)


class Visit:
    """One user's request, with the keyspaces opened on the plugin's storage."""

    def __init__(self, *, storage: Any, user: str, conversation: str, encryption_key: str) -> None:
        self.user = user
        self.conversation = (user, conversation)
        self.preferences = Store(PREFERENCES, storage)
        self.history = Log(HISTORY, storage, max_items=KEPT_MESSAGES)
        self.documents = Files(DOCUMENTS, storage)
        self.tokens = Store(tokens(encryption_key), storage)

    def run(self, *, action: str, name: str = "", value: str = "") -> str:
        """Carry out ``action`` and return the answer. Raises KVCodecError as the stores do."""
        actions: dict[str, Callable[[], str]] = {
            "remember": lambda: self.remember(name, value),
            "preferences": self.show_preferences,
            "say": lambda: self.say(value),
            "history": self.show_history,
            "keep_document": lambda: self.keep_document(value),
            "document": self.show_document,
            "save_token": lambda: self.save_token(value),
            "token": self.show_token,
            "forget": self.forget,
        }
        if action not in actions:
            return f"I can do one of these: {', '.join(actions)}."
        return actions[action]()

    def remember(self, name: str, value: str) -> str:
        """Change one preference, and leave the others as they are."""

        def change(current: Preferences) -> Preferences:
            changed = {**msgspec.structs.asdict(current), name: value}
            return msgspec.convert(changed, Preferences)

        try:
            preferences = self.preferences.update(self.user, change, default=Preferences())
        except msgspec.ValidationError as error:
            return f"That is not a preference I know: {error}"
        return f"{NOTED[preferences.language]}: {name} = {value}"

    def show_preferences(self) -> str:
        """Show the preferences, or what they are for a new user."""
        preferences = self.preferences.get(self.user, Preferences())
        return msgspec.json.encode(preferences).decode()

    def say(self, text: str) -> str:
        """Add to the conversation what the user said, and an answer."""
        preferences = self.preferences.get(self.user, Preferences())
        reply = f"{NOTED[preferences.language]}, {preferences.name or 'friend'}."
        self.history.extend(self.conversation, [Message("user", text), Message("assistant", reply)])
        if preferences.tone == "brief":
            return reply
        return f"{reply} That makes {self.history.count(self.conversation)}."

    def show_history(self) -> str:
        """Show what was said in this conversation."""
        messages = self.history.iterate(self.conversation)
        return "\n".join(f"{m.role}: {m.text}" for m in messages) or "Nothing was said yet."

    def keep_document(self, text: str) -> str:
        """Keep a document of any length: in chunks that Dify takes, the old one until the end."""
        info = self.documents.put(self.user, text.encode(), content_type="text/plain")
        return f"I keep your document of {info.size} bytes."

    def show_document(self) -> str:
        """Give the document back, whole."""
        kept = self.documents.get(self.user)
        return "I keep no document of yours." if kept is None else kept.decode()

    def save_token(self, token: str) -> str:
        """Keep the token, encrypted."""
        if not token:
            return "There is no token in your request."
        self.tokens.set(self.user, ApiToken(token))
        return f"I keep your token that ends in {token[-4:]}."

    def show_token(self) -> str:
        """Tell which token is kept, by its end."""
        kept = self.tokens.get(self.user)
        if kept is None:
            return "I keep no token of yours."
        return f"I keep your token that ends in {kept.token[-4:]}."

    def forget(self) -> str:
        """Delete what is stored about the user and this conversation."""
        self.preferences.delete(self.user)
        self.tokens.delete(self.user)
        self.history.delete(self.conversation)
        self.documents.delete(self.user)
        return "I have forgotten you."


# Looked through from the top: an error comes before the ones it is a kind of.
EXPLANATIONS: list[tuple[type[KVCodecError], str]] = [
    (Unavailable, "I cannot reach my memory at the moment. Nothing was changed: please try later."),
    (OutcomeUnknown, "I am not certain that this was saved. Please look before you repeat it."),
    (QuotaExceeded, "My memory is full. What you sent may be saved all the same: please look."),
    (LimitExceeded, "That is too long for me to keep."),
    (TooLarge, "That is too long for me to keep."),
    (UnknownKey, "Your token was saved with another encryption key. Please save it again."),
    (Tampered, "What is saved as your token is not what you saved. Please save it again."),
    (NotEncrypted, "What is saved as your token is not encrypted. Please save it again."),
    (DecodeError, "I cannot read what is saved, and left it as it is. Please tell the developer."),
]


def friendly(error: KVCodecError) -> str:
    """Say in the user's words what went wrong; the error itself holds no value either."""
    for kind, explanation in EXPLANATIONS:
        if isinstance(error, kind):
            return explanation
    return f"I cannot do that: {error}"
