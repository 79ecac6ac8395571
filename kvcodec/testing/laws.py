"""The laws of a keyspace, checked with whatever values, keys and bytes Hypothesis thinks of.

    check_keyspace(PREFERENCES)

or, one test per law, as a class that pytest collects:

    class TestPreferences(KeyspaceLaws):
        keyspace = PREFERENCES

A failing example is the smallest that Hypothesis finds: a key, a value, the bytes or the place
where they were changed. Nothing is read from or written to a KV of yours; laws that need one use
a KV in memory.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final, cast

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Struct, structs

from kvcodec.backends.memory import MemoryKV
from kvcodec.codecs.parts import field_names
from kvcodec.codecs.same import same
from kvcodec.errors import (
    DecodeError,
    EncodeError,
    KeyNameError,
    KVCodecError,
    TooDeep,
    TooLarge,
    Unavailable,
)
from kvcodec.format.envelope import MalformedEnvelope, open_envelope
from kvcodec.keys.paths import PathKeys
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.keyspace import _pipeline as pipeline_of
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.stores.store import Store
from kvcodec.testing.conformance import _expect
from kvcodec.testing.faulty import ErrorAfter, ErrorBefore, FaultyKV, ManualClock
from kvcodec.testing.strategies import keys, values

__all__ = ["Golden", "KeyspaceLaws", "check_keyspace"]

_NOW: Final = 1_700_000_000.0
"""Seconds since the epoch at which everything happens that does not let time pass."""

_EXHAUSTIVE: Final = 1500
"""Bits of a stored value that are flipped one by one; of a longer value, those at its ends."""

_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""RFC 3986, section 2.3, "unreserved"."""


class Golden(Struct, frozen=True):
    """Bytes that were stored once, by a release or by other code, and are to be read for ever."""

    raw_key: str
    data: bytes
    value: Any
    """What they stand for today."""
    now: float = _NOW
    """Seconds since the epoch at which they are read."""


def check_keyspace(
    keyspace: Keyspace[Any, Any],
    *,
    values: SearchStrategy[Any] | None = None,
    keys: SearchStrategy[Any] | None = None,
    golden: Iterable[Golden] = (),
    examples: int = 50,
) -> None:
    """Check every law for ``keyspace``; raise AssertionError with a small example if one fails.

    ``values`` and ``keys``: strategies in place of those made from the declared types.
    ``golden``: stored bytes that have to be read as they were. ``examples``: per law.

    What a law finds is raised as it is (an AssertionError, or an error that should not be); a
    note on it names the law. Raises ConfigError for a type whose values cannot be drawn.
    """
    laws = KeyspaceLaws()
    laws.keyspace, laws.values, laws.keys = keyspace, values, keys
    laws.golden, laws.examples = tuple(golden), examples
    for name in vars(KeyspaceLaws):  # in the order in which they are written: the plainest first
        if name.startswith("test_"):
            try:
                getattr(laws, name)()
            except pytest.skip.Exception:  # a law about something that is not declared
                continue
            except BaseException as error:
                error.add_note(f"{keyspace!r} breaks the law {name.removeprefix('test_')!r}")
                raise


