"""Imports point downward only: the floors of the design, walked by ``ast``.

Every import counts: at module level, inside a function, and under ``if TYPE_CHECKING`` too, since
a type that points upward says that the code does.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
PACKAGE = "kvcodec"

FLOORS = {
    "errors": 0,
    "protocols": 0,
    "plain": 0,
    "codecs": 1,
    "keys": 1,
    "envelope": 1,
    "crypto": 1,
    "keyring": 1,
    "keys_hashed": 1,
    "compression": 1,
    "derived": 0,
    "evolve": 1,
    "fields": 1,
    "secret": 1,
    "secret_schema": 1,
    "backends": 1,
    "explanation": 2,
    "index": 2,
    "legacy": 1,
    "keyspace": 2,
    "locks": 2,
    "pipeline": 2,
    "secret_pipeline": 2,
    "listing": 2,
    "maintenance": 2,
    "parts": 2,
    "plans": 2,
    "report": 2,
    "opened": 3,
    "store": 3,
    "subjects": 3,
    "store_async": 3,
    "value": 3,
    "log_format": 1,
    "log_plans": 2,
    "log": 3,
    "conversation": 3,
    "files_plans": 2,
    "files": 3,
    "cache": 3,
    "integrations": 4,
    "testing": 4,
    "cli": 4,
    "": 5,  # kvcodec/__init__.py: re-exports, and nothing else
}
"""A module's floor by the first part of its name inside the package."""

SIDEWAYS: Mapping[tuple[str, str], str] = {
    ("cache", "store"): "what is cached is written as any value is",
    ("cache", "store_async"): "likewise",
    ("conversation", "log"): "what chat programs do with a log",
    ("crypto", "envelope"): "a sealed value is tied to the header that the envelope writes",
    ("crypto", "keyring"): "a cipher's keys are those of a ring",
    ("subjects", "store"): "opens a store for a subject",
    ("subjects", "store_async"): "likewise",
    ("keys_hashed", "envelope"): "the name is spelt as associated data is",
    ("keys_hashed", "keyring"): "hidden names are made with a ring's key",
    ("keys_hashed", "keys"): "hashes the names that PathKeys builds",
    ("keyring", "envelope"): "keys are derived from associated data, which the envelope spells",
    ("explanation", "keyspace"): "says what the heart's bytes are",
    ("explanation", "pipeline"): "likewise",
    ("index", "keyspace"): "keeps its names, in its form",
    ("index", "pipeline"): "likewise",
    ("index", "plans"): "plans about names",
    ("keyspace", "explanation"): "gives it",
    ("keyspace", "pipeline"): "the heart's own steps, in their one order",
    ("keyspace", "secret_pipeline"): "the same, for types with Secret fields",
    ("secret_pipeline", "pipeline"): "a pipeline with one more step",
    ("codecs", "secret"): "how a Secret stands in an encoding",
    ("codecs", "fields"): "where in a type the secrets are is compiled with its codec",
    ("codecs", "secret_schema"): "the context that tells pydantic that a keyspace is calling",
    ("fields", "secret"): "what is sealed, and how it is marked",
    ("fields", "envelope"): "a sealed field is tied to its path as a value to its place",
    ("secret", "secret_schema"): "what pydantic calls, imported by who has it",
    ("secret_schema", "secret"): "likewise",
    ("legacy", "codecs"): "JSON of a declared type, and its checks",
    ("legacy", "compression"): "decompresses within a bound",
    ("listing", "index"): "what stands for listing where the backend cannot",
    ("listing", "keyspace"): "the names and keys are a keyspace's",
    ("listing", "parts"): "tells names of parts from those of keys",
    ("listing", "pipeline"): "takes what a KV returns as bytes",
    ("listing", "plans"): "plans are made of plans",
    ("maintenance", "index"): "an index is walked too",
    ("maintenance", "keyspace"): "looks at what the heart's bytes are",
    ("maintenance", "listing"): "walks the names that it lists",
    ("maintenance", "parts"): "and what is beside them",
    ("maintenance", "report"): "says what it found",
    ("maintenance", "pipeline"): "likewise",
    ("maintenance", "plans"): "plans about the state of values",
    ("parts", "files_plans"): "what a file has beside its key, its plans know",
    ("parts", "index"): "the form of an index is its own",
    ("parts", "keyspace"): "parts are in the form that a keyspace declares",
    ("parts", "pipeline"): "opens parts to see what they are",
    ("parts", "plans"): "plans are made of plans",
    ("plans", "locks"): "takes the process's lock where a plan needs it",
    ("report", "keyspace"): "asks a declaration for the keys of its rings",
    ("files_plans", "keyspace"): "files are stored as a keyspace declares",
    ("files_plans", "pipeline"): "a manifest goes through the same steps as a value",
    ("files_plans", "plans"): "plans are made of plans",
    ("log_plans", "keyspace"): "logs are stored as a keyspace declares",
    ("log_plans", "parts"): "walks the grid of lanes as whoever looks for a log's parts",
    ("log_plans", "pipeline"): "a segment goes through the same steps as a value",
    ("log_plans", "plans"): "plans are made of plans",
    ("plans", "keyspace"): "plans say which operations the heart's bytes go through",
    ("store", "opened"): "what it has in common with its twin",
    ("store_async", "opened"): "likewise",
    ("value", "store_async"): "likewise: a store of one value",
    ("value", "store"): "a store of one value, whose key is None",
    ("backends.adapt", "backends.mapping"): "wraps the handle that is given as it is",
    ("backends.adapt", "backends.dify"): "likewise",
    ("backends.prefix", "backends.adapt"): "takes every handle that a store takes",
    ("backends.sqlite_async", "backends.sqlite"): "the same file, reached from another thread",
    ("backends.url", "backends.memory"): "opens what the URL names",
    ("backends.url", "backends.sqlite"): "likewise",
    ("backends.url", "backends.sqlite_async"): "likewise",
}
"""Imports between neighbours of one floor (importer, imported), each with its reason.

A backend is named in full: ``backends.prefix``.
"""


