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
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from kvcodec import Keyspace
from kvcodec.format.plain import is_dict, is_list
from tests.format.worked_cases import CASES, NOW, Case
from tests.test_docs import blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/BYTES.md"


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


_DEFLATED = bytes.fromhex("789ccb48cdc9c957c820910400276713d5")


def _deflated(data: bytes, _level: int) -> bytes:
    """What zlib 1.2.13 makes of the one text that is compressed on the page."""
    assert zlib.decompress(_DEFLATED) == data
    return _DEFLATED


@contextmanager
def _nothing_random() -> Generator[None]:
    """Nonces, generations and data keys by counting, Fernet's clock stands, and one zlib."""
    numbers = count()

    def drawn(size: int) -> bytes:
        return sha256(b"worked bytes %d" % next(numbers)).digest()[:size]

    with (
        patch("os.urandom", drawn),
        patch.object(secrets, "token_bytes", drawn),
        patch("time.time", lambda: NOW / 1000),
        patch.object(zlib, "compress", _deflated),
    ):
        yield


_IMPORTS = """\
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import NamedTuple
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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
    kms: Any
    """The KeyWrapper of the case, or None."""


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
    kms = getattr(module, "KMS", None)
    return Ran(dict(sorted(kv.last.items())), dict(kv), space, kms and kms())


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
strings in arrays are written `h'..'`. Compressed bytes are those of zlib 1.2.13: other
libraries and versions write others, which are read all the same.

```python
{imports}
```
"""

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
