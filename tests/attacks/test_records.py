"""Records with Secret fields: the clear fields beside a token, and the tokens among themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kvcodec import ConfigError, DecodeError, Keyspace, Secret, Store, Tampered
from kvcodec.format.envelope import open_envelope
from kvcodec.testing import ManualClock
from tests.attacks.support import Store_, put

NAME = "connections/ada"


class Connection(msgspec.Struct):
    """What a plugin keeps of one account."""

    url: str
    token: Secret[str]
    other: Secret[str] | None = None
    limit: int = 10
    scopes: list[str] = []
    several: list[Secret[str]] = []
    by_name: dict[str, Secret[str]] = {}


VALUE = Connection(
    "https://api.example",
    Secret("t-1"),
    Secret("o-1"),
    500,
    ["read", "write"],
    [Secret("s-1"), Secret("s-2")],
    {"a": Secret("a-1"), "b": Secret("b-1")},
)

Change = Callable[[dict[str, Any], dict[str, Any]], object]

CHANGES: dict[str, Change] = {
    "the url beside a token": lambda now, _: now.update(url="https://evil.example"),
    "null for an optional secret": lambda now, _: now.update(other=None),
    "null for one that is not": lambda now, _: now.update(token=None),
    "the default for an omitted secret": lambda now, _: now.pop("other"),
    "the default for an omitted number": lambda now, _: now.pop("limit"),
    "the tail of a list": lambda now, _: now["scopes"].pop(),
    "the tail of a list of secrets": lambda now, _: now["several"].pop(),
    "all of a list of secrets": lambda now, _: now.update(several=[]),
    "one more item": lambda now, _: now["scopes"].append("admin"),
    "an item of a dict": lambda now, _: now["by_name"].pop("a"),
    "an unknown field more": lambda now, _: now.update(more=1),
    "an old token": lambda now, old: now.update(token=old["token"]),
    "an old secret of several": lambda now, old: now["several"].insert(0, now["several"].pop()),
    "an old item": lambda now, old: now["by_name"].update(b=old["by_name"]["b"]),
    "all old secrets beside a new url": lambda now, old: now.update({**old, "url": now["url"]}),
    "two secrets swapped": lambda now, _: now.update(token=now["other"], other=now["token"]),
    "a secret twice": lambda now, _: now.update(other=now["token"]),
    "a secret under another name": lambda now, _: now["by_name"].update(
        a=now["by_name"]["b"], b=now["by_name"]["a"]
    ),
    "a secret renamed": lambda now, _: now["by_name"].update(c=now["by_name"].pop("a")),
    "fields in another order": lambda now, _: now.update(url=now.pop("url")),
    "the whole record in a list": lambda now, _: now.update(scopes=[now["token"]]),
    "a token cut": lambda now, _: now.update(token=now["token"][:-1]),
    "a token spelled sloppily": lambda now, _: now.update(token=now["token"] + "="),
    "plaintext": lambda now, _: now.update(token="t-1"),
}


@pytest.fixture(params=["json", "msgpack"])
def store(kv: Store_, cipher: Any, request: pytest.FixtureRequest) -> Store[Connection]:
    """One record, as it was and as it is."""
    declare: Any = Keyspace
    return Store(declare("connections", Connection, cipher=cipher, encoding=request.param), kv)


def _plain(store: Store[Connection], name: str = "ada") -> Any:
    return store.keyspace.declaration.pipeline.codec.to_plain(store.raw(name) or b"")


def _write(store: Store[Connection], kv: Store_, plain: Any) -> None:
    put(kv, NAME, store.keyspace.declaration.pipeline.codec.from_plain(plain))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_beside_a_token_is_refused(
    store: Store[Connection], kv: Store_, change: Change
) -> None:
    """A token left through its clear sibling: to the attacker's url. Nothing is readable now."""
    store.set("ada", replace(VALUE, url="https://old.example"))
    old = _plain(store)
    store.set("ada", VALUE)
    now = _plain(store)
    change(now, old)
    _write(store, kv, now)
    with pytest.raises(DecodeError):
        store.get("ada")


def test_sloppy_spelling_of_the_record_changes_nothing(
    store: Store[Connection], kv: Store_
) -> None:
    """Written anew without a change, it is the same record, and opens: the data are signed."""
    store.set("ada", VALUE)
    _write(store, kv, _plain(store))
    assert store["ada"] == VALUE


