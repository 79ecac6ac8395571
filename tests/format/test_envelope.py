"""Format version 1: bytes that never change, and every byte that is not one of them."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import (
    DecodeError,
    EncodeError,
    Expired,
    KeyRing,
    Keyspace,
    KVCodecError,
    NotEncrypted,
    Ordered,
    Store,
    Tampered,
    UnknownKey,
)
from kvcodec.format.envelope import (
    MalformedEnvelope,
    envelope_start,
    length_prefixed,
    open_envelope,
)
from tests import reference

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors/golden-v1.json").read_text("utf-8")
)
NOW: int = GOLDEN["now"]
RING = KeyRing(GOLDEN["primary"], retired=[GOLDEN["retired"]])
TYPES: dict[str, dict[str, Any]] = {
    "json": {"value": dict[str, Any]},
    "msgpack": {"value": dict[str, Any], "encoding": "msgpack"},
    "text": {"value": str},
    "raw": {"value": bytes},
}
VECTORS = [
    pytest.param(vector, id=f"{at} {vector['codec']} {vector['sealing']} {vector['ttl']}")
    for at, vector in enumerate(GOLDEN["vectors"])
]


def declared(vector: dict[str, Any]) -> Keyspace[Any, Any]:
    """The declaration that a golden vector was written under."""
    options: dict[str, Any] = TYPES[vector["codec"]] | {
        "key": str if vector["raw_key"].count("/") == 1 else tuple[str, Annotated[int, Ordered()]],
        "ttl": vector["ttl"],
        "checksum": vector["sealing"] == "checksum",
        "cipher": RING if vector["sealing"] in ("key", "retired") else None,
    }
    if vector["version"] != 1:
        options |= {
            "version": vector["version"],
            "upgrades": dict.fromkeys(range(1, vector["version"]), dict),
        }
    keyspace: Keyspace[Any, Any] = Keyspace(GOLDEN["keyspace"], **options)
    return keyspace


def value_of(vector: dict[str, Any]) -> Any:
    """The value of a golden vector; JSON has no bytes."""
    return bytes.fromhex(vector["value"]) if vector["codec"] == "raw" else vector["value"]


@pytest.mark.parametrize("vector", VECTORS)
def test_golden_bytes_are_read(vector: dict[str, Any]) -> None:
    """What version 1 wrote is read as what it was, for good."""
    stored = bytes.fromhex(vector["stored"])
    assert declared(vector).unpack(vector["raw_key"], stored, now=NOW) == value_of(vector)


@pytest.mark.parametrize("vector", VECTORS)
def test_golden_bytes_are_written(vector: dict[str, Any]) -> None:
    """What is written today is what version 1 wrote; of a sealed value, all but the token."""
    keyspace, stored = declared(vector), bytes.fromhex(vector["stored"])
    key = keyspace.key(vector["raw_key"])
    raw_key, written = keyspace.pack(key, value_of(vector), now=NOW)
    assert raw_key == vector["raw_key"]
    if vector["sealing"] == "key":
        head = 3 + stored[2]
        assert written[:head] == stored[:head]
        assert len(written) == len(stored)
    elif vector["sealing"] != "retired":
        assert written == stored


@pytest.mark.parametrize("vector", VECTORS)
def test_golden_bytes_end_with_their_lifetime(vector: dict[str, Any]) -> None:
    """The lifetime is over at the very millisecond in the header, and not before."""
    keyspace, stored = declared(vector), bytes.fromhex(vector["stored"])
    if vector["ttl"] is None:
        assert keyspace.unpack(vector["raw_key"], stored, now=2**40) == value_of(vector)
        return
    keyspace.unpack(vector["raw_key"], stored, now=NOW + vector["ttl"] - 0.001)
    with pytest.raises(Expired) as caught:
        keyspace.unpack(vector["raw_key"], stored, now=NOW + vector["ttl"])
    assert caught.value.stage == "envelope"


GUARDED = [
    pytest.param(vector, id=f"{at} {vector['codec']} {vector['sealing']} {vector['ttl']}")
    for at, vector in enumerate(GOLDEN["vectors"])
    if vector["sealing"]
]


@pytest.mark.parametrize("vector", GUARDED)
def test_every_flipped_bit_is_refused(vector: dict[str, Any]) -> None:
    """No single bit of a sealed or checksummed value can change unseen."""
    keyspace, stored = declared(vector), bytes.fromhex(vector["stored"])
    sealed = vector["sealing"] != "checksum"
    for at in range(8 * len(stored)):
        flipped = bytearray(stored)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(DecodeError) as caught:
            keyspace.unpack(vector["raw_key"], bytes(flipped), now=NOW)
        if sealed:
            assert isinstance(caught.value, Tampered | NotEncrypted | UnknownKey | Expired)
        assert not isinstance(caught.value, Expired)


@pytest.mark.parametrize("vector", GUARDED)
def test_every_cut_and_every_addition_is_refused(vector: dict[str, Any]) -> None:
    """No proper prefix of a sealed or checksummed value opens, and none with a byte more."""
    keyspace, stored = declared(vector), bytes.fromhex(vector["stored"])
    for cut in range(len(stored)):
        with pytest.raises(DecodeError):
            keyspace.unpack(vector["raw_key"], stored[:cut], now=NOW)
    for more in (b"\x00", b"=", b"A", b"\n"):
        with pytest.raises(DecodeError):
            keyspace.unpack(vector["raw_key"], stored + more, now=NOW)


@pytest.mark.parametrize("vector", GUARDED)
def test_a_value_opens_at_its_own_place_only(vector: dict[str, Any]) -> None:
    """Moved to another key or to another keyspace, a sealed or checksummed value is refused."""
    stored = bytes.fromhex(vector["stored"])
    elsewhere = vector["raw_key"].replace("golden/", "golden/x")
    for raw_key in (elsewhere, f"{vector['raw_key']}x", "", "golden"):
        with pytest.raises(Tampered):
            declared(vector).unpack(raw_key, stored, now=NOW)


@pytest.mark.parametrize("options", [{}, {"checksum": True}])
@given(
    payload=st.binary(max_size=40),
    ttl=st.none() | st.integers(1, 10**9),
    now=st.integers(0, 10**10),
    key=st.text(min_size=1, max_size=5),
)
def test_the_page_on_the_format_says_the_same(
    payload: bytes, ttl: int | None, options: dict[str, bool], now: int, key: str
) -> None:
    """A writer made from docs/FORMAT.md alone writes the same bytes, whatever the value."""
    checksum = "checksum" in options
    keyspace = Keyspace("page", bytes, ttl=ttl, checksum=checksum)
    raw_key, stored = keyspace.pack(key, payload, now=now)
    if ttl is None and not checksum:
        assert stored == payload
        return
    times = None if ttl is None else (1000 * now, 1000 * (now + ttl))
    assert stored == reference.write(
        payload, keyspace="page", codec="raw", raw_key=raw_key, times=times, checksum=checksum
    )


# ------------------------------------------------------------------------------ bad headers

WRITTEN = b"\x02" + (1000).to_bytes(8)
EXPIRES = b"\x03" + (10**15).to_bytes(8)


def envelope(*fields: bytes, version: int = 1, length: int | None = None) -> bytes:
    """An envelope of these header fields around a payload."""
    header = b"".join(fields)
    return bytes((0xC1, version, len(header) if length is None else length)) + header + b"payload"


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "magic alone": b"\xc1",
    "no length": b"\xc1\x01",
    "no magic": b"payload",
    "another magic": b"\xc0" + envelope(WRITTEN, EXPIRES)[1:],
    "version 0": envelope(WRITTEN, EXPIRES, version=0),
    "version 2": envelope(WRITTEN, EXPIRES, version=2),
    "version 255": envelope(WRITTEN, EXPIRES, version=255),
    "header cut": envelope(WRITTEN, EXPIRES)[:10],
    "length over the end": envelope(WRITTEN, EXPIRES, length=255),
    "length inside a field": envelope(WRITTEN, EXPIRES, length=12),
    "length one short": envelope(WRITTEN, EXPIRES, length=17),
    "length one long": envelope(WRITTEN, EXPIRES, length=19),
    "length 0": envelope(WRITTEN, EXPIRES, length=0),
    "no fields": envelope(),
    "written alone": envelope(WRITTEN),
    "expires alone": envelope(EXPIRES),
    "wrong order": envelope(EXPIRES, WRITTEN),
    "twice": envelope(WRITTEN, EXPIRES, EXPIRES),
    "unknown tag": envelope(WRITTEN, EXPIRES, b"\x09\x00"),
    "tag 0": envelope(b"\x00", WRITTEN, EXPIRES),
    "tag 255": envelope(WRITTEN, EXPIRES, b"\xff"),
    "schema version 0": envelope(b"\x01" + bytes(4), WRITTEN, EXPIRES),
    "schema version 1, written out": envelope(b"\x01\x00\x00\x00\x01", WRITTEN, EXPIRES),
    "compression 0, written out": envelope(WRITTEN, EXPIRES, b"\x04\x00"),
    "compression": envelope(WRITTEN, EXPIRES, b"\x04\x01"),
    "cipher 0, written out": envelope(WRITTEN, EXPIRES, b"\x05\x00"),
    "cipher without key": envelope(WRITTEN, EXPIRES, b"\x05\x01"),
    "key without cipher": envelope(WRITTEN, EXPIRES, b"\x06" + bytes(16)),
    "cipher and key": envelope(WRITTEN, EXPIRES, b"\x05\x01\x06" + bytes(16)),
    "padding 0, written out": envelope(WRITTEN, EXPIRES, b"\x07\x00"),
    "padding": envelope(WRITTEN, EXPIRES, b"\x07\x01"),
    "checksum": envelope(WRITTEN, EXPIRES, b"\x08" + bytes(4)),
    "checksum cut": envelope(WRITTEN, EXPIRES, b"\x08" + bytes(3)),
}


@pytest.mark.parametrize("options", [{}, {"checksum": True}, {"cipher": RING}])
@pytest.mark.parametrize("case", MALFORMED)
def test_a_header_has_one_form(case: str, options: dict[str, Any]) -> None:
    """What is unknown, cut, out of order, not in its one form or not as declared is refused."""
    keyspace = Keyspace("k", bytes, ttl=5, **options)
    with pytest.raises(DecodeError) as caught:
        keyspace.unpack("k/a", MALFORMED[case], now=0.0)
    assert not isinstance(caught.value, Expired)
    if "cipher" in options:
        assert isinstance(caught.value, NotEncrypted | Tampered | UnknownKey)


def test_the_table_of_bad_headers_is_near_a_good_one() -> None:
    """The header that the table spoils is itself read."""
    good = envelope(WRITTEN, EXPIRES)
    assert Keyspace("k", bytes, ttl=5).unpack("k/a", good, now=0.0) == b"payload"


@given(junk=st.binary(max_size=60), head=st.sampled_from([b"", b"\xc1\x01", b"\xc1\x01\x00"]))
def test_any_bytes_are_an_envelope_or_malformed(junk: bytes, head: bytes) -> None:
    """Taking junk apart raises one error, and what is taken apart was in its one form."""
    stored = head + junk
    with suppress(MalformedEnvelope):
        header, fields, checksum, payload = open_envelope(stored)
        assert header.encode() == fields
        tail = b"\x07" + checksum if checksum else b""
        assert stored == bytes((0xC1, 1, len(fields + tail))) + fields + tail + payload


@given(one=st.lists(st.binary(max_size=3)), other=st.lists(st.binary(max_size=3)))
def test_no_two_places_have_the_same_length_prefixed(one: list[bytes], other: list[bytes]) -> None:
    """("ab", "c") and ("a", "bc") never meet."""
    assert (length_prefixed(*one) == length_prefixed(*other)) == (one == other)


# ----------------------------------------------------------------------------- what a store does


def test_a_foreign_lifetime_is_no_lifetime() -> None:
    """A value that expired under another declaration is unreadable here, not missing."""
    kv: dict[str, bytes] = {}
    Store(Keyspace("k", bytes, ttl=5, checksum=True), kv, clock=lambda: 0.0).set("a", b"x")
    store = Store(Keyspace("k", bytes, checksum=True), kv, clock=lambda: 100.0)
    before = dict(kv)
    with pytest.raises(DecodeError):
        store.get("a")
    assert store.exists("a")
    assert not store.add("a", b"y")
    assert kv == before


@pytest.mark.parametrize("options", [{"checksum": True}, {"cipher": RING}])
def test_a_damaged_expiry_is_no_expiry(options: dict[str, Any]) -> None:
    """A header that says "expired" is believed only where the value would open otherwise."""
    kv: dict[str, bytes] = {}
    keyspace: Keyspace[bytes, str] = Keyspace("k", bytes, key=str, ttl=5, **options)
    store = Store(keyspace, kv, clock=lambda: 1e9)
    store.set("a", b"x")
    damaged = bytearray(kv["k/a"])
    damaged[13:17] = bytes(4)
    kv["k/a"] = bytes(damaged)
    with pytest.raises(Tampered):
        store.get("a")
    with pytest.raises(Tampered):
        store.update("a", lambda value: value, default=b"")
    assert store.exists("a")
    assert not store.add("a", b"y")
    assert list(store.keys()) == ["a"]
    assert kv == {"k/a": bytes(damaged)}


def test_the_checksum_is_the_one_of_zlib() -> None:
    """CRC-32 of the place and the payload, at the end of the header."""
    keyspace = Keyspace("k", bytes, checksum=True)
    raw_key, stored = keyspace.pack("a", b"payload", now=0.0)
    place = reference.place("value", "k", "raw", b"", raw_key)
    assert stored == b"\xc1\x01\x05\x08" + zlib.crc32(place + b"payload").to_bytes(4) + b"payload"


@pytest.mark.parametrize("case", MALFORMED)
def test_plain_values_are_no_envelopes(case: str) -> None:
    """What only looks like an envelope is a value of plain bytes; a whole one is refused."""
    keyspace, data = Keyspace("k", bytes), MALFORMED[case]
    try:
        open_envelope(data)
    except MalformedEnvelope:
        assert keyspace.unpack(*keyspace.pack("a", data, now=0.0), now=0.0) == data
        return
    with pytest.raises(DecodeError):
        keyspace.unpack("k/a", data, now=0.0)
    with pytest.raises(EncodeError):
        keyspace.pack("a", data, now=0.0)


def test_checksum_beside_a_cipher_is_refused() -> None:
    """A sealed value is authenticated already: the declaration says so."""
    with pytest.raises(KVCodecError):
        Keyspace("k", bytes, checksum=True, cipher=RING)


@pytest.mark.parametrize(
    "fields",
    [b"\1" + bytes(4), b"\2" + b"\xff" * 8, b"\2" + bytes(8) + b"\3\2" + bytes(7)],
    ids=["version 0", "a time of writing that is none", "an end that is none"],
)
def test_a_header_that_nobody_writes_is_malformed(fields: bytes) -> None:
    """Version 0 came out of ``get`` as a KeyError, as a missing key does; the times overflowed."""
    data = envelope_start(fields) + b"x"
    with pytest.raises(MalformedEnvelope):
        open_envelope(data)
