"""The messages of Dify's SDK: a ``PromptMessage`` comes back as the class of its role.

The SDK declares lists of ``PromptMessage`` and fills them with its subclasses, of which pydantic
stores and reads the fields of the base alone. Which of them it is, its role tells.
"""

from __future__ import annotations

import sys
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, Tag

from kvcodec.format.plain import is_dict

__all__ = ["with_every_message"]

_MODULE = "dify_plugin.entities.model.message"

_CLASSES = {
    "system": "SystemPromptMessage",
    "developer": "DeveloperPromptMessage",
    "user": "UserPromptMessage",
    "assistant": "AssistantPromptMessage",
    "tool": "ToolPromptMessage",
}
"""By role; of an older SDK, those that it has."""


def with_every_message(value_type: Any) -> Any:
    """A type with all classes of messages in place of ``PromptMessage``, where it is Dify's."""
    message = sys.modules.get(_MODULE)  # who declares such a type has imported it
    return value_type if message is None else _replaced(value_type, vars(message))


def _replaced(kind: Any, sdk: dict[str, Any]) -> Any:
    if kind is sdk["PromptMessage"]:
        members = [
            Annotated[sdk[name], Tag(role)] for role, name in _CLASSES.items() if name in sdk
        ]
        return Annotated[Union[tuple(members)], Discriminator(_role)]  # noqa: UP007 - of a tuple
    parts = get_args(kind)
    replaced = tuple(_replaced(part, sdk) for part in parts)
    if all(part is new for part, new in zip(parts, replaced, strict=True)):
        return kind
    origin = get_origin(kind)
    if origin is Annotated:
        return Annotated[(replaced[0], *kind.__metadata__)]
    return Union[replaced] if origin in (Union, UnionType) else origin[replaced]  # noqa: UP007


def _role(message: Any) -> Any:
    """The role of a message, or of the data of one."""
    fields = vars(message) if isinstance(message, BaseModel) else message
    role = fields.get("role") if is_dict(fields) else None
    return role.value if isinstance(role, Enum) else role
