"""The table of README.md: what kvcodec and others do, each cell shown by the test that it links to.

The first line of a test's docstring is the text of its cell; a test compares the two. What is said
of another project was seen in the version of ``SEEN``. Of another version its tests are skipped,
and say so: whoever updates looks at the table again.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import json
import math
import pkgutil
import re
import typing
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import cryptography.fernet
import msgspec
import pydantic
import pytest
from key_value.aio import stores
from key_value.aio.adapters.pydantic import PydanticAdapter
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper
from langchain_core.stores import BaseStore, InMemoryByteStore, InMemoryStore
from langchain_tests.integration_tests import BaseStoreAsyncTests, BaseStoreSyncTests

import kvcodec
from kvcodec import (
    AsyncMemoryKV,
    AsyncStore,
    DecodeError,
    EncodeError,
    KeyRing,
    Keyspace,
    Log,
    MemoryKV,
    NewerVersion,
    NotEncrypted,
    SchemaMismatch,
    Store,
    Tampered,
    testing,
)

diskcache: Any = import_module("diskcache")  # without annotations, as the table says

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

SEEN = {"py-key-value-aio": "0.5", "diskcache": "5.6", "langchain-core": "1.8"}
"""The versions that the table speaks of."""

COLUMNS = {
    "kvcodec": "kvcodec",
    "by_hand": "`json.dumps` and a client",
    "pkv": f"py-key-value-aio {SEEN['py-key-value-aio']}",
    "diskcache": f"diskcache {SEEN['diskcache']}",
    "langchain": f"LangChain's stores (core {SEEN['langchain-core']})",
}

ROWS = {
    "outcomes": "Missing is not unreadable is not an outage",
    "refuses": "Refuses what would not come back",
    "sealed": "Sealed to its place",
    "rotation": "Rotation says when a key may go",
    "shapes": "Shapes that change",
    "appends": "Appends that stay flat",
    "twins": "Sync and async",
    "typed": "Typed without casts",
    "engines": "Engines",
    "kit": "Test kit",
}

DISTRIBUTIONS = {"pkv": "py-key-value-aio", "diskcache": "diskcache", "langchain": "langchain-core"}


@pytest.fixture(autouse=True)
def _as_it_was_seen(request: pytest.FixtureRequest) -> None:
    """Skip what is said of a project in another version than the table's."""
    name = DISTRIBUTIONS.get(request.node.originalname.rpartition("_")[2])
    if name is None:
        return
    there = importlib.metadata.version(name)
    if not there.startswith(f"{SEEN[name]}."):
        pytest.skip(f"{name} {there} is installed; README.md speaks of {SEEN[name]}")


class Preferences(msgspec.Struct):
    """What kvcodec stores here."""

    theme: str = "light"
    size: float = 12.0


class Model(pydantic.BaseModel):
    """The same for py-key-value-aio."""

    theme: str = "light"
    size: float = 12.0

    @pydantic.model_validator(mode="before")
    @classmethod
    def _colors(cls, data: Any) -> Any:
        """Read what the theme was called once."""
        return {"theme": data.pop("colors"), **data} if "colors" in data else data


class Older(pydantic.BaseModel):
    """The same before it had a size."""

    theme: str = "light"


class Numbered(pydantic.BaseModel):
    """Another type under the same name."""

    theme: int


PREFERENCES = Keyspace("preferences", Preferences)


class Down:
    """A client whose server is away."""

    def get(self, key: str) -> bytes:
        raise ConnectionError

    def set(self, key: str, value: bytes) -> None:
        raise ConnectionError

    def delete(self, key: str) -> None:
        raise ConnectionError


class Counting(dict[str, bytes]):
    """A client that counts the bytes of each write, and how many calls there were."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def get(self, key: str, default: Any = None) -> Any:
        self.calls.append(0)
        return super().get(key, default)

    def __setitem__(self, key: str, value: bytes) -> None:
        self.calls.append(len(value))
        super().__setitem__(key, value)


# --------------------------------------------------------------------------------------- outcomes


def test_outcomes_kvcodec() -> None:
    """Yes: `None`, `DecodeError`, the client's error."""
    prefs = Store(PREFERENCES, {"preferences/bob": b"{", "preferences/eve": b'{"theme":7}'})
    assert prefs.get("ada") is None
    for unreadable in ("bob", "eve"):
        with pytest.raises(DecodeError):
            prefs.get(unreadable, Preferences())
    with pytest.raises(ConnectionError):
        Store(PREFERENCES, Down()).get("ada", Preferences())


