"""Bytes that were made to do harm, values that cannot be written, and what the refusals say."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    ConfigError,
    DecodeError,
    EncodeError,
    Keyspace,
    SchemaMismatch,
    Store,
    TooDeep,
    TooLarge,
)
from kvcodec.codecs.depth import nests_deeper
from tests.codecs.says import OTHER_BYTES, OTHER_TYPE
from tests.leaks import CANARY, leaks
from tests.test_laws import TYPES, Message, Mood, Node

ROOT = Path(__file__).parents[2]
VECTORS = Path(__file__).parents[1] / "vectors"


def declared(value: Any, **options: Any) -> Keyspace[Any, str]:
    """A keyspace of values of any type."""
    kind: type[Any] = value
    return Keyspace("k", kind, key=str, **options)


def unpack(value: Any, stored: bytes, **options: Any) -> Any:
    """What stored bytes are read as."""
    return declared(value, **options).unpack("k/a", stored, now=0.0)


# ------------------------------------------------------------------------------ hostile bytes


def hostile_bytes(vector: dict[str, Any]) -> bytes:
    """The bytes of a vector: ``text``, ``hex``, or one of them as [unit, times, tail]."""
    if "text" in vector or "hex" in vector:
        return vector["text"].encode() if "text" in vector else bytes.fromhex(vector["hex"])
    unit, times, tail = vector.get("text_repeat") or vector["hex_repeat"]
    if "text_repeat" in vector:
        return str(unit * times + tail * (times if tail == "]" else 1)).encode()
    return bytes.fromhex(unit) * int(times) + bytes.fromhex(tail)


HOSTILE: list[dict[str, Any]] = json.loads((VECTORS / "hostile/hostile.json").read_text("utf-8"))


@pytest.mark.parametrize("value", [Any, Message, Node, dict[str, int], list[Any]])
@pytest.mark.parametrize("vector", HOSTILE, ids=[vector["desc"] for vector in HOSTILE])
def test_hostile_bytes_are_refused_at_once(vector: dict[str, Any], value: Any) -> None:
    """Each vector is a DecodeError within a second and 20 MiB; those that are an implementation's
    choice give a value for ``Any``, as docs say."""  # noqa: D205, D209
    stored = hostile_bytes(vector)
    keyspace = declared(value, encoding=vector["format"])
    tracemalloc.start()
    start = perf_counter()
    try:
        keyspace.unpack("k/a", stored, now=0.0)
    except DecodeError as error:
        refused = error.stage in ("envelope", "decode", "validate")
    else:
        refused = False
    seconds, (_, peak) = perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused or (vector["expect"] != "refused" and value in (Any, dict[str, int]))
    assert seconds < 1
    assert peak < 20 * 2**20


def test_duplicate_keys_the_last_wins() -> None:
    """What is not ours may hold a key twice; then the last one counts, in both forms."""
    assert unpack(Any, b'{"a":1,"a":2}') == {"a": 2}
    assert unpack(Any, bytes.fromhex("82a16101a16102"), encoding="msgpack") == {"a": 2}


SUITE: dict[str, list[dict[str, Any]]] = json.loads(
    (VECTORS / "msgpack-test-suite/msgpack-test-suite.json").read_text("utf-8")
)
CASES = [
    pytest.param(case, bytes.fromhex(encoded.replace("-", "")), id=f"{name[:2]} {encoded[:40]}")
    for name, cases in SUITE.items()
    for case in cases
    for encoded in case["msgpack"]
]


@pytest.mark.parametrize(("case", "stored"), CASES)
def test_every_valid_messagepack_is_read(case: dict[str, Any], stored: bytes) -> None:
    """Every valid encoding of every value of the public suite is read as that value."""
    if "timestamp" in case:
        check_timestamp(case["timestamp"], stored)
        return
    if "ext" in case:
        number, content = case["ext"]
        expected: Any = msgspec.msgpack.Ext(number, bytes.fromhex(content.replace("-", "")))
    elif "binary" in case:
        expected = bytes.fromhex(case["binary"].replace("-", ""))
    elif "bignum" in case:
        expected = int(case["bignum"])
    else:
        expected = next(value for kind, value in case.items() if kind != "msgpack")
    assert unpack(Any, stored, encoding="msgpack") == expected


def check_timestamp(timestamp: tuple[int, int], stored: bytes) -> None:
    """A timestamp is read to the nearest microsecond; outside the years 1 to 9999 it is refused."""
    seconds, nanos = timestamp
    try:
        expected = datetime.fromtimestamp(0, UTC) + timedelta(
            seconds=seconds, microseconds=round(nanos / 1000)
        )
    except OverflowError:
        with pytest.raises(DecodeError):
            unpack(Any, stored, encoding="msgpack")
    else:
        assert unpack(Any, stored, encoding="msgpack") == expected


@pytest.mark.parametrize(
    ("stored", "encoding"),
    [(b"\x80" * 10_000_000, "msgpack"), (b"[" * 5_000_000, "json"), (b" " * 5_000_000, "json")],
)
def test_too_large_is_refused_before_it_is_read(stored: bytes, encoding: str) -> None:
    """More than max_bytes costs no memory and no time, whatever it holds."""
    tracemalloc.start()
    with pytest.raises(TooLarge) as caught:
        unpack(Any, stored, encoding=encoding)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    assert (caught.value.limit, caught.value.found) == (4 * 2**20, len(stored))


@pytest.mark.parametrize(
    ("stored", "encoding"),
    [
        (b"[" + b"[]," * 125_000 + b"1", "json"),
        (b"[]" * 70 + b'""' * 250_000, "json"),
        (b"[]" * 70 + b'"' + b'\\"' * 250_000, "json"),
        (b"[]" * 70 + b'"' + b"\\" * 500_000, "json"),
        (b"\xdd\x00\x08\x00\x00" + b"\x91\x00" * 250_000, "msgpack"),
        (b"\xdc\xff\xff" * 125_000, "msgpack"),
    ],
)
def test_looking_for_depth_takes_time_in_proportion(stored: bytes, encoding: str) -> None:
    """Nothing keeps the look at the depth busy: eight times the bytes take no 64 times as long."""

    def seconds(data: bytes) -> float:
        start = process_time()  # not the wall clock: machines that run tests are shared
        with pytest.raises(DecodeError):
            unpack(dict[str, list[int]], data, encoding=encoding)
        return process_time() - start

    assert seconds(stored) < 32 * seconds(stored[: len(stored) // 8]) + 0.1


NESTED: list[tuple[Any, str, bytes]] = [
    (Any, "json", b"[" * 100_000),
    (Any, "json", b"[" * 100_000 + b"]" * 100_000),
    (Any, "json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    (Any, "msgpack", b"\x91" * 100_000 + b"\x90"),
    (Any, "msgpack", b"\x81\xa1a" * 100_000 + b"\xc0"),
    (Node, "json", b'{"mood":"calm","children":[' * 50_000),
    (Message, "json", b'{"zz":' + b"[" * 100_000),
    (dict[str, int], "json", b"[" * 65),
    (list[int], "msgpack", b"\xdc\x00\x01" * 1000),
]


@pytest.mark.parametrize(("value", "encoding", "stored"), NESTED, ids=range(len(NESTED)))
def test_deep_bytes_are_refused(value: Any, encoding: str, stored: bytes) -> None:
    """Deeper than max_depth is TooDeep, or is not what the type declares, never a crash."""
    with pytest.raises(DecodeError):
        unpack(value, stored, encoding=encoding)
    if value is Any:
        with pytest.raises(TooDeep) as caught:
            unpack(value, stored, encoding=encoding)
        assert (caught.value.limit, caught.value.stage) == (64, "decode")


SMALL_STACK = """
import sys, threading
from tests.codecs.test_codecs import NESTED, Any, Message, Node, declared, deep_values
from kvcodec import DecodeError, EncodeError

