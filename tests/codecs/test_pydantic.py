"""pydantic models: stored whole or refused, with the path; never read where ``set`` refuses."""

# Values of any class are of no type to a checker.
# pyright: reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections import OrderedDict
from typing import Annotated, Any, Literal, NamedTuple

import attrs
import msgspec
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from kvcodec import (
    ConfigError,
    DecodeError,
    EncodeError,
    KeyRing,
    Keyspace,
    SchemaMismatch,
    Secret,
    Store,
)
from tests.codecs.says import OTHER_TYPE
from tests.leaks import CANARY, leaks


def store_of(kind: Any, kv: Any = None, **options: Any) -> Store[Any]:
    """A store of any type."""
    return Store(Keyspace("k", kind, key=str, **options), {} if kv is None else kv)


class Session(BaseModel):
    user: str
    _token: str = pydantic.PrivateAttr("none")


class Event(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


def event(**fields: Any) -> Event:
    """An event with extra fields."""
    return Event.model_validate({"name": "x", **fields})


def with_token(session: Session, token: str) -> Session:
    """A session with a private attribute."""
    session._token = token
    return session


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (with_token(Session(user="ada"), CANARY), "$._token: str -> another str"),
        (event(at=dt.date(2026, 1, 1)), "$.at: date -> str"),
        (event(raw=b"x"), "$.raw: bytes -> str"),
        (event(tags={1}), "$.tags: set -> list"),
        (event(score=math.nan), "$.score: float -> None"),
        (event(**{CANARY: (1,)}), "$[...]: tuple -> list"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_does_not_come_back_is_refused(value: Any, place: str, *, wrapped: bool) -> None:
    """Private attributes and extra fields count, in a list as well, and the message says which."""
    kind: Any = list[type(value)] if wrapped else type(value)  # type: ignore[misc]
    kv: dict[str, bytes] = {}
    with pytest.raises(SchemaMismatch) as caught:
        store_of(kind, kv).set("a", [value] if wrapped else value)
    assert f"({place.replace('$', '$[0]') if wrapped else place})" in str(caught.value)
    assert kv == {}
    assert leaks(caught.value) == []


def box(extra: Any) -> BaseModel:
    """A model with a computed field."""

    class Box(BaseModel):
        model_config = ConfigDict(extra=extra)
        w: int

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def area(self) -> int:
            return self.w * self.w

    return Box(w=2)


class Sheet(BaseModel):
    data: pydantic.Json[dict[str, int]]


class Menu(BaseModel):
    items: OrderedDict[str, int]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (box("forbid"), b'{"w":2}'),
        (box("allow"), b'{"w":2}'),
        (box("ignore"), b'{"w":2}'),
        (Sheet(data='{"a":1}'), b'{"data":"{\\"a\\":1}"}'),  # type: ignore[arg-type]
        (Menu(items=OrderedDict(z=1, a=2)), b'{"items":{"z":1,"a":2}}'),
        (event(more=[1, None, {"a": "b"}]), None),
        (with_token(Session(user="ada"), "none"), b'{"user":"ada"}'),
    ],
    ids=range(7),
)
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_does_is_stored(value: Any, stored: bytes | None, encoding: Any) -> None:
    """Computed fields are left out, ``Json`` is the text that it was, order stays."""
    kv: dict[str, bytes] = {}
    store = store_of(type(value), kv, encoding=encoding)
    store.set("a", value)
    assert store["a"] == value
    assert type(store["a"]) is type(value)
    assert stored is None or encoding == "msgpack" or kv == {"k/a": stored}


class Part(BaseModel):
    n: int
    mood: Literal["calm", "busy"] = "calm"


class Whole(BaseModel):
    x: float = 0.0
    y: float | None = None
    text: str = ""
    parts: list[Part] = []
    named: dict[str, Part] = {}
    height: int = pydantic.Field(0, alias="theHeight", ge=0)
    either: Part | list[int] = []

    @pydantic.field_validator("text")
    @classmethod
    def _told(cls, text: str) -> str:
        if text.startswith("!"):
            raise ValueError(text)
        return text


@pytest.mark.parametrize(
    "token",
    ["NaN", "Infinity", "-Infinity", "1e999", '"NaN"', '"inf"', '"-1e400"', f'"{"9" * 400}"'],
)
@pytest.mark.parametrize("name", ["x", "y"])
def test_no_number_is_read_that_set_refuses(token: str, name: str) -> None:
    """NaN and the infinities, however they are written."""
    with pytest.raises(DecodeError) as caught:
        store_of(Whole, {"k/a": f'{{"{name}":{token}}}'.encode()}).get("a")
    assert leaks(caught.value) == []
    with pytest.raises(EncodeError):
        store_of(Whole).set("a", Whole.model_validate({name: math.nan}))


