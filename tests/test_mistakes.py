"""What a newcomer gets wrong, and what each mistake is told: the message, whole.

A message names the keyspace, the key, the step and the way out, and never a value: CANARY stands in
every value that is stored here, or tried.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import subprocess
import sys
from collections.abc import Callable, Coroutine
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from kvcodec import (
    AsyncCache,
    AsyncFiles,
    AsyncHandleKV,
    AsyncLog,
    AsyncMemoryKV,
    AsyncPrefixKV,
    AsyncStore,
    AsyncSubjects,
    AsyncValue,
    Cache,
    ConfigError,
    DecodeError,
    Files,
    HandleKV,
    KeyNameError,
    KeyRing,
    Keyspace,
    Log,
    MemoryKV,
    NewerVersion,
    NotEncrypted,
    PrefixKV,
    Previous,
    SchemaMismatch,
    Secret,
    SQLiteKV,
    Store,
    Subjects,
    Unavailable,
    UnknownKey,
    Unsupported,
    Value,
    open_kv,
)
from kvcodec.errors import shorten
from tests.leaks import CANARY, leaks


class Prefs(msgspec.Struct):
    theme: str = CANARY


class Wider(msgspec.Struct):
    theme: str
    size: int


class Account(msgspec.Struct):
    name: str
    token: Secret[str]


class Chat(NamedTuple):
    user: str
    number: int


class Three:
    """A KV of three methods, which lists nothing."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str, /) -> bytes | None:
        return self.values.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.values[key] = value

    def delete(self, key: str, /) -> None:
        self.values.pop(key, None)


class NotWrittenAsync:
    """An async client whose methods are not written with ``async def``, as redis.asyncio's."""

    def get(self, _key: str, /) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(0)

    set = delete = staticmethod(lambda *_: asyncio.sleep(0))


class Double:
    """A test double of Dify's storage that raises what a dict raises."""

    def get(self, key: str, /) -> bytes:
        raise KeyError(key)

    set = delete = exist = get


def _text(first: int) -> str:
    return base64.urlsafe_b64encode(bytes(range(first, first + 32))).decode()


KEY = _text(0)
RING, OTHER_RING = KeyRing(KEY), KeyRing(_text(1))
THEIR_ID = RING.primary

PREFS = Keyspace("prefs", Prefs)
TEXTS = Keyspace("texts", str, cipher=RING)
BRIEF = Keyspace("brief", str, ttl=60)
ANY: Keyspace[Any] = Keyspace("any", Any)
ONE = Keyspace("one", str, key=None)
BYTES = Keyspace("files", bytes)
PEOPLE = Keyspace("people", bytes, cipher=RING)


def reopened(stored: Keyspace[Any], now: Keyspace[Any], value: Any = CANARY) -> Any:
    """What one declaration stores, read by another one."""
    kv = MemoryKV()
    Store(stored, kv).set("ada", value)
    return Store(now, kv).get("ada")


def read(keyspace: Keyspace[Any], data: bytes) -> Any:
    """Bytes that something else has stored, read."""
    return Store(keyspace, {f"{keyspace.name}/ada": data}).get("ada")


def updated(change: Callable[[Prefs], Any]) -> Any:
    """What a value becomes."""
    store = Store(PREFS, {})
    store.set("ada", Prefs())
    return store.update("ada", change)


