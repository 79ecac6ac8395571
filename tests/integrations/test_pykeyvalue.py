"""``KVStore``: what it gives back, what it refuses, lifetimes, claims, and all that it offers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.requires import require_module

require_module("key_value", install="pip install 'kvcodec[pykeyvalue]'")

from key_value.aio.errors import InvalidTTLError, SerializationError  # noqa: E402
from key_value.aio.protocols import AsyncKeyValue  # noqa: E402
from key_value.aio.protocols.key_value import (  # noqa: E402
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
)

from kvcodec import (  # noqa: E402
    AESGCMCipher,
    AsyncMemoryKV,
    ConfigError,
    DecodeError,
    HashedKeys,
    HiddenKeys,
    KeyNameError,
    KeyRing,
    MemoryKV,
    NotEncrypted,
    Tampered,
    Unavailable,
    UnknownKey,
)
from kvcodec.integrations.pykeyvalue import KVStore  # noqa: E402
from kvcodec.testing import AsyncFaultyKV, ErrorBefore  # noqa: E402
from tests.leaks import CANARY, leaks  # noqa: E402

RING = KeyRing.generate()
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sealed": {"cipher": RING},
    "AES": {"cipher": AESGCMCipher(RING)},
    "hidden": {"cipher": RING, "keys": HiddenKeys(RING)},
    "hashed": {"keys": HashedKeys()},
}
SEALED = [name for name, form in FORMS.items() if "cipher" in form]
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


class Clock:
    """The time, which tests move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class NoLifetimes(AsyncMemoryKV):
    """A KV that keeps values for ever."""

    set_with_ttl = set_many_with_ttl = purge = None  # type: ignore[assignment]  # not there


class Late(AsyncMemoryKV):
    """A KV whose answer is on its way while other tasks go on."""

    async def get(self, key: str, /) -> bytes | None:
        """As it was when it was read."""
        found = await super().get(key)
        await asyncio.sleep(0)
        return found


def run(coroutine: Coroutine[Any, Any, object]) -> None:
    """For properties, which draw their arguments."""
    asyncio.run(coroutine)


# ------------------------------------------------------------------------------- what comes back

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.dictionaries(TEXT, JSON, max_size=5)
NAMES = TEXT.filter(bool)


@given(ENTRIES, NAMES, NAMES, st.none() | st.floats(0.01, 1e9), st.sampled_from(sorted(FORMS)))
def test_every_entry_comes_back_equal_and_in_order(
    entry: dict[str, Any], collection: str, key: str, ttl: float | None, form: str
) -> None:
    """Whatever JSON can hold, by each way of reading."""

    async def law() -> None:
        store = KVStore({}, clock=Clock(), **FORMS[form])
        await store.put(key, entry, collection=collection, ttl=ttl)
        (many,) = await store.get_many([key], collection=collection)
        ((timed, left),) = await store.ttl_many([key], collection=collection)
        for found in (await store.get(key, collection=collection), many, timed):
            assert repr(found) == repr(entry)
        assert left == (None if ttl is None else pytest.approx(ttl, abs=0.01))
        assert await store.keys(collection) == [key]
        assert await store.collections() == [collection]

    run(law())


REFUSED: dict[str, Any] = {
    "keys that meet": {1: "a", "1": "b"},
    "keys that meet, within": {"d": {1: "a", "1": "b"}},
    "a key that is no text": {1: "a"},
    "NaN": {"n": float("nan")},
    "a tuple": {"t": (1, 2)},
    "bytes": {"b": b"x"},
    "a datetime": {"at": datetime.now(UTC)},
    "a lone surrogate": {"s": "\ud800"},
    "an object": {"o": object()},
}


@pytest.mark.parametrize("entry", REFUSED.values(), ids=REFUSED)
async def test_what_would_not_come_back_equal_is_refused(entry: Any) -> None:
    """By each way of writing, with what is stored untouched, and nothing of it told."""
    rows: dict[str, bytes] = {}
    store = KVStore(rows, cipher=RING)
    await store.put("k", {"before": 1})
    before, entry = dict(rows), {**entry, "secret": CANARY}
    writes: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: store.put("k", entry),
        lambda: store.put("k", entry, ttl=1),
        lambda: store.put_if_absent("new", entry),
        lambda: store.put_many(["a", "k"], [{}, entry]),
    ]
    for write in writes:
        with pytest.raises(SerializationError) as caught:
            await write()
        assert leaks(caught.value) == []
        assert rows == before


