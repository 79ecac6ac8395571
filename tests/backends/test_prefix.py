"""PrefixKV: which prefixes are taken, which capabilities it has, and what a tenant cannot reach."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import AsyncStore, Keyspace, Store
from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
from kvcodec.errors import ConfigError
from kvcodec.protocols import Limits

CAPABILITIES = (
    "exists",
    "get_many",
    "set_many",
    "delete_many",
    "scan_keys",
    "ordered",
    "set_with_ttl",
    "set_many_with_ttl",
    "set_if_absent",
    "get_versioned",
    "set_if_version",
    "delete_if_version",
    "version_of",
    "limits",
)

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
PARTS = st.builds("{}{}".format, st.text("ab\u00e9", min_size=1, max_size=2), st.sampled_from("/:"))
PREFIXES = st.lists(PARTS, min_size=1, max_size=3).map("".join)


class Limited(MappingKV):
    """A dict with limits."""

    def __init__(self, limits: Limits | None) -> None:
        super().__init__({})
        self.limits = limits


def test_the_prefix_is_in_the_stored_name() -> None:
    """The value lies in the wrapped KV under the prefix and the name."""
    whole: dict[str, bytes] = {}
    PrefixKV(MappingKV(whole), "tenants/acme/").set("settings", b"1")
    assert whole == {"tenants/acme/settings": b"1"}


@given(PREFIXES, PREFIXES, NAMES)
def test_parts_meet_only_where_one_contains_the_other(one: str, other: str, name: str) -> None:
    """A name without separators is seen from another part only if that one contains its own."""
    name = name.replace("/", "%2F").replace(":", "%3A")
    whole: dict[str, bytes] = {}
    PrefixKV(MappingKV(whole), one).set(name, b"")
    seen = list(PrefixKV(MappingKV(whole), other).scan_keys(""))
    assert seen == ([(one + name).removeprefix(other)] if one.startswith(other) else [])


@given(PREFIXES, PREFIXES, NAMES, NAMES)
def test_nesting_is_the_longer_prefix(outer: str, inner: str, name: str, sought: str) -> None:
    """A part of a part is the part of both prefixes, to write, to read and to list."""
    whole = MemoryKV()
    nested, joined = PrefixKV(PrefixKV(whole, outer), inner), PrefixKV(whole, outer + inner)
    nested.set(name, b"value")
    assert joined.get(name) == b"value"
    assert list(nested.scan_keys(sought)) == list(joined.scan_keys(sought))


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("", "ends in"),
        ("acme", "ends in"),
        ("acme!", "ends in"),
        ("acme.", "ends in"),
        ("ac\nme/", "control"),
        ("ac\x00me/", "control"),
        ("ac\x7fme/", "control"),
        ("ac\x85me/", "control"),
        ("ac\ud800me/", "surrogates"),
        ("ac\\me/", "backslashes"),
        ("../", "'..'"),
        ("acme/../", "'..'"),
        ("a..b/", "'..'"),
        ("/", "empty"),
        ("/acme/", "empty"),
        ("acme//", "empty"),
        ("./", "'.'"),
        ("acme/./", "'.'"),
    ],
)
def test_a_prefix_that_cannot_keep_tenants_apart(prefix: str, reason: str) -> None:
    """It is refused when the part is made, by both twins alike."""
    for make in (
        lambda: PrefixKV(MemoryKV(), prefix),
        lambda: AsyncPrefixKV(AsyncMemoryKV(), prefix),
    ):
        with pytest.raises(ConfigError, match=reason):
            make()


@pytest.mark.parametrize("prefix", ["acme/", "acme:", "a/b/", "a:b:", ":", ".a/", "\u540d/"])
def test_a_prefix_that_can(prefix: str) -> None:
    """Prefixes of both separators, of several parts and of any script are taken."""
    whole = MemoryKV()
    PrefixKV(whole, prefix).set("key", b"value")
    assert whole.get(prefix + "key") == b"value"


@pytest.mark.parametrize(
    ("whole", "wrap"),
    [
        (MemoryKV(), PrefixKV),
        (MappingKV({}), PrefixKV),
        (Limited(Limits(key_bytes=100)), PrefixKV),
        (AsyncMemoryKV(), AsyncPrefixKV),
        (AsyncMappingKV({}), AsyncPrefixKV),
    ],
)
def test_capabilities_are_those_of_the_wrapped(whole: Any, wrap: Any) -> None:
    """Each capability is there exactly if the wrapped KV has it; nested likewise."""
    wanted = [name for name in CAPABILITIES if hasattr(whole, name)]
    part = wrap(whole, "part/")
    assert [name for name in CAPABILITIES if hasattr(part, name)] == wanted
    nested = wrap(part, "inner:")
    assert [name for name in CAPABILITIES if hasattr(nested, name)] == wanted


def test_nothing_else_is_passed_on() -> None:
    """A tenant can neither purge nor close what it shares, and a misspelt name is an error."""
    part = PrefixKV(MemoryKV(), "part/")
    for name in ("purge", "close", "set_if_abscent"):
        with pytest.raises(AttributeError, match=f"'PrefixKV' object has no attribute '{name}'"):
            getattr(part, name)


def test_a_part_can_be_copied() -> None:
    """Looking for what is not set does not recurse: a copy is the same part."""
    whole = MemoryKV()
    copy.copy(PrefixKV(whole, "part/")).set("key", b"value")
    assert whole.get("part/key") == b"value"


def test_limits_are_reduced() -> None:
    """The prefix's UTF-8 bytes are taken off the limit on keys; that on values stays."""
    part = PrefixKV(Limited(Limits(key_bytes=100, value_bytes=7)), "caf\u00e9/")
    assert part.limits == Limits(key_bytes=94, value_bytes=7)
    assert PrefixKV(Limited(Limits(value_bytes=7)), "part/").limits == Limits(value_bytes=7)
    assert PrefixKV(Limited(None), "part/").limits is None