def from_env(text: str | None) -> KeyRing:
    """The ring of a variable with this text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("APP_KEYS", raising=False)
        if text is not None:
            patch.setenv("APP_KEYS", text)
        return KeyRing.from_env("APP_KEYS")


def awaited(act: Callable[[], Coroutine[Any, Any, object]]) -> Any:
    """What a coroutine function returns, in an event loop of its own."""

    async def run_it() -> object:
        return await act()

    return asyncio.run(run_it())


def in_place(prefs: Prefs) -> None:
    """Change a value, and forget to return it."""
    prefs.theme = CANARY + "!"


def raising(_: object) -> Any:
    """Fail, in words that hold a value."""
    raise ValueError(CANARY)


def emptied(plain: dict[str, Any]) -> None:
    """Upgrade plain data in place, and forget to return it."""
    plain["size"] = 1


def line_of(function: Any, more: int = 0) -> str:
    """A function as messages name it, at its first line or one further down."""
    code = function.__code__
    file = shorten(code.co_filename[-80:], 80)
    return f"{code.co_qualname} ({file}, line {code.co_firstlineno + more})"


Act = Callable[[], object]
Mistake = tuple[type[Exception], str, Act]

AT = "keyspace 'prefs' key 'prefs/ada'"
TEXT_AT = "keyspace 'texts' key 'texts/ada'"
OTHER_TYPE = "has the type changed (upgrades=), or do two share the name?"
UNTIL = "previous=[Previous(..., until=...)]"
QUOTED = "it stands in quotes, which belong to it here: write it without them"
PLAIN = '"+" or "/", as plain base64 has (openssl rand -base64): use KeyRing.generate_key()'
URL = (
    "a KV's URL is text that begins with memory:, sqlite:, postgresql:, postgres:, redis:, "
    "rediss:, redis+cluster:, rediss+cluster:, s3:, gs:, az:, file:. A path is SQLiteKV(path); for "
    "another service pass its client where a KV is wanted"
)

# ------------------------------------------------------------------- the fifteen of a newcomer

NEWCOMERS: dict[str, Mistake] = {
    "wrong field": (
        SchemaMismatch,
        f"{AT} (validate): Object missing required field `size`; {OTHER_TYPE}",
        lambda: reopened(PREFS, Keyspace("prefs", Wider), Prefs()),
    ),
    "arguments swapped": (
        ConfigError,
        "the arguments are in the wrong order: Store(keyspace, kv)",
        lambda: Store({}, PREFS),  # type: ignore[arg-type]
    ),
    "sync store on an async KV": (
        ConfigError,
        "this KV is async: use AsyncStore, and await it, or open one that is not: open_kv(url)",
        lambda: Store(PREFS, AsyncMemoryKV()),  # type: ignore[arg-type]
    ),
    "async store on a KV that is not": (
        ConfigError,
        "this KV is not async: use Store, without await, or open one that is: open_async_kv(url)",
        lambda: AsyncStore(PREFS, MemoryKV()),  # type: ignore[arg-type]
    ),
    "wrong key type": (
        KeyNameError,
        (
            "keyspace 'prefs' key '<int>' (name): expected a str part, got int: convert it, or "
            "declare key=int (of a key in parts: that for this one)"
        ),
        lambda: Store(PREFS, {}).get(7),  # type: ignore[call-overload]
    ),
    "wrong ring": (
        UnknownKey,
        (
            f"{TEXT_AT} (decrypt): sealed under key {THEIR_ID}, which the ring lacks: another "
            "ring? Else KeyRing(primary, retired=[...])"
        ),
        lambda: reopened(TEXTS, Keyspace("texts", str, cipher=OTHER_RING)),
    ),
    "ring forgotten": (
        DecodeError,
        (
            f"{TEXT_AT} (envelope): this value is sealed (key id {THEIR_ID}, fernet): declare "
            "cipher=, or see previous="
        ),
        lambda: reopened(TEXTS, Keyspace("texts", str)),
    ),
    "update returning None": (
        SchemaMismatch,
        (
            f"{AT} (validate): update(): {line_of(in_place)} returned None: return the value, also "
            "where it was changed in place"
        ),
        lambda: updated(in_place),
    ),
    "set in Any": (
        SchemaMismatch,
        (
            "keyspace 'any' key 'any/ada' (validate): would come back as another dict than it is "
            "($.tags: set -> list): declare a type that holds it, or convert it first"
        ),
        lambda: Store(ANY, {}).set("ada", {"tags": {CANARY}}),
    ),
    "tuple in Any": (
        SchemaMismatch,
        (
            "keyspace 'any' key 'any/ada' (validate): would come back as another list than it is "
            "($[0].tags: tuple -> list): declare a type that holds it, or convert it first"
        ),
        lambda: Store(ANY, {}).set("ada", [{"tags": (CANARY,)}]),
    ),
    "same name with two types": (
        SchemaMismatch,
        f"{AT} (validate): Expected `object`, got `str`; {OTHER_TYPE}",
        lambda: reopened(Keyspace("prefs", str, key=str, encoding=_json()), PREFS),
    ),
    "environment unset": (
        ConfigError,
        (
            "environment variable APP_KEYS: not set, or blank: set it to what "
            "KeyRing.generate_key() gives, once, and keep that"
        ),
        lambda: from_env(None),
    ),
    "environment quoted": (
        ConfigError,
        (
            "environment variable APP_KEYS: a key has 44 base64url characters, this one has 46: "
            f"{QUOTED}"
        ),
        lambda: from_env(f'"{KEY}"'),
    ),
    "plaintext with a cipher": (
        NotEncrypted,
        (
            f"{TEXT_AT} (envelope): plaintext where cipher= asks for a sealed value: older ones "
            f"need {UNTIL}"
        ),
        lambda: read(TEXTS, CANARY.encode()),
    ),
    "len() where nothing lists": (
        Unsupported,
        (
            "keyspace 'prefs' (store): this KV cannot list its keys: declare indexed=True before "
            "it is filled, or give the keys (get_many, rewrap)"
        ),
        lambda: len(Store(PREFS, Three())),
    ),
}


def _json() -> Any:
    """Text as JSON, as a keyspace of ``str`` does not store it."""

    class Json:
        encode = staticmethod(msgspec.json.encode)
        decode = staticmethod(msgspec.json.decode)

    return Json()


# --------------------------------------------------------------------------------- the others

OTHERS: dict[str, Mistake] = {
    "a dict for a Struct": (
        SchemaMismatch,
        (
            f"{AT} (validate): a dict would come back as a Prefs: give a Prefs, or declare another "
            "type"
        ),
        lambda: Store(PREFS, {}).set("ada", {"theme": CANARY}),  # type: ignore[arg-type]
    ),
    "key and value swapped": (
        KeyNameError,
        (
            "keyspace 'prefs' key '<Prefs>' (name): expected a str part, got Prefs: no key is of "
            "that type. The key comes first, then the value"
        ),
        lambda: Store(PREFS, {}).set(Prefs("dark"), "ada"),  # type: ignore[arg-type]
    ),
    "None as a key": (
        KeyNameError,
        (
            "keyspace 'prefs' key '<NoneType>' (name): expected a str part, got NoneType: a "
            "keyspace of one value declares key=None, and is opened as a Value"
        ),
        lambda: Store(PREFS, {}).get(None),  # type: ignore[call-overload]
    ),
    "text for a key in parts": (
        KeyNameError,
        (
            "keyspace 'n' key '7' (name): expected a tuple of 2 parts as key, Chat(user, number); "
            "got str"
        ),
        lambda: Store(Keyspace("n", int, key=Chat), {}).get("7"),  # type: ignore[call-overload]
    ),
    "a key in parts, undeclared": (
        KeyNameError,
        (
            "keyspace 'prefs' key '(a, <int>)' (name): expected a str part, got tuple: convert it, "
            "or declare key=tuple[str, int] (of a key in parts: that for this one)"
        ),
        lambda: Store(PREFS, {}).get(("a", 1)),  # type: ignore[call-overload]
    ),
    "a type alone": (
        ConfigError,
        (
            "Log(keyspace, kv) takes a Keyspace first, not a type alone: declare one, "
            'Keyspace("name", type)'
        ),
        lambda: Log(Prefs, {}),  # type: ignore[arg-type]
    ),
    "a path": (
        ConfigError,
        "a path is no KV: open it first, SQLiteKV(path), and pass what that returns",
        lambda: Store(PREFS, "app.db"),  # type: ignore[arg-type]
    ),
    "a Path": (
        ConfigError,
        "a path is no KV: open it first, AsyncSQLiteKV(path), and pass what that returns",
        lambda: AsyncStore(PREFS, Path("app.db")),  # type: ignore[arg-type]
    ),
    "a URL": (
        ConfigError,
        "a URL is no KV: open it first, open_kv(url), and pass what that returns",
        lambda: Store(PREFS, "redis://host"),  # type: ignore[arg-type]
    ),
    "a URL of another service": (ConfigError, URL, lambda: open_kv(f"mysql://:{CANARY}@host")),
    "a path as a URL": (ConfigError, URL, lambda: open_kv(Path("app.db"))),  # type: ignore[arg-type]
    "the class of a KV": (
        ConfigError,
        "kvcodec.backends.sqlite.SQLiteKV is a class, not a KV: pass an instance, SQLiteKV(...)",
        lambda: Store(PREFS, SQLiteKV),  # type: ignore[arg-type]
    ),
    "a client of other methods": (
        ConfigError,
        (
            "_io.StringIO is no KV: pass a client that has get, set and delete, or wrap it in a "
            "class that has them (get returns bytes or None)"
        ),
        lambda: Store(PREFS, StringIO()),  # type: ignore[arg-type]
    ),
    "a double of Dify": (
        Unavailable,
        (
            f"{AT} (store): not read: KeyError, which Dify never raises: for tests, like_dify() of "
            "kvcodec.testing"
        ),
        lambda: Store(PREFS, Double()).get("ada"),  # type: ignore[arg-type]
    ),
    "ttl forgotten": (
        DecodeError,
        (
            "keyspace 'brief' key 'brief/ada' (envelope): this value has a lifetime: declare ttl=, "
            "or see previous="
        ),
        lambda: reopened(BRIEF, Keyspace("brief", str)),
    ),
    "ttl forgotten beside max_age": (
        DecodeError,
        (
            "keyspace 'brief' key 'brief/ada' (envelope): stored otherwise: it has a lifetime: "
            "declare ttl=; see previous="
        ),
        lambda: reopened(BRIEF, Keyspace("brief", str, max_age=60)),
    ),
    "a secret that is not sealed": (
        NotEncrypted,
        (
            "keyspace 'accounts' key 'accounts/ada' (decrypt): plaintext at $.token, a Secret: "
            f"older ones need {UNTIL}"
        ),
        lambda: read(
            Keyspace("accounts", Account, cipher=RING),
            f'{{"name":"ada","token":"{CANARY}"}}'.encode(),
        ),
    ),
    "an upgrade that raises": (
        DecodeError,
        f"{AT} (decode): upgrade from version 1 to 2: {line_of(raising, 2)} raised ValueError",
        lambda: reopened(
            PREFS, Keyspace("prefs", Wider, version=2, upgrades={1: raising}), Prefs()
        ),
    ),
    "an upgrade that returns None": (
        DecodeError,
        (
            f"{AT} (decode): upgrade from version 1 to 2: {line_of(emptied)} returned None: return "
            "the value, also where it was changed in place"
        ),
        lambda: reopened(
            PREFS, Keyspace("prefs", Wider, version=2, upgrades={1: emptied}), Prefs()
        ),
    ),
    "a convert that raises": (
        DecodeError,
        (
            "keyspace 'new' key 'new/ada' (decode): convert= of an older declaration: "
            f"{line_of(raising, 2)} raised ValueError"
        ),
        lambda: reopened(
            PREFS, Keyspace("new", Wider, previous=[Previous(PREFS, convert=raising)]), Prefs()
        ),
    ),
    "a convert that returns None": (
        DecodeError,
        (
            f"keyspace 'new' key 'new/ada' (decode): convert=: {line_of(in_place)} returned None: "
            "return the value, also where it was changed in place"
        ),
        lambda: reopened(
            PREFS, Keyspace("new", Wider, previous=[Previous(PREFS, convert=in_place)]), Prefs()
        ),
    ),
    "newer code has written": (
        NewerVersion,
        (
            f"{AT} (envelope): written in schema version 2, and this code knows 1 (version=): "
            "update the code that runs here"
        ),
        lambda: reopened(
            Keyspace("prefs", Prefs, version=2, upgrades={1: lambda plain: plain}), PREFS, Prefs()
        ),
    ),
    "a key of plain base64": (
        ConfigError,
        f"environment variable APP_KEYS: a key has 44 base64url characters: it has {PLAIN}",
        lambda: from_env("+/" * 21 + "A="),
    ),
    "a key of openssl, too long": (
        ConfigError,
        (
            "environment variable APP_KEYS: a key has 44 base64url characters, this one has 64: it "
            f"has {PLAIN}"
        ),
        lambda: from_env("+/" * 32),
    ),
    "a key in hexadecimal": (
        ConfigError,
        (
            "environment variable APP_KEYS: a key has 44 base64url characters, this one has 64: it "
            "looks like hexadecimal (openssl rand -hex): use KeyRing.generate_key()"
        ),
        lambda: from_env("0a" * 32),
    ),
    "a key with its name": (
        ConfigError,
        (
            "environment variable APP_KEYS: a key has 44 base64url characters, this one has 53: it "
            'looks like "NAME=key": give what is behind the first "=" only'
        ),
        lambda: from_env(f"APP_KEYS={KEY}"),
    ),
    "a key without its end": (
        ConfigError,
        (
            "environment variable APP_KEYS: a key has 44 base64url characters, this one has 43: "
            'the "=" at its end is missing, perhaps'
        ),
        lambda: from_env(KEY.rstrip("=")),
    ),
    "os.environ.get of what is unset": (
        ConfigError,
        "a key is text of 44 base64url characters, not None: is the variable set?",
        lambda: KeyRing(None),  # type: ignore[arg-type]
    ),
    "a key for a ring": (
        ConfigError,
        "keyspace 'texts': cipher= takes a KeyRing (of a key: KeyRing(key)) or a Cipher",
        lambda: Keyspace("texts", str, cipher=KEY),  # type: ignore[call-overload]
    ),
}

MISTAKES = NEWCOMERS | OTHERS


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_way_out(mistake: Mistake) -> None:
    """The whole message, which holds nothing of a value or a key."""
    kind, message, act = mistake
    with pytest.raises(kind) as caught:
        act()
    assert (type(caught.value), str(caught.value)) == (kind, message)
    for secret in (CANARY, KEY.rstrip("=")):
        assert leaks(caught.value, secret) == []


def test_a_misspelt_option_is_named() -> None:
    """Python's own TypeError, which names what was called and the option."""
    with pytest.raises(TypeError) as caught:
        Keyspace("x", int, tll=60)  # type: ignore[call-overload]
    message = "Keyspace.__new__() got an unexpected keyword argument 'tll'"
    assert str(caught.value).startswith(message)  # newer Pythons ask: did you mean 'ttl'?


