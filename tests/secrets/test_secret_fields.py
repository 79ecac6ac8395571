"""Secret fields as they are stored: sealed where they stand, tied to it, the rest readable."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    AESGCMCipher,
    ConfigError,
    DecodeError,
    EncodeError,
    Expired,
    FernetCipher,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    NewerVersion,
    NotEncrypted,
    Previous,
    SchemaMismatch,
    Secret,
    Store,
    Subjects,
    Tampered,
    TooDeep,
    UnknownKey,
)
from kvcodec.testing.strategies import values
from tests.leaks import CANARY, leaks
from tests.reference import join, key_id, place, place_key

KEY, OTHER_KEY = KeyRing.generate_key(), KeyRing.generate_key()
RING = KeyRing(KEY)
CIPHERS = {
    "fernet": FernetCipher(RING),
    "fernet padded": FernetCipher(RING, pad_to=64),
    "aes-gcm": AESGCMCipher(RING),
    "aes-gcm padded": AESGCMCipher(RING, pad_to=64),
}


def _space(name: str, kind: Any, **options: Any) -> Keyspace[Any]:
    """A keyspace with the options of a table's row, under RING where they name no cipher."""
    declare: Any = Keyspace
    declared: Keyspace[Any] = declare(name, kind, **{"cipher": RING, **options})
    return declared


def _packed(value: Any, **options: Any) -> tuple[str, bytes]:
    return _space("k", value.__class__, **options).pack("a", value, now=0)


class Password(msgspec.Struct, tag="password"):
    login: str
    password: Secret[str]


class Public(msgspec.Struct, tag="public"):
    password: str


class Row(msgspec.Struct, array_like=True):
    name: str
    token: Secret[bytes]


class Pair(NamedTuple):
    name: str
    token: Secret[str]


class Typed(TypedDict):
    name: str
    token: Secret[str]


@dataclasses.dataclass
class Data:
    token: Secret[str]
    name: str = ""


@attrs.define
class Attrs:
    token: Secret[str]
    name: str = ""


class Account(msgspec.Struct):
    name: str
    token: Secret[str]
    number: Secret[int | None] | None = None
    several: list[Secret[bytes]] = []
    by_name: dict[str, Password | Public] = {}
    fixed: tuple[int, Secret[float]] | None = None
    row: Row | None = None
    pair: Pair | None = None
    typed: Typed | None = None
    data: Data | None = None
    attrs: Attrs | None = None
    nested: Secret[dict[str, list[int]]] | None = None
    parent: Account | None = None


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    name: Secret[str]


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Model(pydantic.BaseModel):
    name: str
    token: Secret[str]
    number: Secret[int | None] | None = None
    several: list[Secret[str]] = []
    by_name: dict[str, Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]] = {}
    fixed: tuple[int, Secret[float]] | None = None
    data: Data | None = None
    renamed: Secret[str] | None = pydantic.Field(default=None, alias="Renamed")
    nested: Secret[dict[str, list[int]]] | None = None
    parent: Model | None = None


TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.just("kvs1.text") | st.just("kvo1.x")
secret_texts = TEXT.map(Secret)
optional_numbers = st.none() | st.builds(Secret, st.none() | st.integers(-(2**63), 2**63))
nested_secrets = st.dictionaries(TEXT, st.lists(st.integers(0, 9), max_size=2), max_size=2).map(
    Secret
)
floats = st.floats(allow_nan=False, allow_infinity=False)

datas = st.builds(Data, secret_texts, TEXT)
accounts: st.SearchStrategy[Account] = st.deferred(
    lambda: st.builds(
        Account,
        TEXT,
        secret_texts,
        number=optional_numbers,
        several=st.lists(st.binary(max_size=4).map(Secret), max_size=3),
        by_name=st.dictionaries(
            TEXT, st.builds(Password, TEXT, secret_texts) | st.builds(Public, TEXT), max_size=2
        ),
        fixed=st.none() | st.tuples(st.integers(0, 9), floats.map(Secret)),
        row=st.none() | st.builds(Row, TEXT, st.binary(max_size=4).map(Secret)),
        pair=st.none() | st.builds(Pair, TEXT, secret_texts),
        typed=st.none() | st.fixed_dictionaries({"name": TEXT, "token": secret_texts}),
        data=st.none() | datas,
        attrs=st.none() | st.builds(Attrs, secret_texts, TEXT),
        nested=st.none() | nested_secrets,
        parent=st.none() | accounts,
    )
)
models: st.SearchStrategy[Model] = st.deferred(
    lambda: st.builds(
        Model,
        name=TEXT,
        token=secret_texts,
        number=optional_numbers,
        several=st.lists(secret_texts, max_size=3),
        by_name=st.dictionaries(
            TEXT, st.builds(Cat, name=secret_texts) | st.builds(Dog, name=TEXT), max_size=2
        ),
        fixed=st.none() | st.tuples(st.integers(0, 9), floats.map(Secret)),
        data=st.none() | datas,
        Renamed=st.none() | secret_texts,
        nested=st.none() | nested_secrets,
        parent=st.none() | models,
    )
)


