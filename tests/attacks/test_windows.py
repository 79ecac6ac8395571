"""Older forms that are still read: open windows, and how they are closed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kvcodec import DecodeError, Keyspace, NotEncrypted, Previous, Secret, Store
from kvcodec.testing import ManualClock
from tests.attacks.support import Store_, put


class Account(msgspec.Struct):
    user: str
    token: Secret[str]


def _wrap(plain: Any) -> Any:
    return {**plain, "token": Secret(plain["token"])}


PLANTED = b'{"user":"ada","token":"mallory"}'


def test_an_upgrade_that_makes_secrets_is_a_window_until_oldest_closes_it(
    kv: Store_, cipher: Any
) -> None:
    """Planted older plaintext opened for ever. ``oldest=`` refuses it, after a migrate()."""
    options: dict[str, Any] = {"cipher": cipher, "version": 2, "upgrades": {1: _wrap}}
    declare: Any = Keyspace
    opened: Store[Any] = Store(declare("k", Account, **options), kv)
    put(kv, "k/a", PLANTED)
    assert opened["a"].token == Secret("mallory")  # the window, as it is documented
    opened.migrate()
    closed: Store[Any] = Store(declare("k", Account, oldest=2, **options), kv)
    assert closed["a"].user == "ada"
    put(kv, "k/b", PLANTED)
    with pytest.raises(DecodeError, match="oldest"):
        closed.get("b")


def test_an_upgrade_that_makes_no_secret_lets_no_plaintext_in(kv: Store_, cipher: Any) -> None:
    """A version more is no window by itself."""
    store = Store(Keyspace("k", Account, cipher=cipher, version=2, upgrades={1: dict}), kv)
    put(kv, "k/a", PLANTED)
    with pytest.raises(NotEncrypted):
        store.get("a")


def test_a_plain_past_is_a_window_until_its_moment(kv: Store_, cipher: Any) -> None:
    """``previous=`` in clear ends with ``until=``, and is open for what was never sealed only."""
    clock = ManualClock()
    old = Keyspace("k", str)
    today = Keyspace("k", str, cipher=cipher, previous=[Previous(old, until=clock() + 60)])
    store = Store(today, kv, clock=clock)
    put(kv, "k/a", b"planted")
    assert store["a"] == "planted"  # the window, as it is documented
    clock.advance(60)
    with pytest.raises(NotEncrypted):
        store.get("a")
    closed = Store(Keyspace("k", str, cipher=cipher), kv)
    with pytest.raises(NotEncrypted):
        closed.get("a")


def test_no_header_says_how_it_is_read(kv: Store_, cipher: Any) -> None:
    """Plaintext under a header of another version or of a lifetime: the declaration decides."""
    for keyspace in (
        Keyspace("k", str, cipher=cipher, ttl=60),
        Keyspace("k", str, cipher=cipher, version=2, upgrades={1: str}),
    ):
        store = Store(keyspace, kv, clock=ManualClock())
        for name in ("ttl", "version"):
            options: Any = {"ttl": 60} if name == "ttl" else {"version": 2, "upgrades": {1: str}}
            declare: Any = Keyspace
            put(kv, "k/a", declare("k", str, **options).pack("a", "planted", now=0)[1])
            with pytest.raises(DecodeError):
                store.get("a")
