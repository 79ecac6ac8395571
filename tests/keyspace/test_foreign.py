"""Law 4 of plain bytes and text: what another declaration wrote is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import (
    AESGCMCipher,
    Cache,
    DecodeError,
    EncodeError,
    FernetCipher,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    Log,
    MappingKV,
    MemoryKV,
    NewerVersion,
    Store,
    Subjects,
    Value,
)
from tests.both import Awaited
from tests.format.test_pages import READER, REFUSED, outcome
from tests.format.worked import three_methods

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
RING = KeyRing(KEY)
AES = AESGCMCipher(RING)

OPTIONS: dict[str, dict[str, Any]] = {
    "cipher= (fernet)": {"cipher": RING},
    "cipher= (aes-gcm)": {"cipher": AES},
    "cipher= (aes-gcm), ttl=": {"cipher": AESGCMCipher(RING, pad_to=16), "ttl": 5},
    "ttl=": {"ttl": 5, "max_age": 3},
    "max_age=": {"max_age": 5},
    "compress='zlib'": {"compress": "zlib"},
    "checksum=True": {"checksum": True},
    "keys= (a scheme that stores names) or compress=": {"keys": HashedKeys()},
    "cipher= (aes-gcm), version=2": {"cipher": AES, "version": 2, "upgrades": {1: bytes}},
}
"""Options, by what is said of an envelope that a keyspace with them has written."""

NOW = 1e9
PLAIN = Keyspace("k", bytes)
LATER = Keyspace("k", bytes, version=3, upgrades={1: bytes, 2: bytes})


def clock() -> float:
    """The moment of all tests here."""
    return NOW


def envelope(option: str, payload: bytes = bytes(50)) -> bytes:
    """An envelope that a keyspace with other options has written."""
    space: Any = Keyspace("k", bytes, **OPTIONS[option])
    data: bytes = space.pack("a", payload, now=NOW)[1]
    return data


def parts(payload: bytes = b"x") -> dict[str, bytes]:
    """What kvcodec itself writes without an envelope, by the kind."""
    kv: dict[str, bytes] = {}
    log = Log(Keyspace("log", bytes), kv, segment_bytes=20, writers="many", writer="w")
    log.extend("l", [payload] * 30)
    Files(Keyspace("files", bytes), kv, chunk_bytes=1).put("f", b"two")
    space = Keyspace("index", bytes, indexed=True)
    Store(space, three_methods(kv)).set("s", b"")
    kinds = {"files/f": "manifest", "log/l!ww": "head"}
    kinds |= {name: "lane" for name in kv if "!l" in name}
    kinds |= {name: "row" for name in kv if "!ww." in name}
    kinds |= {name: "shard" for name in kv if "!i" in name}
    found = {kind: kv[name] for name, kind in kinds.items() if name in kv}
    return found | {"news": b"\xfa\x07\x90", "subject": b"\xfa\x08\x93\x01\xa0\x90"}


HINTS = {
    "manifest": "Files",
    "head": "Log",
    "lane": "Log",
    "row": "Log",
    "shard": "indexed=True",
    "news": "Cache",
    "subject": "Subjects",
}


def expect_refused(data: bytes, space: Keyspace[Any, Any] = PLAIN) -> DecodeError:
    """Refused by get and set, by every way to either, with what is stored untouched."""
    kv = {"k/a": data}
    store = Store(space, kv, clock=clock)
    reads: list[Callable[[], object]] = [
        lambda: store.get("a"),
        lambda: store.get_many(["a"]),
        lambda: store.pop("a"),
        lambda: store.update("a", lambda value: value, default=b""),
        lambda: Awaited(space, MappingKV(kv), clock).get("a"),
        lambda: space.unpack("k/a", data, now=NOW),
    ]
    for read in reads:
        with pytest.raises(DecodeError):
            read()
    assert kv == {"k/a": data}
    with pytest.raises(DecodeError) as caught:
        store.require("a")
    return caught.value


def expect_unstorable(data: bytes) -> None:
    """Refused by set, with what is stored untouched."""
    kv = {"k/a": b"before"}
    store = Store(PLAIN, kv)
    writes: list[Callable[[], object]] = [
        lambda: store.set("a", data),
        lambda: store.add("b", data),
        lambda: store.set_many({"a": data}),
        lambda: store.update("a", lambda _: data, default=b""),
        lambda: Awaited(PLAIN, MappingKV(kv), clock).set("a", data),
        lambda: PLAIN.pack("a", data, now=NOW),
    ]
    for write in writes:
        with pytest.raises(EncodeError, match="checksum=True"):
            write()
    assert kv == {"k/a": b"before"}


@given(payload=st.binary(max_size=80), option=st.sampled_from(list(OPTIONS)), old=st.booleans())
def test_an_envelope_of_any_other_declaration(payload: bytes, option: str, *, old: bool) -> None:
    """Refused, also where plain values of an earlier version are still read."""
    data = envelope(option, payload)
    expect_refused(data, LATER if old else PLAIN)
    states = Store(LATER if old else PLAIN, {"k/a": data}, clock=clock).verify().states
    assert states["unreadable"] + states["newer"] == 1
    expect_unstorable(data)


@given(payload=st.binary(max_size=30), kind=st.sampled_from(sorted(HINTS)), old=st.booleans())
def test_a_part_of_any_other_shape(payload: bytes, kind: str, *, old: bool) -> None:
    """Refused, and the error says which shape it is of."""
    data = parts(payload)[kind]
    assert HINTS[kind] in str(expect_refused(data, LATER if old else PLAIN))
    expect_unstorable(data)


def expect_kept(data: bytes) -> None:
    """It comes back, by the quick way and by the long one."""
    kv: dict[str, bytes] = {}
    store = Store(PLAIN, kv)
    store.set("a", data)
    assert kv == {"k/a": data}
    assert store.get("a") == data
    assert PLAIN.unpack(*PLAIN.pack("a", data, now=NOW), now=NOW) == data


@given(
    first=st.sampled_from(
        [b"", b"\xc1", b"\xc1\x01", b"\xfa", b"\xfa\x03", b"\xfa\x07\x90", b"\xff"]
    ),
    junk=st.binary(max_size=20),
)
def test_bytes_that_only_begin_alike_are_values(first: bytes, junk: bytes) -> None:
    """Whatever set accepts comes back, and what it refuses get refuses."""
    data = first + junk
    try:
        Store(PLAIN, {}).set("a", data)
    except EncodeError:
        expect_refused(data)
    else:
        expect_kept(data)


@pytest.mark.parametrize("kind", sorted(HINTS))
def test_parts_cut_short_or_with_more_behind_them_are_values(kind: str) -> None:
    """A part is whole or it is none."""
    data = parts()[kind]
    for end in range(len(data)):
        expect_kept(data[:end])
    expect_kept(data + b"\x00")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xc1\x02\x00",
        b"\xc1\x01\x01",
        b"\xc1\x01\x02\x09\x00",
        b"\xfa",
        b"\xfa\x00\x90",
        b"\xfa\x09\x90",
        b"\xfa\x03\x80",
        b"\xfa\x03" + b"\x91" * 100_000 + b"\x90",
        b"\xfa\x03" + b"\x91" * 20 + b"\x90",
    ],
    ids=lambda data: f"{data[:5].hex()} {len(data)}",
)
def test_no_whole_one(data: bytes) -> None:
    """Of no version, field, kind or array that kvcodec writes; nested, too, as no part is."""
    expect_kept(data)


@pytest.mark.parametrize("option", list(OPTIONS))
@pytest.mark.parametrize("value", [bytes, str, int, dict[str, int]])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_the_error_says_what_to_declare(value: Any, encoding: Any, option: str) -> None:
    """Of every type: plain bytes are refused by a look, all others by their decoder first."""
    store = Store(Keyspace("k", value, encoding=encoding), {"k/a": envelope(option)})
    with pytest.raises(DecodeError) as caught:
        store.get("a")
    if "version" in option:
        assert isinstance(caught.value, NewerVersion)
    else:
        said = str(caught.value)
        declared = option.replace(" (fernet)", "").replace(" (aes-gcm)", "")
        assert said.endswith(f": declare {declared}, or see previous=")
        for cipher in ("fernet", "aes-gcm"):
            sealed = f"this value is sealed (key id {RING.primary}, {cipher}): declare"
            assert (sealed in said) == (f"({cipher})" in option)


@pytest.mark.parametrize("value", [bytes, str, int, dict[str, int]])
@pytest.mark.parametrize("kind", sorted(HINTS))
def test_the_error_says_which_shape(value: Any, kind: str) -> None:
    """And of what kind the part is."""
    store = Store(Keyspace("k", value), {"k/a": parts()[kind]})
    with pytest.raises(DecodeError, match=HINTS[kind]) as caught:
        store.get("a")
    assert (caught.value.stage, caught.value.raw_key) == ("envelope", "k/a")
    says = store.explain("a")
    assert says is not None
    assert HINTS[kind] in str(says)


# -------------------------------------------------------------------- where such bytes belong

WHOLE = {**{option: envelope(option) for option in ("ttl=", "checksum=True")}, **parts()}
FITS: list[dict[str, Any]] = [
    *OPTIONS.values(),
    {"cipher": FernetCipher(RING, bound=False)},
    {"cipher": AES, "keys": HiddenKeys(RING)},
]


@pytest.mark.parametrize("whole", list(WHOLE))
@pytest.mark.parametrize("options", range(len(FITS)))
def test_in_an_envelope_they_fit(options: int, whole: str) -> None:
    """Every other declaration keeps them: a backup of stored bytes, for one.

    But for parts, where the envelope does not tell that it is a value's, by its seal or its sum.
    """
    space: Any = Keyspace("k", bytes, **FITS[options])
    store = Store(space, {}, clock=clock)
    if whole in parts() and FITS[options].keys().isdisjoint(("cipher", "checksum")):
        with pytest.raises(EncodeError, match="declare checksum=True"):
            store.set("a", WHOLE[whole])
        return
    store.set("a", WHOLE[whole])
    assert store.get("a") == WHOLE[whole]


def expect_no_fault(opened: Any, kv: dict[str, bytes]) -> None:
    """Upkeep takes what stands in the place of values for what it is, and leaves it."""
    before = dict(kv)
    sealed = opened.keyspace.declaration.pipeline.cipher is not None
    for report in (opened.verify(), opened.migrate(), *([opened.rewrap()] if sealed else [])):
        assert not report.unreadable
    assert kv == before


@pytest.mark.parametrize("whole", list(WHOLE))
@pytest.mark.parametrize("options", [{}, {"cipher": AES}], ids=["plain", "sealed"])
def test_in_files_they_fit(options: dict[str, Any], whole: str) -> None:
    """As a small file, and as chunks that are each a whole envelope or part."""
    data, kv = WHOLE[whole], dict[str, bytes]()
    space: Any = Keyspace("k", bytes, **options)
    files = Files(space, kv, chunk_bytes=len(data))
    files.put("small", data)
    files.put("large", data * 3)
    assert files.get("small") == data
    assert files.get("large") == data * 3
    with files.open("large") as file:
        file.seek(len(data))
        assert file.read(len(data)) == data
    expect_no_fault(files, kv)
    files.delete("small")
    files.delete("large")
    assert kv == {}


@pytest.mark.parametrize("whole", list(WHOLE))
@pytest.mark.parametrize("options", [{}, {"cipher": AES}], ids=["plain", "sealed"])
def test_in_a_log_they_fit(options: dict[str, Any], whole: str) -> None:
    """As messages, in the head and in rows, and upkeep leaves the parts as they are."""
    data, kv = WHOLE[whole], dict[str, bytes]()
    space: Any = Keyspace("k", bytes, **options)
    log = Log(space, kv, segment_bytes=100)
    log.extend("a", [data] * 9)
    assert list(log.iterate("a")) == [data] * 9
    expect_no_fault(log, kv)
    assert log.pop("a") == data


@pytest.mark.parametrize("whole", list(WHOLE))
def test_in_a_cache_they_fit(whole: str) -> None:
    """A cached value has a lifetime, and so an envelope; with a checksum it tells its kind."""
    cache = Cache(Keyspace("k", bytes, ttl=5, checksum=True), {}, negative=3, clock=clock)
    assert cache.get_or_load("a", lambda: WHOLE[whole]) == WHOLE[whole]
    assert cache.get_or_load("a", lambda: b"other") == WHOLE[whole]


def test_one_value_and_people() -> None:
    """A Value refuses as a Store does; the data keys of people are no values."""
    value = Value(Keyspace("k", bytes, key=None), {"k": WHOLE["head"]})
    with pytest.raises(DecodeError, match="Log"):
        value.get()
    with pytest.raises(EncodeError):
        value.set(WHOLE["head"])
    people = Subjects(Keyspace("p", bytes, cipher=RING), {})
    people.add("ada")
    assert people.ring("ada").primary


def test_quarantine_takes_them_aside() -> None:
    """What cannot be read can still be moved out of the way, looked at and written over."""
    kv = {"k/a": WHOLE["ttl="]}
    store = Store(PLAIN, kv)
    assert store.raw("a") == WHOLE["ttl="]
    assert store.quarantine("a") == "k/a!q1"
    assert kv == {"k/a!q1": WHOLE["ttl="]}
    store.set("a", b"anew")
    assert store.get("a") == b"anew"


def test_types_of_the_kinds() -> None:
    """The parts above are of every kind but the trace, which is removed with its chunks' put."""
    numbers = {data[1] for data in parts().values()}
    assert numbers == {1, 3, 4, 5, 6, 7, 8}
    assert all(msgspec.msgpack.decode(data[2:], type=list) is not None for data in parts().values())