@pytest.mark.parametrize("cipher", CIPHERS.values(), ids=CIPHERS)
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@settings(max_examples=25)
@given(value=accounts | models)
def test_what_is_set_is_got(value: Any, encoding: str, cipher: Any) -> None:
    """Law 1 for values with secrets anywhere in them: equal, and of the same type."""
    raw_key, data = _packed(value, encoding=encoding, cipher=cipher)
    space = _space("k", value.__class__, encoding=encoding, cipher=cipher)
    back = space.unpack(raw_key, data, now=0)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("kind", [Account, Model])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_the_secret_is_not_in_the_bytes_and_the_rest_is(kind: Any, encoding: str) -> None:
    """Only the marked fields are encrypted: the rest is JSON or MessagePack as ever."""
    value = kind(name="Ada", token=Secret(CANARY), nested=Secret({CANARY: [1]}))
    data = _packed(value, encoding=encoding)[1]
    assert CANARY.encode() not in data
    plain = json.loads(data) if encoding == "json" else msgspec.msgpack.decode(data)
    assert plain["name"] == "Ada"
    assert plain["token"].startswith("kvs1.")
    assert plain["nested"].startswith("kvs1.")
    assert plain["parent"] is None


def test_a_whole_value_may_be_one_secret() -> None:
    """``Secret[T]`` as the type of the values: one sealed string, and asterisks in repr."""
    store = Store(Keyspace("k", Secret[Password], cipher=RING), kv := dict[str, bytes]())
    store.set("a", Secret(Password("ada", Secret(CANARY))))
    assert re.fullmatch(rb'"kvs1\.[^"]+"', kv["k/a"])
    assert store["a"].reveal().password.reveal() == CANARY


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("kind", [Account, Model, Secret[int], dict[str, Secret[list[int]]]])
@settings(max_examples=10)
@given(data=st.data())
def test_the_kit_draws_secrets(kind: Any, encoding: str, data: st.DataObject) -> None:
    """``values(T)`` draws values with secrets, and they come back equal."""
    value = data.draw(values(kind, encoding=encoding))
    space = _space("k", kind, encoding=encoding)
    assert space.unpack(*space.pack("a", value, now=0), now=0) == value


def test_the_form_by_hand() -> None:
    """docs/FORMAT.md followed without kvcodec opens a field, at any depth."""
    space = _space("k", list[dict[str, Secret[str]]], ttl=60)
    raw_key, data = space.pack("a", [{}, {"token": Secret(CANARY)}], now=1)
    tied, encoded = data[3 : 3 + data[2]], data[3 + data[2] :]
    prefix, ids, token = json.loads(encoded)[1]["token"].split(".")
    assert prefix == "kvs1"
    assert base64.urlsafe_b64decode(ids) == b"\x01\x00" + key_id(KEY)
    path = b"\x92\x01\xa5token"
    record = msgspec.msgpack.encode([{}, {"token": None}])
    signs = place("record", "k", "json", tied, raw_key) + join(path, sha256(record).digest())
    assert json.loads(Fernet(place_key(KEY, signs)).decrypt(token)) == CANARY


def test_the_others_by_hand() -> None:
    """Of two sealed fields the first signs, and the other is tied to its path alone."""
    space = _space("k", list[dict[str, Secret[str]]])
    raw_key, data = space.pack("a", [{"token": Secret("first")}, {"token": Secret(CANARY)}], now=1)
    token = json.loads(data)[1]["token"].split(".")[2]
    tied = place("field", "k", "json", b"", raw_key) + join(b"\x92\x01\xa5token")
    assert json.loads(Fernet(place_key(KEY, tied)).decrypt(token)) == CANARY


# ------------------------------------------------------------------------------- declarations


class InSet(msgspec.Struct):
    tokens: set[Secret[str]]


class AsKey(msgspec.Struct):
    tokens: dict[Secret[str], int]


class Unstorable(msgspec.Struct):
    token: Secret[complex]


class HasSet(pydantic.BaseModel):
    tokens: set[Secret[str]]


class HasKey(pydantic.BaseModel):
    tokens: dict[Secret[str], int]


class UntaggedModels(pydantic.BaseModel):
    either: Cat | Dog


