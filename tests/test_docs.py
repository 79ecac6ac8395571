"""Every example in README.md, docs/ and the docstrings runs as it stands.

The blocks of one page share their names, from top to bottom, and run in an empty directory with
the environment put back afterwards. A block that cannot run carries the reason in the comment
right before it, ``<!-- not run: needs a Redis server -->``. One that is a file of the reader's,
``<!-- file: stored.py -->``, is written and not run: later blocks import it. A page that reads the
URL of a server from the environment (``os.environ["REDIS_URL"]``) gets a real one.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import os
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import pytest

import kvcodec
from tests.kms import KMS, TOKEN
from tests.servers.postgres import postgres
from tests.servers.redis import RedisCluster, RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "CHANGELOG.md", ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = [
    kvcodec.__name__,
    *sorted(m.name for m in pkgutil.walk_packages(kvcodec.__path__, f"{kvcodec.__name__}.")),
]

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[\w+-]*)[^\n]*$")
NOT_RUN = re.compile(r"^<!--\s*not run\b:?(?P<reason>.*?)-->$")
FILE = re.compile(r"^<!--\s*file: (?P<name>\S+)\s*-->$")

CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(((?!\w+:)[^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: the line of its first code line, its text, why it is not run, its file."""

    line: int
    language: str
    text: str
    not_run: str | None
    file: str | None


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown page."""
    before = ""
    lines = iter(enumerate(page.splitlines(), start=1))
    for number, line in lines:
        fence = FENCE.match(line)
        if fence is None:
            before = line.strip() or before
            continue
        text = "\n".join(_until(fence["fence"], fence["indent"], lines))
        mark = NOT_RUN.match(before)
        reason = None if mark is None else mark["reason"].strip()
        file = FILE.match(before)
        name = None if file is None else file["name"]
        yield Block(number + 1, fence["language"], text, reason, name)
        before = ""


def _until(fence: str, indent: str, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        if line.strip() == fence:
            return
        yield line.removeprefix(indent)
    pytest.fail(f"a block opened by {fence} is never closed")


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks of a page that are files of the reader's, as the reader does."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text + "\n", encoding="utf-8")


def run_page(path: Path) -> int:
    """Run the Python blocks of a page; return how many ran."""
    module = ModuleType("__main__")
    sys.modules["__main__"] = module  # where annotations of a page's classes are looked up
    write_files(path, Path.cwd())
    importlib.invalidate_caches()
    ran = 0
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.file is not None or block.language not in {"python", "py", "pycon"}:
            continue
        if block.not_run is not None:
            assert block.not_run, f"{path.name}:{block.line}: not run, but no reason is given"
            continue
        run_block(block, path, module)
        ran += 1
    return ran


def run_block(block: Block, path: Path, module: ModuleType) -> None:
    """Run one block in the names of ``module``; a traceback shows the page's own line numbers."""
    if block.language == "pycon":
        run_session(block, path, module)
        return
    # Not with this file's own `from __future__ import annotations`: readers' files have none.
    text = "\n" * (block.line - 1) + block.text + "\n"
    code = compile(text, str(path), "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102 - the project's own pages


def run_session(block: Block, path: Path, module: ModuleType) -> None:
    """Run a block of ``>>>`` lines and compare what it prints."""
    parser = doctest.DocTestParser()
    test = parser.get_doctest(
        block.text + "\n", module.__dict__, path.name, str(path), block.line - 1
    )
    results = doctest.DocTestRunner(verbose=False).run(test, clear_globs=False)
    module.__dict__.update(test.globs)
    assert results.failed == 0, f"{path.name}:{block.line}: see the output above"


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty directory to import from; the environment and the modules are put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    before = os.environ.copy()
    yield
    os.environ.clear()
    os.environ.update(before)
    for name, module in list(sys.modules.items()):
        if Path(module.__dict__.get("__file__") or "/").is_relative_to(tmp_path):
            del sys.modules[name]


@contextlib.contextmanager
def _redis(folder: Path) -> Generator[str]:
    with RedisServer(folder, "--appendonly", "yes") as server:
        yield f"redis://127.0.0.1:{server.port}"


@contextlib.contextmanager
def _cluster(folder: Path) -> Generator[str]:
    with RedisCluster(folder, primaries=3, replicas=1) as cluster:
        yield f"redis+cluster://127.0.0.1:{cluster.port}"


@contextlib.contextmanager
def _postgres(_: Path) -> Generator[str]:
    with postgres() as server:
        yield server.url


@contextlib.contextmanager
def _kms(_: Path) -> Generator[str]:
    os.environ["KMS_TOKEN"] = TOKEN  # put back with the rest of the environment
    with KMS() as service:
        yield service.url


SERVERS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "REDIS_URL": _redis,
    "CLUSTER_URL": _cluster,
    "POSTGRES_URL": _postgres,
    "KMS_URL": _kms,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(
    page: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every Python block of the page runs."""
    text = page.read_text(encoding="utf-8")
    with contextlib.ExitStack() as running:
        for name, started in SERVERS.items():
            if f'os.environ["{name}"]' in text:
                url = running.enter_context(started(tmp_path_factory.mktemp(name)))
                monkeypatch.setenv(name, url)
        run_page(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Every link of the page leads to a file that there is, and to a heading in it."""
    assert [*broken_links(page)] == []


def broken_links(page: Path) -> Iterator[str]:
    """Yield the links of a page, other than URLs, that lead nowhere."""
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            yield target


def anchors(page: Path) -> set[str]:
    """Return what stands for a page's headings in links to them, as GitHub makes it.

    Of a Python file: the names of its functions.
    """
    if page.suffix == ".py":
        return {*re.findall(r"^def (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)}
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    """Every ``>>>`` example in the module's docstrings prints what it says."""
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_blocks_share_their_names(tmp_path: Path) -> None:
    """A later block sees what an earlier one made, in a list item too; ``>>>`` is compared."""
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 1\n```\n- item:\n\n  ```python\n  def f() -> int:\n      return x\n  ```\n"
        "```sh\nnot python\n```\n```pycon\n>>> f()\n1\n```\n",
        encoding="utf-8",
    )
    assert run_page(page) == 3


def test_a_file_of_the_readers_is_written_and_imported(tmp_path: Path) -> None:
    """It is not run by itself, whatever its language, and stands there before the first block."""
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nfrom of_a_page import x\n```\n```pycon\n>>> x\n1\n```\n"
        "<!-- file: of_a_page.py -->\n```python\nx = 1\n```\n"
        "<!-- file: sub/tool.py -->\n```python\nimport no_such_module\n```\n",
        encoding="utf-8",
    )
    assert run_page(page) == 2
    assert (tmp_path / "sub" / "tool.py").read_text("utf-8") == "import no_such_module\n"


@pytest.mark.parametrize(
    ("page", "error"),
    [
        ("```python\n1 / 0\n```\n", ZeroDivisionError),
        ("```pycon\n>>> 1\n2\n```\n", AssertionError),
        ("<!-- not run: -->\n```python\n1 / 0\n```\n", AssertionError),
        ("<!-- not run -->\n\n```python\n1 / 0\n```\n", AssertionError),
        ("<!-- not run: far off -->\ntext\n```python\n1 / 0\n```\n", ZeroDivisionError),
        ("```python\nx = 1\n", pytest.fail.Exception),
    ],
)
def test_a_bad_page_fails(tmp_path: Path, page: str, error: type[BaseException]) -> None:
    """A failing block, a mark without a reason and an open block are all reported."""
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    with pytest.raises(error):
        run_page(tmp_path / "page.md")


def test_a_reason_is_enough(tmp_path: Path) -> None:
    """A block with a reason right before it is left alone."""
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: needs a server -->\n\n```python\n1 / 0\n```\n", encoding="utf-8")
    assert run_page(page) == 0


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    """A file that is not there, and a heading that is not in it; not a URL, nor what is code."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`, c\n[1](#a-b-c) [2](#a) [3](page.md#a-b-c) [4](no.md) [5](https://x.org/no)\n"
        "```sh\n# e\n[6](no.md)\n```\n[7](page.md#e)\n",
        encoding="utf-8",
    )
    assert [*broken_links(page)] == ["#a", "no.md", "page.md#e"]
