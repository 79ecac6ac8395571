"""docs/FORMAT.md of what kvcodec itself writes: its reader, and kvcodec, on the same bytes."""

# The reader is made of the page's text: its names are known to no type checker.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import itertools
from functools import partial
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet

from kvcodec import FernetCipher, HashedKeys, Keyspace, Log, MissingKey, Secret, Store
from tests.format import worked
from tests.format.test_pages import CIPHERS, READER, REFUSED, RING, Account, clock, outcome
from tests.format.worked_cases import CASES, KEY, NOW


@pytest.mark.parametrize("cipher", list(CIPHERS))
def test_a_long_log(cipher: str) -> None:
    """Many rows, a window and lanes: the messages that are kept, in their order."""
    sealing, told = CIPHERS[cipher]
    space = Keyspace("log", str, cipher=sealing)
    declared = READER.Declared(keyspace="log", codec="text", **told)
    kv: dict[str, bytes] = {}
    moments = itertools.count(NOW / 1000)
    ticking = lambda: float(next(moments))  # noqa: E731
    log = Log(space, kv, segment_bytes=200, max_items=70, clock=ticking)
    for number in range(100):
        log.append("a", f"message {number}")
    for writer in ("left", "right"):
        lane = Log(space, kv, segment_bytes=200, writers="many", writer=writer, clock=ticking)
        for number in range(30):
            lane.append("a", f"{writer} {number}")
    found = READER.read_log(declared, "log/a", kv.get, NOW, many=True)
    texts = [item[2].decode() for item in found]
    assert texts == list(Log(space, kv, writers="many").iterate("a"))
    assert len(texts) == 130
    rows = [name for name in kv if "!s" in name]
    for damage in (lambda: kv.pop(rows[-2]), lambda: kv.update({rows[-2]: kv[rows[-1]]})):
        before = dict(kv)
        damage()
        assert outcome(lambda: READER.read_log(declared, "log/a", kv.get, NOW)) == REFUSED
        assert outcome(lambda: list(Log(space, kv).iterate("a"))) == REFUSED
        kv.update(before)


def test_a_row_of_another_past() -> None:
    """A whole log that was rolled back in one row is refused by both."""
    space, kv = Keyspace("log", str), dict[str, bytes]()
    declared = READER.Declared(keyspace="log", codec="text")
    log = Log(space, kv, segment_bytes=60, clock=clock)
    log.extend("a", [f"message {number}" for number in range(20)])
    before = dict(kv)
    for _ in range(15):
        log.pop("a")
    log.extend("a", [f"another {number}" for number in range(15)])
    changed = [name for name in before if "!s" in name and kv[name] != before[name]][:1]
    kv.update({name: before[name] for name in changed})
    assert changed
    assert outcome(lambda: READER.read_log(declared, "log/a", kv.get, NOW)) == REFUSED
    assert outcome(lambda: list(Log(space, kv).iterate("a"))) == REFUSED


def test_messages_that_are_over() -> None:
    """Rows that a backend dropped with their messages' lifetime are no fault; earlier they are."""
    space, kv = Keyspace("log", str, ttl=50), dict[str, bytes]()
    declared = READER.Declared(keyspace="log", codec="text", ttl=50_000)
    moment = 0.0
    log = Log(space, kv, segment_bytes=60, clock=lambda: moment)
    for number in range(20):
        moment = float(number)
        log.append("a", f"message {number}")
    del kv[min((name for name in kv if "!s" in name), key=lambda name: int(name.split(".")[1]))]
    found: list[Any] = []
    for second in (19, *range(45, 71)):
        moment = float(second)
        ours = outcome(lambda: list(log.iterate("a")))
        items = outcome(partial(READER.read_log, declared, "log/a", kv.get, second * 1000))
        assert ours == (items if items == REFUSED else [item[2].decode() for item in items])
        found.append(ours)
    refused = [each for each in found if each == REFUSED]
    assert found[: len(refused)] == refused
    assert 0 < len(refused) < 15
    assert found[-1] == []