def test_a_record_does_not_move(store: Store[Connection], kv: Store_) -> None:
    """To another key, another keyspace, another context; nor one secret of it."""
    store.set("ada", VALUE)
    store.set("eve", VALUE)
    taken, here = _plain(store), _plain(store, "eve")
    put(kv, "connections/eve", kv.get(NAME))
    with pytest.raises(Tampered):
        store.get("eve")
    put(
        kv,
        "connections/eve",
        store.keyspace.declaration.pipeline.codec.from_plain({**here, "token": taken["token"]}),
    )
    with pytest.raises(Tampered):
        store.get("eve")
    with pytest.raises(Tampered):
        Store(store.keyspace.bound_to("staging"), kv).get("ada")


def test_a_maintenance_signs_nothing_that_it_has_not_verified(
    store: Store[Connection], kv: Store_
) -> None:
    """``rewrap`` and ``update`` would have made the attacker's url the owner's own."""
    store.set("ada", VALUE)
    _write(store, kv, {**_plain(store), "url": "https://evil.example"})
    before = kv.get(NAME)
    assert store.rewrap().changed == 0
    assert [*store.verify().unreadable]
    with pytest.raises(DecodeError):
        store.update("ada", lambda value: value)
    assert kv.get(NAME) == before


@pytest.mark.parametrize("act", ["get", "exists", "pop", "update", "add"])
def test_a_record_cannot_be_made_to_have_expired(kv: Store_, cipher: Any, act: str) -> None:
    """The age was looked at before the signature: it was gone, or written over, without an error.

    Who can write can delete it, too; but that no header is believed unsigned is the law.
    """
    clock = ManualClock()
    keyspace = Keyspace("connections", Connection, cipher=cipher, ttl=60, max_age=50)
    store = Store(keyspace, kv, clock=clock)
    store.set("ada", VALUE)
    data = kv.get(NAME) or b""
    header, _, _, payload = open_envelope(data)
    for forged in (replace(header, expires_ms=1), replace(header, written_ms=1)):
        fields = forged.encode()
        put(kv, NAME, b"\xc1\x01" + bytes((len(fields),)) + fields + payload)
        before = kv.get(NAME)
        acts: dict[str, Callable[[], object]] = {
            "get": lambda: store.get("ada"),
            "pop": lambda: store.pop("ada"),
            "update": lambda: store.update("ada", lambda _: VALUE, default=VALUE),
            "add": lambda: store.add("ada", VALUE),
            "exists": lambda: store.exists("ada"),
        }
        if act in ("add", "exists"):
            assert acts[act]() is (act == "exists")
        else:
            with pytest.raises(Tampered):
                acts[act]()
        assert kv.get(NAME) == before
    put(kv, NAME, data)
    clock.advance(60)
    assert store.get("ada") is None


def test_unsigned_fields_are_open_and_only_these(kv: Store_, cipher: Any) -> None:
    """``unsigned=`` is the owner's choice: others may edit that field, and nothing beside it."""
    keyspace = Keyspace("connections", Connection, cipher=cipher, unsigned=["scopes"])
    store = Store(keyspace, kv)
    store.set("ada", VALUE)
    plain = _plain(store)
    _write(store, kv, {**plain, "scopes": ["edited"]})
    assert store["ada"].scopes == ["edited"]
    _write(store, kv, {**plain, "url": "https://evil.example"})
    with pytest.raises(Tampered):
        store.get("ada")
    for field in ("token", "several", "nothing"):
        with pytest.raises(ConfigError):
            Keyspace("connections", Connection, cipher=cipher, unsigned=[field])


def test_without_any_secret_a_record_is_signed_all_the_same(kv: Store_, cipher: Any) -> None:
    """Nothing is sealed in it: the signature cannot be taken off, nor put on something else."""

    class Maybe(msgspec.Struct):
        url: str
        token: Secret[str] | None = None

    keyspace = Keyspace("connections", Maybe, cipher=cipher)
    store = Store(keyspace, kv)
    store.set("ada", Maybe("https://api.example"))
    plain = msgspec.json.decode(kv.get(NAME) or b"")
    bare = {name: part for name, part in plain.items() if name != "kvs1"}
    for forged in (bare, {**plain, "url": "x"}, {**bare, "token": plain["kvs1"]}, {"kvs1": ""}):
        put(kv, NAME, msgspec.json.encode(forged))
        with pytest.raises(DecodeError):
            store.get("ada")
