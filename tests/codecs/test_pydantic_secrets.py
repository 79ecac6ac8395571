"""pydantic models with Secrets: sealed where they stand, or refused when they are declared."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict

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
from kvcodec.secrets.marks import TEXT
from tests.leaks import CANARY, leaks

RING = KeyRing(KeyRing.generate_key())


class Holder(BaseModel):
    name: str
    token: Secret[str]


class Other(BaseModel):
    title: str


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Extras(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Secret[str]] = pydantic.Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]
    name: str


class Before(BaseModel):
    token: Secret[str]

    @pydantic.model_validator(mode="before")
    @classmethod
    def look(cls, given: Any) -> Any:
        raise AssertionError(f"shown in clear: {given}")


class Wrapped(BaseModel):
    token: Secret[str]

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def look(cls, given: Any, handler: Any) -> Any:
        return handler(given)


class BeforeField(BaseModel):
    token: Secret[str]

    @pydantic.field_validator("token", mode="before")
    @classmethod
    def look(cls, given: Any) -> Any:
        return given


class PlainField(BaseModel):
    token: Secret[str]

    @pydantic.field_validator("token", mode="plain")
    @classmethod
    def look(cls, given: Any) -> Any:
        return given


class Within(BaseModel):
    """A validator far above the secret."""

    holders: list[Holder]

    @pydantic.field_validator("holders", mode="before")
    @classmethod
    def look(cls, given: Any) -> Any:
        return given


class Computed(BaseModel):
    name: str

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def token(self) -> Secret[str]:
        return Secret(CANARY)


class Pair(NamedTuple):
    name: str
    token: Secret[str]


class HasPair(BaseModel):
    pair: Pair


class HasJson(BaseModel):
    inside: pydantic.Json[dict[str, Secret[str]]]


class Looking(BaseModel):
    number: Annotated[int, pydantic.BeforeValidator(lambda given: given)]


class HasUnion(BaseModel):
    either: Holder | dict[str, str] | None


def _told(given: Any) -> str:
    return "holder" if "token" in given else "other"


ByFunction = Annotated[
    Annotated[Holder, pydantic.Tag("holder")] | Annotated[Other, pydantic.Tag("other")],
    pydantic.Discriminator(_told),
]


class HasFunction(BaseModel):
    either: ByFunction


REFUSED: list[Any] = [
    Holder | dict[str, str],
    Holder | dict[str, Any] | None,
    Holder | Open,
    Open | Holder,
    Holder | Any,
    Holder | object,
    HasUnion,
    Holder | Looking | Annotated[int, pydantic.BeforeValidator(lambda given: given)],
    list[Holder] | list[str] | None,
    pydantic.RootModel[Secret[str] | str],
    pydantic.RootModel[Secret[str] | int | None],
    pydantic.RootModel[Secret[str] | Secret[bytes]],
    pydantic.RootModel[tuple[Secret[str], int] | list[str]],
    Before,
    Wrapped,
    BeforeField,
    PlainField,
    Within,
    Computed,
    HasPair,
    HasJson,
    HasFunction,
]


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: getattr(kind, "__name__", None))
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_might_lose_a_secret_is_refused_when_declared(kind: Any, encoding: str) -> None:
    """Something open beside it, code that would be shown it in clear, a place without a route."""
    with pytest.raises(ConfigError):
        Keyspace("k", kind, cipher=RING, encoding=encoding)


class Masked(BaseModel):
    token: Secret[pydantic.SecretStr]


class MaskedBelow(BaseModel):
    token: list[Secret[dict[str, pydantic.SecretBytes | None]]]


class Dumped(BaseModel):
    token: Secret[str] | None = None

    @pydantic.field_serializer("token", when_used="unless-none")
    def dump(self, token: Secret[str]) -> str:
        return token.reveal()


class DumpedBelow(BaseModel):
    tokens: list[Annotated[Secret[str], pydantic.PlainSerializer(str, when_used="json")]]


class DumpedAround(BaseModel):
    token: Annotated[Secret[str], pydantic.WrapSerializer(lambda token, dump: dump(token))]


MASKED: list[Any] = [Masked, MaskedBelow, Secret[Masked], Secret[pydantic.SecretStr]]
DUMPED: list[Any] = [Dumped, DumpedBelow, DumpedAround]


@pytest.mark.parametrize("kind", MASKED + DUMPED, ids=lambda kind: getattr(kind, "__name__", None))
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_set_would_refuse_is_refused_when_declared(kind: Any, encoding: str) -> None:
    """What pydantic dumps as asterisks, in a Secret; a serializer in the place of the Secret's."""
    with pytest.raises(ConfigError, match="serializer of a Secret" if kind in DUMPED else "Secret"):
        Keyspace("k", kind, cipher=RING, encoding=encoding)


class Plainly(BaseModel):
    """What is in a Secret may be dumped by the user, as it may elsewhere."""

    token: Secret[
        Annotated[pydantic.SecretStr, pydantic.PlainSerializer(pydantic.SecretStr.get_secret_value)]
    ]