survived = []

def run():
    for value, encoding, stored in NESTED:
        try:
            declared(value, encoding=encoding).unpack("k/a", stored, now=0.0)
        except DecodeError:
            survived.append(encoding)
    for value, deep in deep_ones:
        for encoding in ("json", "msgpack"):
            try:
                declared(value, encoding=encoding).pack("a", deep, now=0.0)
            except EncodeError:
                survived.append(encoding)

# Made and dropped outside the thread: 3.13 frees what nests with a recursion of its own, 10,000
# deep, which no library sees (test_stack.py shows it without kvcodec).
deep_ones = deep_values()
keyspaces = [declared(value, encoding=encoding) for value, encoding, _ in NESTED]
sys.setrecursionlimit(1_000_000)
threading.stack_size(128 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
print("alive", len(survived))
"""


AS_DEEP_AS_CAN_BE = """
import sys, threading
from typing import Any
from kvcodec import Store, TooDeep
from tests.codecs.test_codecs import Node, Mood, declared

def run() -> None:
    tower, node = [], Node(Mood.CALM)
    for _ in range(255):
        tower = [tower]
    for _ in range(127):
        node = Node(Mood.BUSY, [node])
    for encoding, opening in (("json", b"["), ("msgpack", b"\\x91")):
        for kind, value in ((Any, tower), (Node, node)):
            kv = {}
            store = Store(declared(kind, encoding=encoding, max_depth=256), kv)
            store.set("a", value)
            read = store.get("a")
            kv["k/a"] = opening * 100_000
            try:
                store.get("a")
            except TooDeep:
                survived.append(encoding)

survived = []
sys.setrecursionlimit(1_000_000)
threading.stack_size(128 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
print("alive", len(survived))
"""


def test_the_deepest_declaration_does_not_crash_on_a_small_stack() -> None:
    """What may be declared at most is stored, read and refused with 128 KiB of stack."""
    run = subprocess.run(
        [sys.executable, "-c", AS_DEEP_AS_CAN_BE],
        cwd=ROOT,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert (run.returncode, run.stdout) == (0, "alive 4\n"), run.stderr


def deep_values() -> list[tuple[Any, Any]]:
    """Values of nesting types that would take the encoder down the whole stack."""
    tower: list[Any] = []
    node = Node(Mood.CALM)
    table: dict[str, Any] = {}
    for _ in range(100_000):
        tower, node, table = [tower], Node(Mood.BUSY, [node]), {"a": table}
    cycle: list[Any] = []
    cycle.append({"again": cycle})
    ring = Node(Mood.CALM)
    ring.children.append(ring)
    return [(Any, tower), (Node, node), (Any, table), (Any, cycle), (Node, ring)]


def test_a_small_stack_and_a_raised_limit_do_not_crash_the_process() -> None:
    """The decoder and the encoder recurse on the C stack: kvcodec looks at the depth first."""
    run = subprocess.run(
        [sys.executable, "-c", SMALL_STACK],
        cwd=ROOT,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert (run.returncode, run.stdout) == (0, f"alive {len(NESTED) + 10}\n"), run.stderr


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_the_limit_is_the_same_in_both_directions(encoding: str) -> None:
    """Depth max_depth is stored and read back; one more is refused by set, and by get."""
    value: Any = 1
    for _ in range(5):
        value = {"a": [value]}
    exact = declared(Any, encoding=encoding, max_depth=10)
    raw_key, stored = exact.pack("a", value, now=0.0)
    assert exact.unpack(raw_key, stored, now=0.0) == value
    short = declared(Any, encoding=encoding, max_depth=9)
    with pytest.raises(TooDeep, match="max_depth=9"):
        short.pack("a", value, now=0.0)
    with pytest.raises(TooDeep, match="max_depth=9"):
        short.unpack(raw_key, stored, now=0.0)


def test_depth_is_counted_for_brackets_and_not_for_text() -> None:
    """Brackets inside strings nest nothing, however many."""
    value = {"text": "[{" * 1000, "quote": 'a"[[[' * 100, "slash": "\\" * 99 + "["}
    keyspace = declared(Any, max_depth=2)
    raw_key, stored = keyspace.pack("a", value, now=0.0)
    assert keyspace.unpack(raw_key, stored, now=0.0) == value
    packed = declared(Any, encoding="msgpack", max_depth=2)
    blob = {"blob": b"\x91" * 1000, "text": "x" * 40}
    assert packed.unpack(*packed.pack("a", blob, now=0.0), now=0.0) == blob


def test_shared_parts_are_no_cycle() -> None:
    """A value that holds the same part many times over is stored, and looked at in no time."""
    shared: Any = []
    for _ in range(12):
        shared = [shared, shared]
    store = Store(declared(Any), {})
    store.set("a", shared)
    assert store["a"] == shared
    bomb: Any = []
    for _ in range(60):
        bomb = [bomb, bomb]
    assert not nests_deeper(bomb, 64)
    assert nests_deeper(bomb, 60)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_contains_itself_is_refused(encoding: str) -> None:
    """A cycle through lists, dicts or Structs is TooDeep, and nothing is written."""
    through_list: list[Any] = []
    through_list.append(through_list)
    through_dict: dict[str, Any] = {}
    through_dict["a"] = [through_dict]
    through_struct = Node(Mood.CALM)
    through_struct.children.append(through_struct)
    kv = {"k/a": b"before"}
    for kind, value in ((Any, through_list), (Any, through_dict), (Node, through_struct)):
        with pytest.raises(TooDeep):
            Store(declared(kind, encoding=encoding), kv).set("a", value)
    with pytest.raises(EncodeError):
        Store(declared(list[int], encoding=encoding), kv).set("a", through_list)
    assert kv == {"k/a": b"before"}


CYCLE_UNDER_A_RAISED_LIMIT = """
import sys
from kvcodec import Keyspace, Store, TooDeep

sys.setrecursionlimit(10**6)
cycle = []
cycle.append(cycle)
for kind in (int, list[int]):
    try:
        Store(Keyspace("k", kind, encoding=sys.argv[1]), {}).set("a", cycle)
    except TooDeep:
        print("refused")
"""


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_a_cycle_where_no_nesting_is_declared_spares_the_process(encoding: str) -> None:
    """Regression: with a raised recursion limit the encoder of list[int] ended the process."""
    done = subprocess.run(
        [sys.executable, "-c", CYCLE_UNDER_A_RAISED_LIMIT, encoding],
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["refused", "refused"]), done.stderr


def test_too_large_to_be_read_back_is_not_written() -> None:
    """max_bytes is asked by set as well, of the whole stored value."""
    kv: dict[str, bytes] = {}
    for options in ({}, {"ttl": 5}, {"checksum": True}):
        store = Store(declared(str, max_bytes=100, **options), kv)
        with pytest.raises(TooLarge) as caught:
            store.set("a", "x" * 101)
        assert (caught.value.limit, caught.value.stage) == (100, "encode")
    Store(declared(str, max_bytes=100), kv).set("a", "x" * 100)
    assert list(kv) == ["k/a"]


# -------------------------------------------------------------------------------- declarations


class Foreign:
    """No type that msgspec knows."""


@pytest.mark.parametrize(
    "options",
    [
        {"value": Foreign},
        {"value": list[Foreign]},
        {"value": "NoSuchName"},
        {"encoding": "yaml"},
        {"encoding": object()},
        {"encoding": None},
        {"max_bytes": 0},
        {"max_bytes": True},
        {"max_bytes": 1.5},
        {"max_depth": 0},
        {"max_depth": -1},
        {"max_depth": 257},
        {"max_depth": 10**6},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": float("nan")},
        {"ttl": float("inf")},
        {"ttl": 1e17},
        {"ttl": True},
        {"ttl": "1h"},
        {"ttl": timedelta(0)},
        {"cipher": "key"},
        *[
            {flag: wrong}
            for flag in ("checksum", "validate", "indexed", "keep_unknown", "compress_secrets")
            for wrong in (1, 0, None, "no")
        ],
    ],
)
def test_options_that_cannot_work_are_refused_when_declared(options: dict[str, Any]) -> None:
    """ConfigError comes from the declaration, never from its use."""
    with pytest.raises(ConfigError) as caught:
        declared(**({"value": str} | options))
    assert caught.value.keyspace == "k"
    assert leaks(caught.value) == []


def test_a_misspelled_option_is_refused() -> None:
    """Options are keywords, and no keyword is swallowed."""
    with pytest.raises(TypeError):
        declared(str, encodin="json")
    with pytest.raises(TypeError):
        Keyspace("k", str, int)  # type: ignore[call-overload]


# ---------------------------------------------------------------------------- codecs of one's own


class Reversed:
    """A codec that stores text backwards."""

    name = "reversed"

    def encode(self, value: str, /) -> bytes:
        return value[::-1].encode()

    def decode(self, data: bytes, /) -> str:
        return data.decode()[::-1]


class Lossy(Reversed):
    """A codec that keeps three characters."""

    def encode(self, value: str, /) -> bytes:
        return value[:3].encode()


class Textual(Reversed):
    """A codec that forgot to encode."""

    def encode(self, value: str, /) -> bytes:
        return value  # type: ignore[return-value]


class Talkative(Reversed):
    """A codec that quotes what it was given when it fails."""

    def encode(self, value: str, /) -> bytes:
        raise ValueError(value)

    def decode(self, data: bytes, /) -> str:
        raise ValueError(data)


def test_a_codec_of_ones_own() -> None:
    """Anything with encode and decode is a codec; its name is part of what is sealed."""
    kv: dict[str, bytes] = {}
    store = Store(declared(str, encoding=Reversed()), kv)
    store.set("a", "hello")
    assert kv == {"k/a": b"olleh"}
    assert store["a"] == "hello"


@pytest.mark.parametrize("codec", [Lossy(), Textual(), Talkative()])
@pytest.mark.parametrize("validate", [{}, {"validate": False}])
def test_a_codec_that_breaks_the_law_is_caught_by_set(
    codec: Reversed, validate: dict[str, bool]
) -> None:
    """What a codec would not give back, or gives as no bytes, is never written."""
    kv: dict[str, bytes] = {}
    with pytest.raises(EncodeError) as caught:
        Store(declared(str, encoding=codec, **validate), kv).set("a", CANARY)
    assert kv == {}
    assert leaks(caught.value) == []


def test_a_codec_that_quotes_is_not_quoted() -> None:
    """The text of a user's codec never reaches the error."""
    kv = {"k/a": CANARY.encode()}
    with pytest.raises(DecodeError) as caught:
        Store(declared(str, encoding=Talkative()), kv).get("a")
    assert leaks(caught.value) == []


class Odd:
    """An object whose attributes cannot be asked for; it quotes the one that it was asked for."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


class OddSlots(Odd):
    """The same, with nothing to be found before it is asked."""

    __slots__ = ()


@pytest.mark.parametrize("value", [Odd(), OddSlots()], ids=["odd", "slots"])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_an_object_that_cannot_be_looked_at(value: Any, encoding: Any) -> None:
    """Is refused as any that cannot be stored: its own exception is not the caller's to know."""
    kv: dict[str, bytes] = {}
    space: Any = Keyspace("k", Any, encoding=encoding)
    with pytest.raises(EncodeError, match="an object in it raised KeyError") as caught:
        Store(space, kv).set("a", {"a": [value]})
    assert kv == {}
    assert caught.value.__context__ is None


def test_json_written_by_pydantic_is_read() -> None:
    """A pydantic model is read from the JSON that ``model_dump_json`` wrote."""
    plant = Plant(label="fern", since=datetime(2025, 1, 1, tzinfo=UTC))
    kv = {"k/a": plant.model_dump_json(by_alias=True).encode()}
    store = Store(Keyspace("k", Plant), kv)
    assert store["a"] == plant
    store.set("a", plant)
    assert Plant.model_validate_json(kv["k/a"]) == plant


class Plant(pydantic.BaseModel):
    """A pydantic model with an alias and a constraint."""

    name: str = pydantic.Field(alias="label", default="")
    since: datetime
    height: float = pydantic.Field(default=0.0, ge=0)

    model_config = pydantic.ConfigDict(populate_by_name=True)


def test_pydantic_refusals() -> None:
    """What pydantic does not accept, or JSON cannot hold, is refused by set and by get."""
    kv: dict[str, bytes] = {}
    store = Store(Keyspace("k", Plant), kv)
    now = datetime(2025, 1, 1, tzinfo=UTC)
    for plant in (
        Plant.model_construct(name=CANARY, since=now, height=-1.0),
        Plant.model_construct(name=CANARY, since=None),
        Plant(since=now, height=float("inf")),
    ):
        with pytest.raises(EncodeError) as caught:
            store.set("a", plant)
        assert leaks(caught.value) == []
    assert kv == {}
    kv["k/a"] = json.dumps({"since": CANARY}).encode()
    with pytest.raises(SchemaMismatch) as mismatch:
        store.get("a")
    assert leaks(mismatch.value) == []


# ------------------------------------------------------------------------------------- reasons


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    kind: Literal["a", "b"] = "a"
    mood: Mood = Mood.CALM
    at: datetime | None = None
    id: UUID | None = None
    cost: Decimal | None = None
    many: list[int] = []


class Loud(msgspec.Struct):
    name: str

    def __post_init__(self) -> None:
        raise ValueError(self.name)


class Cat(msgspec.Struct, tag=True):
    name: str


class Dog(msgspec.Struct, tag=True):
    name: str


class Pair(NamedTuple):
    left: int
    right: int


class Loose(TypedDict):
    name: int


LEAKY: list[Any] = [
    *(Strict, Loud, Cat | Dog, Pair, Loose, Plant, Mood, Literal["a", 2], datetime, UUID, Decimal),
    *(int, float, bool, bytes, timedelta, dict[int, int], dict[str, int], dict[UUID, Mood]),
    *(list[Strict], dict[str, Strict], dict[str, dict[str, Loose]], tuple[int, Mood], None),
    *(set[int], int | list[int], Node, Message, list[Plant]),
]

words = st.sampled_from(
    [
        *("name", "kind", "mood", "at", "id", "cost", "many", "type", "left", "zz", "since"),
        *("a", "calm", "Cat", "Dog", "children", "sentAt", "role", "parts", "1"),
    ]
)
secrets = st.sampled_from([CANARY, f"1{CANARY}", f"{CANARY}\n", f"2025-01-01T{CANARY}"])
leaves: st.SearchStrategy[Any] = secrets | words | st.integers(-3, 3) | st.none() | st.booleans()
trees: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | secrets, inner, max_size=4),
    max_leaves=6,
)


