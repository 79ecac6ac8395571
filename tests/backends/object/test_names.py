"""Names of objects: reversible, and none that a store refuses or takes for another one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore

from kvcodec import KeyNameError, LimitExceeded
from kvcodec.backends.object import ObjectKV
from kvcodec.backends.object_names import folder_of, key_of, name_of
from tests.servers.seaweed import SeaweedServer

KEYS = st.text(st.sampled_from("/.=x2E3D#1\\%a\n\0\x7f\ufffeé ")) | st.text(
    st.characters(exclude_categories=["Cs"])
)

REFUSED = re.compile(r"[\x00-\x1f\x7f\\\ufffe\uffff]|(?:^|/)\.*(?:/|$)|\.(?:/|$)|#[0-9]+(?:/|$)")

ODD = [
    *("", "/", "//", "/a", "b/", "c//d", "c/./d", "c/../d", ".", "..", "...", "e.", "e./f"),
    *("x\\y", "n\n", "t\tx", "z\0", "d\x7f", "\ufffe", "\uffff", "g#1", "h#1/i", "j#", "#1"),
    *("=", "=x", "=x2E", "=x3D", "k=x41", "l=m", "=xEF", "o%2Fp", "o%252Fp", "q%", "é", "e\u0301"),
    *("r s", "+", "u?v", "w&y", "~", "*", "'", '"', "<t>", "|", ":", "\u2028", "\U0001f600"),
]
"""None a folder of another one, if each has a folder of its own."""


@given(KEYS)
def test_a_name_is_its_keys_alone(key: str) -> None:
    """What a key is written as gives the key again, and needs no second change."""
    name = name_of(key)
    assert key_of(name) == key
    assert REFUSED.search(name) is None


@given(KEYS)
def test_a_name_that_is_nobodys(name: str) -> None:
    """Whatever others have written: it is the name of the key that is listed, or not listed."""
    key = key_of(name)
    assert key is None or name_of(key) == name


@given(st.from_regex(r"[A-Za-z0-9~_:!%-]+(\.[a-z0-9]+)?(/[A-Za-z0-9~_:!%-]+)*", fullmatch=True))
def test_names_that_kvcodec_makes_stay(key: str) -> None:
    """They are found by whoever looks into the bucket."""
    assert name_of(key) == key


@given(KEYS, st.integers(0, 20))
def test_a_prefix_is_looked_for_in_its_folder(key: str, length: int) -> None:
    """The folder of any beginning of a key has the key's object."""
    folder = folder_of(key[:length])
    assert folder is None or name_of(key).startswith(f"{folder}/")


def each_own(kv: Any, *, folders: bool) -> None:
    """Expect that each odd key is stored, read, listed and deleted as itself."""
    keys = [f"{number}/{key}" if folders else key for number, key in enumerate(ODD)]
    kv.set_many({key: key.encode() for key in keys})
    assert kv.get_many(keys) == {key: key.encode() for key in keys}
    assert sorted(kv.scan_keys("")) == sorted(keys)
    for key in keys:
        assert kv.exists(key)
        assert key in [*kv.scan_keys(key)]
        kv.delete(key)
        assert kv.get(key) is None
    assert [*kv.scan_keys("")] == []


def test_odd_names_in_memory() -> None:
    """As they come."""
    each_own(ObjectKV(MemoryStore()), folders=False)


def test_odd_names_among_files(tmp_path: Path) -> None:
    """Each in a folder of its own."""
    each_own(ObjectKV(LocalStore(tmp_path)), folders=True)


def test_odd_names_on_s3(seaweed: SeaweedServer, new_folder: Callable[[], str]) -> None:
    """Likewise."""
    each_own(ObjectKV(seaweed.store(new_folder())), folders=True)


def test_a_file_and_a_folder_of_one_name(tmp_path: Path) -> None:
    """Are refused, and reading finds nothing. A claim says neither yes nor no."""
    kv = ObjectKV(LocalStore(tmp_path))
    kv.set("a", b"1")
    kv.set("d/e", b"1")
    assert (kv.get("a/b"), kv.get("d"), kv.exists("a/b"), kv.exists("d")) == (
        None,
        None,
        False,
        False,
    )
    for key in ("a/b", "d"):
        with pytest.raises(KeyNameError, match="among files"):
            kv.set(key, b"2")
        with pytest.raises(KeyNameError, match="among files"):
            kv.set_if_absent(key, b"2", None)
    kv.delete("d")
    kv.delete("a/b")
    kv.delete_many(["d", "a/b", "gone", "a"])
    assert [*kv.scan_keys("")] == ["d/e"]


def test_limits_go_by_the_name(tmp_path: Path) -> None:
    """A key that is short enough is too long if more of it is written."""
    kv = ObjectKV(LocalStore(tmp_path))
    kv.set("n" * 250, b"1")
    for key in ("n" * 251, "\\" * 63):
        with pytest.raises(LimitExceeded):
            kv.set(key, b"1")
    with pytest.raises(KeyNameError):
        kv.get("\ud800")