class Mixed(msgspec.Struct):
    token: Secret[str] | int


class AnyCodec:
    def encode(self, value: Any, /) -> bytes:
        return repr(value).encode()

    def decode(self, data: bytes, /) -> Any:
        return data


class WithSecret(msgspec.Struct):
    token: Secret[str]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (WithSecret, {"cipher": None}),
        (Model, {"cipher": None}),
        (Secret[str], {"cipher": None}),
        (list[WithSecret], {"cipher": None, "ttl": 5}),
        (InSet, {}),
        (AsKey, {}),
        (Unstorable, {}),
        (HasSet, {}),
        (HasKey, {}),
        (UntaggedModels, {}),
        (Mixed, {}),
        (WithSecret, {"cipher": FernetCipher(RING, bound=False)}),
        (WithSecret, {"compress": "zlib"}),
        (WithSecret, {"encoding": AnyCodec()}),
        (WithSecret, {"keys": HiddenKeys(RING)}),
    ],
)
def test_what_cannot_be_sealed_is_refused_when_declared(kind: Any, options: Any) -> None:
    """No cipher, no place of its own, no form: a ConfigError, never plaintext later."""
    with pytest.raises(ConfigError):
        _space("k", kind, **options)


def test_a_secret_in_a_type_that_does_not_say_so_is_refused() -> None:
    """Where the type says Any, a Secret is not stored: neither in clear nor as asterisks."""
    kv: dict[str, bytes] = {}
    for kind in (Any, dict[str, Any]):
        with pytest.raises(EncodeError):
            Store(Keyspace("k", kind), kv).set("a", {"token": Secret(CANARY)})

    class Open(msgspec.Struct):
        token: Secret[str]
        more: Any = None

    for validate in (True, False):
        store = Store(Keyspace("k", Open, cipher=RING, validate=validate), kv)
        with pytest.raises(EncodeError):
            store.set("a", Open(Secret("x"), Secret(CANARY)))
        with pytest.raises(EncodeError):
            store.set("a", Open(CANARY))  # type: ignore[arg-type]
    assert kv == {}


