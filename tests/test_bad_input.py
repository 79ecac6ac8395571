"""The forty bad inputs on a dict, on SQLite and on Dify's storage, and what goes with them.

The table is tests/bad_input.py. On Dify's storage a row runs in a plugin's own process, under the
real SDK, against the stand-in for the daemon (tests/dify/daemon.py). Rows about every bit and every
stack are also checked, exhaustively and without a store, in test_envelope and test_codecs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvcodec import (
    DecodeError,
    EncodeError,
    KeyNameError,
    Keyspace,
    SchemaMismatch,
    SQLiteKV,
    Store,
    TooLarge,
)
from tests.backends.dify.conftest import require_dify
from tests.backends.dify.daemon import Call, Daemon, LocalDisk, Persistence, PluginProcess
from tests.bad_input import (
    ASK,
    BAD_PLACE,
    GOOD,
    PLAIN,
    RING,
    ROWS,
    SEALED,
    Account,
    Backend,
    Cat,
    Row,
    check,
    declared,
    not_written,
    refused,
)
from tests.leaks import CANARY, leaks

PROBE = Path(__file__).parent / "backends" / "dify" / "probe"


def test_the_table_has_forty_rows() -> None:
    """Each once, in their order."""
    assert [each.number for each in ROWS] == list(range(1, 41))


class Around:
    """A dict's own way to its values."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.get, self.set = values.get, values.__setitem__


