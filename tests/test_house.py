"""The house as it is meant to be, in counts: what creeps back one line at a time is seen here.

tests/test_floors.py walks the imports and the root; this looks at what the files hold, and at the
page that draws the house, docs/ARCHITECTURE.md.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pytest

from tests.test_floors import FLOORS, ROOMS

if TYPE_CHECKING:
    from collections.abc import Iterator

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kvcodec"

MOST_LINES = 500
"""Of one file. Whoever opens it reads all of it: one subject has some 400 lines, and no 500."""

MANY_LINES = 400
"""From here on a file is named where another one is refused: it is the next to grow too large."""

MOST_BODY = 40
"""Lines of one function's body. A longer one has more than one straight path."""

MOST_CATCH_ALLS = 20
"""``except BaseException`` in the package. It is for what has to be undone whatever happens, and
for the few places where an error leaves (see ``forgetful``): more of it hides the next fault."""

MOST_DELETES = 15
"""Statements that only delete names. No error tells a value because its frames are emptied at the
rim; where every method deletes its own, the next one forgets to."""

FIRST_LOOKS = {
    ("cli/places.py", "_bridged"): "what a user's function returned: a handle of any kind",
    ("cli/places.py", "_by_function"): "as above",
    ("codecs/parts.py", "field_names"): "a user's value: attrs marks its classes by an attribute",
    ("codecs/values.py", "_custom"): "a user's codec: is it one at all",
    ("codecs/parts.py", "is_pydantic"): "a user's type: pydantic may not be installed",
    ("keys/shapes.py", "_field_names"): "a user's key type: NamedTuple is no class to ask for",
    ("plans/driver.py", "_acalled"): "what a user's loader returned",
    ("plans/driver.py", "_close"): "what a user's function returned: a coroutine, or anything",
    ("plans/driver.py", "awaitable"): "what a user's KV returned",
    ("plans/driver.py", "called"): "what a user's function returned",
    ("plans/driver.py", "not_awaitable"): "what a user's KV returned",
    ("plans/files/sources.py", "_reading"): "what a user gives to put: tempfile's files are no IO",
    ("plans/locks.py", ""): "no object of a user: os, which cannot fork everywhere",
    ("stores/mapping.py", "_items"): "what a user gives to update: anything with keys, as dict's",
}
"""Where a user's object is first looked at, by file and function, with the reason."""

STANDARD = {
    "_asdict": "of a NamedTuple, which keeps plain names for its fields",
    "_fields": "of a NamedTuple, too",
    "_replace": "of a NamedTuple, too",
}
"""Names with an underscore that the standard library tells everybody to use."""


class Source(NamedTuple):
    """One file of the package: where it lies, its tree and its text."""

    path: str
    tree: ast.Module
    text: str

    @property
    def lines(self) -> int:
        """How many it has."""
        return len(self.text.splitlines())

    @property
    def folder(self) -> str:
        """The folder that it lies in, with the folders around it."""
        return self.path.rpartition("/")[0]

    @property
    def is_kit(self) -> bool:
        """Whether it belongs to the test kit, which looks at everything from outside."""
        return self.path.startswith("testing/")


def source(path: str, text: str) -> Source:
    """Return the file of this text, as if it lay at ``path`` in the package."""
    return Source(path, ast.parse(text, path), text)


@cache
def package() -> tuple[Source, ...]:
    """Return every file of the package."""
    return tuple(
        source(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    )


def functions(tree: ast.AST, outer: str = "") -> Iterator[tuple[str, Function]]:
    """Yield every function below ``tree`` with its qualified name: ``Store.get``."""
    for node in ast.iter_child_nodes(tree):
        inner = outer
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = f"{outer}.{node.name}" if outer else node.name
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield inner, node
        yield from functions(node, inner)


def body_lines(function: Function) -> int:
    """Return how many lines a function's body has, its docstring apart."""
    lines = (function.end_lineno or 0) - function.body[0].lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return lines
    if len(function.body) == 1:
        return 0
    return (function.end_lineno or 0) - function.body[1].lineno + 1


def catch_alls(file: Source) -> Iterator[str]:
    """Yield where a file catches everything."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node.type):
            yield f"{file.path}:{node.lineno}"


def _catches_all(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id == "BaseException" for name in names)


def deletes(file: Source) -> Iterator[str]:
    """Yield where a file deletes nothing but names."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Delete) and all(isinstance(t, ast.Name) for t in node.targets):
            yield f"{file.path}:{node.lineno}"


def questions(file: Source) -> Iterator[tuple[str, int, str]]:
    """Yield function, line and attribute of every attribute asked for by a constant name."""
    inside = {
        call: name
        for name, function in functions(file.tree)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
    }  # the innermost function comes last
    for node in ast.walk(file.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"hasattr", "getattr", "setattr", "delattr"}
            and len(node.args) > 1
            and isinstance(node.args[1], ast.Constant)
        ):
            yield inside.get(node, ""), node.lineno, str(node.args[1].value)