class Copying(pydantic.BaseModel):
    token: Secret[str]

    @pydantic.model_serializer(mode="wrap")
    def dump(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        return {**plain, "header": f"Bearer {plain['token']}"}


def test_a_serializer_that_copies_a_secret_is_refused() -> None:
    """What a class's own code makes of a secret cannot be sealed: it is not stored in clear."""
    kv: dict[str, bytes] = {}
    with pytest.raises(EncodeError, match="cannot be sealed") as caught:
        Store(Keyspace("k", Copying, cipher=RING), kv).set("a", Copying(token=Secret(CANARY)))
    assert kv == {}
    assert leaks(caught.value) == []


# ---------------------------------------------------------------------------- tied to the place


class Three(msgspec.Struct):
    a: Secret[str]
    b: Secret[str]
    more: dict[str, Secret[str]]
    row: list[Secret[str]]


THREE = Three(Secret("1"), Secret("1"), {"a": Secret("1"), "b": Secret("1")}, [Secret("1")] * 2)
PLACES: list[tuple[Any, ...]] = [
    ("a",),
    ("b",),
    ("more", "a"),
    ("more", "b"),
    ("row", 0),
    ("row", 1),
]


def _at(plain: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        plain = plain[part]
    return plain


def _put(plain: Any, path: tuple[Any, ...], leaf: Any) -> None:
    _at(plain, path[:-1])[path[-1]] = leaf


def _spaces() -> list[tuple[Keyspace[Any], str, bytes]]:
    """Values that differ in one respect each: options, key, keyspace."""
    options: list[Any] = [
        {},
        {"cipher": KeyRing(OTHER_KEY)},
        {"cipher": AESGCMCipher(RING)},
        {"version": 2, "upgrades": {1: dict}},
        {"ttl": 60},
        {"encoding": "msgpack"},
    ]
    spaces = [_space("one", Three, **given) for given in options]
    two = Keyspace("two", Three, cipher=RING)
    places = [*((space, "a") for space in spaces), (spaces[0], "b"), (two, "a"), (two, "b")]
    return [(space, *space.pack(key, THREE, now=0)) for space, key in places]


def _split(space: Keyspace[Any], data: bytes) -> tuple[bytes, Any]:
    """Envelope and plain data of stored bytes."""
    head = 3 + data[2] if data[:1] == b"\xc1" else 0
    return data[:head], space.declaration.pipeline.codec.to_plain(data[head:])


def test_every_ordered_pair_of_places() -> None:
    """A sealed field opens in its keyspace, key, version, header, codec, and path; nowhere else."""
    spaces = _spaces()
    spots = list(itertools.product(range(len(spaces)), PLACES))
    assert len(spots) == 54
    for source, target in itertools.permutations(spots, 2):
        space, raw_key, data = spaces[target[0]]
        head, plain = _split(space, data)
        from_space, _, from_data = spaces[source[0]]
        _put(plain, target[1], _at(_split(from_space, from_data)[1], source[1]))
        with pytest.raises((Tampered, UnknownKey)):
            space.unpack(raw_key, head + space.declaration.pipeline.codec.from_plain(plain), now=0)


def test_whole_values_do_not_move() -> None:
    """All the stored bytes of another keyspace, key or form are refused as well."""
    for (_, from_key, data), (space, raw_key, _) in itertools.permutations(_spaces(), 2):
        if space.version == 2 and from_key == raw_key:
            continue  # it reads what version 1 wrote there
        with pytest.raises(DecodeError):
            space.unpack(raw_key, data, now=0)


@pytest.mark.parametrize("cipher", [CIPHERS["fernet"], CIPHERS["aes-gcm"]], ids=["fernet", "gcm"])
def test_every_bit_of_a_sealed_field(cipher: Any) -> None:
    """No single bit of a sealed field can be flipped, and no character of it be cut or added."""
    space = Keyspace("k", WithSecret, cipher=cipher)
    raw_key, data = space.pack("a", WithSecret(Secret("x")), now=0)
    start, end = data.index(b"kvs1."), data.rindex(b'"')
    for at, bit in itertools.product(range(start, end), range(8)):
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        with pytest.raises(DecodeError):
            space.unpack(raw_key, bytes(changed), now=0)
    for cut in range(start, end):
        with pytest.raises(DecodeError):
            space.unpack(raw_key, data[:cut] + data[end:], now=0)
    for more in (b"A", b"=", b".", b" ", b"\\n"):
        with pytest.raises(DecodeError):
            space.unpack(raw_key, data[:end] + more + data[end:], now=0)


@pytest.mark.parametrize(
    ("leaf", "error"),
    [
        (CANARY, NotEncrypted),
        ("", NotEncrypted),
        (None, NotEncrypted),
        (5, NotEncrypted),
        ({"token": CANARY}, NotEncrypted),
        ([CANARY], NotEncrypted),
        ("kvs1.", Tampered),
        ("kvs1." + CANARY, Tampered),
        ("KVS1.x", NotEncrypted),
        ('kvo1.00000000000000000000000000000000."x"', NotEncrypted),
    ],
)
@pytest.mark.parametrize("kind", [Account, Model])
def test_plaintext_is_refused(kind: Any, leaf: Any, error: type[Exception]) -> None:
    """Where a sealed field belongs nothing else is accepted, and the error echoes nothing."""
    space = _space("k", kind)
    raw_key, data = space.pack("a", kind(name="Ada", token=Secret("x")), now=0)
    plain = json.loads(data)
    plain["token"] = leaf
    with pytest.raises(error) as caught:
        space.unpack(raw_key, json.dumps(plain).encode(), now=0)
    assert "$.token" in str(caught.value)
    assert leaks(caught.value) == []


def test_an_unknown_key_is_named() -> None:
    """A field sealed under a key that the ring does not hold: UnknownKey with the key's id."""
    raw_key, data = Keyspace("k", Account, cipher=RING).pack("a", Account("", Secret("x")), now=0)
    with pytest.raises(UnknownKey, match=r"\$\.token") as caught:
        Keyspace("k", Account, cipher=KeyRing(OTHER_KEY)).unpack(raw_key, data, now=0)
    assert caught.value.key_id == RING.primary
    retired = Keyspace("k", Account, cipher=KeyRing(OTHER_KEY, retired=[KEY]))
    assert retired.unpack(raw_key, data, now=0) == Account("", Secret("x"))


def test_messages_name_no_keys_of_dicts() -> None:
    """The path in a message has names that the type declares; the keys of dicts are data."""
    space = Keyspace("k", dict[str, Secret[str]], cipher=RING)
    with pytest.raises(NotEncrypted, match=r"\$\[\.\.\.\]") as caught:
        space.unpack("k/a", json.dumps({CANARY: "x"}).encode(), now=0)
    assert leaks(caught.value) == []


def test_a_header_cannot_be_changed() -> None:
    """Secrets are tied to the header: a longer lifetime or another version does not open them."""
    space = Keyspace("k", WithSecret, cipher=RING, ttl=60)
    raw_key, data = space.pack("a", WithSecret(Secret("x")), now=0)
    _, later = space.pack("a", WithSecret(Secret("x")), now=1000)
    head = 3 + data[2]
    with pytest.raises(Tampered):
        space.unpack(raw_key, later[:head] + data[head:], now=1001)
    with pytest.raises(Expired):
        space.unpack(raw_key, data, now=61)


# --------------------------------------------------------------------------- with other options


class Before(msgspec.Struct):
    user: str
    token: Secret[str]


class After(msgspec.Struct):
    user: str
    auth: dict[str, Secret[str]]


def _renamed(plain: Any) -> Any:
    return {"user": plain["user"], "auth": {"github": plain["token"]}}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_an_upgrade_moves_secrets_as_secrets(encoding: str) -> None:
    """An upgrade sees a ``Secret`` where one was sealed, and may put it elsewhere."""
    seen: list[Any] = []

    def upgrade(plain: Any) -> Any:
        seen.append(plain)
        return _renamed(plain)

    raw_key, data = _packed(Before("ada", Secret(CANARY)), encoding=encoding)
    space = Keyspace("k", After, cipher=RING, version=2, upgrades={1: upgrade}, encoding=encoding)
    assert space.unpack(raw_key, data, now=0) == After("ada", {"github": Secret(CANARY)})
    assert isinstance(seen[0]["token"], Secret)
    assert CANARY not in repr(seen)
    store = Store(space, kv := {raw_key: data})
    store.update("a", lambda value: value)
    assert CANARY.encode() not in kv[raw_key]
    assert store["a"].auth["github"].reveal() == CANARY
    with pytest.raises(NewerVersion):
        Keyspace("k", Before, cipher=RING, encoding=encoding).unpack(raw_key, kv[raw_key], now=0)


LOSING: list[tuple[Callable[[Any], Any], type[Exception]]] = [
    (lambda plain: {"user": "", "auth": {"a": plain["token"].reveal()}}, NotEncrypted),
    (lambda _: {"user": "", "auth": {"a": "kvs1.x"}}, Tampered),
    (lambda _: {"user": Secret(CANARY), "auth": {}}, DecodeError),
    (lambda plain: plain["token"].reveal() / 0, DecodeError),
    (lambda plain: {"user": plain["token"], "auth": 5}, SchemaMismatch),
]


@pytest.mark.parametrize(("upgrade", "error"), LOSING)
def test_an_upgrade_that_loses_the_seal_is_refused(upgrade: Any, error: type[Exception]) -> None:
    """What stands where a secret belongs after an upgrade has to be a Secret."""
    raw_key, data = _packed(Before("ada", Secret(CANARY)))
    space = Keyspace("k", After, cipher=RING, version=2, upgrades={1: upgrade})
    with pytest.raises(error) as caught:
        space.unpack(raw_key, data, now=0)
    assert leaks(caught.value) == []


def test_a_secret_where_the_new_type_has_none_stays_sealed() -> None:
    """An upgrade that reveals nothing gives nothing away, whatever today's type says."""

    class Careless(msgspec.Struct):
        user: str
        token: str

    raw_key, data = _packed(Before("ada", Secret(CANARY)))
    space = Keyspace("k", Careless, version=2, upgrades={1: dict})
    assert space.unpack(raw_key, data, now=0).token.startswith("kvs1.")


def test_plaintext_becomes_secret_by_an_upgrade() -> None:
    """Values from before the field was a Secret: the upgrade says so, and nothing else does."""

    class Plain(msgspec.Struct):
        user: str
        token: str

    raw_key, data = Keyspace("k", Plain).pack("a", Plain("ada", CANARY), now=0)
    space = Keyspace(
        "k",
        Before,
        cipher=RING,
        version=2,
        upgrades={1: lambda plain: {**plain, "token": Secret(plain["token"])}},
    )
    kv = {raw_key: data}
    store = Store(space, kv)
    assert store["a"] == Before("ada", Secret(CANARY))
    store.update("a", lambda value: value)
    assert CANARY.encode() not in kv[raw_key]
    assert store["a"] == Before("ada", Secret(CANARY))


@settings(max_examples=25)
@given(st.lists(TEXT, max_size=4))
def test_text_that_looks_sealed_survives_an_upgrade(texts: list[str]) -> None:
    """Somebody's text that begins like a sealed field is text, before and after an upgrade."""

    class Texts(msgspec.Struct):
        token: Secret[str]
        texts: list[str]

    value = Texts(Secret("x"), [*texts, "kvs1.AYJ9IBchVwmw9srVKNzBwOE.gAAA"])
    raw_key, data = _packed(value)
    space = Keyspace("k", Texts, cipher=RING, version=2, upgrades={1: lambda plain: plain})
    assert space.unpack(raw_key, data, now=0) == value


@pytest.mark.parametrize("old_cipher", [RING, None])
def test_older_declarations(old_cipher: Any) -> None:
    """Values that were sealed as a whole, or not at all, become values with sealed fields."""

    class Old(msgspec.Struct):
        user: str
        token: str

    old = _space("k", Old, cipher=old_cipher, ttl=60)
    today = Keyspace(
        "k",
        Before,
        cipher=RING,
        previous=[Previous(old, convert=lambda was: Before(was.user, Secret(was.token)))],
    )
    raw_key, data = old.pack("a", Old("ada", CANARY), now=0)
    kv = {raw_key: data}
    store = Store(today, kv, clock=lambda: 0.0)
    assert store["a"] == Before("ada", Secret(CANARY))
    store.migrate()
    assert CANARY.encode() not in kv[raw_key]
    assert kv[raw_key].startswith(b'{"user":"ada","token":"kvs1.')
    assert store["a"] == Before("ada", Secret(CANARY))


def test_subjects_and_their_secrets() -> None:
    """A subject's data key seals the fields of the subject's values; forgetting ends them."""
    kv: dict[str, bytes] = {}
    subjects = Subjects(Keyspace("keys", bytes, cipher=RING), kv)
    subjects.add("ada")
    store = subjects.store(Keyspace("k", Before, cipher=RING), "ada")
    store.set("a", Before("ada", Secret(CANARY)))
    assert store["a"].token.reveal() == CANARY
    with pytest.raises(UnknownKey):
        Store(Keyspace("k", Before, cipher=RING), kv).get("a")


class Newer(msgspec.Struct):
    user: str
    token: Secret[str]
    extra: Secret[int]
    rows: list[Secret[str]] = []


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("ttl", [None, 60])
def test_unknown_secrets_survive_older_code(encoding: str, ttl: int | None) -> None:
    """``keep_unknown``: secrets that this code does not know are sealed again with the rest."""
    options: dict[str, Any] = {"cipher": RING, "encoding": encoding, "ttl": ttl}
    kv: dict[str, bytes] = {}
    now = 0.0
    newer = Store(_space("k", Newer, **options), kv, clock=lambda: now)
    older = Store(_space("k", Before, keep_unknown=True, **options), kv, clock=lambda: now)
    newer.set("a", Newer("ada", Secret("t"), Secret(5), [Secret("r")]))
    now = 30.0
    older.update("a", lambda value: Before("eve", value.token))
    assert newer.get("a") == Newer("eve", Secret("t"), Secret(5), [Secret("r")])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoding": "msgpack"},
        {"ttl": 60},
        {"checksum": True},
        {"keys": HashedKeys()},
        {"version": 2, "upgrades": {1: dict}},
    ],
    ids=str,
)
def test_resealing(options: dict[str, Any]) -> None:
    """The primary key takes over without a set: key ids are told, times stay, the value too."""
    value = Newer("u" * 200, Secret("t"), Secret(5), [Secret("r")])
    old = _space("k", Newer, **options)
    both = _space("k", Newer, cipher=KeyRing(OTHER_KEY, retired=[KEY]), **options)
    new = _space("k", Newer, cipher=KeyRing(OTHER_KEY), **options)
    raw_key, data = old.pack("a", value, now=1)
    pipeline = both.declaration.pipeline
    assert pipeline.key_ids(raw_key, data) == (RING.primary,)
    resealed = pipeline.reseal(raw_key, data)
    assert (
        pipeline.key_ids(raw_key, resealed) == (pipeline.primary,) == (KeyRing(OTHER_KEY).primary,)
    )
    assert pipeline.wrapping.header(resealed) == pipeline.wrapping.header(data)
    assert new.unpack(raw_key, resealed, now=2) == value
    with pytest.raises(DecodeError):
        pipeline.reseal("k/b", data)


