"""Sync and async twins say the same: methods, parameters, types and docstrings."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import kvcodec

HANDED_OUT = ("FileReader", "AsyncFileReader")
"""Made by ``open`` of Files: the one is Python's own ``io.BufferedReader``, with its words."""

TWINS = [
    (name.removeprefix("Async"), name)
    for name in kvcodec.__all__
    if name.startswith("Async") and name.removeprefix("Async") in kvcodec.__all__
    if name not in HANDED_OUT
]
FUNCTIONS = [("open_kv", "open_async_kv")]

EVERY_SHAPE = {"__contains__", "__len__", "__iter__", "__bool__"}

ONLY_SYNC = {
    "Store": {"mapping", "__getitem__", "__setitem__", "__delitem__"} | EVERY_SHAPE,
    "Log": EVERY_SHAPE,
    "Files": EVERY_SHAPE,
}
"""What has no form that can be awaited: brackets, ``in``, ``len``, and what goes with them."""

ONLY_ASYNC = {
    "AsyncStore": {"__aiter__"},
    "AsyncLog": {"__aiter__"},
    "AsyncFiles": {"__aiter__"},
}

AWAITED = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
"""What has another name where it is awaited."""

BOUND: dict[str, set[str]] = {"MemoryKV": {"get"}, "MappingKV": {"get", "set", "exists"}}
"""Methods that are bound in the constructor, to the C method of what is behind them."""

DIFFER = {
    ("Files", "put"): "takes an async iterable as well",
    ("Files", "open"): "gives a file whose methods are awaited",
    ("Cache", "get_or_load"): "awaits its loader",
    ("Cache", "memoize"): "decorates an async function",
}
"""Methods of which the twins take or give another thing than an awaitable of the same."""

MACHINERY = {
    *("__module__", "__doc__", "__slots__", "__dict__", "__weakref__", "__annotations__"),
    *("__parameters__", "__orig_bases__", "__init__", "__repr__", "__abstractmethods__"),
    *("__protocol_attrs__", "__subclasshook__", "__non_callable_proto_members__", "_is_protocol"),
    *("_is_runtime_protocol", "__getattr__", "__firstlineno__", "__static_attributes__"),
    "__slotnames__",  # where copyreg remembers a class that somebody copied
}


def public(kind: type, skipped: set[str]) -> dict[str, Any]:
    """The parts of a class that users see, as it or what it is made of in kvcodec defines them."""
    made_of = [each for each in reversed(kind.__mro__) if each.__module__.startswith("kvcodec.")]
    return {
        name: part
        for each in made_of
        for name, part in vars(each).items()
        if (not name.startswith("_") or (name.startswith("__") and name.endswith("__")))
        and name not in MACHINERY | skipped
    }


def spoken(text: str) -> str:
    """A docstring or an annotation without what makes it async."""
    text = re.sub(r"\bAsync(?=[A-Z])", "", text)
    text = re.sub(r"\b(?:Awaitable|Coroutine)\[(?:Any, Any, )?(.*)\]$", r"\1", text)
    text = text.replace("open_async_kv", "open_kv")
    text = re.sub(r"\ban (async KV|awaitable)\b", "a KV", text).replace("async KV", "KV")
    return " ".join(text.split())


def signature(part: Any) -> list[tuple[str, str, str, str]]:
    """Names, kinds, defaults and types of the parameters, and the result."""
    described = inspect.signature(part)
    rows = [
        (each.name, str(each.kind), repr(each.default), spoken(str(each.annotation)))
        for each in described.parameters.values()
    ]
    return [*rows, ("return", "", "", spoken(str(described.return_annotation)))]


@pytest.mark.parametrize(("sync", "twin"), TWINS)
def test_twins_have_the_same_methods(sync: str, twin: str) -> None:
    """What one has, the other has, but for what cannot be awaited."""
    left = public(getattr(kvcodec, sync), ONLY_SYNC.get(sync, set()))
    right = public(getattr(kvcodec, twin), ONLY_ASYNC.get(twin, set()))
    bound = BOUND.get(sync, set())
    assert left.keys() | bound == {AWAITED.get(name, name) for name in right} | bound


@pytest.mark.parametrize(("sync", "twin"), TWINS)
def test_twins_have_the_same_signatures(sync: str, twin: str) -> None:
    """Parameters, defaults, annotations and results are the same without what is awaited."""
    left, right = getattr(kvcodec, sync), getattr(kvcodec, twin)
    assert signature(left.__init__) == signature(right.__init__)
    for name in public(left, ONLY_SYNC.get(sync, set())).keys() & public(right, set()).keys():
        one, other = getattr(left, name), getattr(right, name)
        if callable(one) and (sync, name) not in DIFFER:
            assert (name, signature(one)) == (name, signature(other))


@pytest.mark.parametrize(("sync", "twin"), TWINS)
def test_twins_have_the_same_docstrings(sync: str, twin: str) -> None:
    """A twin's docstring is as full as its brother's: word for word, method by method."""
    left, right = getattr(kvcodec, sync), getattr(kvcodec, twin)
    for name in public(left, ONLY_SYNC.get(sync, set())).keys() & public(right, set()).keys():
        one, other = (inspect.getdoc(getattr(each, name)) or "" for each in (left, right))
        if (sync, name) not in DIFFER:
            assert (name, spoken(one)) == (name, spoken(other))
        assert one or name.startswith("__") or not callable(getattr(left, name))


def test_an_async_reader_has_the_names_of_a_binary_file() -> None:
    """What it has, the other has by the same name, or by the one that is not awaited."""
    left, right = (getattr(kvcodec, name) for name in HANDED_OUT)
    assert {name.replace("__a", "__") for name in public(right, set())} - {*dir(left)} == set()


@pytest.mark.parametrize(("sync", "twin"), FUNCTIONS)
def test_functions_have_twins(sync: str, twin: str) -> None:
    """Opening by URL takes the same in both."""
    one, other = getattr(kvcodec, sync), getattr(kvcodec, twin)
    assert signature(one)[:-1] == signature(other)[:-1]
    assert inspect.getdoc(one)
    assert inspect.getdoc(other)


def test_every_method_that_waits_is_a_coroutine() -> None:
    """No async store passes off blocking work: what its twin returns, it awaits."""
    for twin in (kvcodec.AsyncStore, kvcodec.AsyncValue):
        for name, part in public(twin, {"__aiter__", "__copy__", "__reduce__", "keyspace"}).items():
            waits = inspect.iscoroutinefunction(part) or name in ("keys", "items")
            assert (name, waits) == (name, True)


def test_there_are_twins_to_compare() -> None:
    """The table is taken from the public names: it must find them."""
    assert {sync for sync, _ in TWINS} >= {"Store", "Value", "SQLiteKV", "MemoryKV", "KV"}


def test_a_difference_is_seen() -> None:
    """The comparison notices another default, another name and another word."""

    def one(key: str, *, ttl: float | None = None) -> None: ...

    def other(key: str, *, ttl: float | None = 0) -> None: ...

    async def awaited(key: str, *, ttl: float | None = None) -> None: ...

    assert signature(one) != signature(other)
    assert signature(one) == signature(awaited)
    assert spoken("An AsyncStore on an async KV") == spoken("An Store on a KV")
    assert spoken("opened on a KV") != spoken("opened on the KV")