def test_outcomes_by_hand() -> None:
    """Damage raises; a wrong type is read."""
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"{")
    assert json.loads(b'{"theme":7}') == {"theme": 7}


def test_outcomes_pkv() -> None:
    """If asked; else an invalid value is `None`."""

    async def main() -> None:
        kv = MemoryStore()
        await PydanticAdapter(kv, Model, "p").put("ada", Model())
        assert await PydanticAdapter(kv, Numbered, "p").get("ada") is None
        strict = PydanticAdapter(kv, Numbered, "p", raise_on_validation_error=True)
        with pytest.raises(DeserializationError):
            await strict.get("ada")

    asyncio.run(main())


def test_outcomes_diskcache(tmp_path: Path) -> None:
    """No: a value whose file is lost is missing."""
    with diskcache.Cache(str(tmp_path)) as cache:
        cache.set("ada", bytes(100_000))
        for file in tmp_path.rglob("*.val"):
            file.unlink()
        assert cache.get("ada", "missing") == "missing"
        assert "ada" in cache


def test_outcomes_langchain() -> None:
    """By hand: bytes in, bytes out."""
    store = InMemoryByteStore()
    store.mset([("ada", b"{")])
    assert store.mget(["ada", "bob"]) == [b"{", None]


# ---------------------------------------------------------------------------------------- refuses


def test_refuses_kvcodec() -> None:
    """Yes, and the error names the path."""
    prefs = Store(PREFERENCES, {})
    wrong: Any = "big"
    for value in (Preferences(size=math.nan), Preferences(size=wrong)):
        with pytest.raises(EncodeError if value.size != wrong else SchemaMismatch, match="size"):
            prefs.set("ada", value)
    with pytest.raises(EncodeError):
        Store(Keyspace("any", dict[int | str, str]), {}).set("ada", {1: "a", "1": "b"})


def test_refuses_by_hand() -> None:
    """No: `{1: "a"}` comes back as `{"1": "a"}`."""
    assert json.loads(json.dumps({1: "a"})) == {"1": "a"}


def test_refuses_pkv() -> None:
    """No: it warns, stores, and reads `None`."""

    async def main() -> None:
        kv = MemoryStore()
        adapter = PydanticAdapter(kv, Model, "p")
        with pytest.warns(UserWarning, match="serialized value may not be as expected"):
            await adapter.put("ada", Model.model_construct(size="big"))
        assert await kv.get("ada", collection="p") is not None
        assert await adapter.get("ada") is None

    asyncio.run(main())


def test_refuses_diskcache(tmp_path: Path) -> None:
    """Nearly all comes back (pickle); NaN does not."""
    with diskcache.Cache(str(tmp_path)) as cache:
        for value in ({1: "a", "1": "b"}, (1,), 1j, Preferences()):
            cache.set("ada", value)
            assert cache.get("ada") == value
        cache.set("ada", math.nan)
        assert cache.get("ada", "missing") is None


def test_refuses_langchain() -> None:
    """No: memory keeps your object itself."""
    store = InMemoryStore()
    value = {"theme": "dark"}
    store.mset([("ada", value)])
    value["theme"] = "changed later"
    assert store.mget(["ada"]) == [{"theme": "changed later"}]


# ----------------------------------------------------------------------------------------- sealed


def test_sealed_kvcodec() -> None:
    """Yes: moved, changed or plain data raises."""
    kv: dict[str, bytes] = {}
    tokens = Store(Keyspace("tokens", str, cipher=KeyRing(KeyRing.generate_key())), kv)
    tokens.set("ada", "ghp_example")
    sealed = kv["tokens/ada"]
    kv["tokens/bob"], kv["tokens/eve"] = sealed, b"ghp_example"
    kv["tokens/ada"] = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    for key, error in (("ada", Tampered), ("bob", Tampered), ("eve", NotEncrypted)):
        with pytest.raises(error):
            tokens.get(key)


def test_sealed_by_hand() -> None:
    """No encryption."""
    assert b"ghp_example" in json.dumps({"token": "ghp_example"}).encode()


def test_sealed_pkv() -> None:
    """Fernet: moved or plain data passes."""

    async def main() -> None:
        kv = MemoryStore()
        key = cryptography.fernet.Fernet.generate_key()
        tokens = FernetEncryptionWrapper(kv, fernet=cryptography.fernet.Fernet(key))
        await tokens.put("ada", {"token": "ghp_example"})
        stored = await kv.get("ada") or {}
        assert stored
        assert "ghp_example" not in str(stored)
        await kv.put("bob", stored)
        await kv.put("eve", {"token": "of another"})
        assert await tokens.get("bob") == {"token": "ghp_example"}
        assert await tokens.get("eve") == {"token": "of another"}

    asyncio.run(main())


