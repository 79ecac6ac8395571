"""Imports point downward only: folders are the floors of the design, walked by ``ast``.

Every import counts: at module level, inside a function, and under ``if TYPE_CHECKING`` too, since
a type that points upward says that the code does.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = "kvcodec"

FLOORS = (
    "errors",
    "protocols",
    "format",
    "backends",
    "secrets",
    "codecs",
    "keys",
    "keyspace",
    "plans",
    "stores",
)
"""What lies in the package, lowest first: each imports itself and what stands before it."""

ROOMS = ("testing", "integrations", "cli")
"""Shipped to users: each sees every floor; none is seen, but by `cli`, the program over all."""

AT_THE_ROOT = ("__init__", "__main__", "errors")


def module_name(path: Path, root: Path) -> str:
    """Return the name of ``path`` inside the package: ``stores.log``, ``backends``, ``''``."""
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
    if top in ("", "cli", "__main__", below):
        # The root re-exports everything, the program stands on it all; circles are looked for
        # inside a folder.
        return None
    if top not in (*FLOORS, *ROOMS):
        return "a folder without a floor: give it one in FLOORS"
    if top in ROOMS:
        return None if below in FLOORS else f"{top} imports what nobody sees"
    if below in FLOORS and FLOORS.index(below) < FLOORS.index(top):
        return None
    return f"{top} imports {below or 'the root'}, which stands on it"


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


def circles(root: Path) -> list[str]:
    """Return the modules that import each other, whether or not by way of others."""
    arrows: dict[str, set[str]] = {}
    for path in (root / PACKAGE).rglob("*.py"):
        importer = module_name(path, root)
        if importer:
            arrows[importer] = {imported for imported, _ in imports(path, root)} - {importer}
    return sorted(name for name in arrows if name in _reached(name, arrows))


def _reached(start: str, arrows: dict[str, set[str]]) -> set[str]:
    """Return every module that ``start`` imports, itself or through others."""
    seen: set[str] = set()
    left = [*arrows.get(start, ())]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += arrows.get(name, ())
    return seen


def test_imports_point_downward() -> None:
    """A folder imports only what stands below it."""
    assert faults(ROOT) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Inside a folder, too, imports have a direction."""
    assert circles(ROOT) == []


def test_the_root_holds_what_everybody_needs() -> None:
    """Everything else lies in a folder whose name says what is in it."""
    modules = {path.stem for path in (ROOT / PACKAGE).glob("*.py")}
    assert modules == {*AT_THE_ROOT}
    folders = {path.name for path in (ROOT / PACKAGE).iterdir() if any(path.glob("*.py"))}
    assert folders <= {*FLOORS, *ROOMS}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("errors.py", "from kvcodec.protocols import KV"),
        ("codecs/values.py", "from kvcodec import keyspace"),
        ("codecs/values.py", "from kvcodec import Store"),
        ("codecs/values.py", "from .. import stores"),
        ("keyspace/keyspace.py", "def f() -> None:\n    from kvcodec.stores.store import Store"),
        ("keyspace/keyspace.py", "if TYPE_CHECKING:\n    from ..stores.store import Store"),
        ("keyspace/keyspace.py", "import kvcodec.testing.laws as laws"),
        ("backends/sqlite.py", "from kvcodec.codecs.values import JSONCodec"),
        ("backends/sqlite.py", "from ..keyspace import Keyspace"),
        ("testing/laws.py", "from kvcodec import Store"),
        ("testing/laws.py", "from kvcodec.integrations import langchain"),
        ("novel/novel.py", "import kvcodec.errors"),
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
        ("codecs/values.py", "from kvcodec.errors import EncodeError"),
        ("codecs/values.py", "from .. import errors"),
        ("backends/sqlite.py", "from ..protocols import Limits"),
        ("testing/laws.py", "from kvcodec.testing.values import values"),
        ("backends/__init__.py", "from kvcodec.backends.sqlite import SQLiteKV"),
        ("stores/store.py", "import kvcodec.keyspace, json"),
        ("__init__.py", "from .stores.store import Store"),
        ("errors.py", "import kvcodec_plugin"),
    ],
)
def test_the_walk_lets_downward_imports_be(tmp_path: Path, module: str, line: str) -> None:
    """What points downward, and what is none of ours, is no fault."""
    _package(tmp_path)
    (tmp_path / PACKAGE / module).write_text(f"{line}\n", encoding="utf-8")
    assert faults(tmp_path) == []


def test_the_walk_finds_circles(tmp_path: Path) -> None:
    """Of three that import each other in turn, and not of whoever imports one of them."""
    _package(tmp_path)
    folder = tmp_path / PACKAGE / "stores"
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")):
        text = f"def f() -> None:\n    from kvcodec.stores.{imported} import thing\n"
        (folder / f"{importer}.py").write_text(text, encoding="utf-8")
    assert circles(tmp_path) == ["stores.a", "stores.b", "stores.c"]


def _package(root: Path) -> None:
    for folder in [*FLOORS[1:], *ROOMS, "novel"]:
        (root / PACKAGE / folder).mkdir(parents=True, exist_ok=True)
    for name in ["errors", "protocols/kv", "codecs/values", "keyspace/keyspace", "backends/memory"]:
        (root / PACKAGE / f"{name}.py").touch()
