"""Worked bytes of each kind: what kvcodec writes under fixed keys, and docs/BYTES.md made of it.

    python -m tests.format.worked

writes the page anew. It is never written anew to make a test pass: what has changed there are
stored bytes, and those stay for ever once they are released.
"""

# The reader is made of a page's text: its names are known to no type checker.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import secrets
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from kvcodec import Keyspace
from kvcodec.format.plain import is_dict, is_list
from tests.test_docs import blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/BYTES.md"
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
]


class _Seen(dict[str, bytes]):
    """A KV that remembers what stood under each name last, removed or not."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, bytes] = {}

    def __setitem__(self, name: str, data: bytes) -> None:
        self.last[name] = bytes(data)
        super().__setitem__(name, data)


def three_methods(kv: dict[str, bytes]) -> Any:
    """A KV that cannot list."""

    def delete(name: str) -> None:
        kv.pop(name, None)

    return SimpleNamespace(set=kv.__setitem__, get=kv.get, delete=delete)


@contextmanager
def _nothing_random() -> Generator[None]:
    """Nonces, generations and data keys by counting, and Fernet's clock stands."""
    numbers = count()

    def drawn(size: int) -> bytes:
        return sha256(b"worked bytes %d" % next(numbers)).digest()[:size]

    with (
        patch("os.urandom", drawn),
        patch.object(secrets, "token_bytes", drawn),
        patch("time.time", lambda: NOW / 1000),
    ):
        yield


_IMPORTS = """\
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import NamedTuple
from uuid import UUID

import msgspec

from kvcodec import (
    AESGCMCipher,
    Cache,
    FernetCipher,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    Log,
    Secret,
    Store,
    Subjects,
)

ring = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")  # bytes 0 to 31
kv: dict[str, bytes] = {}


def clock() -> float:
    return 1_000_000_000


class three_methods:
    def __init__(self, kv: dict[str, bytes]) -> None:
        self.get, self.set = kv.get, kv.__setitem__
        self.delete = lambda name: kv.pop(name, None) and None
"""


class Ran(NamedTuple):
    """What the code of a case stored, and the keyspace that it declared."""

    stored: dict[str, bytes]
    """By name; what was removed again as it was."""
    left: dict[str, bytes]
    """Without what was removed again."""
    space: Any


def run(case: Case) -> Ran:
    """Run the code of a case."""
    module = ModuleType("worked_bytes")
    sys.modules[module.__name__] = module  # where annotations are looked up
    with _nothing_random():
        exec(_IMPORTS, module.__dict__)  # noqa: S102 - the project's own page
        kv = module.__dict__["kv"] = _Seen()
        module.__dict__["three_methods"] = three_methods
        code = compile(case.before + case.code, case.title, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102
    (space,) = (each for each in vars(module).values() if isinstance(each, Keyspace))
    return Ran(dict(sorted(kv.last.items())), dict(kv), space)


def kind_of(case: Case, raw_key: str) -> str:
    """Of what kind is what stands under a name."""
    mark, derived = raw_key.partition("!")[1:]
    if derived[:1] == "w" and "." in derived:
        return "row"
    return case.kinds.get((mark + derived)[:2], "value")


def reader() -> Any:
    """The reader of docs/FORMAT.md, as a module: its last blocks, from the imports on."""
    module = ModuleType("reader_of_the_page")
    sys.modules[module.__name__] = module
    texts = [
        block.text
        for block in blocks((ROOT / "docs/FORMAT.md").read_text("utf-8"))
        if block.language == "python"
    ]
    exec(compile("\n".join(texts), "docs/FORMAT.md", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


def page() -> str:
    """The whole page."""
    read = reader()
    parts = [_HEAD.format(imports=_IMPORTS.rstrip())]
    for case in CASES:
        declared = read.Declared(**case.told)
        parts.append(f"## {case.title}\n\n```python\n{case.code}\n```\n")
        for raw_key, data in run(case).stored.items():
            parts.append(_shown(read, declared, kind_of(case, raw_key), raw_key, data))
    return "\n".join(parts)


def _shown(read: Any, declared: Any, kind: str, raw_key: str, data: bytes) -> str:
    encoding, _ = read.opened(declared, kind, raw_key, data, NOW)
    lines = [f"{raw_key}  ({kind}, {len(data)} bytes)", *_dumped(data)]
    if encoding != data:
        lines += ["holds", *_dumped(encoding)]
    if encoding[:1] == b"\xfa":
        lines += _plain(read.decoded("msgpack", encoding[2:]))
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _dumped(data: bytes) -> list[str]:
    """Hexadecimal, with the text beside it."""
    rows = [data[at : at + 24] for at in range(0, len(data), 24)] or [b""]
    texts = ["".join(chr(byte) if 32 <= byte < 127 else "." for byte in row) for row in rows]
    return [
        f"  {row.hex(' ', -4):<53}  {text}".rstrip() for row, text in zip(rows, texts, strict=True)
    ]


def _plain(array: list[Any]) -> list[str]:
    return ["array", *(f"  {_spelled(part)}" for part in array)]


def _spelled(part: Any) -> str:
    if isinstance(part, bytes):
        return f"h'{part.hex()}'"
    if is_list(part):
        return f"[{', '.join(map(_spelled, part))}]"
    if is_dict(part):
        pairs = [f"{_spelled(key)}: {_spelled(each)}" for key, each in part.items()]
        return f"{{{', '.join(pairs)}}}"
    return "nil" if part is None else f'"{part}"' if isinstance(part, str) else str(part)


_HEAD = """\
# Worked bytes

What kvcodec writes for each kind of [FORMAT.md](FORMAT.md), under a fixed key, at a fixed time, and
with random numbers that are not random: number *n*, from 0 in each example, is the SHA-256 of
`worked bytes ` and *n*, cut to its length. `python -m tests.format.worked` makes this page, and a
test compares it with what the code writes. Once released it does not change; examples are added.

Under each piece of code stands every name that it wrote, as it was last, even if it was removed
again (the trace of a file). *Holds*: what is left when the reader of FORMAT.md has opened it. Byte
strings in arrays are written `h'..'`. Compression has no example: libraries differ in its bytes.

```python
{imports}
```
"""

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