def test_sealed_diskcache(tmp_path: Path) -> None:
    """No encryption."""
    with diskcache.Cache(str(tmp_path)) as cache:
        cache.set("ada", "ghp_example")
    assert b"ghp_example" in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_sealed_langchain() -> None:
    """No encryption."""
    store = InMemoryByteStore()
    store.mset([("ada", b"ghp_example")])
    assert store.store == {"ada": b"ghp_example"}


# --------------------------------------------------------------------------------------- rotation


def test_rotation_kvcodec() -> None:
    """Yes: in the report of `rewrap`."""
    kv: dict[str, bytes] = {}
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    before = KeyRing(old)
    Store(Keyspace("tokens", str, cipher=before), kv).set("ada", "ghp_example")
    tokens = Store(Keyspace("tokens", str, cipher=KeyRing(new, retired=[old])), kv)
    assert not tokens.verify().may_drop(before.primary)
    assert tokens.rewrap().may_drop(before.primary)


def test_rotation_pkv() -> None:
    """Reads with both keys; no report."""

    async def main() -> None:
        kv = MemoryStore()
        keys = [cryptography.fernet.Fernet.generate_key() for _ in range(2)]
        old, new = map(cryptography.fernet.Fernet, keys)
        await FernetEncryptionWrapper(kv, fernet=old).put("ada", {"token": "ghp_example"})
        both = FernetEncryptionWrapper(kv, fernet=cryptography.fernet.MultiFernet([new, old]))
        assert await both.get("ada") == {"token": "ghp_example"}

    asyncio.run(main())
    methods = {name for name in dir(FernetEncryptionWrapper) if not name.startswith("_")}
    one = {"get", "put", "delete", "ttl"}
    assert methods == one | {f"{name}_many" for name in one}


# ----------------------------------------------------------------------------------------- shapes


def test_shapes_kvcodec() -> None:
    """Versions, upgrades; newer is refused."""
    kv: dict[str, bytes] = {}
    Store(PREFERENCES, kv).set("ada", Preferences("dark"))

    def louder(plain: dict[str, Any]) -> dict[str, Any]:
        return {**plain, "theme": plain["theme"].upper()}

    newer = Store(Keyspace("preferences", Preferences, version=2, upgrades={1: louder}), kv)
    assert newer.get("ada") == Preferences("DARK")
    newer.set("ada", Preferences())
    with pytest.raises(NewerVersion):
        Store(PREFERENCES, kv).update("ada", lambda found: found)


def test_shapes_by_hand() -> None:
    """By hand."""
    assert "theme" not in json.loads(b'{"font":12}')


def test_shapes_pkv() -> None:
    """Defaults, validators; newer is read."""

    async def main() -> None:
        kv = MemoryStore()
        newer, older = PydanticAdapter(kv, Model, "p"), PydanticAdapter(kv, Older, "p")
        await kv.put("ada", {"colors": "dark"}, collection="p")
        assert await newer.get("ada") == Model(theme="dark", size=12)
        await newer.put("ada", Model(size=30))
        await older.put("ada", await older.get("ada") or Older())
        assert await newer.get("ada") == Model(size=12)

    asyncio.run(main())