def test_limits_of_parts_are_reduced_where_the_prefix_begins_one() -> None:
    """A prefix that ends in a slash ends a part; one that does not takes room of the first."""
    limits = Limits(part_bytes=10)
    assert PrefixKV(Limited(limits), "a/b/").limits == limits
    assert PrefixKV(Limited(limits), "a/bc:").limits == Limits(part_bytes=7)
    with pytest.raises(ConfigError, match="all of the 10 bytes"):
        PrefixKV(Limited(limits), "a/eleven_byte/b/")
    assert PrefixKV(Limited(Limits(alphabet="ab/")), "a/").limits == Limits(alphabet="ab/")
    with pytest.raises(ConfigError, match="does not take"):
        PrefixKV(Limited(Limits(alphabet="ab/")), "c/")


def test_a_prefix_that_leaves_no_room_is_refused() -> None:
    """A prefix as long as the limit on keys is refused at once."""
    with pytest.raises(ConfigError, match="all of the 5 bytes"):
        PrefixKV(Limited(Limits(key_bytes=5)), "part/")
    assert PrefixKV(Limited(Limits(key_bytes=6)), "part/").limits == Limits(key_bytes=1)


def test_the_twin_awaits() -> None:
    """The async part reads many and lists under its own names."""

    async def run() -> tuple[object, list[str]]:
        part = AsyncPrefixKV(AsyncMemoryKV(), "part/")
        await part.set_many({"a": b"1", "b": b"2"})
        return await part.get_many(["a", "absent"]), [key async for key in part.scan_keys("", "a")]

    assert asyncio.run(run()) == ({"a": b"1"}, ["b"])


