"""pydantic and Secret: asterisks in place of a secret, and opened secrets in ordinary texts.

Every way that is refused, and all that is allowed, is in tests/codecs/test_pydantic_secrets.py.
"""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest

from kvcodec import ConfigError, DecodeError, Keyspace, Secret, Store
from tests.attacks.support import Store_, put
from tests.leaks import CANARY


class Holder(pydantic.BaseModel):
    name: str
    token: Secret[str]


class Anything(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str


class Looking(pydantic.BaseModel):
    token: Secret[str]

    @pydantic.model_validator(mode="before")
    @classmethod
    def look(cls, given: Any) -> Any:
        return given


class Extras(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Secret[str]]  # pyright: ignore[reportIncompatibleVariableOverride]
    name: str


@pytest.mark.parametrize("kind", [Holder | dict[str, str], Holder | Anything, Looking], ids=str)
def test_what_would_show_an_opened_secret_is_refused_when_declared(cipher: Any, kind: Any) -> None:
    """A field taken away, and the union took the rest as a dict: the plaintext in a text."""
    with pytest.raises(ConfigError):
        Keyspace("k", kind, cipher=cipher)


def test_typed_extra_fields_are_sealed(kv: Store_, cipher: Any) -> None:
    """Asterisks were stored in their place; and nobody can rename or drop one."""
    store = Store(Keyspace("k", Extras, cipher=cipher), kv)
    value = Extras.model_validate({"name": "ada", "one": Secret(CANARY), "two": Secret("t-2")})
    store.set("a", value)
    assert store["a"] == value
    data = kv.get("k/a") or b""
    assert CANARY.encode() not in data
    assert b"***" not in data
    plain = json.loads(data)
    for forged in (
        {name: part for name, part in plain.items() if name != "two"},
        {**plain, "one": plain["two"], "two": plain["one"]},
        {"name": "ada", "one": plain["one"], "three": plain["two"]},
        {**plain, "three": "plaintext"},
    ):
        put(kv, "k/a", json.dumps(forged).encode())
        with pytest.raises(DecodeError):
            store.get("a")


class Maybe(pydantic.BaseModel):
    name: str = "m"
    token: Secret[str] | None = None


class Needy(pydantic.BaseModel):
    needs: int
    token: Secret[str]


class Member(pydantic.BaseModel):
    one: Maybe | Needy


class RootNumber(pydantic.RootModel[int | list[Secret[str]]]):
    pass


@pytest.mark.parametrize("root", [Maybe | int, RootNumber])
def test_a_root_that_may_be_a_scalar_is_refused_when_declared(root: Any, cipher: Any) -> None:
    """Nothing can sign it. It was refused with the first number that was set."""
    with pytest.raises(ConfigError, match="signature"):
        Keyspace("k", root, cipher=cipher)


def test_members_of_a_union_of_which_one_takes_none(kv: Store_, cipher: Any) -> None:
    """``set`` refused the one without its secret, since the other one needs it."""
    store = Store(Keyspace("k", Member, cipher=cipher), kv)
    for value in (Maybe(), Maybe(token=Secret("t")), Needy(needs=1, token=Secret("t"))):
        store.set("a", Member(one=value))
        assert store["a"] == Member(one=value)
