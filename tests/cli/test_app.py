"""The program as a whole: its names, its help, and what becomes of errors and warnings."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.cli.program import drawn, environment, ran
from tests.servers.redis import RedisServer

COMMANDS = [
    *("ls", "get", "explain", "log", "file", "verify", "migrate", "rewrap", "copy"),
    *("lock", "keygen", "key-id", "bench"),
]
APP = """
import logging
import warnings
from kvcodec import Keyspace, MemoryKV

NOTES = Keyspace("notes", str)

class Gone:
    def get(self, key):
        raise RuntimeError("at redis://:hunter2@db")
    set = delete = get

def gone():
    logging.getLogger("client").error("no redis://:hunter2@db")
    return Gone()

def worried():
    warnings.warn("may lose \\x1b[31mvalues", RuntimeWarning, stacklevel=2)
    return MemoryKV()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A working directory with a module of the user's, and some that cannot be imported."""
    (tmp_path / "stored.py").write_text(APP)
    (tmp_path / "broken.py").write_text("int('hunter2')")
    (tmp_path / "needing.py").write_text("import not_installed_anywhere")
    (tmp_path / "app.db").touch()
    return tmp_path


def test_it_has_two_names(tmp_path: Path) -> None:
    """``python -m kvcodec``, and the script that pip installs."""
    (script,) = (each for each in entry_points(group="console_scripts") if each.name == "kvcodec")
    assert script.value == "kvcodec.cli:main"
    done = subprocess.run(
        [Path(sys.executable).parent / "kvcodec", "--version"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == (ran("--version", cwd=tmp_path).out, "")


@pytest.mark.parametrize("columns", [80, 200])
def test_help_lists_the_commands_in_their_order(tmp_path: Path, columns: int) -> None:
    """What only looks stands first; each with a line of what it does."""
    code, lines = drawn("--help", cwd=tmp_path, columns=columns)
    assert code == 0
    words = [line.split()[1] for line in lines if line[:3] in {f"│ {each[0]}" for each in COMMANDS}]
    assert [word for word in words if not word.startswith("-")] == COMMANDS
    assert ran(cwd=tmp_path).out == ran("--help", cwd=tmp_path).out


def test_what_it_needs_is_named(tmp_path: Path) -> None:
    """Where kvcodec was installed without its extra."""
    without = "import sys; sys.modules['cyclopts'] = None; import kvcodec.cli as cli; "
    done = subprocess.run(
        [sys.executable, "-c", f"{without}sys.exit(cli.main())"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
    )
    said = "kvcodec: the program needs pip install 'kvcodec[cli]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("verify", "sqlite:///app.db", "broken"),
            2,
            "the module broken raises ValueError: see more",
        ),
        (("verify", "sqlite:///app.db", "needing"), 2, "there is no module not_installed_anywhere"),
        (("verify", "sqlite:///app.db", "nowhere"), 2, "there is no module nowhere here"),
        (("verify", "sqlite:///app.db", ".x"), 2, "module:NAME is wanted"),
        (("get", "stored:gone", "stored", "a"), 3, "RuntimeError: see more with --debug"),
        (("ls", "sqlite:///app.db", "--nope"), 2, "--nope"),
        (("nope",), 2, "nope"),
    ],
)
def test_an_error_is_a_message_and_a_code(
    here: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Of a user's module, and of a client, neither a traceback nor what it says or logs."""
    done = ran(*arguments, cwd=here)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "Traceback" not in done.err
    assert "hunter2" not in done.err


def test_debug_shows_where(here: Path) -> None:
    """The traceback before the message; the code is the same."""
    done = ran("verify", "--debug", "sqlite:///app.db", "broken", cwd=here)
    assert done.code == 2
    assert done.err.startswith("Traceback")
    assert "broken.py" in done.err
    assert done.err.splitlines()[-1].startswith("kvcodec: ConfigError: the module broken")


def test_a_warning_is_said_to_people(here: Path) -> None:
    """In one line, without a path of the source and what moves the cursor; not among results."""
    done = ran("ls", "stored:worried", "--json", cwd=here)
    assert done.code == 0
    assert done.err == "kvcodec: RuntimeWarning: may lose \\x1b[31mvalues\n"
    assert done.out.count("\n") == 1


def test_a_server_that_is_gone(here: Path) -> None:
    """3, one line, no password."""
    (here / "redis").mkdir()
    with RedisServer(here / "redis") as server:
        port = server.port
    done = ran("ls", "env:PLACE", cwd=here, env={"PLACE": f"redis://:hunter2@127.0.0.1:{port}/0"})
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert done.err.startswith("kvcodec: Unavailable: ")
    assert "hunter2" not in done.err