def test_a_forgotten_await_is_named() -> None:
    """Python warns when the coroutine is dropped: by its name, at the line of the call."""

    async def forgetting() -> None:
        AsyncStore(PREFS, AsyncMemoryKV()).set("ada", Prefs())  # type: ignore[unused-coroutine]
        gc.collect()

    with pytest.warns(RuntimeWarning) as seen:
        asyncio.run(forgetting())
    assert str(seen[0].message) == "coroutine 'AsyncStore.set' was never awaited"
    assert seen[0].filename == __file__


# -------------------------------------------------------------------------------- sync and async

OPENED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "Store": (lambda kv: Store(PREFS, kv).get("ada"), lambda kv: AsyncStore(PREFS, kv).get("ada")),
    "Value": (lambda kv: Value(ONE, kv).get(), lambda kv: AsyncValue(ONE, kv).get()),
    "Log": (
        lambda kv: Log(Keyspace("log", str), kv).append("ada", CANARY),
        lambda kv: AsyncLog(Keyspace("log", str), kv).append("ada", CANARY),
    ),
    "Files": (
        lambda kv: Files(BYTES, kv).put("ada", CANARY.encode()),
        lambda kv: AsyncFiles(BYTES, kv).put("ada", CANARY.encode()),
    ),
    "Cache": (
        lambda kv: Cache(BRIEF, kv).delete("ada"),
        lambda kv: AsyncCache(BRIEF, kv).delete("ada"),
    ),
    "Subjects": (
        lambda kv: Subjects(PEOPLE, kv).add("ada"),
        lambda kv: AsyncSubjects(PEOPLE, kv).add("ada"),
    ),
}


