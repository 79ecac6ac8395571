"""``quarantine``: bytes that cannot be read are put aside, and nothing is ever deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kvcodec import AESGCMCipher, Conflict, DecodeError, Keyspace, SQLiteKV, Store
from kvcodec.testing.faulty import FaultyKV, Stop, Stopped
from tests.plans.maintenance.support import (
    AFTER,
    Bare,
    Between,
    Twin,
    memory,
    on_postgres,
    on_redis,
    plain_dict,
)

COUNTS = Keyspace("counts", int)
BAD = {"counts/ada": b"not a number", "counts/bob": b"2"}


def bare(values: Mapping[str, bytes]) -> Bare:
    """A KV that can do nothing more than it must."""
    kv = Bare()
    kv.values = dict(values)
    return kv


MAKERS = pytest.mark.parametrize(
    "make",
    [memory, plain_dict, bare, on_redis, on_postgres],
    ids=["compare-and-set", "dict", "three methods", "redis", "postgres"],
)
Maker = Callable[[Mapping[str, bytes]], Any]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_is_put_aside_is_gone_from_its_key_and_kept(kind: str) -> None:
    """``get`` finds nothing, the bytes are under ``!q1`` as they were, other keys are untouched."""
    twin = Twin(kind, COUNTS, BAD)
    with pytest.raises(DecodeError):
        twin("get", "ada")
    assert twin("quarantine", "ada") == "counts/ada!q1"
    assert twin("get", "ada") is None
    assert twin.stored() == {"counts/ada!q1": b"not a number", "counts/bob": b"2"}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_nothing_to_put_aside(kind: str) -> None:
    """None for a key that has no value; nothing is written."""
    twin = Twin(kind, COUNTS, {})
    assert twin("quarantine", "ada") is None
    assert twin.stored() == {}


@MAKERS
def test_what_was_put_aside_before_stays(make: Maker) -> None:
    """The next one gets the next number; the same bytes again need no second copy."""
    kv = make(BAD)
    store = Store(COUNTS, kv)
    assert store.quarantine("ada") == "counts/ada!q1"
    kv.set("counts/ada", b"worse")
    assert store.quarantine("ada") == "counts/ada!q2"
    kv.set("counts/ada", b"not a number")
    assert store.quarantine("ada") == "counts/ada!q1"
    assert (kv.get("counts/ada!q1"), kv.get("counts/ada!q2")) == (b"not a number", b"worse")
    assert kv.get("counts/ada") is None


@MAKERS
def test_it_can_be_stopped_before_and_after_every_operation(make: Maker) -> None:
    """The bytes are somewhere at every moment, and a rerun puts them where they belong, once."""
    whole = FaultyKV(make(BAD))
    Store(COUNTS, whole).quarantine("ada")
    assert len(whole.operations) >= 4
    for at in range(len(whole.operations)):
        for when in ("before", "after"):
            kv = make(BAD)
            with pytest.raises(Stopped):
                Store(COUNTS, FaultyKV(kv, [*[None] * at, Stop(when)])).quarantine("ada")
            assert b"not a number" in (kv.get("counts/ada"), kv.get("counts/ada!q1"))
            Store(COUNTS, kv).quarantine("ada")
            assert kv.get("counts/ada") is None
            assert (kv.get("counts/ada!q1"), kv.get("counts/ada!q2")) == (b"not a number", None)


@pytest.mark.parametrize("at", range(5))
@MAKERS
def test_a_value_written_meanwhile_is_not_lost(make: Maker, at: int) -> None:
    """Whenever a writer steps in, its value is in its place or put aside, and so is the bad one."""
    kv = make(BAD)
    calls: list[str] = []

    def happens(method: str, _: str) -> None:
        calls.append(method)
        # Without compare-and-set the last step cannot know what it removes.
        if len(calls) == at + 1 and method != "delete":
            Store(COUNTS, kv).set("ada", 7)

    Store(COUNTS, Between(kv, happens)).quarantine("ada")
    kept = [kv.get(f"counts/ada{suffix}") for suffix in ("", "!q1", "!q2")]
    wrote = len(calls) > at and calls[at] != "delete"
    assert (b"7" in kept) is wrote
    assert b"not a number" in kept or (wrote and at == 0)  # overwritten before it was read


def test_two_who_put_aside_at_once_keep_both(tmp_path: Any) -> None:
    """Two stores on one file take two numbers, when the second comes between."""
    with SQLiteKV(tmp_path / "kv.db") as kv:
        kv.set("counts/ada", b"not a number")
        calls: list[str] = []

        def happens(method: str, _: str) -> None:
            calls.append(method)
            if method == "set_if_absent" and calls.count(method) == 1:
                kv.set("counts/ada", b"worse")
                Store(COUNTS, kv).quarantine("ada")

        Store(COUNTS, Between(kv, happens)).quarantine("ada")
        assert {kv.get("counts/ada!q1"), kv.get("counts/ada!q2")} == {b"not a number", b"worse"}
        assert kv.get("counts/ada") is None


class NeverClaims(Bare):
    """A KV that says of every name that somebody else was faster, and has nothing there."""

    claims = 0

    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Refuse, up to more often than any loop may ask."""
        self.claims += 1
        assert self.claims <= 10_000, "asked without end"
        return False


def test_a_backend_that_never_claims_a_name_ends_it() -> None:
    """After as many attempts as any other change is given, with the bytes where they were."""
    kv = NeverClaims()
    kv.values = dict(BAD)
    with pytest.raises(Conflict):
        Store(COUNTS, kv).quarantine("ada")
    assert kv.values == BAD
    assert kv.claims == 1000


def test_what_is_put_aside_is_out_of_sight() -> None:
    """No listing shows it, no walk looks at it, and the key can be written anew."""
    kv = memory(BAD)
    store = Store(COUNTS, kv)
    store.quarantine("ada")
    assert [*store.keys()] == ["bob"]
    assert store.verify().states == {"fine": 1}
    assert store.migrate().checked == 1
    assert store.add("ada", 1)
    assert kv.get("counts/ada!q1") == b"not a number"


def test_sealed_bytes_can_be_put_back() -> None:
    """They were not touched: under their own name they open again."""
    tokens = Keyspace("tokens", str, cipher=AESGCMCipher(AFTER))
    kv = memory({})
    store = Store(tokens, kv)
    store.set("ada", "secret")
    aside = store.quarantine("ada")
    assert aside is not None
    assert store.get("ada") is None
    kept = kv.get(aside)
    assert kept is not None
    kv.set(tokens.raw_key("ada"), kept)
    assert store.get("ada") == "secret"