def test_shapes_diskcache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No: a renamed class is not found."""
    with diskcache.Cache(str(tmp_path)) as cache:
        cache.set("ada", Preferences())
        monkeypatch.delitem(globals(), "Preferences")
        with pytest.raises(AttributeError):
            cache.get("ada")


def test_shapes_langchain() -> None:
    """By hand."""
    store = InMemoryByteStore()
    store.mset([("ada", b'{"font":12}')])
    assert store.mget(["ada"]) == [b'{"font":12}']


# ---------------------------------------------------------------------------------------- appends


def test_appends_kvcodec() -> None:
    """Yes: `Log`, mostly a get and a set."""
    kv = Counting()
    log = Log(Keyspace("history", str), kv)

    def written() -> tuple[float, float]:
        kv.calls.clear()
        for _ in range(200):
            log.append("ada", "x" * 200)
        return len(kv.calls) / 200, sum(kv.calls) / 200

    first, _, _, last = (written() for _ in range(4))
    assert last[0] < 2.1
    assert last[1] < 1.1 * first[1]


def test_appends_by_hand() -> None:
    """Writes the whole list."""
    kv = Counting()
    kv["ada"] = b"[]"
    for _ in range(100):
        kv["ada"] = json.dumps([*json.loads(kv["ada"]), "x" * 200]).encode()
    assert kv.calls[-1] > 50 * kv.calls[1]


def test_appends_pkv() -> None:
    """Writes the whole list."""

    async def main() -> list[int]:
        kv = MemoryStore()
        history = PydanticAdapter(kv, list[str], "p")
        sizes: list[int] = []
        for _ in range(100):
            await history.put("ada", [*(await history.get("ada") or []), "x" * 200])
            sizes.append(len(str(await kv.get("ada", collection="p"))))
        return sizes

    first, *_, last = asyncio.run(main())
    assert last > 50 * first


def test_appends_diskcache(tmp_path: Path) -> None:
    """Yes: `Deque`, one row each."""
    deque = diskcache.Deque(directory=str(tmp_path))
    for number in range(100):
        deque.append(number)
    assert [deque[0], deque[-1], len(deque)] == [0, 99, 100]
    with diskcache.Cache(str(tmp_path)) as rows:
        assert len(rows) == 100


def test_appends_langchain() -> None:
    """Writes the whole list."""
    methods = {name for name in vars(BaseStore) if not name.startswith("_")}
    one = {"mget", "mset", "mdelete", "yield_keys"}
    assert methods == one | {f"a{name}" for name in one}


# ------------------------------------------------------------------------------------------ twins


def public(cls: type[Any]) -> set[str]:
    """The names of a class that are no details."""
    return {name for name in dir(cls) if not name.startswith("_")}


def test_twins_kvcodec() -> None:
    """Both: same methods, same bytes."""
    assert public(Store) - {"mapping"} == public(AsyncStore)
    kv, twin = MemoryKV(), AsyncMemoryKV()
    Store(PREFERENCES, kv).set("ada", Preferences())

    async def main() -> bytes | None:
        await AsyncStore(PREFERENCES, twin).set("ada", Preferences())
        return await twin.get("preferences/ada")

    assert asyncio.run(main()) == kv.get("preferences/ada")


def test_twins_by_hand() -> None:
    """As the client."""
    assert json.loads(json.dumps({"a": 1}).encode()) == {"a": 1}  # text, and no I/O


def test_twins_pkv() -> None:
    """Async only."""
    adapter: Any = PydanticAdapter
    assert inspect.iscoroutinefunction(adapter.get)
    modules = {each.name for each in (importlib.metadata.files("py-key-value-aio") or [])}
    assert "sync.py" not in modules


def test_twins_diskcache() -> None:
    """Sync only."""
    for name in ("Cache", "FanoutCache", "Deque", "Index"):
        methods: dict[str, Any] = {**vars(getattr(diskcache, name))}
        assert not any(inspect.iscoroutinefunction(method) for method in methods.values())


def test_twins_langchain() -> None:
    """Both: `mget` and `amget`."""
    store = InMemoryByteStore()
    store.mset([("ada", b"1")])
    assert asyncio.run(store.amget(["ada"])) == store.mget(["ada"])


# ------------------------------------------------------------------------------------------ typed


def returned(method: Callable[..., Any]) -> Any:
    """What a method says that it returns."""
    return typing.get_type_hints(method)["return"]


def test_typed_kvcodec() -> None:
    """Yes, keys too.

    What mypy and pyright make of it is tested in test_typing.py.
    """
    store: Any = Store
    assert [each.__name__ for each in typing.get_args(store.__orig_bases__[0])] == ["V", "K"]
    assert returned(store.require).__name__ == "V"


def test_typed_by_hand() -> None:
    """No: `Any`."""
    assert {type(json.loads(text)) for text in ("1", "[]", "{}")} == {int, list, dict}
    assert inspect.signature(json.loads).return_annotation is inspect.Signature.empty


def test_typed_pkv() -> None:
    """Yes, values."""
    adapter: Any = PydanticAdapter
    hints = typing.get_type_hints(adapter.get)
    assert hints["return"] == hints["default"]
    assert typing.get_args(hints["return"])[0].__name__ == "T"
    assert hints["key"] is str


def test_typed_diskcache() -> None:
    """No annotations."""
    assert diskcache.Cache.get.__annotations__ == {}
    assert not (Path(inspect.getfile(diskcache)).parent / "py.typed").exists()


def test_typed_langchain() -> None:
    """`bytes`, or `Any`."""
    bases: Any = [InMemoryByteStore, InMemoryStore]
    assert [typing.get_args(each.__orig_bases__[0])[0] for each in bases] == [bytes, Any]


# ---------------------------------------------------------------------------------------- engines


def test_engines_kvcodec() -> None:
    """SQLite, Redis, PostgreSQL, NATS, S3, your client."""
    own = {"SQLiteKV", "RedisKV", "PostgresKV", "NatsKV", "ObjectKV"}
    assert own <= {*kvcodec.__all__}

    class Handle:
        def __init__(self) -> None:
            kept: dict[str, bytes] = {}
            self.get, self.set, self.delete = kept.get, kept.__setitem__, kept.pop

    prefs = Store(PREFERENCES, Handle())
    prefs.set("ada", Preferences())
    assert prefs.get("ada") == Preferences()


def test_engines_pkv() -> None:
    """More: over 20."""
    folder = Path(inspect.getfile(stores)).parent
    found = {path.name for path in folder.iterdir() if (path / "store.py").exists()}
    assert found >= {"dynamodb", "mongodb", "redis", "postgresql"}
    assert len(found) > 20


def test_engines_diskcache(tmp_path: Path) -> None:
    """SQLite, evicts by size."""
    with diskcache.Cache(str(tmp_path), size_limit=1_000_000) as cache:
        for number in range(100):
            cache.set(number, bytes(50_000))
        assert cache.volume() < 2_000_000
        assert (tmp_path / "cache.db").exists()


def test_engines_langchain() -> None:
    """Memory; others in packages."""
    names = dir(import_module("langchain_core.stores"))
    assert {name for name in names if name.endswith("Store") and name != "ByteStore"} == {
        *("BaseStore", "InMemoryBaseStore", "InMemoryStore", "InMemoryByteStore")
    }


# -------------------------------------------------------------------------------------------- kit


def shipped(name: str) -> set[str]:
    """The folders and modules of an installed project that are about testing."""
    files = importlib.metadata.files(name) or []
    parts = {part.removesuffix(".py") for file in files for part in file.parts}
    return parts & {"testing", "tests", "test", "conformance"}


def test_kit_kvcodec() -> None:
    """Yes: values, faults, crashes, backends."""
    kit = {"values", "check_keyspace", "FaultyKV", "crash_everywhere", "KVConformance"}
    assert kit <= {*testing.__all__}
    testing.check_keyspace(PREFERENCES, examples=5)


def test_kit_by_hand() -> None:
    """No."""
    parts = {each.name for each in pkgutil.iter_modules(json.__path__)}
    assert not parts & {"testing", "tests"}


def test_kit_pkv() -> None:
    """Only in its repository."""
    assert shipped("py-key-value-aio") == set()


def test_kit_diskcache() -> None:
    """No."""
    assert shipped("diskcache") == set()


def test_kit_langchain() -> None:
    """Yes: `langchain-tests`."""
    for kit in (BaseStoreSyncTests, BaseStoreAsyncTests):
        assert any(name.startswith("test_") for name in dir(kit))


# ------------------------------------------------------------------------------------- the table

CELL = re.compile(r"\[(?P<text>.+)\]\(tests/test_peers\.py#(?P<test>test_\w+)\)")


def table() -> list[list[str]]:
    """The cells of the README's table, row by row, the heads first."""
    lines = re.findall(r"^\|.*\|$", README.read_text("utf-8"), re.MULTILINE)
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert set(rows.pop(1)) == {"---"}
    return rows


def test_the_table_has_these_rows_and_columns() -> None:
    """In this order, and each project with the version that was looked at."""
    heads, *rows = table()
    assert heads == ["", *COLUMNS.values()]
    assert [row[0] for row in rows] == [*ROWS.values()]


def test_each_cell_is_what_its_test_says() -> None:
    """A cell links to a test of its column, whose docstring is its text; no test is left over."""
    linked: set[str] = set()
    for row, cells in zip(ROWS, table()[1:], strict=True):
        for column, cell in zip(COLUMNS, cells[1:], strict=True):
            found = CELL.fullmatch(cell)
            assert found, f"{cell!r} of {row}, {column} links to no test of this file"
            shown_by = globals().get(found["test"])
            assert shown_by, f"{found['test']} is gone, and the table says {found['text']!r}"
            assert found["test"].endswith(f"_{column}")
            assert (shown_by.__doc__ or "").partition("\n")[0] == f"{found['text']}."
            linked.add(found["test"])
    tests = rf"test_({'|'.join(ROWS)})_({'|'.join(COLUMNS)})"
    assert linked == {name for name in globals() if re.fullmatch(tests, name)}