class KeyspaceLaws:
    """The laws of one keyspace, as tests. Subclass it under a name that pytest collects.

        class TestPreferences(KeyspaceLaws):
            keyspace = PREFERENCES

    ``values`` and ``keys`` are strategies, if those made from the declared types are not wanted:
    for a user's own codec or key scheme, or for types with rules of their own. Laws about what is
    not declared (a lifetime, a cipher) are skipped.
    """

    keyspace: Any
    values: SearchStrategy[Any] | None = None
    keys: SearchStrategy[Any] | None = None
    golden: Sequence[Golden] = ()
    examples: int = 50
    """Examples per law."""

    # ------------------------------------------------------------------------------ values

    def test_inverse(self) -> None:
        """What is packed is unpacked equal and of the same type; nothing drawn is refused."""

        def inverse(key: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            self._expect_same(self._unpack(raw_key, data), value, "unpack(pack(value))")

        self._run(inverse, key=self._keys, value=self._values)

    def test_deterministic(self) -> None:
        """Equal values pack to equal bytes, however their sets and dicts were filled."""
        if self._form.cipher is not None or self._codec.secrets is not None:
            pytest.skip("sealed: no two tokens are alike")

        def deterministic(key: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            again = self._pack(key, _refilled(value))[1]
            reread = self._pack(key, self._unpack(raw_key, data))[1]
            _expect(again == data, "an equal value packs to other bytes")
            _expect(reread == data, "the value as it was read packs to other bytes")

        self._run(deterministic, key=self._keys, value=self._values)

    def test_refused_values_change_nothing(self) -> None:
        """A value that would not come back equal is refused by ``set``, what is stored stays."""

        def refused(key: Any, value: Any, which: int) -> None:
            spoiled = [*itertools.islice(_spoiled(value, wrong=self._form.validate), 64)]
            bad = spoiled[which % len(spoiled)]
            kv = MemoryKV()
            store = self._store(kv)
            store.set(key, value)
            before = kv.get(store.keyspace.raw_key(key))
            try:
                store.set(key, bad)
            except EncodeError:
                _expect(kv.get(store.keyspace.raw_key(key)) == before, "a refused set was stored")
            else:
                self._expect_same(store.get(key), bad, "a value that set accepted")

        self._run(refused, key=self._keys, value=self._values, which=_POSITION)

    # ------------------------------------------------------------------------------- names

    def test_names(self) -> None:
        """Raw keys lead back to their keys, differ, are never paths of one another, and clean."""

        def names(key: Any, other: Any) -> None:
            raw_key = self.keyspace.raw_key(key)
            back = self._key(key)
            _expect(type(back) is type(key), f"{raw_key!r} leads to {back!r}")
            _expect(back == key, f"{raw_key!r} leads to {back!r}")
            _expect(raw_key.startswith(self.keyspace.prefix), f"{raw_key!r} lacks the prefix")
            _expect_clean(raw_key)
            self._expect_apart(key, other)

        self._run(names, key=self._keys, other=self._keys)

    def test_safe_names_stay_as_they_are(self) -> None:
        """A key of letters, digits and ``-._~`` stands in the raw key as it is."""
        if self.keyspace.key_type is not str or not isinstance(self.keyspace._scheme, PathKeys):
            pytest.skip("for text keys of the default scheme")

        def safe(key: str) -> None:
            assume(".." not in key and key.strip("."))
            _expect(
                self.keyspace.raw_key(key) == self.keyspace.prefix + key,
                "self.keyspace.raw_key(key) == self.keyspace.prefix + key",
            )

        self._run(safe, key=st.text(sorted(_SAFE), min_size=1))

    def test_other_names_are_nobodys(self) -> None:
        """A text that is no raw key is refused; one that is, is the raw key of what it gives."""
        if self.keyspace._naming is not None:
            pytest.skip("names that do not tell their keys")

        def nobodys(text: str) -> None:
            try:
                key = self.keyspace.key(text)
            except KeyNameError:
                return
            _expect(self.keyspace.raw_key(key) == text, f"{text!r} is taken for {key!r}")

        tails = st.text() | st.sampled_from(["", "%", "%2", "%2f", "+1", "01", "a//b", "..", "A!1"])
        self._run(nobodys, text=tails | tails.map(lambda tail: self.keyspace.prefix + tail))

    # ------------------------------------------------------------------------ damaged bytes

    def test_junk(self) -> None:
        """Any bytes are refused with a DecodeError, or are a value that ``set`` accepts."""

        def junk(key: Any, data: bytes) -> None:
            self._expect_refused_or_valid(key, data)

        self._run(junk, key=self._keys, data=st.binary() | st.sampled_from(_JUNK))

    def test_plaintext_is_refused(self) -> None:
        """Where values are sealed or have an envelope, the bare encoding is refused."""
        if not self._form.is_enveloped_always or self.keyspace.previous:
            pytest.skip("the bare encoding is a declared form")

        def plaintext(key: Any, value: Any) -> None:
            raw_key, _ = self._pack(key, value)
            encoded = self._pipeline.encode(value)
            self._expect_refused(raw_key, encoded, "the bare encoding")

        self._run(plaintext, key=self._keys, value=self._values)

    def test_bit_flips(self) -> None:
        """A flipped bit is refused where values are sealed or have a checksum.

        Elsewhere it is refused, or gives another value of the type; nothing else is raised.
        """

        def flipped(key: Any, value: Any, bit: int) -> None:
            raw_key, data = self._pack(key, value)
            assume(data)
            self._expect_damage(
                key, raw_key, _flipped(data, bit % (8 * len(data))), "a flipped bit"
            )

        self._run(flipped, key=self._keys, value=self._values, bit=_POSITION)

    def test_every_bit(self) -> None:
        """No single bit of a sealed or checksummed value can be flipped unseen."""
        if not self._guarded:
            pytest.skip("neither sealed nor with a checksum")

        def every_bit(key: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            bits = range(8 * len(data))
            for bit in (*bits[: _EXHAUSTIVE // 2], *bits[-_EXHAUSTIVE // 2 :]):
                self._expect_refused(raw_key, _flipped(data, bit), f"bit {bit} flipped")

        self._run(every_bit, examples=2, key=self._keys, value=self._values)

    def test_truncation(self) -> None:
        """A value cut short or with more behind it is refused, as in ``test_bit_flips``."""

        def truncated(key: Any, value: Any, end: int, tail: bytes) -> None:
            raw_key, data = self._pack(key, value)
            assume(data)
            self._expect_damage(key, raw_key, data[: end % len(data)], "a part of it")
            self._expect_damage(key, raw_key, data + tail, "more behind it")

        tails = st.binary(min_size=1, max_size=4)
        self._run(truncated, key=self._keys, value=self._values, end=_POSITION, tail=tails)

    def test_moved(self) -> None:
        """A sealed or checksummed value is refused under another key or keyspace."""
        if self._form.bare or not (self._guarded or self._codec.secrets):
            pytest.skip("not bound to their place")

        def moved(key: Any, other: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            if not self._guarded:  # secret fields: no two tokens of one are alike
                assume(self._pack(key, value)[1] != data)
            if key != other:
                self._expect_refused(self.keyspace.raw_key(other), data, "moved to another key")
            for pipeline in _siblings(self._pipeline):
                with pytest.raises(DecodeError):
                    pipeline.open(raw_key, data, _NOW)

        self._run(moved, key=self._keys, other=self._keys, value=self._values)

    def test_size_and_depth(self) -> None:
        """More bytes than ``max_bytes``, or deeper than ``max_depth``: refused, in bounded time."""

        def bounded(key: Any) -> None:
            raw_key = self.keyspace.raw_key(key)
            with pytest.raises(TooLarge):
                self._unpack(raw_key, bytes(self._form.max_bytes + 1))
            if self._codec.too_deep is None:
                return
            for depth in (self._form.max_depth + 1, self._form.max_depth + 1000, 100_000):
                self._expect_too_deep(key, depth)

        self._run(bounded, examples=1, key=self._keys)

    def test_errors_hold_no_value(self) -> None:
        """No error about a value, stored or refused, holds a part of it."""

        def silent(key: Any, value: Any, which: int) -> None:
            raw_key = self.keyspace.raw_key(key)
            spoiled = [*itertools.islice(_marked(value), 64)]
            bad = spoiled[which % len(spoiled)]
            try:
                data = self._wrapped(key, _marked_bytes(self._codec.name, which))
            except (KVCodecError, msgspec.MsgspecError):  # no encoding: its secrets are not found
                data = b""
            for attempt in (
                functools.partial(self._unpack, raw_key, data),
                functools.partial(self.keyspace.pack, key, bad, now=_NOW),
            ):
                try:
                    attempt()
                except KVCodecError as error:
                    _expect_silent(error)

        self._run(silent, key=self._keys, value=self._values, which=_POSITION)

    # ------------------------------------------------------------------------ through a store

    def test_three_outcomes(self) -> None:
        """Missing is the default, unreadable raises, unavailable raises: never another's part."""

        def outcomes(key: Any, value: Any) -> None:
            kv = MemoryKV()
            store = self._store(kv)
            raw_key = self.keyspace.raw_key(key)
            _expect(store.get(key) is None, "a missing value is None")
            _expect(store.get(key, _DEFAULT) is _DEFAULT, "a missing value is the default")
            store.set(key, value)
            self._expect_same(store.get(key, _DEFAULT), value, "what was set")
            self._expect_outage(kv, key)
            for data in self._unreadable(raw_key):
                kv.set(raw_key, data)
                _expect_unreadable(store, key)
                _expect(kv.get(raw_key) == data, "an unreadable value was written over")

        self._run(outcomes, key=self._keys, value=self._values)

    def test_update_loses_nothing(self) -> None:
        """``update`` takes into account what another writer stored while it was at work."""

        def update(key: Any, value: Any, newer: Any) -> None:
            kv = MemoryKV()
            met: list[Any] = []
            store, other = self._store(kv), self._store(kv)
            store.set(key, value)

            def change(current: Any) -> Any:
                met.append(current)
                if len(met) == 1:
                    other.set(key, newer)
                return current

            store.update(key, change)
            _expect(len(met) == 2, f"change was called {len(met)} times, not twice")
            self._expect_same(met[1], newer, "what the second call was given")

        self._run(update, key=self._keys, value=self._values, newer=self._values)

    def test_lifetime(self) -> None:
        """A value is there until its lifetime is over, and gone from then on, however written."""
        if self.keyspace.ttl is None:
            pytest.skip("no lifetime is declared")

        def lifetime(key: Any, value: Any, way: str, ttl: float | None, *, native: bool) -> None:
            clock = ManualClock()
            kv: Any = MemoryKV(clock=clock) if native else {}
            store = Store(self.keyspace, kv, clock=clock)
            assume(ttl is None or way not in ("update", "[]"))
            _WAYS[way](store, key, value, ttl)
            life = self.keyspace.ttl if ttl is None else ttl
            limit = math.inf if self._form.max_age is None else self._form.max_age
            clock.advance(min(life, limit) - _TICK)
            self._expect_same(store.get(key), value, "a value that is still alive")
            _expect(store.exists(key), "a value that is still alive exists")
            clock.advance(2 * _TICK)
            dropped = native and self._form.max_age is None  # a KV knows of ttls, not of ages
            gone = not dropped or kv.get(self.keyspace.raw_key(key)) is None
            _expect(gone, "the KV was not told the lifetime, and still holds the value")
            _expect(not store.exists(key), "a value exists after its lifetime")
            _expect(store.get(key, _DEFAULT) is _DEFAULT, "a value is read after its lifetime")

        self._run(
            lifetime,
            key=self._keys,
            value=self._values,
            way=st.sampled_from(sorted(_WAYS)),
            ttl=st.none() | st.sampled_from([1.0, 60.0, 86_400.0]),
            native=st.booleans(),
        )

    # ---------------------------------------------------------------------- older bytes

    def test_golden_bytes(self) -> None:
        """Bytes that were stored once are read as the value they stand for."""
        if not self.golden:
            pytest.skip("no golden bytes are given")
        for golden in self.golden:
            value = self.keyspace.unpack(golden.raw_key, golden.data, now=golden.now)
            self._expect_same(value, golden.value, f"golden bytes of {golden.raw_key!r}")

    def test_upgrades(self) -> None:
        """There are golden bytes of every older version, and today's code reads them."""
        if not self._form.upgrades:
            pytest.skip("there is no older version")
        older = set(self._form.upgrades) - {_version(golden.data) for golden in self.golden}
        if older:
            pytest.skip(f"no golden bytes of version {min(older)}: golden = [Golden(...), ...]")
        self.test_golden_bytes()

    # -------------------------------------------------------------------------------- tools

    @property
    def _pipeline(self) -> Pipeline[Any]:
        return cast("Keyspace[Any, Any]", self.keyspace)._pipeline

    @property
    def _form(self) -> Any:
        return self._pipeline.form

    @property
    def _codec(self) -> Any:
        return self._pipeline.codec

    @property
    def _guarded(self) -> bool:
        """Whether every change of a stored value has to be seen."""
        sealed = self._form.cipher is not None or self._form.checksum
        return sealed and not self.keyspace.previous

    @property
    def _values(self) -> SearchStrategy[Any]:
        if self.values is not None:
            return self.values
        encoding = "msgpack" if self._codec.name == "msgpack" else "json"
        return values(self.keyspace.value_type, encoding=encoding)

    @property
    def _keys(self) -> SearchStrategy[Any]:
        return keys(self.keyspace) if self.keys is None else self.keys

    def _run(self, law: Callable[..., None], *, examples: int | None = None, **drawn: Any) -> None:
        """Run a law on examples of ``drawn``: whose names are the law's parameters."""
        limit = self.examples if examples is None else min(examples, self.examples)
        run = settings(
            max_examples=limit,
            deadline=None,
            database=None,  # it goes by the law's code, which all keyspaces share
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        run(given(**drawn)(law))()

    def _store(self, kv: Any) -> Store[Any, Any]:
        return Store(self.keyspace, kv, clock=lambda: _NOW)

    def _pack(self, key: Any, value: Any) -> tuple[str, bytes]:
        try:
            packed: tuple[str, bytes] = self.keyspace.pack(key, value, now=_NOW)
        except (TooDeep, TooLarge):
            reject()  # what the declaration excludes, though its type does not
        return packed

    def _wrapped(self, key: Any, encoded: bytes) -> bytes:
        """An encoding in the declared envelope."""
        keyspace = self.keyspace
        name = keyspace._whole_name(key)
        return self._pipeline.wrap(keyspace.raw_key(key), encoded, _NOW, name=name)

    def _key(self, key: Any) -> Any:
        """A key as it is read from its name: the raw key, or the whole name beside a hash."""
        keyspace = self.keyspace
        if keyspace._naming is None:
            return keyspace.key(keyspace.raw_key(key))
        return keyspace._naming.key(keyspace._naming.name(key))

    def _unpack(self, raw_key: str, data: bytes) -> Any:
        return self.keyspace.unpack(raw_key, data, now=_NOW)

    def _expect_same(self, got: Any, wanted: Any, what: str) -> None:
        __tracebackhide__ = True
        _expect(type(got) is type(wanted), f"{what}: a {type(got).__name__} comes back")
        _expect(same(got, wanted), f"{what}: {got!r} comes back")

    def _expect_apart(self, key: Any, other: Any) -> None:
        if key == other:
            return
        one, two = sorted([self.keyspace.raw_key(key), self.keyspace.raw_key(other)], key=len)
        _expect(one != two, f"two keys share the raw key {one!r}")
        _expect(not two.startswith(f"{one}/"), f"{one!r} is a path of {two!r}")

    def _expect_refused(self, raw_key: str, data: bytes, what: str) -> None:
        try:
            self._unpack(raw_key, data)
        except DecodeError:
            return
        raise AssertionError(f"{what}: read as if nothing had happened")

    def _expect_refused_or_valid(self, key: Any, data: bytes) -> None:
        try:
            value = self._unpack(self.keyspace.raw_key(key), data)
        except DecodeError:
            return
        if self._codec.exact and self._form.is_plain:
            encoded = value.encode() if isinstance(value, str) else value
            _expect(encoded == data, f"{data!r} is read as {value!r}")
        self._expect_same(self._unpack(*self._pack(key, value)), value, "what was read")

    def _expect_damage(self, key: Any, raw_key: str, data: bytes, what: str) -> None:
        if self._guarded:
            self._expect_refused(raw_key, data, what)
        else:
            self._expect_refused_or_valid(key, data)

    def _expect_too_deep(self, key: Any, depth: int) -> None:
        opening, closing = (b"[", b"]") if self._codec.name == "json" else (b"\x91", b"")
        deep = opening * depth + (b"" if closing else b"\xc0") + closing * depth
        if self._codec.secrets is None:  # otherwise wrapping looks for secrets in it
            deep = self._wrapped(key, deep)
        # Data of a type that does not nest may be refused for its shape while it is still small.
        nests = self._codec.nests or depth > self._form.max_depth + 1
        with pytest.raises(TooDeep if nests and self._codec.secrets is None else DecodeError):
            self._unpack(self.keyspace.raw_key(key), deep)

    def _expect_outage(self, kv: Any, key: Any) -> None:
        with pytest.raises(Unavailable):
            self._store(FaultyKV(kv, [ErrorBefore()])).get(key, _DEFAULT)
        with pytest.raises(ConnectionResetError):
            self._store(FaultyKV(kv, [ErrorAfter()])).get(key, _DEFAULT)
        with pytest.raises(Unavailable):
            self._store(FaultyKV(kv, [ErrorBefore()])).exists(key)

    def _unreadable(self, raw_key: str) -> Iterator[bytes]:
        for data in _JUNK:
            try:
                self._unpack(raw_key, data)
            except DecodeError:
                yield data


# ------------------------------------------------------------------------------------ the pieces

_POSITION: Final = st.integers(0, 2**16)
_DEFAULT: Final = object()
_TICK: Final = 0.002
"""Seconds: headers count milliseconds, and binary fractions round."""

_MARK: Final = "CANARY-7f3a"

_JUNK: Final = (
    b"",
    b"\x00",
    b"\xc1",
    b"\xc1\x01\x00",
    b"\xc1\x01\x00null",
    b"\xff\xfe",
    b"null",
    b"NaN",
    b"1e999",
    b'"\\ud800"',
    b'{"":[{}]}',
    b'{"a":1,"a":2}',
    b"[1,",
    b"1" * 400,
    b"\xef\xbb\xbf{}",
    b"\x80",
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\x7f\xff\xff\xff",
)
"""Bytes that are nearly something."""


def _set(store: Store[Any, Any], key: Any, value: Any, ttl: float | None) -> None:
    store.set(key, value, ttl=ttl)


def _set_item(store: Store[Any, Any], key: Any, value: Any, _ttl: float | None) -> None:
    store[key] = value


def _add(store: Store[Any, Any], key: Any, value: Any, ttl: float | None) -> None:
    _expect(store.add(key, value, ttl=ttl) is True, "add to nothing says that something was there")
    _expect(store.add(key, value, ttl=ttl) is False, "add says that it stored over a value")


def _set_many(store: Store[Any, Any], key: Any, value: Any, ttl: float | None) -> None:
    store.set_many([(key, value)], ttl=ttl)


def _update(store: Store[Any, Any], key: Any, value: Any, _ttl: float | None) -> None:
    store.update(key, lambda _: value, default=value)


_WAYS: Final[Mapping[str, Callable[[Store[Any, Any], Any, Any, float | None], None]]] = {
    "set": _set,
    "[]": _set_item,
    "add": _add,
    "set_many": _set_many,
    "update": _update,
}
"""Ways to write a value."""


def _expect_clean(raw_key: str) -> None:
    _expect(raw_key.isprintable(), f"{raw_key!r} holds a control character")
    raw_key.encode()
    parts = raw_key.split("/")
    _expect(not {"", ".", ".."} & set(parts), f"{raw_key!r} is cleaned as a path")
    _expect(".." not in raw_key, f"{raw_key!r} holds two dots")
    _expect("\\" not in raw_key, f"{raw_key!r} holds a backslash")


def _expect_unreadable(store: Store[Any, Any], key: Any) -> None:
    attempts: tuple[Callable[[], object], ...] = (
        lambda: store.get(key, _DEFAULT),
        lambda: store.pop(key, _DEFAULT),
        lambda: store.update(key, lambda value: value, default=_DEFAULT),
        lambda: store.get_many([key]),
    )
    for attempt in attempts:
        with pytest.raises(DecodeError):
            attempt()


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def _siblings(pipeline: Pipeline[Any]) -> Iterator[Pipeline[Any]]:
    """Declarations that differ in the keyspace's name alone, or in where it ends."""
    name, codec = pipeline.form.keyspace, pipeline.codec
    cipher = pipeline.cipher
    form = structs.replace(pipeline.form, cipher=cipher)
    yield pipeline_of(codec, structs.replace(form, keyspace=f"{name}-2"))
    if len(name) > 1:
        # Joined without their lengths, ("notes", "json") and ("note", "sjson") would be the same.
        shorter = structs.replace(form, keyspace=name[:-1])
        yield pipeline_of(structs.replace(codec, name=name[-1] + codec.name), shorter)


def _version(data: bytes) -> int:
    try:
        return open_envelope(data)[0].version
    except MalformedEnvelope:
        return 1


# ---------------------------------------------------------------------------- changed values


def _refilled(value: Any) -> Any:
    """An equal value whose sets and dicts were filled in another order, and had more in them."""
    if isinstance(value, dict):
        return _refilled_dict(cast("Any", value))
    if isinstance(value, set | frozenset):
        return _refilled_set(cast("Any", value))
    if isinstance(value, list):
        return [*map(_refilled, cast("Any", value))]
    names = _replaceable(value)
    return value if not names else _with(value, {n: _refilled(getattr(value, n)) for n in names})


def _refilled_dict(items: dict[Any, Any]) -> dict[Any, Any]:
    return {key: _refilled(items[key]) for key in reversed([*items])}


def _refilled_set(items: Any) -> Any:
    others = {*range(-1000, -1)} - items
    refilled = others | {*reversed([*items])}  # a roomy table, in another order
    refilled -= others
    return refilled if isinstance(items, set) else frozenset(refilled)


_UNSEEN: Final[tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...]] = (
    (bool, lambda _: ()),
    (int, lambda _: (2**64, -(2**63) - 1)),
    (float, lambda _: (math.nan, math.inf, -math.inf)),
    (str, lambda text: (f"{text}\ud800",)),
    (
        datetime,
        lambda moment: (moment.replace(tzinfo=timezone(timedelta(seconds=3723))),),
    ),
)
"""By type, what no type checker sees and an encoding may not hold."""

_WRONG: Final[tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...]] = (
    (bool, lambda _: (2, "yes")),
    (float, lambda _: ("1.5", None)),
    (int, lambda number: (str(number), number + 0.5)),
    (str, lambda _: (7, None, b"bytes")),
    (bytes, lambda data: (bytearray(data), "text")),
    (type(None), lambda _: ("text", 0)),
    (dict, lambda items: ({**items, 1: None}, {**items, "1": None, 1: None})),
    (list, lambda items: (tuple(items), {"items": items})),
    (object, lambda _: (object(),)),
)
"""By type, what is not of the type."""


def _spoiled(value: Any, *, wrong: bool) -> Iterator[Any]:
    """Values with one part spoiled. ``wrong``: also such as a type checker would refuse."""
    table = (*_UNSEEN, *_WRONG) if wrong else _UNSEEN
    yield from _changed(value, lambda part: _replacements(part, table))
    yield object()


def _marked(value: Any) -> Iterator[Any]:
    """Values that hold the mark, and that an encoder refuses."""
    yield from _changed(value, lambda part: (f"{_MARK}\ud800", {_MARK: {1}}, {_MARK: [part]}))


def _marked_bytes(codec: str, which: int) -> bytes:
    """Encodings that hold the mark; not all of them are well-formed."""
    plain: list[Any] = [_MARK, {_MARK: 1}, {"type": _MARK}, [_MARK], {"a": {_MARK: _MARK}}]
    form: Any = msgspec.msgpack if codec == "msgpack" else msgspec.json
    payloads: list[bytes] = [*map(form.encode, plain), f'{{"{_MARK}'.encode()]
    payloads.append(b"\xff" + _MARK.encode())
    return payloads[which % len(payloads)]


def _replacements(
    part: Any, table: Iterable[tuple[type, Callable[[Any], Iterable[Any]]]]
) -> Iterator[Any]:
    for kind, replacements in table:
        if type(part) is kind or (kind is object):
            yield from replacements(part)


def _changed(value: Any, change: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    """Copies of a value, each with one part replaced, the outermost first."""
    yield from change(value)
    if isinstance(value, list):
        items: list[Any] = cast("Any", value)
        for at, item in enumerate(items):
            yield from ([*items[:at], new, *items[at + 1 :]] for new in _changed(item, change))
    elif isinstance(value, dict):
        entries: dict[Any, Any] = cast("Any", value)
        for key, item in entries.items():
            yield from ({**entries, key: new} for new in _changed(item, change))
    else:
        for name in _replaceable(value):
            for new in _changed(getattr(value, name), change):
                yield _with(value, {name: new})


def _replaceable(value: Any) -> list[str]:
    names = getattr(value, "_fields", None) or field_names(value) or ()
    return [name for name in names if hasattr(value, name) and not isinstance(value, type)]


def _with(value: Any, changes: Mapping[str, Any]) -> Any:
    """A copy of a Struct, dataclass, attrs or pydantic object with other fields, unchecked."""
    if isinstance(value, Struct):
        return structs.replace(value, **changes)
    if hasattr(value, "_replace"):  # a NamedTuple
        return value._replace(**changes)
    if hasattr(value, "model_copy"):
        return value.model_copy(update=dict(changes))
    changed = copy.copy(value)
    for name, new in changes.items():
        object.__setattr__(changed, name, new)  # also of a frozen one
    return changed


# -------------------------------------------------------------------------------------- leaks


def _expect_silent(error: BaseException) -> None:
    for part, text in _said(error):
        _expect(_MARK not in text, f"{type(error).__name__}: its {part} holds a part of the value")


def _said(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """Whatever an error shows to loggers and crash reporters, in words."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield "message", f"{error} {error!r} {error.args!r} {vars(error)!r}"
        frame = error.__traceback__
        while frame is not None:
            module = str(frame.tb_frame.f_globals.get("__name__", ""))
            if module.startswith("kvcodec.") and not module.startswith("kvcodec.testing"):
                yield f"traceback ({module})", repr(frame.tb_frame.f_locals)
            frame = frame.tb_next
        error = error.__cause__ or error.__context__