@pytest.mark.parametrize("name", OPENED)
def test_what_is_opened_on_a_kv_of_the_other_kind_names_its_twin(name: str) -> None:
    """When it is opened, where that can be seen; else when it is first used."""
    opened, opened_async = OPENED[name]
    for kv in (AsyncMemoryKV(), AsyncPrefixKV(AsyncMemoryKV(), "a/"), NotWrittenAsync()):
        with pytest.raises(ConfigError) as caught:
            opened(kv)
        (text,) = caught.value.args
        assert text.startswith(f"this KV is async: use Async{name}, and await it, or open one")
        assert leaks(caught.value) == []
    for sync in (MemoryKV(), HandleKV(MemoryKV()), Three()):
        with pytest.raises(ConfigError) as caught:
            awaited(lambda kv=sync: opened_async(kv))  # type: ignore[misc]
        (text,) = caught.value.args
        assert text.startswith(f"this KV is not async: use {name}, without await, or open one")
        assert leaks(caught.value) == []


def test_wrappers_of_the_other_kind_name_their_twin() -> None:
    """A part and a handle of an async KV were opened, and lost what was deleted through them."""
    kv: Any = AsyncMemoryKV()
    with pytest.raises(
        ConfigError, match=r"^this KV is async: use AsyncPrefixKV, and await it, or"
    ):
        PrefixKV(kv, "a/")
    with pytest.raises(
        ConfigError, match=r"^this KV is async: use AsyncHandleKV, and await it, or"
    ):
        HandleKV(kv)
    with pytest.raises(
        ConfigError, match=r"^this KV is not async: use PrefixKV, without await, or"
    ):
        AsyncPrefixKV(MemoryKV(), "a/")  # type: ignore[arg-type]
    deleting = Store(PREFS, HandleKV(NotWrittenAsync()))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="this KV is async: use AsyncStore"):
        deleting.delete("ada")
    awaited(lambda: AsyncStore(PREFS, AsyncHandleKV(AsyncMemoryKV())).delete("ada"))


