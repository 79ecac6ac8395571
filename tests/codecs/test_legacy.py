"""What plugin authors wrote by hand: read as declared, and as previous= of today's declaration.

The data is written as their code writes it (a survey of public Dify plugins): UTF-8 text under a
name with colons, ``str(number)``, a big-endian integer of four bytes, JSON, gzip around JSON.
"""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import pytest

from kvcodec import (
    ConfigError,
    DecodeError,
    GzipJSON,
    KeyRing,
    Keyspace,
    Packed,
    Previous,
    Secret,
    Store,
    TemplateKeys,
)
from kvcodec.errors import TooLarge
from kvcodec.testing import check_keyspace, crash_everywhere
from tests.both import NOW, World, backends, every_world
from tests.leaks import CANARY, leaks

RING = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")


class Conversation(msgspec.Struct):
    id: str
    turns: int = 0


class Message(msgspec.Struct):
    role: str
    content: str


class Route(NamedTuple):
    phone: str
    account: str


WHATSAPP = TemplateKeys("whatsapp:{phone}:{account}", Route)


class Case(NamedTuple):
    """How a plugin stored something, and how it is declared now."""

    stored: Mapping[str, bytes]
    """As the plugin's own lines write it."""
    old: Keyspace[Any, Any]
    today: Callable[[Keyspace[Any, Any]], Keyspace[Any, Any]]
    key: Any
    as_old: Any
    as_today: Any


HISTORY = [{"role": "user", "content": "Grüße"}, {"role": "assistant", "content": "Hallo"}]
MESSAGES = [Message("user", "Grüße"), Message("assistant", "Hallo")]
ROUTE = Route("4917012345", "77")

CASES: dict[str, Case] = {
    "conversation id as text": Case(
        {"whatsapp:4917012345:77": "45701be4-…".encode()},
        Keyspace("conversations", str, key=Route, keys=WHATSAPP),
        lambda old: Keyspace(
            "conversations",
            Conversation,
            key=Route,
            previous=[Previous(old, convert=Conversation)],
        ),
        ROUTE,
        "45701be4-…",
        Conversation("45701be4-…"),
    ),
    "conversation id as text, the name kept": Case(
        {"whatsapp:4917012345:77": "45701be4-…".encode()},
        Keyspace("conversations", str, key=Route, keys=WHATSAPP),
        lambda old: Keyspace(
            "conversations",
            Conversation,
            key=Route,
            keys=WHATSAPP,
            ttl=3600,
            previous=[Previous(old, convert=Conversation)],
        ),
        ROUTE,
        "45701be4-…",
        Conversation("45701be4-…"),
    ),
    "cursor as str(int)": Case(
        {"cursor": str(1_754_000_000_123).encode()},
        Keyspace("cursor", int, key=None),
        lambda old: Keyspace("cursor", int, key=None, checksum=True, previous=[old]),
        None,
        1_754_000_000_123,
        1_754_000_000_123,
    ),
    "cursor in four bytes": Case(
        {"cursor": (4_294_967_295).to_bytes(4, "big")},
        Keyspace("cursor", int, key=None, encoding=Packed(">I")),
        lambda old: Keyspace("cursor", int, key=None, checksum=True, previous=[old]),
        None,
        4_294_967_295,
        4_294_967_295,
    ),
    "cursor in four bytes that look like text": Case(
        {"cursor": b"1234"},
        Keyspace("cursor", int, key=None, encoding=Packed(">I")),
        lambda old: Keyspace("sync/cursor", int, key=None, previous=[old]),
        None,
        0x31323334,
        0x31323334,
    ),
    "history as JSON": Case(
        {"history/ada": json.dumps(HISTORY, ensure_ascii=False).encode()},
        Keyspace("history", list[Message]),
        lambda old: Keyspace("history", list[Message], cipher=RING, previous=[old]),
        "ada",
        MESSAGES,
        MESSAGES,
    ),
    "history as JSON in gzip": Case(
        {"history/ada": gzip.compress(json.dumps(HISTORY).encode())},
        Keyspace("history", list[Message], encoding=GzipJSON(list[Message])),
        lambda old: Keyspace("history", list[Message], encoding="msgpack", previous=[old]),
        "ada",
        MESSAGES,
        MESSAGES,
    ),
    "one-time state as b'1'": Case(
        {"x:oauth_state:9f86d081": b"1"},
        Keyspace("states", bytes, keys=TemplateKeys("x:oauth_state:{hash}", str)),
        lambda old: Keyspace(
            "states", bool, ttl=600, previous=[Previous(old, convert=lambda mark: mark == b"1")]
        ),
        "9f86d081",
        b"1",
        bool(1),
    ),
    "API key in clear": Case(
        {"api_key/ada": b'{"key": "sk-live"}'},
        Keyspace("api_key", dict[str, str]),
        lambda old: Keyspace("api_key", dict[str, str], cipher=RING, previous=[old]),
        "ada",
        {"key": "sk-live"},
        {"key": "sk-live"},
    ),
}

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
@every_world
def test_it_reads_as_declared(world: World, case: Case) -> None:
    """The old declaration alone reads it, without a word about kvcodec in the bytes."""
    world.put(case.stored)
    value = world.open(case.old).get(case.key)
    assert value == case.as_old
    assert type(value) is type(case.as_old)