async def test_any_mapping_is_an_entry_and_comes_back_as_a_dict() -> None:
    """As py-key-value declares it; what is none is an error that tells nothing of it."""
    store = KVStore({})
    await store.put("k", MappingProxyType({"a": 1}))
    assert await store.get("k") == {"a": 1}
    wrong: Any = [CANARY]
    with pytest.raises(TypeError, match="not list") as caught:
        await store.put("k", wrong)
    assert leaks(caught.value) == []


# -------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("ttl", [None, 60], ids=["lasting", "mortal"])
@pytest.mark.parametrize("form", [FORMS[name] for name in SEALED], ids=SEALED)
async def test_what_cannot_be_read_raises(form: dict[str, Any], ttl: float | None) -> None:
    """A row of another key, of another collection, planted, damaged, another ring: never None."""
    rows: dict[str, bytes] = {}
    store = KVStore(rows, **form)
    for collection, key in (("tokens", "ada"), ("tokens", "bob"), ("admins", "ada")):
        await store.put(key, {"of": f"{collection} {key}"}, collection=collection, ttl=ttl)
    (ada, bob, admin), before = list(rows), dict(rows)
    attacks: list[tuple[dict[str, bytes], type[DecodeError]]] = [
        ({ada: before[bob]}, Tampered),
        ({ada: before[admin]}, Tampered),
        ({ada: b'{"of":"eve"}'}, NotEncrypted),
        ({ada: before[ada][:-1] + bytes([before[ada][-1] ^ 1])}, Tampered),
    ]
    for rows_of_attack, refusal in attacks:
        rows.update(before | rows_of_attack)
        await refused(store, refusal)
    rows.update(before)
    if "keys" not in form:  # names that are hidden by another key are others
        other = KeyRing.generate()
        cipher = AESGCMCipher(other) if form is FORMS["AES"] else other
        await refused(KVStore(rows, cipher=cipher), UnknownKey)


async def refused(store: KVStore, refusal: type[DecodeError]) -> None:
    """Read what was attacked, in each way."""
    reads: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: store.get("ada", collection="tokens"),
        lambda: store.ttl("ada", collection="tokens"),
        lambda: store.get_many(["ada", "bob"], collection="tokens"),
        lambda: store.ttl_many(["ada"], collection="tokens"),
    ]
    for read in reads:
        with pytest.raises(refusal):
            await read()


@pytest.mark.parametrize("ttl", [None, 60], ids=["lasting", "mortal"])
async def test_a_missing_key_is_told_as_such(ttl: float | None) -> None:
    """Of entries with a lifetime and of those without: not as if somebody had changed them."""
    rows: dict[str, bytes] = {}
    await KVStore(rows, cipher=RING).put("k", {}, ttl=ttl)
    with pytest.raises(UnknownKey):
        await KVStore(rows, cipher=KeyRing.generate()).get("k")


async def test_what_cannot_be_read_can_be_deleted_and_replaced() -> None:
    """It counts as something: a claim on its key is not given."""
    rows: dict[str, bytes] = {}
    store = KVStore(rows, cipher=RING)
    await store.put("k", {})
    (raw_key,) = rows
    rows[raw_key] = b"{}"
    assert not await store.put_if_absent("k", {"of": "eve"})
    assert await store.delete("k")
    assert not await store.delete("k")
    rows[raw_key] = b"{}"
    await store.put("k", {"anew": True})
    assert await store.get("k") == {"anew": True}


async def test_wrong_arguments_are_refused_early() -> None:
    """A handle that is none or cannot be awaited; names that are none; one text for several."""
    handles: list[Any] = [None, "app.db", MemoryKV()]
    for wrong in handles:
        with pytest.raises(ConfigError):
            await KVStore(wrong).get("k")
    with pytest.raises(ConfigError):
        KVStore({}, default_collection="")
    bare: Any = "a key"
    with pytest.raises(ConfigError):
        KVStore({}, cipher=bare)
    store = KVStore({})
    for key, collection in (("", None), ("k", "")):
        with pytest.raises(KeyNameError):
            await store.put(key, {}, collection=collection)
    with pytest.raises(ConfigError):
        await store.get_many("ab")
    with pytest.raises(ValueError, match="2 keys and 1 values"):
        await store.put_many(["a", "b"], [{}])