def private(name: str) -> bool:
    """Say whether a name is for its own folder only: one underscore in front."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


def own_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a file gives to what it makes: attributes, methods, slots, fields."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if _is_own(node.value):
                yield node.attr
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield from _slots(node)


def _slots(node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if any(isinstance(target, ast.Name) and target.id == "__slots__" for target in targets):
        for name in ast.walk(node):
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value


def _is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in {"self", "cls"}


def looks_across(files: tuple[Source, ...]) -> list[str]:
    """Return where files look at a name with an underscore that their folder does not make."""
    made: dict[str, set[str]] = {}
    for file in files:
        made.setdefault(file.folder, set()).update(own_names(file.tree))
    return [
        f"{file.path}:{line}: {name}"
        for file in files
        for name, line in _looks(file)
        if name not in made[file.folder] and name not in STANDARD
    ]


def _looks(file: Source) -> Iterator[tuple[str, int]]:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute) and private(node.attr) and not _is_own(node.value):
            yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if private(alias.name):
                    yield alias.name, node.lineno


def outside_the_kit() -> tuple[Source, ...]:
    """Return the files that work with users' values and objects in a program, not in a test."""
    return tuple(file for file in package() if not file.is_kit)


def asked() -> set[tuple[str, str]]:
    """Return where attributes are asked for by name, outside the folders that are for it."""
    return {
        (file.path, function)
        for file in outside_the_kit()
        if file.folder not in {"backends", "protocols"}
        for function, _, _ in questions(file)
    }


def test_a_file_has_one_subject() -> None:
    """No file is longer than what is read at once, the kit's neither."""
    many = {file.path: file.lines for file in package() if file.lines > MANY_LINES}
    long = {path: lines for path, lines in many.items() if lines > MOST_LINES}
    assert not long, f"split by subject; next in line: {many}"


def test_a_function_has_one_straight_path() -> None:
    """No body is longer than a screen."""
    long = [
        f"{file.path}: {name}"
        for file in package()
        for name, function in functions(file.tree)
        if body_lines(function) > MOST_BODY
    ]
    assert long == []


def test_every_file_says_what_it_is_about() -> None:
    """Its first line tells a newcomer whether his change belongs there."""
    first = {f.path: (ast.get_docstring(f.tree) or "").partition("\n")[0] for f in package()}
    assert [path for path, line in first.items() if len(line) < 20 or line[-1] not in ".:"] == []


def test_files_that_are_named_are_there() -> None:
    """A comment that leads to a file leads to one that there is: beside it, or from the top."""
    assert [
        f"{file.path}: {name}"
        for file in package()
        for name in re.findall(r"[\w/]+\.py\b|docs/[\w/-]+\.md", file.text)
        if not any((top / name).exists() for top in (PACKAGE / file.folder, PACKAGE, ROOT))
    ] == []