def test_such_text_in_a_text_field_is_text() -> None:
    """It stands for no number there."""
    store = store_of(Whole)
    for text in ("NaN", "inf", "1e999"):
        store.set("a", Whole.model_validate({"text": text}))
        assert store["a"].text == text


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        ('{"x":[]}', "Input should be a valid number at `$.x`"),
        ('{"parts":[{"n":1},{"n":[]}]}', "Input should be a valid integer at `$.parts[1].n`"),
        ('{"parts":[{}]}', "Field required at `$.parts[0].n`"),
        ('{"parts":[{"n":1,"mood":"SK"}]}',
         "Input should be 'calm' or 'busy' at `$.parts[0].mood`"),
        ('{"named":{"SK":{"n":{}}}}', "Input should be a valid integer at `$.named[...].n`"),
        ('{"theHeight":-1}', "Input should be greater than or equal to 0 at `$.theHeight`"),
        ('{"text":"!SK"}', "Input should be what the type declares at `$.text`"),
        ('["SK"]', "Input should be a valid dictionary or instance of Whole at `$`"),
    ],
    ids=range(8),
)  # fmt: skip
def test_refusals_name_the_field(stored: str, says: str) -> None:
    """As msgspec's do; nothing of what was read is in them."""
    with pytest.raises(SchemaMismatch) as caught:
        store_of(Whole, {"k/a": stored.replace("SK", CANARY).encode()}).get("a")
    assert caught.value.args[0] == says + OTHER_TYPE
    assert leaks(caught.value) == []


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Whole.model_construct(x=CANARY), "at `$.x`"),
        (Whole.model_construct(parts=[Part.model_construct(n=CANARY)]), "at `$.parts[0].n`"),
        (Whole.model_construct(named={CANARY: Part.model_construct(n="")}), "$.named[...].n`"),
        (Whole.model_construct(text=b"x"), "($.text: bytes -> str)"),
    ],
    ids=range(4),
)  # fmt: skip
def test_set_names_the_field_too(value: Whole, place: str) -> None:
    """Of what is not what the model declares."""
    with pytest.raises(EncodeError) as caught:
        store_of(Whole).set("a", value)
    assert str(caught.value.args[0]).endswith(place)
    assert leaks(caught.value) == []


class Masked(BaseModel):
    password: pydantic.SecretStr | None = None


class MaskedBytes(BaseModel):
    inside: list[dict[str, pydantic.SecretBytes]] = []


class MaskedOther(BaseModel):
    pin: Annotated[pydantic.Secret[int], pydantic.Field(alias="PIN")]


class Revealing(BaseModel):
    password: pydantic.SecretStr

    @pydantic.field_serializer("password")
    def _dumped(self, password: pydantic.SecretStr) -> str:
        return password.get_secret_value()


class Sealed(BaseModel):
    password: Secret[str]


@pytest.mark.parametrize("kind", [Masked, MaskedBytes, MaskedOther, list[Masked], Masked | None])
def test_what_pydantic_masks_is_refused_when_declared(kind: Any) -> None:
    """With the ways out: ``Secret``, or a serializer that reveals it."""
    with pytest.raises(
        ConfigError, match=r"kvcodec\.Secret\[str\] .* or give it a field_serializer"
    ):
        store_of(kind)


def test_the_ways_out_of_a_mask_work() -> None:
    """Sealed, or in clear because the model says so."""
    kv: dict[str, bytes] = {}
    sealed = store_of(Sealed, kv, cipher=KeyRing(KeyRing.generate_key()))
    sealed.set("a", Sealed(password=Secret(CANARY)))
    assert sealed["a"].password.reveal() == CANARY
    assert CANARY.encode() not in kv["k/a"]
    clear = store_of(Revealing)
    clear.set("a", Revealing(password=pydantic.SecretStr("x")))
    assert clear["a"].password.get_secret_value() == "x"


class InStruct(msgspec.Struct):
    part: Part


@attrs.define
class InAttrs:
    part: Part


@dataclasses.dataclass
class InDataclass:
    part: Part
    parts: list[Part] = dataclasses.field(default_factory=list[Part])


class InTuple(NamedTuple):
    part: Part


class InDict(TypedDict):
    part: Part


@dataclasses.dataclass
class Deeper:
    inner: InDataclass


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (InDataclass, InDataclass(Part(n=1), [Part(n=2)])),
        (list[InDataclass], [InDataclass(Part(n=1))]),
        (Deeper, Deeper(InDataclass(Part(n=1)))),
        (InTuple, InTuple(Part(n=1))),
        (InDict, {"part": Part(n=1)}),
    ],
    ids=["dataclass", "list", "deeper", "NamedTuple", "TypedDict"],
)
def test_what_holds_a_model_is_stored(kind: Any, value: Any) -> None:
    """By pydantic, with the model in it."""
    store = store_of(kind)
    store.set("a", value)
    assert store["a"] == value


@pytest.mark.parametrize("kind", [InStruct, InAttrs, list[InStruct], dict[str, InAttrs]])
def test_a_struct_that_holds_a_model_gets_advice(kind: Any) -> None:
    """Pydantic does not know Structs, nor msgspec models: the way out is said."""
    with pytest.raises(
        ConfigError, match=r"Part is a pydantic model.* a pydantic model or a dataclass"
    ):
        store_of(kind)


def test_what_pydantic_cannot_store_beside_a_model_is_a_config_error() -> None:
    """Its own reason, where it is declared."""
    with pytest.raises(ConfigError, match="InStruct"):
        store_of(list[Part | InStruct])


@attrs.define
class Private:
    name: str
    _token: str = ""


@dataclasses.dataclass
class PrivateData:
    name: str
    _token: str = ""


@pytest.mark.parametrize("kind", [Private, list[Private], dict[str, Private | None]])
@pytest.mark.parametrize("validate", [False, True])
def test_private_fields_of_attrs_are_refused_when_declared(kind: Any, *, validate: bool) -> None:
    """Msgspec leaves them out: they would be lost. Those of a dataclass it stores."""
    with pytest.raises(ConfigError, match="the field _token of Private is private"):
        store_of(kind, validate=validate)
    store = store_of(PrivateData, validate=validate)
    store.set("a", PrivateData("ada", "t"))
    assert store["a"] == PrivateData("ada", "t")
