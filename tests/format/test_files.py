"""The bytes of manifests and traces: one table, read in both directions."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec.errors import DecodeError, Tampered
from kvcodec.format.files import (
    MOST_CHUNKS,
    Manifest,
    parse_manifest,
    parse_trace,
    spell_manifest,
    spell_trace,
)

DIGEST = hashlib.sha256(b"abc").digest()

MANIFESTS = [
    (
        Manifest(3, DIGEST, 1500, None, b"abc", None, 0),
        b"\xfa\1\x97\x03\xc4\x20" + DIGEST + b"\xcd\x05\xdc\xc0\xc4\x03abc\xc0\0",
    ),
    (
        Manifest(3, DIGEST, 1500, "a/b", b"", "0123456789abcdef", 2),
        b"\xfa\1\x97\x03\xc4\x20" + DIGEST + b"\xcd\x05\xdc\xa3a/b\xc4\0"
        + b"\xb00123456789abcdef\x02",
    ),
]  # fmt: skip

TRACES: list[tuple[dict[str, int | None], bytes]] = [
    ({}, b"\xfa\2\x91\x80"),
    (
        {"f" * 16: 7, "0" * 16: None},
        b"\xfa\2\x91\x82\xb0" + b"0" * 16 + b"\xc0\xb0" + b"f" * 16 + b"\x07",
    ),
]


@pytest.mark.parametrize(("manifest", "data"), MANIFESTS)
def test_manifests(manifest: Manifest, data: bytes) -> None:
    """Both ways."""
    assert spell_manifest(manifest) == data
    assert parse_manifest(data) == manifest


@pytest.mark.parametrize(("lots", "data"), TRACES)
def test_traces(lots: dict[str, int | None], data: bytes) -> None:
    """Both ways; generations in their order, whatever order they came in."""
    assert spell_trace(lots) == data
    assert parse_trace(data) == lots


def test_what_a_manifest_names() -> None:
    """Its chunks as a trace has them; none where the content is in it."""
    inline, chunked = (manifest for manifest, _ in MANIFESTS)
    assert (inline.chunks, inline.count, inline.step) == ({}, 1, 3)
    assert (chunked.chunks, chunked.step) == ({"0123456789abcdef": 2}, 2)


def test_a_count_that_no_file_has() -> None:
    """Its reader would ask for them one by one."""
    most = MANIFESTS[1][0]
    for size, is_there in ((2 * MOST_CHUNKS, True), (2 * MOST_CHUNKS + 1, False)):
        data = spell_manifest(msgspec.structs.replace(most, size=size))
        if is_there:
            assert parse_manifest(data).count == MOST_CHUNKS
        else:
            with pytest.raises(Tampered):
                parse_manifest(data)


DEEP = b"\x91" * 100_000


@pytest.mark.parametrize("parse", [parse_manifest, parse_trace])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x", id="text"),
        pytest.param(b"\xc1", id="no MessagePack"),
        pytest.param(b"\x81\xa1a\xa2\xff\xff", id="no UTF-8"),
        pytest.param(DEEP, id="deep"),
        pytest.param(b"\x81\xa1a" + DEEP, id="deep inside"),
        pytest.param(b"\x81\xa4size" + DEEP, id="deep field"),
    ],
)
def test_what_is_neither(parse: Any, data: bytes) -> None:
    """A DecodeError for anything else, however deep it nests: nothing unknown is walked through."""
    with pytest.raises(DecodeError):
        parse(data)


@pytest.mark.parametrize(("manifest", "data"), MANIFESTS)
def test_damage_is_not_taken_for_another_programs_value(manifest: Manifest, data: bytes) -> None:
    """What was cut off, at any byte, says so; and so does nothing at all."""
    assert parse_manifest(data) == manifest
    for size in range(len(data)):
        with pytest.raises(DecodeError, match="a damaged manifest"):
            parse_manifest(data[:size])
    with pytest.raises(DecodeError, match="another program's"):
        parse_manifest(b'{"size": 1}')


def test_other_fields_are_refused() -> None:
    """An array with one field more is no manifest, and another kind's array neither."""
    fields = [*msgspec.structs.astuple(MANIFESTS[0][0]), 1]
    for data in (b"\xfa\1" + msgspec.msgpack.encode(fields), b"\xfa\2" + MANIFESTS[0][1][2:]):
        with pytest.raises(DecodeError):
            parse_manifest(data)


@given(st.binary(max_size=200))
def test_junk(data: bytes) -> None:
    """Is one of these, or raises a DecodeError."""
    for parse in (parse_manifest, parse_trace):
        try:
            parse(data)
        except DecodeError:
            continue
