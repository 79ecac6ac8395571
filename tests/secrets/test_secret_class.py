"""``Secret[T]`` by itself: what it shows, what it compares, what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import logging
import pickle
import pprint
import reprlib
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import Secret
from tests.leaks import CANARY


class InStruct(msgspec.Struct):
    token: Secret[str]


@dataclasses.dataclass
class InDataclass:
    token: Secret[str]


@attrs.define
class InAttrs:
    token: Secret[str]


class InModel(pydantic.BaseModel):
    token: Secret[str]


HOLDERS: list[Any] = [
    Secret(CANARY),
    Secret([CANARY]),
    Secret(Secret(CANARY)),
    {"token": Secret(CANARY)},
    InStruct(Secret(CANARY)),
    InDataclass(Secret(CANARY)),
    InAttrs(Secret(CANARY)),
    InModel(token=Secret(CANARY)),
]

SHOWN: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "f-string": lambda value: f"{value} {value!r} {value!s} {value!a}",
    "percent": lambda value: "%s %r %a" % (value, value, value),  # noqa: UP031 - as loggers do
    "format": lambda value: "{} {!r}".format(value, value),  # noqa: UP032 - as old code does
    "pprint": pprint.pformat,
    "reprlib": reprlib.repr,
    "json": functools.partial(json.dumps, default=repr),
    "asdict": lambda value: repr(_as_dict(value)),
}


def _as_dict(value: Any) -> Any:
    return dataclasses.asdict(value) if isinstance(value, InDataclass) else None


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_it_shows_asterisks(holder: Any, show: Callable[[Any], str]) -> None:
    """However a Secret, or what holds it, is turned into text: the secret is not in it."""
    assert CANARY not in show(holder)


def test_its_text_tells_nothing_of_its_length() -> None:
    """Short and long secrets, and secrets of other types, look the same."""
    secrets: list[Secret[Any]] = [Secret(""), Secret("x" * 1000), Secret(5), Secret(None)]
    assert {repr(secret) for secret in secrets} == {"Secret('**********')"}
    assert {str(secret) for secret in secrets} == {"**********"}
    assert f"{Secret('x'):>12}" == "  **********"


def test_it_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A logger's arguments are formatted without the secret."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("any").debug("token %s, in %r", Secret(CANARY), InStruct(Secret(CANARY)))
    assert "token **********" in caplog.text
    assert CANARY not in caplog.text


def test_a_traceback_with_locals_hides_it() -> None:
    """A crash reporter that prints local variables prints asterisks."""
    secret = Secret(CANARY)
    with pytest.raises(AttributeError) as caught:
        secret.reveal().missing  # type: ignore[attr-defined]  # noqa: B018 - raises
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown.format())
    assert "Secret('**********')" in text
    assert CANARY not in text
    assert secret.reveal() == CANARY


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "holder", [h for h in HOLDERS if not isinstance(h, dict)], ids=lambda h: type(h).__name__
)
def test_it_is_not_pickled(holder: Any, protocol: int) -> None:
    """A pickle would be plaintext: refused, whatever it is in."""
    with pytest.raises(TypeError, match="a pickle is plaintext"):
        pickle.dumps(holder, protocol)


@given(st.recursive(st.text() | st.integers() | st.binary(), st.lists))
def test_reveal_gives_what_was_put_in(value: Any) -> None:
    """``reveal`` returns the value itself; copies are equal, deep ones of their own."""
    secret = Secret(value)
    assert secret.reveal() is value
    assert copy.copy(secret).reveal() is value
    assert copy.deepcopy(secret) == secret


def test_a_deep_copy_shares_nothing() -> None:
    """What is changed in a deep copy is not changed in the original."""
    secret = Secret(["a"])
    copy.deepcopy(secret).reveal().append("b")
    assert secret.reveal() == ["a"]


ANY = st.one_of(st.text(), st.binary(), st.integers(), st.lists(st.text()), st.just("\ud800"))


@given(ANY, ANY)
def test_equal_is_equal_inside(one: Any, other: Any) -> None:
    """Two secrets are equal exactly if what they hold is; a secret never equals a bare value."""
    assert (Secret(one) == Secret(other)) == (one == other)
    assert Secret(one) == Secret(one)
    assert (Secret(one) == one) is False
    assert (Secret(one) != one) is True


def test_it_has_no_hash() -> None:
    """``hash(5)`` is 5: a Secret has none, and so is no key and no member of a set."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret(5))


def test_it_has_no_attributes_to_stumble_over() -> None:
    """``vars`` and ``__getstate__`` give nothing away."""
    with pytest.raises(TypeError):
        vars(Secret(CANARY))
    with pytest.raises(TypeError):
        Secret(CANARY).__getstate__()


class Outer(pydantic.BaseModel):
    number: Secret[int]
    texts: list[Secret[str]] = []


def test_pydantic_validates_what_is_inside() -> None:
    """A model takes a Secret, or what T takes, and refuses the rest without quoting the secret."""
    assert Outer(number=Secret(5)).number.reveal() == 5
    assert Outer.model_validate({"number": "5"}).number == Secret(5)
    assert Outer.model_validate_json('{"number":5,"texts":["a"]}').texts == [Secret("a")]
    with pytest.raises(pydantic.ValidationError) as caught:
        Outer.model_validate({"number": Secret(CANARY)})
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value.errors())
    assert caught.value.__context__ is None


def test_pydantic_dumps_asterisks() -> None:
    """``model_dump`` keeps the Secret, as JSON it is asterisks; the schema is that of T."""
    model = Outer(number=Secret(5), texts=[Secret(CANARY)])
    assert model.model_dump() == {"number": Secret(5), "texts": [Secret(CANARY)]}
    assert model.model_dump(mode="json") == {"number": "**********", "texts": ["**********"]}
    assert CANARY not in model.model_dump_json() + repr(model) + str(model.model_dump())
    assert Outer.model_json_schema()["properties"]["number"]["type"] == "integer"
    strange = Outer.model_construct(number=CANARY)
    assert CANARY not in strange.model_dump_json()
