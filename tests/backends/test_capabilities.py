"""What a handle can do is looked at per handle, whole groups only, and answers are judged."""

# A method of a made-up client takes whatever such a client takes.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from msgspec.structs import replace

from kvcodec import KVCodecError, OutcomeUnknown
from kvcodec.backends.capabilities import (
    Capabilities,
    all_stored,
    capabilities_of,
    values_of,
    versioned,
    yes_or_no,
)
from kvcodec.backends.handle import AsyncHandleKV, HandleKV
from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_async import AsyncSQLiteKV
from kvcodec.errors import ConfigError
from kvcodec.protocols import Limits
from tests.leaks import CANARY, leaks

PART = Capabilities(
    exists=True,
    many=True,
    scan=True,
    ordered=True,
    ttl=True,
    many_ttl=True,
    claims=True,
    versions=True,
    deletes=True,
)
"""What a part of a KV can do that can do everything: it purges nothing that it shares."""

ALL = replace(PART, purge=True)
NONE = Capabilities()


class Client:
    """The three methods."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.data.get(key)

    def set(self, key: str, value: bytes) -> None:
        self.data[key] = value

    def delete(self, key: str) -> None:
        self.data.pop(key, None)


class Traced:
    """A proxy: what it can do is what is inside can do."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def client(**methods: Any) -> Any:
    """Return a client whose class has these methods too."""
    return type("Made", (Client,), methods)()


