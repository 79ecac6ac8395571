"""Files: chunks reordered, exchanged, of an old generation, missing; manifests and traces."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from kvcodec import DecodeError, Files, Keyspace, Tampered
from tests.attacks.support import Store_, dump, put, restore

CHUNK = 100
LONG = bytes(range(250)) * 2


def _files(kv: Store_, cipher: Any) -> Files[str]:
    return Files(Keyspace("files", bytes, cipher=cipher), kv, chunk_bytes=CHUNK)


def test_nothing_of_a_file_changes_places(kv: Store_, cipher: Any) -> None:
    """Chunks and manifests of two files, each put in the place of each other one."""
    files = _files(kv, cipher)
    for key in ("a", "b"):
        files.put(key, LONG + key.encode())
    state = dump(kv)
    assert len(state) > 12
    for source, target in permutations(state, 2):
        put(kv, target, state[source])
        key = target.removeprefix("files/")[0]
        with pytest.raises(Tampered):
            files.get(key)
        put(kv, target, state[target])


def test_a_missing_chunk_is_said(kv: Store_, cipher: Any) -> None:
    """And a manifest that is missing is a file that is missing."""
    files = _files(kv, cipher)
    files.put("a", LONG)
    state = dump(kv)
    for name in state:
        put(kv, name, None)
        if "!g" in name:
            with pytest.raises(DecodeError):
                files.get("a")
        restore(kv, state)
    put(kv, "files/a", None)
    assert files.get("a") is None


def test_chunks_of_an_old_generation_are_refused(kv: Store_, cipher: Any) -> None:
    """At today's names, of the very same content."""
    files = _files(kv, cipher)
    files.put("a", LONG)
    old = [data for name, data in dump(kv).items() if "!g" in name]
    files.put("a", LONG)
    new = [name for name in dump(kv) if "!g" in name]
    assert len(old) == len(new)
    for name, data in zip(new, old, strict=True):
        kept = dump(kv)[name]
        put(kv, name, data)
        with pytest.raises(Tampered):
            files.get("a")
        put(kv, name, kept)
    assert files.get("a") == LONG


def test_a_whole_old_file_is_the_old_file(kv: Store_, cipher: Any) -> None:
    """What no bytes can prevent: all of it put back is what was stored once. No mixture is."""
    files = _files(kv, cipher)
    files.put("a", b"old" * 100)
    old = dump(kv)
    files.put("a", b"new" * 100)
    new = dump(kv)
    restore(kv, old)
    assert files.get("a") == b"old" * 100
    restore(kv, new | {"files/a": old["files/a"]})
    with pytest.raises(DecodeError):
        files.get("a")
