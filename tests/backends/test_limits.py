"""Limits are checked before any I/O, and the error names the limit."""

from __future__ import annotations

import string

import pytest

from kvcodec import Files, KeyNameError, Keyspace, LimitExceeded, Limits, MemoryKV
from kvcodec.backends.limits import check_key, check_value

UPLOADS = Keyspace("limited uploads", bytes)


@pytest.mark.parametrize(
    ("key", "limits", "found", "limit"),
    [
        ("k" * 11, Limits(key_bytes=10), 11, 10),
        ("\u00e9" * 6, Limits(key_bytes=10), 12, 10),
        ("a/" + "k" * 11 + "/b", Limits(key_bytes=100, part_bytes=10), 11, 10),
        ("\u00e9" * 6, Limits(part_bytes=10), 12, 10),
    ],
)
def test_what_is_too_long_is_refused(key: str, limits: Limits, found: int, limit: int) -> None:
    """In bytes of UTF-8, of the key and of each of its parts; what has just room is taken."""
    with pytest.raises(LimitExceeded, match=f"{found} bytes, this backend takes {limit}") as caught:
        check_key(key, limits)
    assert (caught.value.found, caught.value.limit, caught.value.stage) == (found, limit, "store")
    check_key("k" * 10, limits)
    check_key("/".join(["k" * 4] * 2), limits)


def test_a_character_that_is_not_taken_is_named() -> None:
    """At the beginning, in the middle, at the end; and a lone surrogate always."""
    limits = Limits(alphabet=string.ascii_letters + "/=")
    check_key("abc/d=", limits)
    for key in ("!ab", "a!b", "ab!", "!"):
        with pytest.raises(KeyNameError, match=r"no '!' in a key") as caught:
            check_key(key, limits)
        assert caught.value.stage == "name"
    with pytest.raises(KeyNameError, match="ud800"):
        check_key("a\ud800", Limits())


def test_a_value_that_is_too_large_is_refused() -> None:
    """The error has both numbers and no value."""
    check_value("k", 10, Limits(value_bytes=10))
    check_value("k", 10**12, Limits())
    with pytest.raises(LimitExceeded, match="value has 11 bytes") as caught:
        check_value("k", 11, Limits(value_bytes=10))
    assert (caught.value.found, caught.value.limit, caught.value.raw_key) == (11, 10, "k")


def test_a_file_whose_chunks_have_too_long_parts_is_refused_at_once() -> None:
    """The names of chunks are longer than the file's own; nothing is written before."""

    class Parts(MemoryKV):
        limits = Limits(part_bytes=100)

    kv = Parts()
    files = Files(UPLOADS, kv)
    with pytest.raises(LimitExceeded, match=r"last parts .* takes 100"):
        files.put("k" * 90, b"x")
    assert list(kv.scan_keys("")) == []
    files.put("k" * 20, b"x")