class Described(msgspec.Struct):
    token: Annotated[Secret[str], msgspec.Meta(description="of the API")]


def test_a_secret_behind_an_annotation_is_one() -> None:
    """``Meta(description=...)`` hid the field: no cipher was asked for, and no set worked."""
    with pytest.raises(ConfigError, match="cipher"):
        Keyspace("k", Described)
    store, raw = Store(Keyspace("k", Described, cipher=RING), kv := dict[str, bytes]()), "k/a"
    store.set("a", Described(Secret(CANARY)))
    assert CANARY.encode() not in kv[raw]
    assert store["a"].token.reveal() == CANARY


_WITHIN = """
import sys, msgspec
from pydantic import BaseModel
from kvcodec import KeyRing, Keyspace, Secret, Store

class Account(msgspec.Struct):
    name: str
    token: Secret[str]

class Model(BaseModel):
    name: str
    token: Secret[str]

class Outer(BaseModel):
    inner: Secret[Model]

ring = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
CASES = [
    (Keyspace("json", Secret[Account], cipher=ring), lambda s: Secret(Account("ada", Secret(s)))),
    (
        Keyspace("msgpack", Secret[Account], cipher=ring, encoding="msgpack"),
        lambda s: Secret(Account("ada", Secret(s))),
    ),
    (Keyspace("twice", list[Secret[Secret[str]]], cipher=ring), lambda s: [Secret(Secret(s))]),
    (Keyspace("model", Outer, cipher=ring), lambda s: Outer(inner=Model(name="ada", token=s))),
]
from pathlib import Path
for keyspace, make in CASES:
    file = Path(sys.argv[1]) / keyspace.name
    if sys.argv[2] == "write":
        kv = {}
        Store(keyspace, kv).set("a", make("sk-live-SECRET"))
        file.write_bytes(kv[f"{keyspace.name}/a"])
    else:
        value = Store(keyspace, {f"{keyspace.name}/a": file.read_bytes()})["a"]
        assert value == make("sk-live-SECRET"), keyspace
"""


