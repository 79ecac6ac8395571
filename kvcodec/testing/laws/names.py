"""The laws of names: raw keys lead back to their keys, are clean, and are nobody else's."""

from __future__ import annotations

from typing import Any, Final
from unicodedata import category

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from kvcodec.errors import KeyNameError
from kvcodec.keys.paths import PathKeys
from kvcodec.testing.expect import expect
from kvcodec.testing.laws.base import Laws
from kvcodec.testing.strategies.keys import AWKWARD

__all__ = ["NameLaws"]

_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""RFC 3986, section 2.3, "unreserved"."""


class NameLaws(Laws):
    """Injective, and what stands in a name."""

    def test_names(self) -> None:
        """Raw keys lead back to their keys, differ, are never paths of one another, and clean."""

        def names(key: Any, other: Any) -> None:
            self._expect_name(key)
            self._expect_name(other)
            self._expect_apart(key, other)

        self._run(names, key=self._keys, other=self._keys)

    def test_awkward_names(self) -> None:
        """What file systems, URLs and patterns stumble over has a clean name, alone and inside."""
        if not self._has_text_keys:
            pytest.skip("for text keys of the default scheme")
        for text in AWKWARD:
            self._expect_name(text)
            self._expect_name(f"a{text}b")

    def test_safe_names_stay_as_they_are(self) -> None:
        """A key of letters, digits and ``-._~`` stands in the raw key as it is."""
        if not self._has_text_keys:
            pytest.skip("for text keys of the default scheme")

        def safe(key: str) -> None:
            assume(".." not in key and key.strip("."))
            raw_key = self.keyspace.raw_key(key)
            expect(raw_key == self.keyspace.prefix + key, f"{key!r} stands as {raw_key!r}")

        self._run(safe, key=st.text(sorted(_SAFE), min_size=1))

    def test_other_names_are_nobodys(self) -> None:
        """A text that is no raw key is refused; one that is, is the raw key of what it gives."""
        if self.keyspace.declaration.names.stored is not None:
            pytest.skip("names that do not tell their keys")

        def nobodys(text: str) -> None:
            try:
                key = self.keyspace.key(text)
            except KeyNameError:
                return
            expect(self.keyspace.raw_key(key) == text, f"{text!r} is taken for {key!r}")

        tails = st.text() | st.sampled_from(["", "%", "%2", "%2f", "+1", "01", "a//b", "..", "A!1"])
        self._run(nobodys, text=tails | tails.map(lambda tail: self.keyspace.prefix + tail))

    @property
    def _has_text_keys(self) -> bool:
        return self.keyspace.key_type is str and isinstance(
            self.keyspace.declaration.names.scheme, PathKeys
        )

    def _expect_name(self, key: Any) -> None:
        raw_key = self.keyspace.raw_key(key)
        back = self._key(key)
        expect(type(back) is type(key), f"{raw_key!r} leads to {back!r}")
        expect(back == key, f"{raw_key!r} leads to {back!r}")
        expect(raw_key.startswith(self.keyspace.prefix), f"{raw_key!r} lacks the prefix")
        _expect_clean(raw_key)

    def _key(self, key: Any) -> Any:
        """A key as it is read from its name: the raw key, or the whole name beside a hash."""
        keyspace = self.keyspace
        stored = keyspace.declaration.names.stored
        if stored is None:
            return keyspace.key(keyspace.raw_key(key))
        return stored.key(stored.name(key))

    def _expect_apart(self, key: Any, other: Any) -> None:
        if key == other:
            return
        one, two = sorted([self.keyspace.raw_key(key), self.keyspace.raw_key(other)], key=len)
        expect(one != two, f"two keys share the raw key {one!r}")
        expect(not two.startswith(f"{one}/"), f"{one!r} is a path of {two!r}")


def _expect_clean(raw_key: str) -> None:
    control = any(category(char) == "Cc" for char in raw_key)
    expect(not control, f"{raw_key!r} holds a control character")
    raw_key.encode()
    parts = raw_key.split("/")
    expect(not {"", ".", ".."} & set(parts), f"{raw_key!r} is cleaned as a path")
    expect(".." not in raw_key, f"{raw_key!r} holds two dots")
    expect("\\" not in raw_key, f"{raw_key!r} holds a backslash")
