"""Value types whose annotations cannot be resolved are refused when declared, by their name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pydantic
import pytest

from kvcodec import ConfigError, Keyspace

if TYPE_CHECKING:
    from nowhere import Nowhere  # type: ignore[import-not-found]


class Model(pydantic.BaseModel):
    x: Nowhere


class Struct(msgspec.Struct):
    x: Nowhere


class Tree(pydantic.BaseModel):
    children: list[Tree] = []
    later: Later | None = None


class Later(pydantic.BaseModel):
    n: int = 0


REFUSED: dict[str, Any] = {
    "pydantic": Model,
    "in a list": list[Model],
    "msgspec": Struct,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_an_annotation_names_has_to_be_there(kind: str) -> None:
    """Pydantic's own errors passed through."""
    with pytest.raises(ConfigError, match=r"'things'.*name 'Nowhere' is not defined"):
        Keyspace("things", REFUSED[kind])


def test_a_model_that_is_complete_by_now_is_taken() -> None:
    """What it names was defined behind it."""
    value = Tree(children=[Tree()], later=Later(n=1))
    keyspace = Keyspace("trees", Tree)
    raw_key, data = keyspace.pack("a", value, now=0)
    assert keyspace.unpack(raw_key, data, now=0) == value