class Raising:
    """A client that raises KeyError for what it does not have."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def get(self, key: str) -> bytes:
        return self.data[key]

    def set(self, key: str, value: bytes) -> None:
        self.data[key] = value

    def delete(self, key: str) -> None:
        del self.data[key]


class AsyncRaising(Raising):
    """The same, awaited."""

    async def get(self, key: str) -> bytes:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        return super().get(key)

    async def set(self, key: str, value: bytes) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        super().set(key, value)

    async def delete(self, key: str) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        super().delete(key)


class FutureRaising(AsyncRaising):
    """A client that raises before there is anything to await."""

    def get(self, key: str) -> Any:
        return AsyncRaising.get(self, self.known(key))

    def delete(self, key: str) -> Any:
        return AsyncRaising.delete(self, self.known(key))

    def known(self, key: str) -> str:
        if key not in self.data:
            raise KeyError(key)
        return key


def used(kv: Any, operation: str, *arguments: Any) -> Any:
    """Call a method of a part, and await what has to be."""
    result = getattr(kv, operation)(*arguments)
    return asyncio.run(result) if hasattr(result, "__await__") else result


PARTS_OF_RAISING: list[Callable[[Any], Any]] = [
    lambda kind: PrefixKV(kind(), "t/"),
    lambda kind: PrefixKV(PrefixKV(kind(), "t/"), "u/"),
]
ASYNC_PARTS_OF_RAISING: list[Callable[[Any], Any]] = [
    lambda kind: AsyncPrefixKV(kind(), "t/"),
    lambda kind: AsyncPrefixKV(AsyncPrefixKV(kind(), "t/"), "u/"),
]
RAISING_PARTS = [
    *((make, Raising) for make in PARTS_OF_RAISING),
    *((make, AsyncRaising) for make in ASYNC_PARTS_OF_RAISING),
    *((make, FutureRaising) for make in ASYNC_PARTS_OF_RAISING),
]


@pytest.mark.parametrize(("make", "kind"), RAISING_PARTS)
def test_a_key_error_that_names_the_key_means_missing(
    make: Callable[[Any], Any], kind: Any
) -> None:
    """As it does without the part, where the store knows the key by the name it asked for.

    Behind a part the client names the whole name, which the store took for a fault.
    """
    part = make(kind)
    assert used(part, "get", "key") is None
    assert used(part, "delete", "key") is None
    used(part, "set", "key", b"value")
    assert used(part, "get", "key") == b"value"
    used(part, "delete", "key")
    assert used(part, "get", "key") is None


@pytest.mark.parametrize(("make", "kind"), RAISING_PARTS)
@pytest.mark.parametrize("said", [("key",), ("another",), (), ("t/key", "more"), (b"t/key",)])
def test_any_other_key_error_is_a_fault(
    make: Callable[[Any], Any], kind: Any, said: tuple[object, ...]
) -> None:
    """The same object, as the client raised it: an outage never reads as missing."""
    error = KeyError(*said)

    class Broken(kind):  # type: ignore[misc] # a class that is a parameter
        def get(self, key: str) -> Any:
            raise error

        def delete(self, key: str) -> Any:
            raise error

    for operation in ("get", "delete"):
        with pytest.raises(KeyError) as caught:
            used(make(Broken), operation, "key")
        assert caught.value is error


def test_a_part_of_the_wrong_kind_is_said_to_be_it() -> None:
    """By the part itself where that can be seen; else by the store, when it is called."""
    keyspace, sync, twin = Keyspace("n", int), MemoryKV(), AsyncMemoryKV()
    with pytest.raises(ConfigError, match="not async: use PrefixKV"):
        AsyncPrefixKV(cast("Any", sync), "t/")
    with pytest.raises(ConfigError, match="is async: use AsyncPrefixKV"):
        PrefixKV(cast("Any", twin), "t/")

    class Theirs(MemoryKV):
        """Not one of kvcodec's classes."""

    class Quiet:
        """An async client whose methods are not written with ``async def``."""

        get = set = delete = staticmethod(lambda *_: asyncio.sleep(0))

    with pytest.raises(ConfigError, match="not async: use Store"):
        asyncio.run(AsyncStore(keyspace, AsyncPrefixKV(cast("Any", Theirs()), "t/")).get("x"))
    with pytest.raises(ConfigError, match="is async: use AsyncStore"):
        Store(keyspace, PrefixKV(cast("Any", Quiet()), "t/")).get("x")