# ------------------------------------------------------------------------------------- lifetimes

KVS: dict[str, Callable[[Clock], Any]] = {
    "dict": lambda _: {},
    "memory": lambda clock: AsyncMemoryKV(clock=clock),
    "no lifetimes": lambda clock: NoLifetimes(clock=clock),
    "late": lambda clock: Late(clock=clock),
}
every_kv = pytest.mark.parametrize("make", KVS.values(), ids=KVS)


@every_kv
@every_form
async def test_an_entry_ends_when_its_own_lifetime_does(
    form: dict[str, Any], make: Callable[[Clock], Any]
) -> None:
    """Each write begins it anew, or ends it; at the end nothing is there any more."""
    clock = Clock()
    store = KVStore(make(clock), clock=clock, **form)
    await store.put("lasting", {"n": 1})
    await store.put("k", {"n": 2}, ttl=10)
    await store.put("t", {"n": 3}, ttl=timedelta(seconds=20))
    assert await store.ttl("k") == ({"n": 2}, 10)
    clock.now += 9.999
    assert await store.get("k") == {"n": 2}
    clock.now += 0.001
    assert await store.get("k") is None
    assert await store.ttl("k") == (None, None)
    assert await store.delete("k") is False
    assert sorted(await store.keys()) == ["lasting", "t"]
    assert await store.put_if_absent("k", {"n": 4})
    await store.put("t", {"n": 5})
    await store.put("lasting", {"n": 6}, ttl=5)
    clock.now += 1000
    assert await store.get_many(["k", "t", "lasting"]) == [{"n": 4}, {"n": 5}, None]
    assert await store.ttl_many(["k", "lasting"]) == [({"n": 4}, None), (None, None)]


@pytest.mark.parametrize(
    "ttl", [0, -1, True, float("nan"), float("inf"), 1e300, "5", [], timedelta(0)], ids=repr
)
async def test_a_lifetime_that_is_none_is_refused(ttl: Any) -> None:
    """By each write, before anything is written."""
    rows: dict[str, bytes] = {}
    store = KVStore(rows)
    for write in (store.put, store.put_if_absent):
        with pytest.raises(InvalidTTLError):
            await write("k", {}, ttl=ttl)
    with pytest.raises(InvalidTTLError):
        await store.put_many(["k"], [{}], ttl=ttl)
    assert rows == {}


@pytest.mark.parametrize("kv", [AsyncMemoryKV, NoLifetimes])
@every_form
async def test_cull_removes_what_has_expired(form: dict[str, Any], kv: type[Any]) -> None:
    """And nothing else, whether the KV keeps lifetimes or not."""
    clock = Clock()
    rows = kv(clock=clock)
    store = KVStore(rows, clock=clock, **form)
    await store.put("lasting", {})
    await store.put_many(["a", "b"], [{}, {}], ttl=10)
    await store.put("c", {}, ttl=100)
    clock.now += 10
    await store.cull()
    assert len([name async for name in rows.scan_keys("")]) == 2
    assert sorted(await store.keys()) == ["c", "lasting"]


# ---------------------------------------------------------------------------- claims and batches


@pytest.mark.parametrize("ttl", [None, 60], ids=["lasting", "mortal"])
@every_kv
async def test_one_of_many_claims_and_one_deletes(
    make: Callable[[Clock], Any], ttl: float | None
) -> None:
    """Tasks of one process, on two stores over one KV."""
    clock = Clock()
    kv = make(clock)
    stores = [KVStore(kv, cipher=RING, clock=clock) for _ in range(2)]
    claims = [store.put_if_absent("k", {"n": n}, ttl=ttl) for n in range(5) for store in stores]
    assert sum(await asyncio.gather(*claims)) == 1
    deletes = [store.delete("k") for _ in range(5) for store in stores]
    assert sum(await asyncio.gather(*deletes)) == 1


async def test_batches_are_in_the_order_of_their_keys() -> None:
    """Also where a key is named twice: the last value stays, and one is deleted."""
    store = KVStore(AsyncMemoryKV())
    await store.put_many(["a", "b", "a"], [{"n": 1}, {"n": 2}, {"n": 3}])
    assert await store.get_many(["b", "z", "a", "b"]) == [{"n": 2}, None, {"n": 3}, {"n": 2}]
    assert await store.delete_many(["a", "z", "a", "b"]) == 2
    assert await store.get_many([]) == []