@pytest.mark.parametrize("cipher", ["none", "aes"])
def test_a_large_index(cipher: str) -> None:
    """An index that was split often: every name, in the shard that the page says."""
    sealing, told = CIPHERS[cipher]
    space = Keyspace("a name/é", int, cipher=sealing, indexed=True, keys=HashedKeys(), ttl=900)
    kv: dict[str, bytes] = {}
    store = Store(space, worked.three_methods(kv), clock=clock)
    store.set_many({f"{number:060}": number for number in range(400)})
    declared = READER.Declared(keyspace="a name/é", names="hashed", ttl=900_000, **told)
    found = READER.read_index(declared, kv.get)
    assert found == {name for name in kv if "!" not in name}
    assert len(found) == 400
    base = "a%20name%2F%C3%A9!i"
    read = partial(READER.read_own, declared, "shard", shape=READER.SHARD)
    count = read(f"{base}0", kv[f"{base}0"])[0]
    assert count > 4
    low = count.bit_length() - 1
    for number in range(count):
        name = f"{base}{number}"
        _, _, prefix, rests, _ = read(name, kv[name])
        for rest in rests:
            hashed = int.from_bytes(sha256((prefix + rest).encode()).digest()[:8])
            wide = hashed % 2**low < count - 2**low
            assert hashed % 2 ** (low + wide) == number


def test_links_are_computed_as_the_page_says() -> None:
    """Each row's link from the one before, its number and its messages."""
    (case,) = [each for each in CASES if each.title == "A log: its head and two rows"]
    stored, link = worked.run(case).stored, bytes(16)
    for number, name in enumerate(sorted(name for name in stored if "!s" in name)):
        row = READER.read_own(READER.Declared("log"), "row", name, stored[name], READER.ROW)
        assert row[2] == link
        data = link + number.to_bytes(8) + msgspec.msgpack.encode(row[4])
        link = sha256(data).digest()[:16]
        assert row[5] == link
    head = READER.read_own(READER.Declared("log"), "head", "log/a", stored["log/a"], READER.HEAD)
    assert head[2] == link


def test_the_index_of_records_is_sealed_wholly() -> None:
    """Of a type with Secret fields, too: names are not theirs to show."""
    space, kv = Keyspace("records", Account, cipher=RING, indexed=True), dict[str, bytes]()
    Store(space, worked.three_methods(kv), clock=clock).set("ada", Account("ada", [Secret(1)], {}))
    (shard,) = (data for name, data in kv.items() if "!i" in name)
    assert b"ada" not in shard
    declared = READER.Declared(keyspace="records", ring=(KEY,), secrets=(("keys", ...),))
    assert READER.read_index(declared, kv.get) == {"records/ada"}


@pytest.mark.parametrize("options", [{}, {"cipher": FernetCipher(RING, bound=False)}])
def test_parts_of_bare_tokens_are_bare(options: dict[str, Any]) -> None:
    """A log without an envelope of any kind: the head itself, or a token of it."""
    space: Any = Keyspace("log", str, **options)
    kv: dict[str, bytes] = {}
    Log(space, kv, clock=clock).append("a", "one")
    head = Fernet(KEY).decrypt(kv["log/a"]) if options else kv["log/a"]
    assert head[:2] == b"\xfa\x03"
    told: dict[str, Any] = {"ring": (KEY,), "bare": True} if options else {}
    declared = READER.Declared(keyspace="log", codec="text", **told)
    assert [item[2] for item in READER.read_log(declared, "log/a", kv.get, NOW)] == [b"one"]


def test_what_is_in_quarantine_is_as_it_was() -> None:
    """Moved aside, bytes are those of the name that they had."""
    space, kv = Keyspace("notes", str, cipher=RING), dict[str, bytes]()
    store = Store(space, kv)
    store.set("ada", "a note")
    data = kv["notes/ada"]
    assert store.quarantine("ada") == "notes/ada!q1"
    assert kv == {"notes/ada!q1": data}
    with pytest.raises(MissingKey):
        store.require("ada")
    declared = READER.Declared(keyspace="notes", codec="text", ring=(KEY,))
    assert READER.read_value(declared, "notes/ada", data, NOW) == "a note"
