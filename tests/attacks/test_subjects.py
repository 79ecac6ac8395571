"""Data keys per person: what an old key and an old dump open, and what a stale read replaces."""

from __future__ import annotations

from typing import Any

import pytest

from kvcodec import DecodeError, KeyRing, Keyspace, Store, Subjects, Tampered, UnknownKey
from tests.attacks.support import KEY, RING, Store_, dump, put, restore

NEW = KeyRing.generate_key()
NAME = "subject-keys/ada"


def _keys(ring: KeyRing) -> Keyspace[bytes]:
    return Keyspace("subject-keys", bytes, cipher=ring)


def _tokens(ring: KeyRing) -> Keyspace[str]:
    return Keyspace("tokens", str, cipher=ring)


def _stolen(kv: Store_, old: dict[str, bytes]) -> Any:
    """What somebody reads who has the old ring key, an old dump, and today's store."""
    mine = {**dump(kv), **old}
    return Subjects(_keys(RING), mine).store(_tokens(RING), "ada").get("ada")


def test_an_old_key_and_an_old_dump_open_nothing_that_is_written_after_a_rotation(
    kv: Store_,
) -> None:
    """A rewrap of the records hides nothing, and says so; ``rotate`` and a rewrap do."""
    Subjects(_keys(RING), kv).add("ada")
    old = dump(kv)
    both = KeyRing(NEW, retired=[KEY])
    people = Subjects(_keys(both), kv)
    people.rewrap()
    people.rotate("ada")
    store = people.store(_tokens(both), "ada")
    store.set("ada", "after")
    with pytest.raises(UnknownKey):
        _stolen(kv, old)


def test_one_stale_read_replaces_no_record() -> None:
    """``add`` over it made a new record, and everything before was lost."""

    class Stale(dict[str, bytes]):
        """Says once that there is nothing."""

        stale = False

        def __getitem__(self, name: str) -> bytes:
            stale, self.stale = self.stale, False
            if stale:
                raise KeyError(name)
            return super().__getitem__(name)

    kv = Stale()
    people = Subjects(_keys(RING), kv)
    people.add("ada")
    people.store(_tokens(RING), "ada").set("ada", "v")
    kv.stale = True
    assert people.add("ada") is False
    assert people.store(_tokens(RING), "ada").get("ada") == "v"


def test_a_record_in_quarantine_goes_with_its_subject(kv: Store_) -> None:
    """A copy put aside outlived ``forget``, and opened everything when it was put back."""
    people = Subjects(_keys(RING), kv)
    people.add("ada")
    copy = kv.get(NAME)
    Store(_keys(RING), kv).quarantine("ada")
    assert copy in dump(kv).values()
    people.forget("ada")
    assert dump(kv) == {}


def test_records_do_not_move(kv: Store_) -> None:
    """Between persons, keyspaces, contexts; nor do values between two persons."""
    people = Subjects(_keys(RING), kv)
    for name in ("ada", "eve"):
        people.add(name)
        people.store(_tokens(RING), name).set(name, f"of {name}")
    state = dump(kv)
    put(kv, "subject-keys/eve", state[NAME])
    with pytest.raises(Tampered):
        people.ring("eve")
    restore(kv, state)
    put(kv, "tokens/eve", state["tokens/ada"])
    with pytest.raises(DecodeError):
        people.store(_tokens(RING), "eve").get("eve")
    restore(kv, state)
    with pytest.raises(Tampered):
        Subjects(_keys(RING).bound_to("staging"), kv).ring("ada")


def test_a_forgotten_record_that_is_put_back_opens_again(kv: Store_) -> None:
    """What no bytes can prevent: who kept the whole record, and the ring, has not forgotten.

    A KeyWrapper whose key is destroyed, or a new ring key, ends that. This is the law of a
    rollback, stated and not praised.
    """
    people = Subjects(_keys(RING), kv)
    people.add("ada")
    people.store(_tokens(RING), "ada").set("ada", "v")
    old = dump(kv)
    people.forget("ada")
    with pytest.raises(UnknownKey):
        people.ring("ada")
    restore(kv, old)
    assert people.store(_tokens(RING), "ada").get("ada") == "v"