class After(BaseModel):
    """What is allowed beside secrets."""

    name: str
    token: Secret[str] | None = None
    several: Sequence[Secret[str]] = []
    ordered: OrderedDict[str, Secret[str]] = OrderedDict()
    turning: deque[Secret[str]] = deque()
    either: Holder | Other | str | list[int] | None = None

    @pydantic.field_validator("name", mode="before")
    @classmethod
    def clean(cls, given: str) -> str:
        return given.strip()

    @pydantic.field_validator("token", mode="after")
    @classmethod
    def look(cls, token: Secret[str] | None) -> Secret[str] | None:
        assert token is None or isinstance(token, Secret)
        return token

    @pydantic.model_validator(mode="after")
    def look_at_all(self) -> After:
        assert CANARY not in repr(self)
        return self


VALUES: list[Any] = [
    After(name="a"),
    After(name="a", token=Secret(CANARY)),
    After(name="a", several=[Secret(CANARY)], ordered=OrderedDict(a=Secret(CANARY))),
    After(name="a", turning=deque([Secret(CANARY), Secret("b")])),
    After(name="a", either=Holder(name="b", token=Secret(CANARY))),
    After(name="a", either=Other(title="b")),
    After(name="a", either="kvo1.x"),
    After(name="a", either=[1, 2]),
    Plainly(token=Secret(pydantic.SecretStr(CANARY))),
    Extras(name="a"),
    Extras.model_validate({"name": "a", "token": Secret(CANARY), "more": Secret("b")}),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_is_allowed_comes_back_and_is_sealed(value: Any, encoding: str) -> None:
    """Validators of mode "after", closed unions, typed extra fields, collections of pydantic's."""
    kv: dict[str, bytes] = {}
    declare: Any = Keyspace
    store: Store[Any] = Store(declare("k", type(value), cipher=RING, encoding=encoding), kv)
    store.set("a", value)
    assert store["a"] == value
    assert CANARY.encode() not in kv["k/a"]
    assert b"****" not in kv["k/a"]


def test_typed_extra_fields_need_a_cipher() -> None:
    """Asterisks were stored in their place, and the set succeeded."""
    with pytest.raises(ConfigError, match="cipher"):
        Keyspace("k", Extras)


class Moving(BaseModel):
    """Its own serializer puts the secret elsewhere, and its validator fetches it back."""

    token: Secret[str]

    @pydantic.model_serializer(mode="plain")
    def dump(self) -> dict[str, Any]:
        return {"elsewhere": self.token}


class Revealing(BaseModel):
    token: Secret[str]

    @pydantic.field_serializer("token")
    def dump(self, token: Secret[str]) -> str:
        return token.reveal()


class Left(BaseModel):
    token: Secret[str] | None = pydantic.Field(default=None, exclude=True)


@pytest.mark.parametrize(
    "value",
    [Moving(token=Secret(CANARY)), Revealing(token=Secret(CANARY)), Left(token=Secret(CANARY))],
)
@pytest.mark.parametrize("options", [{}, {"validate": False}], ids=str)
def test_a_serializer_that_moves_a_secret_is_refused(value: Any, options: Any) -> None:
    """The sealed places are those that are declared, of every value: or it is not stored."""
    kv: dict[str, bytes] = {}
    declare: Any = Keyspace
    with pytest.raises((ConfigError, EncodeError, SchemaMismatch)) as caught:
        Store(declare("k", type(value), cipher=RING, **options), kv).set("a", value)
    assert leaks(caught.value) == []
    assert kv == {}


class Taking(BaseModel):
    """Loses the secret when it is read, or keeps it as text: of a Secret that it was shown."""

    text: str = ""
    token: Secret[str] | None = None
    mood: ClassVar[str] = ""

    @pydantic.model_validator(mode="after")
    def take(self) -> Taking:
        if self.mood == "lose":
            self.token = None
        elif self.mood == "copy" and self.token is not None:
            self.text = str(TEXT.leaf(json.dumps(self.token.reveal()).encode()))
        return self


@pytest.mark.parametrize("mood", ["lose", "copy"])
def test_every_opened_secret_is_one_of_the_value(
    mood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets opened are those of the value, and no text of it is an opened one."""
    store = Store(Keyspace("k", Taking, cipher=RING), {})
    store.set("a", Taking(token=Secret(CANARY)))
    monkeypatch.setattr(Taking, "mood", mood)
    with pytest.raises(DecodeError, match="MisplacedSecret") as caught:
        store.get("a")
    assert leaks(caught.value) == []
    monkeypatch.setattr(Taking, "mood", "")
    assert store["a"].token == Secret(CANARY)


def test_a_value_that_is_no_secret_is_told_how() -> None:
    """No assignment is checked by pydantic: what is wrong, and what to write."""
    holder = Holder(name="ada", token=Secret("x"))
    holder.token = CANARY  # type: ignore[assignment]
    with pytest.raises(SchemaMismatch, match=r"wrap it, Secret\(value\) at `\$\.token`") as caught:
        Keyspace("k", Holder, cipher=RING).pack("a", holder, now=0)
    assert leaks(caught.value, CANARY) == []