@every_case
@every_world
def test_it_reads_as_an_older_form_of_today(world: World, case: Case) -> None:
    """Named in previous= it reads as today's value, and the next set leaves today's bytes only."""
    world.put(case.stored)
    today = case.today(case.old)
    store = world.open(today)
    assert store.get(case.key) == case.as_today
    assert store.migrate([case.key]).changed == 1
    assert store.verify([case.key]).states == {"fine": 1}
    assert store.get(case.key) == case.as_today
    name = today.raw_key(case.key)
    assert all(world.holds(old) is None for old in case.stored if old != name)


@every_case
@pytest.mark.parametrize("backend", ["memory", "dict", "sqlite", "dify"])
@pytest.mark.parametrize("step", ["migrate", "update", "set", "set_many"])
def test_a_crash_after_every_operation(
    case: Case, backend: str, step: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Stopped before or after any operation, the value is readable, and a rerun completes."""
    make = backends(tmp_path_factory.mktemp("crash"))[backend]
    today = case.today(case.old)

    def filled() -> Any:
        kv = make()
        for raw_key, data in case.stored.items():
            kv.set(raw_key, data)
        return kv

    def run(kv: Any) -> None:
        store = Store(today, kv, clock=lambda: NOW)
        steps: dict[str, Callable[[], object]] = {
            "migrate": lambda: store.migrate([case.key]),
            "update": lambda: store.update(case.key, lambda value: value),
            "set": lambda: store.set(case.key, case.as_today),
            "set_many": lambda: store.set_many({case.key: case.as_today}),
        }
        steps[step]()

    def check(kv: Any) -> None:
        store = Store(today, kv, clock=lambda: NOW)
        assert store.get(case.key) == case.as_today
        assert store.exists(case.key) is True

    report = crash_everywhere(run, check, make_kv=filled)
    assert report.stops > 0


# ------------------------------------------------------------------------------------- codecs


def test_plain_json_cannot_be_told_from_it() -> None:
    """b"1234" is both: under one name the two are refused together, with the ways out."""
    old = Keyspace("cursor", int, key=None, encoding=Packed(">I"))
    with pytest.raises(ConfigError, match="cannot be told"):
        Keyspace("cursor", int, key=None, previous=[old])


def test_gzip_json_is_what_gzip_reads_and_writes() -> None:
    """Python's own gzip reads what it writes, and it reads every level of Python's own."""
    codec = GzipJSON(list[Message])
    assert json.loads(gzip.decompress(codec.encode(MESSAGES))) == HISTORY
    for level in range(10):
        assert codec.decode(gzip.compress(json.dumps(HISTORY).encode(), level)) == MESSAGES
    assert codec.encode(MESSAGES)[3:10] == b"\0\0\0\0\0\x02\xff"  # no name, time or machine


@pytest.mark.parametrize(
    "stored", [json.dumps(CANARY), json.dumps([CANARY])[:-1], json.dumps([CANARY] * 99), "[" * 99]
)
def test_what_a_codec_refuses_is_in_no_frame(stored: str) -> None:
    """Of another type, cut, too large, too deep, and what has no JSON: called by itself, too."""
    codec = GzipJSON(list[Any], max_bytes=999, max_depth=9)
    with pytest.raises((DecodeError, ValueError)) as caught:
        codec.decode(gzip.compress(f"{stored} ".replace("[", f'["{CANARY}",', 1).encode()))
    assert leaks(caught.value) == []
    with pytest.raises(TypeError) as refused:
        codec.encode([CANARY, object()])
    assert leaks(refused.value) == []


def test_gzip_json_keeps_the_laws() -> None:
    """The kit's laws hold for a keyspace of each codec."""
    check_keyspace(Keyspace("zipped", dict[str, int], encoding=GzipJSON(dict[str, int])))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b",
        gzip.compress(b"[]")[:-1],
        gzip.compress(b"[]") + b"x",
        gzip.compress(b"[]") + gzip.compress(b"[]"),
        gzip.compress(b"[")[:],
        gzip.compress(b"[" * 1_000_000),
        gzip.compress(b'[{"role":1}]'),
        zlib.compress(b"[]"),
        b"[]",
    ],
    ids=range(10),  # not by the bytes, which hold the time
)
def test_what_is_not_one_whole_stream_of_the_type_is_refused(data: bytes) -> None:
    """Cut, followed by more, no gzip, no JSON, too deep, of another type: a DecodeError each."""
    space = Keyspace("zipped", list[Any], encoding=GzipJSON(list[Message]))
    with pytest.raises(DecodeError):
        space.unpack("zipped/a", data, now=NOW)


def test_a_bomb_makes_no_more_than_the_bound() -> None:
    """1 MB that stands for 1 GB is refused after max_bytes of it."""
    bomb = zlib.compressobj(9, wbits=31)
    data = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    with pytest.raises(TooLarge):
        GzipJSON(list[int], max_bytes=1000).decode(data)


@pytest.mark.parametrize("kind", [str, bytes])
def test_gzip_json_is_for_json(kind: Any) -> None:
    """Text and bytes have no JSON here: a ConfigError."""
    with pytest.raises(ConfigError, match="GzipJSON is for types in JSON"):
        GzipJSON(kind)


def test_gzip_json_holds_no_secrets() -> None:
    """Secret fields are sealed in JSON and MessagePack only."""

    class Account(msgspec.Struct):
        token: Secret[str]

    with pytest.raises(ConfigError):
        GzipJSON(Account)