def test_a_secret_within_a_secret_opens_in_another_process(tmp_path: Path) -> None:
    """It was marked with a number of the process that wrote it, and opened nowhere else."""
    for act in ("write", "read"):
        done = subprocess.run(
            [sys.executable, "-c", _WITHIN, str(tmp_path), act],
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 4
    assert not any(CANARY.encode() in path.read_bytes() for path in tmp_path.iterdir())


class Noted(msgspec.Struct):
    note: str
    token: Secret[str]


def test_text_that_could_be_taken_for_a_sealed_field_is_refused() -> None:
    """It would sign, or be signed as one, for whoever reads by structure."""
    space = Keyspace("k", Noted, cipher=RING)
    forged = _at_once(space, Noted("", Secret("x")))["token"]
    kv: dict[str, bytes] = {}
    with pytest.raises(EncodeError, match="sealed field"):
        Store(space, kv).set("a", Noted(forged, Secret("x")))
    assert kv == {}
    for harmless in ("kvs1.", "kvs1." + CANARY, forged[:-4].rpartition(".")[0], " " + forged):
        Store(space, kv).set("a", Noted(harmless, Secret("x")))
        assert Store(space, kv)["a"].note == harmless


class Free(msgspec.Struct):
    more: Any
    token: Secret[str]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_a_sealed_field_where_no_route_leads_is_found(encoding: Any) -> None:
    """However it is spelled, and wherever it stands, by whoever writes and whoever reads."""
    space = Keyspace("k", Free, cipher=RING, encoding=encoding)
    forged = _at_once(Keyspace("k", Noted, cipher=RING), Noted("", Secret("x")))["token"]
    for more in (forged, {"a": [1, forged]}, [[forged]], {"kvs1.": forged}):
        with pytest.raises(EncodeError, match="sealed field"):
            space.pack("a", Free(more, Secret("x")), now=0)
    value = Free({"kvs1.": ["kvs1.", "x"]}, Secret("x"))
    raw_key, data = space.pack("a", value, now=0)
    assert space.unpack(raw_key, data, now=0) == value
    if encoding == "json":  # of another signer, which an escape hides from a look at the bytes
        plain = msgspec.json.decode(data)
        hidden = msgspec.json.encode(plain | {"more": forged}).replace(b"kvs1.", rb"\u006bvs1.")
        assert space.unpack(raw_key, data.replace(b"kvs1.", rb"\u006bvs1."), now=0) == value
        with pytest.raises(Tampered):
            space.unpack(raw_key, hidden, now=0)


def _at_once(keyspace: Keyspace[Any], value: Any) -> Any:
    return msgspec.json.decode(keyspace.pack("elsewhere", value, now=0)[1])


@pytest.mark.parametrize("options", [{"ttl": 60}, {"keys": HashedKeys()}])
@pytest.mark.parametrize("cipher", [AESGCMCipher(RING), KeyRing(OTHER_KEY)], ids=["gcm", "ring"])
def test_another_ring_or_cipher_of_fields_is_refused_where_it_cannot_be_told(
    cipher: Any, options: dict[str, Any]
) -> None:
    """The envelope does not say what its fields are sealed with: declared, and never read."""
    old = _space("one", Three, cipher=cipher, **options)
    with pytest.raises(ConfigError, match="cannot be told"):
        _space("one", Three, previous=[old], **options)


def test_rewrap_reports_and_reseals() -> None:
    """``store.rewrap`` finds the secrets' key ids and leaves none under the retired key."""
    kv: dict[str, bytes] = {}
    for number in range(5):
        Store(Keyspace("k", Before, cipher=RING), kv).set(str(number), Before("", Secret("x")))
    store = Store(Keyspace("k", Before, cipher=KeyRing(OTHER_KEY, retired=[KEY])), kv)
    report = store.rewrap()
    assert report.changed == 5
    assert report.may_drop(RING.primary)
    new = Store(Keyspace("k", Before, cipher=KeyRing(OTHER_KEY)), kv)
    assert [value.token.reveal() for _, value in new.items()] == ["x"] * 5


def test_depth_is_bounded_inside_secrets_too() -> None:
    """What is in a secret counts: it is encoded and decoded like the rest."""
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    space = Keyspace("k", Secret[Any], cipher=RING)
    with pytest.raises(TooDeep):
        space.pack("a", Secret(deep), now=0)
    wide = Keyspace("k", Secret[Any], cipher=RING, max_depth=200)
    assert wide.unpack(*wide.pack("a", Secret(deep), now=0), now=0) == Secret(deep)
    with pytest.raises(TooDeep):
        Keyspace("k", Account, cipher=RING).unpack("k/a", b"[" * 100, now=0)


class Chained(msgspec.Struct):
    """Nothing in it says that it nests, but what is in its secret."""

    next: Secret[Chained | None]


def test_what_nests_in_a_secret_alone_is_too_deep() -> None:
    """A type that nests in its secrets alone is encoded the quick way: such a value is not."""
    chain = Chained(Secret(None))
    space = Keyspace("k", Chained, cipher=RING, max_depth=2)
    assert space.unpack(*space.pack("a", chain, now=0), now=0) == chain
    chain = Chained(Secret(chain))
    with pytest.raises(TooDeep):
        space.pack("a", chain, now=0)
    chain.next = Secret(chain)
    with pytest.raises(TooDeep):
        space.pack("a", chain, now=0)


class Holder(msgspec.Struct):
    token: Secret[str]
    more: Any


def far_down(frames_left: int, act: Callable[[], Any]) -> Any:
    """Call ``act`` so far down that Python has so many frames left."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return _down(sys.getrecursionlimit() - depth - frames_left, act)


def _down(frames: int, act: Callable[[], Any]) -> Any:
    return act() if frames <= 0 else _down(frames - 1, act)


def first_failure(act: Callable[[], Any]) -> Exception:
    """What it raises first, where fewer and fewer frames are left to it."""
    for frames in range(120, 0, -1):
        try:
            far_down(frames, act)
        except Exception as error:  # noqa: BLE001 - looked at by who asked
            return error
    raise AssertionError("it never failed")


def test_deeper_than_the_interpreter() -> None:
    """Where Python's own recursion ends before max_depth=, that is TooDeep, not a RecursionError.

    As it may for a caller that is far down itself. Until Python 3.11 the depth of a value counts
    for that as well; from 3.12 on only the library's own frames do.
    """
    deep: Any = "x"
    for _ in range(250):
        deep = [deep]
    space = Keyspace("k", Holder, cipher=RING, max_depth=256)
    raw_key, data = space.pack("a", Holder(Secret("x"), deep), now=0)
    assert space.unpack(raw_key, data, now=0).more == deep
    packing = first_failure(lambda: space.pack("a", Holder(Secret("x"), deep), now=0))
    assert isinstance(packing, TooDeep)
    unpacking = first_failure(lambda: space.unpack(raw_key, data, now=0))
    assert isinstance(unpacking, (TooDeep, DecodeError))


def test_nan_inside_a_secret() -> None:
    """JSON has no NaN, inside a secret neither; MessagePack has."""
    with pytest.raises(SchemaMismatch):
        Keyspace("k", Secret[float], cipher=RING).pack("a", Secret(float("nan")), now=0)
    space = Keyspace("k", Secret[float], cipher=RING, encoding="msgpack")
    back = space.unpack(*space.pack("a", Secret(float("nan")), now=0), now=0)
    assert back.reveal() != back.reveal()


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("validate", [True, False], ids=["validated", "not"])
def test_a_value_that_is_no_secret_is_told_how(encoding: str, *, validate: bool) -> None:
    """Any object is taken for a field by msgspec: what is wrong, and what to write."""
    plain: Any = "sk-plain"
    space = Keyspace("k", Before, cipher=RING, encoding=encoding, validate=validate)
    with pytest.raises(SchemaMismatch, match=r"wrap it, Secret\(value\) at `\$\.token`") as caught:
        space.pack("a", Before("", plain), now=0)
    assert leaks(caught.value, plain) == []
