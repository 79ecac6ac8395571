"""The examples of docs/BYTES.md: code that stores each kind, and what a reader is told of it.

worked.py runs them. Nothing here changes once it is released; new examples are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
RETIRED = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
NOW = 1_000_000_000_000
"""The moment of all examples, in milliseconds."""


TYPED: Any = object()
"""What a reader gives is of types that only Python has."""


class Case(NamedTuple):
    """One example: its code, and what a reader is told of the declaration."""

    title: str
    code: str
    told: dict[str, Any]
    kinds: Mapping[str, str] = MappingProxyType({})
    """By the beginning of what is behind a raw key: of what kind it is, where it is no value."""
    reads: Any = None
    """What a reader gives for values, where the case has any."""
    before: str = ""
    """Code of an earlier case that this one goes on from."""


SEALED = {"ring": (KEY,)}
LOG = {"": "head", "!s": "row", "!w": "head", "!l": "lane"}
FILE = {"": "manifest", "!g": "chunk", "!t": "trace"}

_TYPES = """\
class Color(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: float


class Shape(msgspec.Struct, tag="shape", rename="camel", omit_defaults=True):
    corner_points: list[Point]
    hidden: bool = False


class Everything(msgspec.Struct):
    raw: bytes
    aware: datetime
    utc: datetime
    naive: datetime
    day: date
    at: time
    long: timedelta
    short: timedelta
    price: Decimal
    id: UUID
    color: Color
    numbers: dict[int, str]
    days: dict[date, None]
    sorted: set[int | str]
    shape: Shape


"""

_EVERYTHING = """\
everything = Everything(
    raw=b"\\x00\\xff",
    aware=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
    utc=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    naive=datetime(2026, 1, 2, 3, 4, 5),
    day=date(2026, 1, 2),
    at=time(3, 4, 5),
    long=timedelta(days=1, hours=1, microseconds=5),
    short=timedelta(seconds=-90),
    price=Decimal("1.10"),
    id=UUID(int=1),
    color=Color.RED,
    numbers={10: "ten", 9: "nine"},
    days={date(2026, 1, 2): None},
    sorted={"b", 10, 9, "a"},
    shape=Shape([Point(1, 2.0), Point(2**53, 1e16)]),
)
"""

_KMS = """\
class KMS:
    key_id = "kms/1"
    aead = AESGCM(bytes(range(32, 64)))

    def wrap(self, key: bytes, context: str) -> bytes:
        return bytes(12) + self.aead.encrypt(bytes(12), key, context.encode())

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        return self.aead.decrypt(wrapped[:12], wrapped[12:], context.encode())


"""

CASES = [
    Case(
        "A plain value",
        'notes = Keyspace("notes", dict[str, int])\nStore(notes, kv).set("ada", {"n": 1, "a": 2})',
        {"keyspace": "notes"},
        reads={"n": 1, "a": 2},
    ),
    Case(
        "The same in MessagePack",
        'notes = Keyspace("notes", dict[str, int], encoding="msgpack")\n'
        'Store(notes, kv).set("ada", {"n": 1, "a": 2})',
        {"keyspace": "notes", "codec": "msgpack"},
        reads={"n": 1, "a": 2},
    ),
    Case(
        "Types and their encodings",
        f'{_TYPES}{_EVERYTHING}things = Keyspace("things", Everything)\n'
        'Store(things, kv).set("all", everything)',
        {"keyspace": "things"},
        reads=TYPED,
    ),
    Case(
        "The same types in MessagePack",
        'in_msgpack = Keyspace("things", Everything, encoding="msgpack")\n'
        'Store(in_msgpack, kv).set("all", everything)',
        {"keyspace": "things", "codec": "msgpack"},
        reads=TYPED,
        before=f"{_TYPES}{_EVERYTHING}",
    ),
    Case(
        "A key of two parts, and a later version",
        "steps = {1: str, 2: str}\n"
        'notes = Keyspace("notes", str, key=tuple[str, int], version=3, upgrades=steps)\n'
        'Store(notes, kv).set(("é/..", 7), "hello")',
        {"keyspace": "notes", "codec": "text", "version": 3},
        reads="hello",
    ),
    Case(
        "A lifetime and a checksum",
        'forecasts = Keyspace("forecasts", list[float], ttl=3600, checksum=True)\n'
        'Store(forecasts, kv, clock=clock).set("Leipzig", [-1.6])',
        {"keyspace": "forecasts", "ttl": 3_600_000, "checksum": True},
        reads=[-1.6],
    ),
    Case(
        "A bound on the age",
        'notes = Keyspace("notes", bytes, max_age=60)\n'
        'Store(notes, kv, clock=clock).set("ada", b"raw")',
        {"keyspace": "notes", "codec": "raw", "max_age": 60_000},
        reads=b"raw",
    ),
    Case(
        "A compressed value",
        'notes = Keyspace("notes", str, compress="zlib")\n'
        'Store(notes, kv).set("ada", "hello " * 9)',
        {"keyspace": "notes", "codec": "text", "compress": True},
        reads="hello " * 9,
    ),
    Case(
        "Sealed by Fernet",
        'tokens = Keyspace("tokens", str, key=tuple[str, str], cipher=ring)\n'
        'Store(tokens, kv).set(("ada", "github"), "ghp_example")',
        {"keyspace": "tokens", "codec": "text", **SEALED},
        reads="ghp_example",
    ),
    Case(
        "Sealed by Fernet, padded",
        'tokens = Keyspace("tokens", str, cipher=FernetCipher(ring, pad_to=16))\n'
        'Store(tokens, kv).set("ada", "ghp")',
        {"keyspace": "tokens", "codec": "text", "padding": 1, **SEALED},
        reads="ghp",
    ),
    Case(
        "Sealed by AES-256-GCM, for a context",
        'tokens = Keyspace("tokens", str, cipher=AESGCMCipher(ring)).bound_to("tenant 7")\n'
        'Store(tokens, kv).set("ada", "ghp_example")',
        {"keyspace": "tokens", "codec": "text", "context": "tenant 7", "cipher": 2, **SEALED},
        reads="ghp_example",
    ),
    Case(
        "Sealed by AES-256-GCM, padded, with a lifetime",
        'tokens = Keyspace("tokens", str, ttl=60, cipher=AESGCMCipher(ring, pad_to=16))\n'
        'Store(tokens, kv, clock=clock).set("ada", "ghp_example")',
        {
            "keyspace": "tokens",
            "codec": "text",
            "cipher": 2,
            "padding": 1,
            "ttl": 60_000,
            **SEALED,
        },
        reads="ghp_example",
    ),
    Case(
        "A bare token",
        'tokens = Keyspace("tokens", str, cipher=FernetCipher(ring, bound=False))\n'
        'Store(tokens, kv).set("ada", "ghp_example")',
        {"keyspace": "tokens", "codec": "text", "bare": True, **SEALED},
        reads="ghp_example",
    ),
    Case(
        "A hashed name",
        'notes = Keyspace("notes", str, keys=HashedKeys())\nStore(notes, kv).set("a b", "hello")',
        {"keyspace": "notes", "codec": "text", "names": "hashed"},
        reads="hello",
    ),
    Case(
        "A hidden name",
        'notes = Keyspace("notes", str, keys=HiddenKeys(ring), cipher=AESGCMCipher(ring))\n'
        'Store(notes, kv).set("ada", "hello")',
        {"keyspace": "notes", "codec": "text", "cipher": 2, "names": KEY, **SEALED},
        reads="hello",
    ),
    Case(
        "A record with one sealed field, which signs",
        'secrets = Keyspace("secrets", dict[str, Secret[str] | None], cipher=ring)\n'
        'Store(secrets, kv).set("ada", {"none": None, "token": Secret("ghp_example")})',
        {"keyspace": "secrets", "secrets": ((...,),), **SEALED},
        reads={"none": None, "token": "ghp_example"},
    ),
    Case(
        "A record with two sealed fields, of which the first signs, and an unsigned one",
        "class Account(msgspec.Struct):\n"
        "    user: str\n"
        "    password: Secret[str]\n"
        "    keys: list[Secret[int]]\n"
        '    note: str = ""\n\n\n'
        'accounts = Keyspace("accounts", Account, cipher=AESGCMCipher(ring), unsigned=("note",))\n'
        'ada = Account("ada", Secret("hunter2!"), [Secret(7)], "edit me")\n'
        'Store(accounts, kv).set("ada", ada)',
        {
            "keyspace": "accounts",
            "cipher": 2,
            "secrets": (("password",), ("keys", ...)),
            "unsigned": ("note",),
            **SEALED,
        },
        reads={"user": "ada", "password": "hunter2!", "keys": [7], "note": "edit me"},
    ),
    Case(
        "A record in which nothing is sealed, in MessagePack",
        'secrets = Keyspace("secrets", dict[str, Secret[str] | None], cipher=ring, '
        'encoding="msgpack")\n'
        'Store(secrets, kv).set("ada", {"token": None})',
        {"keyspace": "secrets", "codec": "msgpack", "secrets": ((...,),), **SEALED},
        reads={"token": None},
    ),
    Case(
        "A secret within a secret",
        'deep = Keyspace("deep", list[Secret[list[Secret[int]]]], cipher=AESGCMCipher(ring))\n'
        'Store(deep, kv).set("ada", [Secret([Secret(7)])])',
        {"keyspace": "deep", "cipher": 2, "secrets": ((...,),), **SEALED},
        reads=[["kvi1.7"]],
    ),
    Case(
        "A small file",
        'files = Keyspace("files", bytes)\n'
        'Files(files, kv, clock=clock).put("a", b"hello", content_type="text/plain")',
        {"keyspace": "files", "codec": "raw"},
        FILE,
    ),
    Case(
        "A file in chunks, sealed",
        'files = Keyspace("files", bytes, cipher=AESGCMCipher(ring))\n'
        'Files(files, kv, chunk_bytes=4, clock=clock).put("a", b"hello")',
        {"keyspace": "files", "codec": "raw", "cipher": 2, **SEALED},
        FILE,
    ),
    Case(
        "A log: its head and two rows",
        'events = Keyspace("log", str)\n'
        "log = Log(events, kv, segment_bytes=40, clock=clock)\n"
        'log.extend("a", ["one", "two", "three"], ids=["1", "2", "3"])\n'
        'log.extend("a", ["four", "five", "six"])',
        {"keyspace": "log", "codec": "text"},
        LOG,
    ),
    Case(
        "A writer's lane, sealed",
        'log = Keyspace("log", str, cipher=AESGCMCipher(ring))\n'
        'Log(log, kv, writers="many", writer="left", clock=clock).append("a", "one")',
        {"keyspace": "log", "codec": "text", "cipher": 2, **SEALED},
        LOG,
    ),
    Case(
        "An index",
        'notes = Keyspace("notes", str, indexed=True)\n'
        "store = Store(notes, three_methods(kv), clock=clock)\n"
        'for key in ("ada", "adele", "bob", "eve", "zoe"):\n'
        '    store.set(key, "hello")',
        {"keyspace": "notes", "codec": "text"},
        {"!i": "shard"},
        reads="hello",
    ),
    Case(
        "The news that there is nothing to load",
        'pages = Keyspace("cache", str, ttl=60)\n'
        "cache = Cache(pages, kv, negative=5, clock=clock)\n"
        'cache.get_or_load("ada", lambda: None)',
        {"keyspace": "cache", "codec": "text", "ttl": 60_000},
        {"!n": "news"},
    ),
    Case(
        "The data keys of a person, after one rotation",
        'data_keys = Keyspace("people", bytes, cipher=AESGCMCipher(ring))\n'
        "people = Subjects(data_keys, kv, clock=clock)\n"
        'people.add("ada")\n'
        'people.rotate("ada")',
        {"keyspace": "people", "codec": "raw", "cipher": 2, **SEALED},
        {"": "subject"},
    ),
    Case(
        "The data key of a person, wrapped by a KMS",
        _KMS + 'data_keys = Keyspace("people", bytes, cipher=AESGCMCipher(ring))\n'
        'Subjects(data_keys, kv, wrapper=KMS(), clock=clock).add("ada")',
        {"keyspace": "people", "codec": "raw", "cipher": 2, **SEALED},
        {"": "subject"},
    ),
]