def test_pages_name_files_that_are_there() -> None:
    """What a page sends its reader to has not moved away."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    assert [
        f"{page.name}: {name}"
        for page in pages
        for name in re.findall(r"\bkvcodec/[\w/]+\.py", page.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    ] == []


def test_few_places_catch_everything() -> None:
    """What is caught there is sent on, never kept: a place more is a place more to be sure of."""
    found = [place for file in outside_the_kit() for place in catch_alls(file)]
    assert len(found) <= MOST_CATCH_ALLS, found


def test_few_places_forget_by_hand() -> None:
    """The no-leak law is kept where errors leave, not by ``del`` in every method."""
    found = [place for file in outside_the_kit() for place in deletes(file)]
    assert len(found) <= MOST_DELETES, found


def test_what_an_object_can_do_is_its_type() -> None:
    """Elsewhere it is a protocol of protocols/: asked once, in one place, with a name."""
    assert asked() - {*FIRST_LOOKS} == set()


def test_the_first_looks_are_those_that_there_are() -> None:
    """A place that looks no more does not stay in the table for another one to come."""
    assert {*FIRST_LOOKS} - asked() == set()


def test_folders_keep_to_themselves_what_is_theirs() -> None:
    """A name with an underscore may change with its folder: nobody else depends on it."""
    assert looks_across(package()) == []


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("except BaseException:", 1),
        ("except BaseException as error:", 1),
        ("except (ValueError, BaseException):", 1),
        ("except:", 1),
        ("except Exception:", 0),
    ],
)
def test_every_catch_all_is_counted(text: str, caught: int) -> None:
    """However it is written."""
    assert len([*catch_alls(source("a/a.py", f"try:\n    f()\n{text}\n    pass"))]) == caught


@pytest.mark.parametrize(
    ("text", "counted"),
    [("del a", 1), ("del a, b", 1), ("del a[0]", 0), ("del a.b", 0), ("del a, b[0]", 0)],
)
def test_every_lone_del_is_counted(text: str, counted: int) -> None:
    """Of names only: an item or an attribute is taken from something that stays."""
    assert len([*deletes(source("a/a.py", text))]) == counted


def test_questions_are_found_with_their_function() -> None:
    """The innermost one; and not those by a name that is computed."""
    text = (
        "hasattr(a, 'b')\n"
        "class C:\n    def f(self):\n        def g():\n            return getattr(a, 'c', None)\n"
        "        return getattr(a, g()), setattr(a, 'd', 1)\n"
    )
    found = [(name, attribute) for name, _, attribute in questions(source("a/a.py", text))]
    assert sorted(found) == [("", "b"), ("C.f", "d"), ("C.f.g", "c")]


@pytest.mark.parametrize(
    ("made", "look"),
    [
        ("class C:\n    __slots__ = ('_n',)", "x._n"),
        ("class C:\n    def f(self): self._n = 1", "x._n"),
        ("class C:\n    def _n(self): ...", "f()._n()"),
        ("class C(Struct):\n    _n: int = 0", "x._n = 1"),
        ("def _n(): ...", "from kvcodec.a.made import _n"),
        ("_n = 1", "from .made import _n"),
    ],
)
def test_looks_across_folders_are_found(made: str, look: str) -> None:
    """Whatever it is that another folder made: only a file beside it may look."""
    maker = source("a/made.py", made)
    assert looks_across((maker, source("a/look.py", look))) == []
    assert looks_across((maker, source("b/look.py", look))) == ["b/look.py:1: _n"]
    assert looks_across((maker, source("a/b/look.py", look))) == ["a/b/look.py:1: _n"]


def test_an_object_knows_itself() -> None:
    """What a base class of another folder made, its subclass sees as its own."""
    text = "class C(B):\n    def f(self): return self._n, self.x._m, self._replace(a=1)\n"
    assert looks_across((source("b/c.py", text),)) == ["b/c.py:2: _m"]


def test_bodies_are_counted_without_their_docstrings() -> None:
    """From the first statement to the last line, what is in between included."""
    text = 'def f():\n    """Say\n    it."""\n    a = 1\n\n    return a\n'
    text += 'def g():\n    """Say."""\n'
    text += "def h(\n    a,\n): return [\n    a\n]\n"
    counted = {name: body_lines(f) for name, f in functions(ast.parse(text))}
    assert counted == {"f": 3, "g": 0, "h": 3}


# ---------------------------------------------------------------------- docs/ARCHITECTURE.md

PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")

STEP = re.compile(r"^ *(?P<path>\S+\.py) +(?P<name>[\w.]+)  ", re.MULTILINE)
"""A line of the drawn ways: a file, and what of it is called."""

SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w/]+(?:/|\.py)")


def made_in(file: Source) -> set[str]:
    """Return what a file makes: names, and what its classes make as ``Class.name``."""
    classes = [node for node in file.tree.body if isinstance(node, ast.ClassDef)]
    inner = {f"{node.name}.{name}" for node in classes for name in own_names(node)}
    return {*own_names(file.tree)} | inner


def test_the_page_draws_every_folder_in_its_order() -> None:
    """The rule of the page is that order, which tests/test_floors.py walks."""
    table = PAGE.partition("\n## ")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    drawn = [place for row in rows for place in SPAN.findall(row)]
    files, folders = [f"{name}.py" for name in FLOORS], [f"{name}/" for name in (*FLOORS, *ROOMS)]
    assert drawn == [place for place in (*files, *folders) if (PACKAGE / place).exists()]


def test_the_ways_are_those_of_the_code() -> None:
    """Every step names a function, or an attribute, of the file that stands before it."""
    files = {file.path: made_in(file) for file in package()}
    steps = [(step["path"], step["name"]) for step in STEP.finditer(PAGE)]
    assert len(steps) > 20
    assert [step for step in steps if step[1] not in files.get(step[0], ())] == []


def test_the_page_names_nothing_that_is_not_there() -> None:
    """Files and folders lie in the package or beside it; names are made in it."""
    text = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    spans = {*SPAN.findall(text)}
    inside = {span for span in spans if PATH.fullmatch(span)}
    beside = {*re.findall(r"\b(?:tests|docs)/[\w./]*\w", text)}
    made = {name for file in package() for name in made_in(file)}
    made |= {name.rpartition(".")[2] for name in made}
    assert {path for path in inside if not (PACKAGE / path).exists()} == set()
    assert {path for path in beside if not (ROOT / path).exists()} == set()
    assert spans - inside - made == set()