# ------------------------------------------------------------------------- update and explain


def test_none_is_a_value_where_the_type_says_so() -> None:
    """What update() returns is refused for what it is, and not for being None."""
    store = Store(Keyspace("maybe", Prefs | None), {})
    assert store.update("ada", lambda _: None, default=Prefs()) is None
    upgraded = Keyspace("maybe", Prefs | None, version=2, upgrades={1: lambda _: None})
    kv = {"maybe/ada": b'{"theme":"dark"}'}
    assert Store(upgraded, kv).get("ada", Prefs()) is None


def test_explain_says_what_get_says() -> None:
    """Of bytes of another declaration, in the same words."""
    kv = MemoryKV()
    Store(TEXTS, kv).set("ada", CANARY)
    store = Store(Keyspace("texts", str), kv)
    with pytest.raises(DecodeError) as caught:
        store.get("ada")
    explained = store.explain("ada")
    assert explained is not None
    assert explained.steps[-1].facts["says"] == caught.value.args[0]


# ------------------------------------------------------------------------------------- extras

_HIDDEN = """
import sys
sys.modules.update(dict.fromkeys({hidden!r}))
try:
    {act}
except Exception as error:
    print(type(error).__name__, error, sep=": ")
"""

EXTRAS = {
    "hypothesis": (
        ("hypothesis",),
        "from kvcodec.testing import check_keyspace",
        "ModuleNotFoundError: kvcodec.testing needs hypothesis: pip install 'kvcodec[testing]'",
    ),
    "pytest": (
        ("pytest",),
        "from kvcodec.testing import KVConformance",
        "ModuleNotFoundError: kvcodec.testing needs pytest: pip install 'kvcodec[testing]'",
    ),
    "AsyncRedisKV": (
        ("redis",),
        "from kvcodec import AsyncRedisKV",
        (
            "ModuleNotFoundError: AsyncRedisKV needs the client of its server: "
            "pip install 'kvcodec[redis]'"
        ),
    ),
    "NatsKV": (
        ("nats",),
        "from kvcodec import NatsKV",
        ("ModuleNotFoundError: NatsKV needs the client of its server: pip install 'kvcodec[nats]'"),
    ),
    "ObjectKV": (
        ("obstore",),
        "from kvcodec import ObjectKV",
        ("ModuleNotFoundError: ObjectKV needs the client of its server: pip install 'kvcodec[s3]'"),
    ),
    "PostgresKV": (
        ("psycopg",),
        "from kvcodec import PostgresKV",
        (
            "ModuleNotFoundError: PostgresKV needs the client of its server: "
            "pip install 'kvcodec[postgres]'"
        ),
    ),
    "RedisKV": (
        ("redis",),
        "from kvcodec import RedisKV",
        (
            "ModuleNotFoundError: RedisKV needs the client of its server: "
            "pip install 'kvcodec[redis]'"
        ),
    ),
    "zstandard": (
        ("zstandard", "compression.zstd"),
        "from kvcodec import Keyspace; Keyspace('a', int, compress='zstd')",
        "ConfigError: keyspace 'a': compress='zstd' needs Python 3.14, or: pip install zstandard",
    ),
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_extra_is_named(extra: str) -> None:
    """What needs a package that is not installed says how to install it."""
    hidden, act, message = EXTRAS[extra]
    code = _HIDDEN.format(hidden=hidden, act=act)
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == message
