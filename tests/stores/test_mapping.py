"""``Store.mapping()``: as code that wants a MutableMapping expects it, beside other writers too."""

from __future__ import annotations

import pickle
import unittest
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest

from kvcodec import Conflict, Keyspace, MemoryKV, Store, Unsupported
from kvcodec.errors import KeyNameError
from tests.plans.steps import threads
from tests.requires import require_module

NUMBERS = Keyspace("numbers", int)
NOTED = Keyspace("numbers", int, indexed=True)


def nothing(_method: str, _key: str) -> None:
    """No other writer is there."""


class Three:
    """Three methods, each counted; ``before`` is called with each, as another writer would be."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], object] = nothing

    def _call(self, method: str, key: str) -> None:
        self.calls.append((method, key))
        self.before(method, key)

    def get(self, key: str, /) -> bytes | None:
        self._call("get", key)
        return self.values.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self._call("set", key)
        self.values[key] = value

    def delete(self, key: str, /) -> None:
        self._call("delete", key)
        self.values.pop(key, None)


class Listing(Three):
    """The same, and it lists."""

    def scan_keys(self, prefix: str, after: str = "", /) -> Iterator[str]:
        names = sorted(name for name in self.values if name.startswith(prefix) and name > after)
        self._call("scan_keys", prefix)
        return iter(names)


@pytest.fixture(params=["listing", "indexed"])
def raced(request: pytest.FixtureRequest) -> tuple[Three, Store[int, str]]:
    """A KV whose other writers are at hand, and a store on it."""
    kv = Listing() if request.param == "listing" else Three()
    return kv, Store(NUMBERS if request.param == "listing" else NOTED, kv)


def goes(kv: Three, name: str) -> Callable[[str, str], None]:
    """Another writer, who takes a value before it is read for the first time."""

    def before(method: str, key: str) -> None:
        if (method, key) == ("get", name):
            kv.values.pop(name, None)

    return before


# ------------------------------------------------------------------------- beside other writers


def test_popitem_takes_the_next_one(raced: tuple[Three, Store[int, str]]) -> None:
    """Where another writer has taken the first one meanwhile."""
    kv, store = raced
    store.set_many({"a": 1, "b": 2})
    kv.before = goes(kv, "numbers/a")
    assert store.mapping().popitem() == ("b", 2)
    with pytest.raises(KeyError, match="nothing is stored here"):
        store.mapping().popitem()


def test_popitem_lists_anew_before_it_says_that_nothing_is_left(
    raced: tuple[Three, Store[int, str]],
) -> None:
    """All that it has listed is gone, and something new is there."""
    kv, store = raced
    store.set_many({"a": 1, "b": 2})
    taken: list[str] = []

    def before(method: str, key: str) -> None:
        if method == "get" and key in ("numbers/a", "numbers/b") and key not in taken:
            taken.append(key)
            kv.values.pop(key, None)
            if len(taken) == 2:
                kv.before = nothing
                store.set("0", 3)

    view = store.mapping()
    kv.before = before
    assert view.popitem() == ("0", 3)
    assert sorted(taken) == ["numbers/a", "numbers/b"]


def test_popitem_does_not_go_on_for_ever() -> None:
    """A host that lists what it does not have: a Conflict, and never "empty"."""
    kv = Listing()
    store = Store(NUMBERS, kv)
    store.set("a", 1)
    kv.get = lambda _: None  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="other writers were faster at every attempt"):
        store.mapping().popitem()
    assert len(kv.calls) < 1000


@pytest.mark.parametrize("how", ["items", "values"])
def test_what_goes_while_it_is_listed(how: str, raced: tuple[Three, Store[int, str]]) -> None:
    """Is left out, and no error."""
    kv, store = raced
    store.set_many({"a": 1, "b": 2, "c": 3})
    view = iter(getattr(store.mapping(), how)())
    first = next(view)
    store.delete_many(["b", "c"])
    rest = list(view)
    assert first in (("a", 1), 1)
    assert rest in ([], [("b", 2), ("c", 3)], [2, 3])  # of one page, which is read at once
    store.set_many({"a": 1, "b": 2})
    seen: list[str] = []

    def before(method: str, key: str) -> None:
        if method == "get" and key == "numbers/b":
            seen.append(key)
            if len(seen) > (1 if store.keyspace is NOTED else 0):
                kv.values.pop("numbers/b", None)

    kv.before = before
    assert list(getattr(store.mapping(), how)()) in ([("a", 1)], [1])


def test_setdefault_of_a_key_that_comes_and_goes() -> None:
    """The value that is there, or the default once it is stored."""
    kv = Three()
    store, steps = Store(NUMBERS, kv), list[str]()

    def before(method: str, key: str) -> None:
        if method == "get":
            steps.append(key)
            if len(steps) in (2, 4):  # between the look and the claim: it is there
                kv.values[key] = b"7"
            if len(steps) in (3, 5):  # and gone for the next look
                kv.values.pop(key, None)

    kv.before = before
    assert store.mapping().setdefault("a", 1) == 1
    assert len(steps) == 6
    assert kv.values == {"numbers/a": b"1"}


def test_many_threads_take_each_item_once() -> None:
    """Of one view, of a backend that lists and of one that has an index."""
    for keyspace, kv in ((NUMBERS, MemoryKV()), (NOTED, Three())):
        store: Store[int, str] = Store(keyspace, kv)
        store.set_many({f"k{number}": number for number in range(60)})
        view, taken = store.mapping(), list[int]()

        def work(view: Any = view, taken: list[int] = taken) -> None:
            while view:
                try:
                    taken.append(view.popitem()[1])
                except KeyError:
                    return

        with threads(work, work, work):
            pass
        assert sorted(taken) == list(range(60))


# ------------------------------------------------------------------------------ what is no key


@pytest.mark.parametrize(
    "key", [object(), 7, "", None, "\ud800", (), 1.5, b"a"], ids=lambda key: type(key).__name__
)
def test_what_is_no_key_is_not_in_it(key: object) -> None:
    """As in any mapping: False, and no error."""
    assert key not in Store(NUMBERS, MemoryKV()).mapping()
    assert (key, 1) not in Store(NUMBERS, MemoryKV()).mapping().items()


def test_what_is_in_its_views() -> None:
    """Values are compared, also with None; nothing is in a view that is not stored."""
    store: Store[int | None, str] = Store(Keyspace("n", int | None), MemoryKV())
    view = store.mapping()
    view.update(a=1, b=None)
    assert ("a", 1) in view.items()
    assert ("a", 2) not in view.items()
    assert ("b", None) in view.items()
    assert ("c", None) not in view.items()
    assert None in view.values()
    assert 2 not in view.values()
    assert view.items() & {("a", 1), ("a", 2)} == {("a", 1)}
    with pytest.raises(KeyNameError):
        view[""] = 1


# -------------------------------------------------------------------------------------- costs


def test_popitem_of_an_index_costs_a_page() -> None:
    """Whatever it holds; the last one, and that nothing is left, cost the whole index."""
    kv = Three()
    store = Store(NOTED, kv)
    store.set_many({f"k{number:03}": number for number in range(512)})
    kv.calls.clear()
    view = store.mapping()
    view.popitem()
    first = len(kv.calls)
    assert first <= 6
    kv.calls.clear()
    taken = [view.popitem() for _ in range(511)]
    assert len(kv.calls) / 511 <= 4
    assert len({key for key, _ in taken}) == 511
    with pytest.raises(KeyError):
        view.popitem()
    view["new"] = 1
    assert view.popitem() == ("new", 1)


def test_popitem_leaves_no_listing_open() -> None:
    """Of a backend that lists: it may hold a connection for as long as it is not at its end."""
    kv = Listing()
    store = Store(NUMBERS, kv)
    store.set_many({"a": 1, "b": 2})
    view: Any = store.mapping()
    assert view.popitem() == ("a", 1)
    assert view._walks == []


def test_whether_there_is_anything_is_told_by_the_first_key() -> None:
    """Not by counting them all."""
    kv = Listing()
    store = Store(Keyspace("numbers", int, ttl=60), kv)
    store.set_many({f"k{number:03}": number for number in range(500)})
    kv.calls.clear()
    assert store.mapping()
    assert len(kv.calls) <= 101
    with pytest.raises(Unsupported):
        bool(Store(NUMBERS, Three()).mapping())
    with pytest.raises(Unsupported):
        Store(NUMBERS, Three()).mapping().popitem()


# --------------------------------------------------------------------------- CPython's own tests


class Pickled:
    """Values as they are, of any class."""

    name = "pickle"

    def encode(self, value: Any, /) -> bytes:
        return pickle.dumps(value)

    def decode(self, data: bytes, /) -> Any:
        return pickle.loads(data)  # noqa: S301 - the test's own


class PickledKeys:
    """Keys of any class."""

    prefix = "any/"

    def join(self, key: Any, /) -> str:
        return self.prefix + pickle.dumps(key, protocol=0).hex()

    def split(self, raw_key: str, /) -> Any:
        return pickle.loads(bytes.fromhex(raw_key.removeprefix(self.prefix)))  # noqa: S301 - as above


ANY: Keyspace[Any, Any] = Keyspace("any", object, encoding=Pickled(), keys=PickledKeys())


def made(*given: Any, **more: Any) -> MutableMapping[Any, Any]:
    """A mapping, as ``dict`` makes one."""
    view = Store(ANY, {}).mapping()
    view.update(*given, **more)
    return view


def test_as_cpython_tests_its_mappings() -> None:
    """``TestMappingProtocol``, but for what only objects in memory have.

    A view has no ``copy`` and no ``fromkeys``; a list that is appended to is not stored by that:
    of the tests of ``popitem`` and ``setdefault``, which do so, the basic ones are run.
    """
    tests: Any = require_module("test.mapping_tests", install="a Python with its test package")
    basic = tests.BasicTestMappingProtocol
    without = {
        "test_copy": None,
        "test_fromkeys": None,
        "test_popitem": basic.test_popitem,
        "test_setdefault": basic.test_setdefault,
    }
    bases = (tests.TestMappingProtocol,)
    case: Any = type("Views", bases, {"type2test": staticmethod(made), **without})
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    assert suite.countTestCases() > 14
    result = unittest.TestResult()
    suite.run(result)
    assert [text for _, text in (*result.failures, *result.errors)] == []
