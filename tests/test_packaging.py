"""What is released: built, looked into, and used in an environment that holds nothing else.

Nothing is fetched: the build finds hatchling in the test group (a build of its own environment
would ask an index for it), and the bare environment gets links to what the wheel asks for.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

import kvcodec
from tests.requires import require_module

ROOT = Path(__file__).parent.parent
VERSION = kvcodec.__version__
LINK = re.compile(r"\]\(((?!\w+:|#)[^)#\s]+)")

PROGRAM = """
import sys
from pathlib import Path
import kvcodec, msgspec
from kvcodec import KeyRing, Keyspace, SQLiteKV, Store

class Note(msgspec.Struct):
    text: str

ring = KeyRing(KeyRing.generate_key())
with SQLiteKV("notes.db") as kv:
    for keyspace in Keyspace("notes", Note), Keyspace("sealed", Note, cipher=ring):
        store = Store(keyspace, kv)
        store.set("ada", Note("hello"))
        assert store.get("ada") == Note("hello")
assert Path(kvcodec.__file__).is_relative_to(sys.prefix), kvcodec.__file__
assert "hypothesis" not in sys.modules
print(kvcodec.__version__)
"""


def run(*command: str, cwd: Path) -> str:
    """Run a module or program; return what it prints, or fail with it."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, to: Path, *what: str) -> None:
    """Build from a folder: by default an sdist, and from it a wheel."""
    command = [sys.executable, "-m", "build", "--no-isolation", *what, "--outdir", str(to)]
    run(*command, str(source), cwd=to.parent)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what is uploaded: the sdist, and the wheel that was built from it."""
    for name in ("build", "hatchling", "twine"):
        require_module(name, install=f"pip install {name}")
    folder = tmp_path_factory.mktemp("released") / "dist"
    build(ROOT, folder)
    return folder


def wheel_of(dist: Path) -> Path:
    """The only wheel in a folder: of any platform."""
    (wheel,) = dist.glob("*.whl")
    assert wheel.name == f"kvcodec-{VERSION}-py3-none-any.whl"
    return wheel


def held(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def in_sdist(dist: Path) -> set[str]:
    """The names of the files in an sdist, as they lie in the project."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def metadata(wheel: Path) -> Message:
    """What the wheel says of itself."""
    return Parser().parsestr(held(wheel)[f"kvcodec-{VERSION}.dist-info/METADATA"].decode())


def test_twine_finds_nothing(dist: Path) -> None:
    """Metadata that an index accepts, and a description that it can show."""
    files = [str(path) for path in dist.iterdir()]
    assert len(files) == 2
    run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=dist)


def test_the_wheel_holds_the_package_and_nothing_else(dist: Path) -> None:
    """Every file of kvcodec/, that it is typed, and the licence; no tests, pages or examples."""
    names = held(wheel_of(dist))
    info = f"kvcodec-{VERSION}.dist-info"
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "kvcodec").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "kvcodec/py.typed" in package
    about = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert names.keys() == package | {f"{info}/{name}" for name in about}
    assert names[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_the_sdist_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    """What is built from it is, file by file, what is built from the project."""
    build(ROOT, tmp_path / "direct", "--wheel")
    assert held(wheel_of(tmp_path / "direct")) == held(wheel_of(dist))


def test_the_sdist_holds_what_the_readme_links_to(dist: Path) -> None:
    """Whoever has only the sdist can read on, and run the tests."""
    names = in_sdist(dist)
    links = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    folders = {str(folder) for name in names for folder in Path(name).parents}
    assert {*links} - names - folders == set()
    assert {"Makefile", "pyproject.toml", "tests/test_packaging.py"} <= names
    assert not [name for name in names if "_build" in name or name.endswith((".pyc", ".db"))]


def test_all_is_every_extra_but_the_test_kit_and_frameworks(dist: Path) -> None:
    """``pip install 'kvcodec[all]'`` is what an application with every engine needs.

    A framework is on the machine of whoever looks for its adapter; each would bring its own world.
    """
    by_extra: dict[str, set[str]] = {}
    for line in metadata(wheel_of(dist)).get_all("Requires-Dist") or ():
        requirement, _, extra = line.partition("; extra == ")
        by_extra.setdefault(extra.strip("'"), set()).add(requirement)
    listed = by_extra.pop("all")
    assert by_extra.pop("testing")
    assert by_extra.pop("")
    frameworks = by_extra.pop("frameworks")
    assert len(frameworks) > 7
    by_extra = {name: those for name, those in by_extra.items() if not those <= frameworks}
    assert listed == set().union(*by_extra.values())
    assert len(by_extra) > 5


def test_no_address_is_named_that_nobody_can_open(dist: Path) -> None:
    """Where the project is public its pages are named, and the README's links lead there.

    docs/CONTRIBUTING.md has it as the first step of a release.
    """
    said = metadata(wheel_of(dist))
    if said.get_all("Project-URL"):
        assert LINK.findall(str(said.get_payload())) == []


# ----------------------------------------------------------------------- in a bare environment


def needed(wheel: Path) -> set[str]:
    """The distributions that the wheel asks for without an extra, and what they ask for."""
    found: set[str] = set()
    left = list(_required(metadata(wheel).get_all("Requires-Dist") or ()))
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _required(distribution(name).requires or ())
    return found


def _required(lines: list[str] | tuple[str, ...]) -> Iterator[str]:
    requirements = require_module("packaging.requirements", install="pip install packaging")
    for line in lines:
        requirement = requirements.Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def lend(found: Distribution, packages: Path) -> None:
    """Make an installed distribution importable from another folder of packages."""
    for top in {Path(file).parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        (packages / top).symlink_to(Path(str(found.locate_file(top))))


def test_it_works_with_nothing_but_what_it_asks_for(dist: Path, tmp_path: Path) -> None:
    """Installed, imported, and a value stored and read back, a sealed one too."""
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    wheel = wheel_of(dist)
    run(*pip, "install", "--no-index", "--no-deps", str(wheel), cwd=tmp_path)
    (packages,) = (tmp_path / "bare" / "lib").glob("python3*/site-packages")
    for name in needed(wheel):
        lend(distribution(name), packages)
    installed = {path.name.partition("-")[0].lower() for path in packages.glob("*.dist-info")}
    assert {"kvcodec", "msgspec", "cryptography", "typing_extensions"} <= installed
    assert not {"pytest", "hypothesis", "pydantic", "redis"} & installed
    printed = run(str(python), "-I", "-W", "error", "-c", PROGRAM, cwd=tmp_path)
    assert printed == f"{VERSION}\n"