async def test_an_outage_is_no_missing_entry() -> None:
    """It raises, in each way of reading and writing; the next call goes on."""
    rows = AsyncMemoryKV()
    await KVStore(rows).put("k", {"n": 1})
    calls: list[Callable[[KVStore], Coroutine[Any, Any, object]]] = [
        lambda store: store.get("k"),
        lambda store: store.ttl("k"),
        lambda store: store.get_many(["k"]),
        lambda store: store.put("k", {"n": 2}),
        lambda store: store.put_if_absent("k", {"n": 2}),
        lambda store: store.delete("k"),
        lambda store: store.keys(),
        lambda store: store.destroy(),
    ]
    for call in calls:
        store = KVStore(AsyncFaultyKV(rows, [ErrorBefore()]))
        with pytest.raises(Unavailable):
            await call(store)
        assert await store.get("k") == {"n": 1}


# -------------------------------------------------------------------------------------- the whole


def test_it_is_all_that_py_key_value_knows() -> None:
    """The protocol, for type checkers too, and each segment that shipped stores have."""
    store: AsyncKeyValue = KVStore({})
    assert isinstance(store, AsyncKeyValue)
    assert isinstance(store, AsyncCullProtocol)
    assert isinstance(store, AsyncEnumerateKeysProtocol)
    assert isinstance(store, AsyncEnumerateCollectionsProtocol)
    assert isinstance(store, AsyncDestroyStoreProtocol)
    assert isinstance(store, AsyncDestroyCollectionProtocol)


@every_form
async def test_collections_are_apart(form: dict[str, Any]) -> None:
    """One key in two of them is two entries; one is listed, limited, destroyed by itself."""
    rows: dict[str, bytes] = {"others/1": b"kept"}
    store = KVStore(rows, default_collection="mine", **form)
    await store.put("a", {"n": 1})
    await store.put("a", {"n": 2}, collection="other")
    await store.put("b/c", {"n": 3}, collection="other")
    await store.put("a", {"n": 4}, collection="oth")
    assert await store.get("a", collection="mine") == {"n": 1}
    assert sorted(await store.keys("other")) == ["a", "b/c"]
    assert len(await store.keys("other", limit=1)) == 1
    assert sorted(await store.collections()) == ["mine", "oth", "other"]
    assert len(await store.collections(limit=2)) == 2
    assert await store.destroy_collection("other")
    assert not await store.destroy_collection("other")
    assert sorted(await store.collections()) == ["mine", "oth"]
    assert await store.destroy()
    assert rows == {"others/1": b"kept"}


async def test_keys_are_rotated() -> None:
    """With entries of both kinds: the report says when the old key may go."""
    rows: dict[str, bytes] = {}
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    before = KVStore(rows, cipher=KeyRing(old))
    await before.put("lasting", {"n": 1})
    await before.put("mortal", {"n": 2}, ttl=1000)
    both = KVStore(rows, cipher=KeyRing(new, retired=[old]))
    (report,) = await both.rewrap()
    assert report.changed == 2
    assert report.may_drop(KeyRing(old).primary)
    after = KVStore(rows, cipher=KeyRing(new))
    assert await after.get("lasting") == {"n": 1}
    entry, left = await after.ttl("mortal")
    assert entry == {"n": 2}
    assert left is not None
    assert 0 < left <= 1000
    assert await after.ttl("lasting") == ({"n": 1}, None)
    with pytest.raises(UnknownKey):
        await before.get("lasting")


async def test_hidden_names_tell_nothing() -> None:
    """Authorization codes are keys of FastMCP's: with HiddenKeys no row's name shows one."""
    rows: dict[str, bytes] = {}
    store = KVStore(rows, **FORMS["hidden"])
    await store.put("code-of-ada", {"n": 1}, collection="mcp-authorization-codes")
    assert "ada" not in str(rows)
    assert "codes" not in str(rows)
    assert await store.get("code-of-ada", collection="mcp-authorization-codes") == {"n": 1}


def test_repr_tells_the_kv_only() -> None:
    """No key, no row."""
    assert repr(KVStore({"a": CANARY.encode()}, cipher=RING)) == "<KVStore on AsyncMappingKV>"