def test_verify_takes_no_envelope_for_a_part() -> None:
    """Where parts have no envelope any bytes were taken for one, and called fine."""
    data = Keyspace("k", dict[str, int], checksum=True).pack("a", {}, now=NOW)[1]
    space = Keyspace("k", dict[str, int], version=2, upgrades={1: dict})
    assert Store(space, {"k/a": data}).verify().states == {"unreadable": 1}


def test_version_1_has_no_envelope_where_nothing_else_calls_for_one() -> None:
    """A header without a version was read there: a value has one form, not two."""
    space = Keyspace("k", dict[str, int], version=2, upgrades={1: dict})
    with pytest.raises(DecodeError):
        space.unpack("k/a", b"\xc1\x01\x00{}", now=NOW)
    assert space.unpack("k/a", b"{}", now=NOW) == {}


def packed(value: Any) -> bytes:
    """MessagePack, of integers that fit."""
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        return b""


@given(
    start=st.sampled_from([b"", b"\xc1\1", b"\xc1\1\0", b"\xc1\1\2\4\1", b"\xfa", b"\xfa\3"]),
    rest=st.binary(max_size=9)
    | st.recursive(st.integers() | st.binary(), st.lists, max_leaves=20).map(packed)
    | st.integers(0, 12).map(lambda depth: b"\x91" * depth + b"\x90"),
    version=st.sampled_from([1, 2]),
)
def test_both_refuse_the_same_of_plain_bytes(start: bytes, rest: bytes, version: int) -> None:
    """Whole envelopes and whole parts, and nothing else that begins alike."""
    space = Keyspace("raw", bytes, version=version, upgrades={1: bytes} if version == 2 else None)
    declared, data = READER.Declared("raw", codec="raw", version=version), start + rest
    theirs = outcome(partial(READER.read_value, declared, "raw/a", data, int(NOW * 1000)))
    assert theirs == outcome(partial(space.unpack, "raw/a", data, now=NOW))
    if version == 1:
        assert theirs in (data, REFUSED)
        assert (theirs == REFUSED) == (outcome(partial(space.pack, "a", data, now=0)) == REFUSED)