def module_name(path: Path, root: Path) -> str:
    """Return the name of ``path`` inside the package: ``store``, ``backends.sqlite``, ``''``."""
    parts = path.relative_to(root / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, root: Path) -> Iterator[tuple[str, int]]:
    """Yield every module of the package that ``path`` imports, with the line."""
    package = [PACKAGE, *path.relative_to(root / PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _inside(alias.name, [], root, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from _inside(base, [alias.name for alias in node.names], root, node.lineno)


def _inside(base: str, names: list[str], root: Path, line: int) -> Iterator[tuple[str, int]]:
    if base != PACKAGE and not base.startswith(f"{PACKAGE}."):
        return
    inner = base[len(PACKAGE) + 1 :]
    folder = root / PACKAGE / Path(*inner.split("."))
    modules = [n for n in names if (folder / f"{n}.py").exists() or (folder / n).is_dir()]
    if not modules or len(modules) < len(names):
        yield inner, line  # a name of the module itself
    for name in modules:
        yield f"{inner}.{name}" if inner else name, line


def fault(importer: str, imported: str) -> str | None:
    """Say what is wrong with this import, or return None."""
    top, below = importer.split(".", maxsplit=1)[0], imported.split(".", maxsplit=1)[0]
    if top not in FLOORS or below not in FLOORS:
        return "a module without a floor: give it one in FLOORS"
    if (importer, imported) in SIDEWAYS:
        return None
    if top == below and (importer == top or top != "backends"):
        return None  # a package's own affair, but backends know nothing of each other
    if FLOORS[below] < FLOORS[top] and not (top == "backends" and FLOORS[below] > 0):
        return None
    return f"floor {FLOORS[top]} imports floor {FLOORS[below]}"


def faults(root: Path) -> list[str]:
    """Return every import under ``root`` that does not point downward."""
    found: list[str] = []
    for path in sorted((root / PACKAGE).rglob("*.py")):
        importer = module_name(path, root)
        for imported, line in imports(path, root):
            reason = fault(importer, imported)
            if reason is not None:
                place = path.relative_to(root)
                found.append(f"{place}:{line}: {importer or PACKAGE} -> {imported}: {reason}")
    return found


def test_imports_point_downward() -> None:
    """No module of the package imports one of its own floor or of a floor above it."""
    assert faults(ROOT) == []


def test_every_module_has_a_floor() -> None:
    """A module that is in no floor is not part of the design yet."""
    modules = {module_name(p, ROOT).split(".")[0] for p in (ROOT / PACKAGE).rglob("*.py")}
    assert modules - FLOORS.keys() == set()


def test_neighbours_that_are_allowed_are_there() -> None:
    """An exception that nobody uses any more is removed from the table."""
    used = {
        (module_name(path, ROOT), imported)
        for path in (ROOT / PACKAGE).rglob("*.py")
        for imported, _ in imports(path, ROOT)
    }
    assert SIDEWAYS.keys() - used == set()


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("errors.py", "from kvcodec.protocols import KV"),
        ("codecs.py", "from kvcodec import keyspace"),
        ("codecs.py", "from kvcodec import Store"),
        ("codecs.py", "from . import store"),
        ("keyspace.py", "def f() -> None:\n    from kvcodec.store import Store"),
        ("keyspace.py", "if TYPE_CHECKING:\n    from .store import Store"),
        ("keyspace.py", "import kvcodec.testing.laws as laws"),
        ("store.py", "from kvcodec.log import Log"),
        ("backends/sqlite.py", "from kvcodec.codecs import JSONCodec"),
        ("backends/sqlite.py", "from ..keyspace import Keyspace"),
        ("backends/sqlite.py", "from .memory import MemoryKV"),
        ("backends/sqlite.py", "from kvcodec.backends import MemoryKV"),
        ("novel.py", "import kvcodec.errors"),
    ],
)
def test_the_walk_finds_what_points_upward(tmp_path: Path, module: str, line: str) -> None:
    """Every form of import is seen, wherever it stands."""
    _package(tmp_path)
    (tmp_path / PACKAGE / module).write_text(f"{line}\n", encoding="utf-8")
    assert len(faults(tmp_path)) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("codecs.py", "from kvcodec.errors import EncodeError"),
        ("codecs.py", "from . import errors"),
        ("backends/sqlite.py", "from ..protocols import Limits"),
        ("testing/laws.py", "from kvcodec.testing.values import values"),
        ("backends/__init__.py", "from kvcodec.backends.sqlite import SQLiteKV"),
        ("store.py", "import kvcodec.keyspace, json"),
        ("__init__.py", "from .store import Store"),
        ("errors.py", "import kvcodec_plugin"),
    ],
)
def test_the_walk_lets_downward_imports_be(tmp_path: Path, module: str, line: str) -> None:
    """What points downward, and what is none of ours, is no fault."""
    _package(tmp_path)
    (tmp_path / PACKAGE / module).write_text(f"{line}\n", encoding="utf-8")
    assert faults(tmp_path) == []


def _package(root: Path) -> None:
    for folder in ["backends", "testing"]:
        (root / PACKAGE / folder).mkdir(parents=True)
    for name in ["errors", "protocols", "codecs", "keyspace", "store", "log", "backends/memory"]:
        (root / PACKAGE / f"{name}.py").touch()
