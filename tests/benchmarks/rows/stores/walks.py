"""The walks over 100,000 sealed values of 100 bytes on SQLite, beside the bare calls they need.

A round walks the next 200 of them, by ``limit=``. Before it both sides get the values back that
they had at first, which is not counted. (In the quick form 10 of 5,000.)

- *get, Fernet, set*: SQLiteKV's own calls, one value at a time, as a walk is written by hand, and a
  Fernet whose key is derived by HKDF for every name, as kvcodec does it. Nothing is compared,
  counted or safe from another writer.
- *get_many, Fernet, set_many*: the same by 100 values, all of them in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from time import perf_counter_ns
from typing import Any

import msgspec

from kvcodec import KeyRing, Keyspace, SQLiteKV, Store
from kvcodec.plans.many import batches
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.rows.backends.sqlite import our_kv
from tests.benchmarks.rows.secrets.fernet import TOKEN, ApiToken, bound
from tests.benchmarks.timing import Race, Round

ROUND = 200
ROUNDS = 500
"""In one walk through all values."""

ONE_BY_ONE = "get, Fernet with HKDF per name, set"
ONLY_READ = "get, Fernet with HKDF per name, msgspec"
BY_100 = "get_many, Fernet with HKDF per name, set_many"
ONLY_READ_BY_100 = "get_many, Fernet with HKDF per name, msgspec"

OLD, NEW = KeyRing.generate_key(), KeyRing.generate_key()

TOKENS = Keyspace("tokens", ApiToken, cipher=KeyRing(OLD))
REWRAPPED = Keyspace("tokens", ApiToken, cipher=KeyRing(NEW, retired=[OLD]))
MIGRATED = Keyspace(
    "tokens", ApiToken, cipher=KeyRing(OLD), version=2, upgrades={1: lambda plain: plain}
)

Hand = Callable[[SQLiteKV, list[str]], object]


def _sealed_anew(token: bytes, name: str) -> bytes:
    return bound(name + "!").encrypt(bound(name).decrypt(token))


_decode, _encode = msgspec.json.Decoder(ApiToken).decode, msgspec.json.Encoder().encode


def _written_anew(token: bytes, name: str) -> bytes:
    return bound(name).encrypt(_encode(_decode(bound(name).decrypt(token))))


def _read(token: bytes, name: str) -> object:
    return _decode(bound(name).decrypt(token))


def _one_by_one(change: Callable[[bytes, str], bytes]) -> Hand:
    def walk(kv: SQLiteKV, names: list[str]) -> None:
        for name in names:
            held = kv.get(name)
            assert held is not None
            kv.set(name, change(held, name))

    return walk


def _by_100(change: Callable[[bytes, str], bytes]) -> Hand:
    def walk(kv: SQLiteKV, names: list[str]) -> None:
        for some in batches(names, 100):
            found = kv.get_many(some)
            kv.set_many({name: change(held, name) for name, held in found.items()})

    return walk


def _reading(kv: SQLiteKV, names: list[str]) -> None:
    for name in names:
        held = kv.get(name)
        assert held is not None
        _read(held, name)


def _reading_by_100(kv: SQLiteKV, names: list[str]) -> None:
    for some in batches(names, 100):
        for name, held in kv.get_many(some).items():
            _read(held, name)


class Side:
    """A file of values, walked some of them at a time, each of them as it was at first."""

    def __init__(self, kv: SQLiteKV, values: Iterable[tuple[str, bytes]]) -> None:
        self.kv = kv
        self.values = dict(values)
        self.names = sorted(self.values)
        self.at = 0
        for some in batches(self.names, 1_000):
            self._put_back(some)

    def next(self, calls: int) -> list[str]:
        """The names that are next, their values written back."""
        names = self.names[self.at : self.at + calls]
        self.at = (self.at + calls) % len(self.names)
        self._put_back(names)
        return names

    def _put_back(self, names: list[str]) -> None:
        self.kv.set_many({name: self.values[name] for name in names})


def _walking(setting: Setting, keyspace: Keyspace[ApiToken, str], method: str) -> Round:
    kv = our_kv(setting)

    @cache
    def side(calls: int) -> Side:
        packed = (TOKENS.pack(key, TOKEN, now=0) for key in _keys(calls))
        return Side(kv, packed)

    def one_round(calls: int) -> float:
        here = side(calls)
        before = here.names[here.at - 1] if here.at else ""
        here.next(calls)
        walk: Any = getattr(Store(keyspace, kv), method)
        start = perf_counter_ns()
        report = walk(after=before, limit=calls)
        taken = perf_counter_ns() - start
        assert report.checked == calls
        assert report.changed == (0 if method == "verify" else calls)
        return taken

    return one_round


def _by_hand(setting: Setting, walk: Hand) -> Round:
    kv = setting.stack.enter_context(SQLiteKV(setting.directory / "hand.db"))

    @cache
    def side(calls: int) -> Side:
        names = (TOKENS.raw_key(key) for key in _keys(calls))
        return Side(kv, ((name, bound(name).encrypt(_encode(TOKEN))) for name in names))

    def one_round(calls: int) -> float:
        here = side(calls)
        names = here.next(calls)
        start = perf_counter_ns()
        walk(here.kv, names)
        return perf_counter_ns() - start

    return one_round


def _keys(calls: int) -> list[str]:
    return [f"user-{number:06}" for number in range(calls * ROUNDS)]


@row("rewrap of 100,000 on SQLite, per value", beside=ONE_BY_ONE, target=at_most(2))
def rewrap(setting: Setting) -> Race:
    """Each value is under the retired key."""
    hand = _by_hand(setting, _one_by_one(_sealed_anew))
    return Race(_walking(setting, REWRAPPED, "rewrap"), hand, ROUND)


@row("migrate of 100,000 on SQLite, per value", beside=ONE_BY_ONE, target=at_most(2))
def migrate(setting: Setting) -> Race:
    """Each value is of the version before, and an upgrade returns it as it is."""
    hand = _by_hand(setting, _one_by_one(_written_anew))
    return Race(_walking(setting, MIGRATED, "migrate"), hand, ROUND)


@row("verify of 100,000 on SQLite, per value", beside=ONLY_READ, target=at_most(2))
def verify(setting: Setting) -> Race:
    """Each value is fine."""
    return Race(_walking(setting, TOKENS, "verify"), _by_hand(setting, _reading), ROUND)


@row("rewrap of 100,000, beside 100 in one call", beside=BY_100)
def rewrap_beside_many(setting: Setting) -> Race:
    """The same, beside writes that another writer's value does not survive."""
    hand = _by_hand(setting, _by_100(_sealed_anew))
    return Race(_walking(setting, REWRAPPED, "rewrap"), hand, ROUND)


@row("migrate of 100,000, beside 100 in one call", beside=BY_100)
def migrate_beside_many(setting: Setting) -> Race:
    """The same, beside writes that another writer's value does not survive."""
    hand = _by_hand(setting, _by_100(_written_anew))
    return Race(_walking(setting, MIGRATED, "migrate"), hand, ROUND)


@row("verify of 100,000, beside 100 in one call", beside=ONLY_READ_BY_100)
def verify_beside_many(setting: Setting) -> Race:
    """The same, read by hundreds."""
    return Race(_walking(setting, TOKENS, "verify"), _by_hand(setting, _reading_by_100), ROUND)