@pytest.fixture(params=["dict", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Each backend of this process, empty."""
    if request.param == "sqlite":
        kv = SQLiteKV(tmp_path / "bad.db")
        yield Backend(kv, kv)
        kv.close()
    else:
        values: dict[str, bytes] = {}
        yield Backend(values, Around(values))


@pytest.fixture(scope="module")
def plugin() -> Iterator[PluginProcess]:
    """A plugin's process under the real SDK."""
    require_dify()
    nowhere = Daemon(Persistence(LocalDisk(Path("nowhere")), quota=0, clock=float))
    process = PluginProcess(PROBE, nowhere)
    yield process
    process.stop()


IDS = [f"{each.number:02} {each.title}" for each in ROWS]


@pytest.mark.parametrize("case", ROWS, ids=IDS)
def test_bad_input(case: Row, backend: Backend) -> None:
    """A row of the table on a dict and on SQLite."""
    case.check(backend)


@pytest.mark.parametrize("case", ROWS, ids=IDS)
def test_bad_input_on_dify(case: Row, plugin: PluginProcess, tmp_path: Path) -> None:
    """The same row in a plugin, on the SDK's storage; the process lives on."""
    store = Persistence(LocalDisk(tmp_path / "host"), quota=1024 * 1024, clock=float)
    plugin.daemon = Daemon(store)
    [message] = plugin.invoke("probe", "row", {"number": case.number}, Call())
    assert message["message"]["text"] == "as it should be"
    assert plugin.running()


# ------------------------------------------------------------------- more of the same, by hand


MORE_READS = {
    "cut JSON": (PLAIN, b'{"token":"%b"' % CANARY.encode(), DecodeError, "decode"),
    "sealed, of another shape": (
        SEALED,
        declared(dict[str, str], cipher=RING).pack("a", {"token": CANARY, "x": "y"}, now=0.0)[1],
        SchemaMismatch,
        "validate",
    ),
}
MORE_WRITES = {
    "too large": (declared(str, max_bytes=9), CANARY, TooLarge, "encode"),
    "no such type": (declared(Any), [CANARY, object()], EncodeError, "encode"),
    "a field of another type": (
        PLAIN,
        Account(CANARY, rate="high"),  # type: ignore[arg-type]
        SchemaMismatch,
        "validate",
    ),
    "another type": (PLAIN, Cat(CANARY), SchemaMismatch, "validate"),
    "a subclass of str": (
        declared(str),
        type("S", (str,), {})(CANARY),
        EncodeError,
        "encode",
    ),
}


@pytest.mark.parametrize("name", MORE_READS)
def test_what_is_stored_cannot_be_read(name: str, backend: Backend) -> None:
    """Every way of reading raises the row's error; what is stored stays as it is."""
    refused(backend, *MORE_READS[name])


@pytest.mark.parametrize("name", MORE_WRITES)
def test_what_cannot_be_read_back_is_not_written(name: str, backend: Backend) -> None:
    """Every way of writing raises the row's error; what was stored stays, nothing is added."""
    not_written(backend, *MORE_WRITES[name])


BAD_KEYS: list[Any] = ["", None, 5, b"a", "\ud800", ("a", "b"), ["a"], {"a": 1}, ("a", ["b"])]
BAD_KEY_ACTS = ["set", "add", "update", "set_many", "pop", "get", "setitem", "delete", "exists"]


@pytest.mark.parametrize("key", BAD_KEYS, ids=range(9))
@pytest.mark.parametrize("put", BAD_KEY_ACTS)
def test_a_bad_key_shows_no_value(
    key: Any, put: str, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """34: a key that is none raises KeyNameError, and the value that came with it stays out."""
    caplog.set_level(logging.DEBUG)
    store: Store[Any, Any] = Store(declared(Account), backend.handle)
    acts: dict[str, Callable[[], object]] = {
        "set": lambda: store.set(key, GOOD),
        "setitem": lambda: store.__setitem__(key, GOOD),
        "add": lambda: store.add(key, GOOD),
        "update": lambda: store.update(key, lambda value: value, default=GOOD),
        "set_many": lambda: store.set_many([("a", GOOD), (key, GOOD)]),
        "pop": lambda: store.pop(key, GOOD),
        "get": lambda: store.get(key, GOOD),
        "delete": lambda: store.delete(key),
        "exists": lambda: store.exists(key),
    }
    with pytest.raises(KeyNameError) as caught:
        acts[put]()
    check(caught.value, "name")
    assert CANARY not in caplog.text
    assert backend.peek("k/a") is None


def test_a_value_in_the_place_of_a_key_is_not_printed() -> None:
    """34: ``set(value, key)`` by mistake names the type, not what it holds."""
    store: Store[Any, Any] = Store(Keyspace("k", Account, key=int), {})
    for swapped in (GOOD, Cat(CANARY), [CANARY], {CANARY: 1}, ((GOOD,),)):
        with pytest.raises(KeyNameError) as caught:
            store.set(swapped, 1)
        assert CANARY not in repr((str(caught.value), caught.value.args, vars(caught.value)))


@pytest.mark.parametrize("stored", [b"", b"plaintext", b"\xc1\1\5\1\0\0\0\2", bytes(5_000_000)])
@pytest.mark.parametrize("options", [{}, {"cipher": RING}, {"checksum": True}])
@pytest.mark.parametrize("ask", ASK)
def test_a_message_stays_short_under_any_name(
    ask: str, options: dict[str, Any], stored: bytes
) -> None:
    """35: newlines, escape sequences and 2 KiB of name are escaped and cut: one line of 200."""
    make: Any = Keyspace
    keyspace = make("ks\n\x1b[2J" + "n" * 100, Account, key=str, **options)
    raw_key = keyspace.raw_key(BAD_PLACE)
    with pytest.raises(DecodeError) as caught:
        ASK[ask](Store(keyspace, {raw_key: stored}), BAD_PLACE)
    assert len(str(caught.value)) <= 200
    assert str(caught.value).isprintable()
    assert leaks(caught.value) == []
    assert len(str(caught.value.raw_key)) <= 64


class Handle:
    """A KV whose answers a test decides."""

    def __init__(self, answer: Callable[[str], Any]) -> None:
        self.answer = answer

    def get(self, key: str, /) -> Any:
        return self.answer(key)

    def set(self, key: str, value: bytes, /) -> None: ...

    def delete(self, key: str, /) -> None: ...


def test_a_key_error_about_something_else_is_no_missing_value() -> None:
    """3: a KeyError from inside a client is a fault of it, and passes."""

    def broken(_: str) -> Any:
        table: dict[str, str] = {}
        return table["shard-7"]

    store = Store(PLAIN, Handle(broken))
    for ask in ASK.values():
        with pytest.raises(KeyError, match="shard-7"):
            ask(store, "a")


def test_listing_shows_no_stored_bytes(tmp_path: Path) -> None:
    """6: what ``items`` reads and cannot decode stays out of the traceback."""
    with SQLiteKV(tmp_path / "x.db") as kv:
        kv.set("k/a", CANARY.encode())
        with pytest.raises(DecodeError) as caught:
            list(Store(PLAIN, kv).items())
    assert leaks(caught.value) == []