IN_ENVELOPES: dict[str, dict[str, Any]] = {
    "ttl=": {"ttl": 60},
    "max_age=": {"max_age": 60},
    "compress=": {"compress": "zlib"},
    "HashedKeys": {"keys": HashedKeys(limit=128)},
}


@pytest.mark.parametrize("options", IN_ENVELOPES.values(), ids=IN_ENVELOPES)
def test_a_log_or_a_file_in_an_envelope_is_no_value(options: dict[str, Any]) -> None:
    """An envelope that neither seals nor sums does not tell its kind: a head was read as bytes."""
    kv, declare = MemoryKV(), cast("Any", Keyspace)
    Log(declare("k", bytes, **options), kv).append("log", b"message")
    Files(declare("k", bytes, **options), kv).put("file", b"content")
    store: Any = Store(declare("k", bytes, **options), kv)
    for key in ("log", "file"):
        acts: list[Callable[[str], object]] = [
            store.get,
            store.pop,
            lambda key: store.update(key, bytes.upper),
        ]
        for act in acts:
            with pytest.raises(DecodeError, match=f"a {key} is stored here"):
                act(key)
    part = b"\xfa\x03\x90"
    with pytest.raises(EncodeError, match="another declaration"):
        store.set("a", part)
    store.set("a", part[:2])
    assert store.get("a") == part[:2]
    told: Any = Store(declare("t", bytes, checksum=True, **options), kv)
    told.set("a", part)
    assert told.get("a") == part
