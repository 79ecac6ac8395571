"""What the program makes of names and bytes without a declaration, whatever they are."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvcodec import KeyRing, MemoryKV
from kvcodec.cli.kinds import KINDS, inside, looked_at
from kvcodec.cli.names import keyspace_of, named_parts, part_of
from kvcodec.cli.steps import steps_of
from kvcodec.format.derived import aside_name, grid_name, news_name, trace_name
from kvcodec.format.envelope import Header, envelope_start
from kvcodec.format.own import OWN
from tests.cli.stored import declarations, fill

GENERATION = "0123456789abcdef"
DERIVED = {
    f"a/b!s{GENERATION}.12": "log row",
    "a/b!wL-1_x": "log lane",
    f"a/b!wL1.s{GENERATION}.0": "log row",
    grid_name("a/b", "o", 3, 4): "log grid",
    f"a/b!g{GENERATION}.7": "file chunk",
    trace_name("a/b"): "file trace",
    news_name("a/b"): "cache news",
    "a!i12": "index shard",
    aside_name("a/b", 3): "quarantine",
}

names = st.one_of(
    st.text(),
    st.builds("{}!{}".format, st.text(), st.text("swlgtniq.0123456789abcdefxyo")),
    st.sampled_from([*DERIVED, "a/=" + "a" * 52, "a/=" + "2" * 32 + "!n"]),
)
beginnings = st.sampled_from(
    [b"", b"\xc1", b"\xc1\x01", b"\xc1\x01\x00", b"{", b"[", b"gAAAA", bytes([OWN])]
    + [bytes([OWN, kind]) for kind in range(1, 10)]
    + [envelope_start(Header(compression=number).encode()) for number in (1, 2, 3)]
    + [envelope_start(Header(cipher=1, key_id=bytes(16)).encode())]
)
stored = st.builds(bytes.__add__, beginnings, st.binary(max_size=200))


@given(names, stored)
@example("a/b", b"[" * 200_000)
@example("a/b", b"\x91" * 200_000)
@example("a/b", bytes([OWN, 3]) + b"\x91" * 200_000)
@example("a/=" + "a" * 52, envelope_start(b"") + b"\xff\xff\xff\xff")
@example("a/b", envelope_start(Header(compression=1).encode()) + zlib.compress(bytes(2**24)))
@example("a/b", b'{"a":"kvs1.' + b"-" * 24 + b'."}')
def test_no_name_and_no_bytes_are_too_much(name: str, data: bytes) -> None:
    """Something is always said; the pieces of the name, joined, are the name."""
    looked = looked_at(name, data)
    assert looked.what
    assert looked.size == len(data)
    assert isinstance(inside(data), dict)
    assert "".join(piece for piece, _ in named_parts(name, None)) == name
    assert steps_of(name, data, None)[0].size == len(data)
    assert isinstance(keyspace_of(name), str)


@pytest.mark.parametrize("name", DERIVED)
def test_a_derived_name_tells(name: str) -> None:
    """What is under it, also where that is sealed, and whose it is."""
    part = part_of(name)
    assert part is not None
    assert part.what == DERIVED[name]
    assert part.owner == name.partition("!")[0]
    sealed = envelope_start(Header(cipher=2, key_id=bytes(16)).encode()) + b"x" * 40
    assert looked_at(name, sealed).what.startswith(DERIVED[name])


@pytest.mark.parametrize("name", ["a/b!s", "a/b!hello", "!t", "a!s12.3", "a/b!i", "a/b!qq", "a!tt"])
def test_a_name_with_the_mark_may_be_another_programs(name: str) -> None:
    """Only what kvcodec derives counts as derived."""
    assert part_of(name) is None


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b'{"a": [1, null]}', "JSON"),
        (b"12", "JSON"),
        (b"twelve", "text"),
        ("ж\n".encode(), "text"),
        (b"\x1b[31m", "bytes"),
        (b"\x81\xa1a\x01", "MessagePack"),
        (b"\x81\xa1a", "bytes"),
        (b"\xff\xd8\xff\xe0", "bytes"),
        (b"gAAAA" + b"A" * 95, "Fernet token"),
        (b'"\xff"', "bytes"),
        (b"\xc1 is how this begins", "bytes"),
        (bytes([OWN, 3]), "bytes"),
        (bytes([OWN, 3]) + msgspec.msgpack.encode([1]), "log head"),
    ],
)
def test_bytes_without_an_envelope(data: bytes, what: str) -> None:
    """As far as they tell."""
    assert looked_at("a/b", data).what == what


def test_what_a_name_promises_and_bytes_are_not() -> None:
    """Is said, and the bytes count."""
    looked = looked_at("a/b!t", b"{}")
    assert (looked.what, looked.problem) == ("JSON", "its name is that of a file trace")


def test_everything_that_is_stored_is_recognised() -> None:
    """Of each kind that kvcodec writes, by its name and its bytes; of a sealed one, that it is."""
    kv = MemoryKV()
    fill(kv, KeyRing.generate())
    found = {name: looked_at(name, kv.get(name) or b"") for name in kv.scan_keys("")}
    assert {name: looked.what for name, looked in found.items() if "!" not in name} == {
        "accounts/ada": "JSON",
        "binary/ada": "MessagePack",
        "blobs/ada": "bytes",
        "forecasts/Leipzig": "JSON",
        "history/ada/7": "log head",
        "maybe/nobody": "JSON",
        "notes/ada": "bytes",
        "packed/ada": "MessagePack",
        "people/ada": "sealed",
        "preferences/a%20b%2Fc": "JSON",
        "preferences/ada": "JSON",
        "settings": "JSON",
        "strange/envelope": "bytes",
        "strange\x1b[31m:name": "bytes",
        "tokens/ada": "sealed",
        "uploads/cat": "file manifest",
        **{name: "JSON" for name in found if name.startswith(("hashed/", "indexed/"))},
        **{name: "sealed" for name in found if name.startswith("hidden/")},
    }
    derived = {looked.what for name, looked in found.items() if "!" in name}
    assert derived == {
        *("log row", "log lane", "log grid", "file chunk", "cache news", "index shard"),
        "quarantine: JSON",
    }
    assert found["accounts/ada"].key_ids == found["tokens/ada"].key_ids != frozenset()
    assert found["blobs/ada"].has_checksum
    hashed = next(looked for name, looked in found.items() if name.startswith("hashed/"))
    assert hashed.whole_name == "hashed/a%20long%20key"
    assert {name for name, looked in found.items() if looked.problem} == {"strange/envelope"}


def test_what_parts_hold_is_counted() -> None:
    """How many messages, which rows, how many chunks; nothing of a value."""
    kv = MemoryKV()
    fill(kv, KeyRing.generate())
    head = inside(kv.get("history/ada/7") or b"")
    assert str(head["messages"]).endswith("to 199)")
    assert head["oldest message kept"] == 0
    manifest = inside(kv.get("uploads/cat") or b"")
    assert (manifest["bytes of the file"], manifest["chunks"]) == (2500, 3)
    assert manifest["type"] == "image/png"
    assert set(KINDS.values()) >= {"log head", "file manifest"}


def test_pieces_of_names_through_a_declaration() -> None:
    """The pieces, joined, are the name, and the key is shown as it is."""
    kv, ring = MemoryKV(), KeyRing.generate()
    fill(kv, ring)
    by_name = {each.name: each for each in declarations(ring)}
    for name in kv.scan_keys(""):
        keyspace = by_name.get(name.partition("/")[0].partition("!")[0])
        if keyspace is not None:
            pieces = named_parts(name, keyspace)
            assert "".join(each.piece for each in pieces) == name
            assert pieces[0] == (keyspace.name, "the keyspace's name")
    key = named_parts("history/ada/7", by_name["history"])[1]
    assert key == ("/ada/7", "the key, part by part: Chat(user='ada', number=7)")