def logged(method: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as they are written: what it returns takes what the method takes."""

    @wraps(method)
    def call(*args: Any) -> Any:
        return method(*args)

    return call


def passing(method: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that does not say so."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return call


# ------------------------------------------------------------------------- what there is


def test_kvcodec_s_own_can_do_all_that_they_have(tmp_path: Path) -> None:
    """Both twins of each backend; SQLite with its limit on values."""
    assert capabilities_of(MemoryKV()) == capabilities_of(AsyncMemoryKV()) == ALL
    mapping = Capabilities(exists=True, scan=True)
    assert capabilities_of(MappingKV({})) == capabilities_of(AsyncMappingKV({})) == mapping
    with SQLiteKV(tmp_path / "app.db") as kv:
        assert capabilities_of(kv).limits is kv.limits
        assert capabilities_of(HandleKV(kv)) == NONE
        of_sqlite = capabilities_of(kv)

    async def twin() -> Capabilities:
        async with AsyncSQLiteKV(tmp_path / "app.db") as kv:
            assert capabilities_of(AsyncHandleKV(kv)) == NONE
            return capabilities_of(kv)

    assert asyncio.run(twin()) == of_sqlite


def test_three_methods_are_nothing_beyond_them() -> None:
    """A bare client, and one whose limits are somebody else's notion of limits."""
    assert capabilities_of(Client()) == NONE
    odd = client(limits={"key_bytes": 3}, ordered=True)
    assert capabilities_of(odd) == capabilities_of(PrefixKV(odd, "a/")) == NONE
    assert capabilities_of(client(limits=Limits(key_bytes=3))).limits == Limits(key_bytes=3)


@pytest.mark.parametrize(
    "left_out",
    [
        *("get_many", "set_many", "delete_many"),
        *("get_versioned", "set_if_version"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda kv: kv, Traced, lambda kv: PrefixKV(kv, "a/")])
def test_a_group_is_whole_or_not_there(left_out: str, wrap: Callable[[Any], Any]) -> None:
    """Of a group of which one method is None the others are not used, behind a part neither."""

    class Less(MemoryKV):
        pass

    setattr(Less, left_out, None)
    handle = wrap(Less())
    found = capabilities_of(handle)
    assert (found.many, found.versions) == ("many" not in left_out, "many" in left_out)
    assert (found.claims, found.deletes) == (True, found.versions)


def test_a_conditional_deletion_is_beside_the_rest() -> None:
    """Without it compare-and-set is there all the same; it alone is of no use."""

    class Stays(MemoryKV):
        delete_if_version: Any = None

    class Alone(MemoryKV):
        get_versioned: Any = None

    for kind, wanted in ((Stays, (True, False)), (Alone, (False, False))):
        for handle in (kind(), PrefixKV(kind(), "a/")):
            found = capabilities_of(handle)
            assert (found.versions, found.deletes) == wanted


def test_tokens_stand_for_the_write_unless_the_handle_says_otherwise() -> None:
    """Whatever else a client has under this name; a part says what the whole does."""
    for said, wanted in (("bytes", "bytes"), ("write", "write"), (None, "write"), (7, "write")):
        kv: Any = MemoryKV()
        kv.version_of = said
        assert capabilities_of(kv).version_of == wanted
        assert capabilities_of(PrefixKV(kv, "a/")).version_of == wanted
    assert capabilities_of(client(version_of="bytes")).version_of == "write"


def test_a_method_of_the_handle_itself_counts() -> None:
    """One that was set to None on this very object, and one that was put there."""
    kv, other = MemoryKV(), MemoryKV()
    kv.set_if_absent = None  # type: ignore[assignment,method-assign] # pyright: ignore[reportAttributeAccessIssue]
    assert (capabilities_of(kv).claims, capabilities_of(other).claims) == (False, True)
    bare: Any = Client()
    bare.exists = bare.data.__contains__
    assert capabilities_of(bare) == Capabilities(exists=True)


def test_proxies_of_one_class_are_looked_at_each() -> None:
    """Around two kinds of client, in both orders."""
    for _ in range(2):
        assert capabilities_of(Traced(MemoryKV())) == ALL
        assert capabilities_of(Traced(Client())) == NONE


def test_a_part_can_do_what_the_whole_can() -> None:
    """Nested too, with the limits of the part; a subclass that takes a method away has it not."""
    limited = client(limits=Limits(key_bytes=20), exists=lambda self, key: False)
    nested = PrefixKV(PrefixKV(limited, "a/"), "b/")
    assert capabilities_of(nested) == Capabilities(exists=True, limits=Limits(key_bytes=16))
    assert capabilities_of(AsyncPrefixKV(AsyncMemoryKV(), "a/")) == PART

    class Less(PrefixKV):
        set_if_absent = None

    found = capabilities_of(Less(MemoryKV(), "a/"))
    assert (found.claims, found.versions, found.many) == (False, True, True)


# ---------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("methods", "wanted"),
    [
        # redis-py
        ({"exists": lambda self, *names: len(names)}, Capabilities(exists=True)),
        ({"exists": lambda self: True}, NONE),
        ({"exists": True}, NONE),
        # cachelib: each key is an argument of its own
        (
            {
                "get_many": lambda self, *keys: [],
                "set_many": lambda self, mapping, timeout=None: [],
                "delete_many": lambda self, *keys: [],
            },
            NONE,
        ),
        # Django's caches
        (
            {
                "get_many": lambda self, keys, version=None: {},
                "set_many": lambda self, data, timeout=300, version=None: [],
                "delete_many": lambda self, keys, version=None: None,
            },
            Capabilities(many=True),
        ),
        ({"scan_keys": lambda self, prefix: ()}, NONE),
        ({"scan_keys": lambda self, prefix, after="": ()}, Capabilities(scan=True)),
        (
            {"scan_keys": lambda self, prefix, after="": (), "ordered": True},
            Capabilities(scan=True, ordered=True),
        ),
        ({"set_with_ttl": lambda self, key, value, *, ttl: None}, NONE),
        ({"set_with_ttl": lambda self, key, value, ttl, *, nx=False: 1}, Capabilities(ttl=True)),
        ({"set_if_absent": lambda self, key, value: True}, NONE),
        ({"set_if_absent": lambda self, key, value, ttl: True}, Capabilities(claims=True)),
        ({"set_if_absent": staticmethod(lambda key, value, ttl: True)}, Capabilities(claims=True)),
        ({"set_if_absent": staticmethod(lambda key, value: True)}, NONE),
        ({"set_if_absent": classmethod(lambda cls, key, value: True)}, NONE),
    ],
)
def test_a_method_of_another_shape_is_not_used(
    methods: Mapping[str, Any], wanted: Capabilities
) -> None:
    """Looked at cold and warm, and through a decorator that keeps the signature."""
    handle = client(**methods)
    assert capabilities_of(handle) == capabilities_of(handle) == wanted
    decorated = {
        name: logged(method) if type(method) is type(logged) else method
        for name, method in methods.items()
    }
    assert capabilities_of(client(**decorated)) == wanted


def test_what_does_not_tell_its_shape_is_taken_at_its_word() -> None:
    """A decorator that passes on whatever it is given, a mock, a method written in C."""

    class Passing(MemoryKV):
        get_many = passing(MemoryKV.get_many)
        set_many = passing(MemoryKV.set_many)
        delete_many = passing(MemoryKV.delete_many)

    assert capabilities_of(Passing()) == ALL
    mock = capabilities_of(MagicMock())
    assert (mock.many, mock.versions, mock.ordered, mock.limits) == (True, True, False, Limits())

    class Odd:
        __signature__ = "nothing of use"

        def __call__(self, *keys: str) -> bool:
            return bool(keys)

    assert capabilities_of(client(exists=Odd())).exists


def test_a_verdict_is_about_a_function_and_ends_with_it() -> None:
    """Of functions that come and go none is taken for an earlier one at the same address."""
    for _ in range(200):
        right = client(set_if_absent=lambda self, key, value, ttl: True)
        assert capabilities_of(right).claims
        del right
        gc.collect(0)
        wrong = client(set_if_absent=lambda self, key, value: True)
        assert not capabilities_of(wrong).claims
        del wrong
        gc.collect(0)


# --------------------------------------------------------------------------------- answers


def test_right_answers_pass() -> None:
    """As they are; a number of keys is a yes."""
    assert values_of({}) == {}
    assert values_of({"a": b"1"}) == {"a": b"1"}
    for answer, wanted in ((True, True), (False, False), (2, True), (0, False)):
        assert yes_or_no(answer, "exists") is wanted
    assert versioned(None) is None
    assert versioned((b"1", None)) == versioned([b"1", None]) == (b"1", None)
    for nothing in (None, [], (), set[str](), True, [True, True], "ab", b"ab", 2, ["else"]):
        all_stored(nothing, {"a": b"", "b": b""})


@pytest.mark.parametrize(
    ("judge", "answer", "said"),
    [
        (values_of, [CANARY.encode()], "get_many .* list, .*mapping"),
        (values_of, None, "get_many .* None, "),
        (values_of, {b"a": CANARY.encode()}, "keys are str, not bytes"),
        (lambda answer: yes_or_no(answer, "exists"), None, "exists .* None, .*True or False"),
        (lambda answer: yes_or_no(answer, "exists"), CANARY, "exists .* str"),
        (versioned, CANARY.encode(), "get_versioned .* bytes, .*pair"),
        (versioned, (CANARY.encode(),), "pair"),
        (versioned, (None, CANARY), "pair"),  # memcached's word for missing
        (versioned, False, "pair"),
    ],
)
def test_a_wrong_answer_of_a_read_is_an_error(
    judge: Callable[[Any], object], answer: Any, said: str
) -> None:
    """ConfigError that names the method and what to do, and holds nothing of the answer."""
    with pytest.raises(ConfigError, match=said) as caught:
        judge(answer)
    assert "wrap the handle" in str(caught.value)
    assert caught.value.stage == "store"
    assert CANARY not in repr(caught.value.args)


@pytest.mark.parametrize("method", ["set_if_absent", "set_if_version", "delete_if_version"])
@pytest.mark.parametrize("answer", [None, "OK", b"OK", 1.0, []])
def test_a_wrong_answer_of_a_write_is_an_unknown_outcome(method: str, answer: Any) -> None:
    """Neither "done" nor "not done" may be made of it."""
    with pytest.raises(OutcomeUnknown, match=f"{method} .*True or False") as caught:
        yes_or_no(answer, method)
    assert caught.value.stage == "store"


@pytest.mark.parametrize("answer", [["a"], ("a", "c"), {"a", "b"}, {"a": 1}, {"a": 0}.keys()])
def test_keys_that_were_not_stored_are_an_error(answer: Any) -> None:
    """OutcomeUnknown with their number."""
    with pytest.raises(OutcomeUnknown, match=r"named [12] of 2 keys") as caught:
        all_stored(answer, {"a": CANARY.encode(), "b": b""})
    assert caught.value.stage == "store"


def test_a_part_judges_the_answers_of_the_whole() -> None:
    """The names in them are the whole's, so they cannot be judged outside."""

    class Failing(MemoryKV):
        def set_many(self, items: Mapping[str, bytes], /) -> Any:
            return list(items)

        def get_many(self, keys: Any, /) -> Any:
            return [CANARY.encode()]

    class AsyncFailing(AsyncMemoryKV):
        async def set_many(self, items: Mapping[str, bytes], /) -> Any:
            return list(items)

        async def get_many(self, keys: Any, /) -> Any:
            return [CANARY.encode()]

    part, twin = PrefixKV(Failing(), "a/"), AsyncPrefixKV(AsyncFailing(), "a/")
    items = {"a": CANARY.encode(), "b": b""}
    uses: list[tuple[type[KVCodecError], Callable[[], object]]] = [
        (OutcomeUnknown, lambda: part.set_many(items)),
        (OutcomeUnknown, lambda: PrefixKV(part, "b/").set_many(items)),
        (OutcomeUnknown, lambda: asyncio.run(twin.set_many(items))),
        (ConfigError, lambda: part.get_many(["a"])),
        (ConfigError, lambda: asyncio.run(twin.get_many(["a"]))),
    ]
    for kind, use in uses:
        with pytest.raises(kind) as caught:
            use()
        assert leaks(caught.value) == []