def refused(value: Any, stored: bytes, encoding: str) -> DecodeError | None:
    """The error of bytes that cannot be read, or None."""
    try:
        unpack(value, stored, encoding=encoding)
    except DecodeError as error:
        return error
    return None


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("value", LEAKY, ids=str)
@settings(max_examples=25)
@given(tree=trees, cut=st.integers(0, 3))
def test_no_refusal_quotes_what_it_read(value: Any, encoding: str, tree: Any, cut: int) -> None:
    """Wherever a secret stands in the data (a value, a name, a tag, a key), and wherever the
    data was cut, no part of the error holds it."""  # noqa: D205, D209
    form: Any = msgspec.json if encoding == "json" else msgspec.msgpack
    stored = form.encode(tree)
    stored = stored[: len(stored) - cut]
    refusal = refused(value, stored, encoding)
    if refusal is not None:
        assert leaks(refusal) == []
        assert len(str(refusal)) <= 200


@pytest.mark.parametrize(
    ("value", "stored", "says"),
    [
        (Strict, b'{"name":1}', "Expected `str`, got `int` at `$.name`"),
        (Strict, b"{}", "Object missing required field `name`"),
        (Strict, b'{"name":"x","many":["x"]}', "Expected `int`, got `str` at `$.many[0]`"),
        (Strict, b'{"name":"x","zz":1}', "Object contains unknown field"),
        (Strict, b'{"name":"x","kind":"zz"}', "Invalid enum value at `$.kind`"),
        (Strict, b'{"name":"x","at":"zz"}', "Invalid RFC3339 encoded datetime at `$.at`"),
        (Strict, b"{", "Input data was truncated"),
        (Strict, b"{]", "JSON is malformed: object keys must be strings (byte 1)"),
        (Pair, b"[1]", "Expected `array` of length 2"),
        (Loud, b'{"name":"zz"}', "not what the type declares"),
        (str, b"\xff", "invalid UTF-8 or a lone surrogate"),
    ],
)
def test_refusals_say_what_is_wrong_and_where(value: Any, stored: bytes, says: str) -> None:
    """The reason is the decoder's where it quotes nothing, and cut where it does."""
    with pytest.raises(DecodeError) as caught:
        unpack(value, stored)
    is_other = isinstance(caught.value, SchemaMismatch)
    assert str(caught.value.args[0]) == says + (OTHER_TYPE if is_other else OTHER_BYTES)


def test_every_type_of_the_laws_is_read_by_a_nesting_free_path() -> None:
    """Bytes just under and over the size that needs no look at the depth are read alike."""
    for value, _ in TYPES.values():
        for size in (500, 520, 5000):
            with pytest.raises(DecodeError):
                unpack(value, b" " * size)
