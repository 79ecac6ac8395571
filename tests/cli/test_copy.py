"""``kvcodec copy``, the program: between real stores, killed, interrupted, refused."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from kvcodec import Files, Keyspace, SQLiteKV, Store
from kvcodec.cli.places import opened
from kvcodec.plans.many import batches
from tests.cli.program import drawn, ran
from tests.cli.test_copying import NUMBERS, UPLOADS, everything, filled, readable
from tests.memory import MIB, growth_of
from tests.servers.engines import postgres_server, redis_server
from tests.servers.nats import NatsServer
from tests.servers.seaweed import SeaweedServer

FROM, TO = "sqlite:///from.db", "sqlite:///to.db"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A working directory with a filled SQLite file."""
    kv = SQLiteKV(tmp_path / "from.db")
    filled(kv)
    kv.close()
    return tmp_path


def held(path: Path) -> dict[str, bytes]:
    """All that a SQLite file holds."""
    kv = SQLiteKV(path)
    found = everything(kv)
    kv.close()
    return found


def told(out: str) -> dict[str, Any]:
    """The last line: the summary."""
    summary: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert summary["kind"] == "copied"
    return summary


# -------------------------------------------------------------------------------- what it says


def test_it_copies_all(here: Path) -> None:
    """To a file that is not there yet; the state is gone afterwards, and once more all is there."""
    done = ran("copy", FROM, TO, cwd=here)
    assert (done.code, done.err) == (0, "")
    wanted = held(here / "from.db")
    assert held(here / "to.db") == wanted
    assert f"{len(wanted):,} names" in done.out
    assert "written and read back" in done.out
    assert not [*here.glob("*.state*")]
    again = told(ran("copy", FROM, TO, "--json", cwd=here).out)
    assert (again["written"], again["same"], again["problems"]) == (0, len(wanted), 0)
    assert ran("copy", FROM, TO, "--quiet", cwd=here).out == ""


@pytest.mark.parametrize("columns", [80, 200])
def test_a_table_fits_the_terminal(here: Path, columns: int) -> None:
    """With names of other programs, which cannot move the cursor; nothing is cut off."""
    name = "\x1b[31m" + "Q" * 160
    source, target = SQLiteKV(here / "from.db"), SQLiteKV(here / "to.db")
    source.set(name, b"1")
    target.set(name, b"22")
    code, lines = drawn("copy", FROM, TO, cwd=here, columns=columns)
    assert code == 2
    assert "".join(lines).count("Q") == 160
    assert "\\x1b[31mQ" in "".join(lines)
    assert any("--overwrite" in line for line in lines)
    source.delete(name)
    code, lines = drawn("copy", FROM, TO, cwd=here, columns=columns)
    assert code == 0
    assert any("written and read back" in line for line in lines)


def test_a_dry_run_writes_nothing(here: Path) -> None:
    """It says what would be done; nothing of it is kept for another run."""
    done = ran("copy", FROM, TO, "--dry-run", "--json", cwd=here)
    summary = told(done.out)
    assert (done.code, summary["outcome"]) == (0, "looked")
    assert summary["written"] == summary["total"] == len(held(here / "from.db"))
    assert held(here / "to.db") == {}
    assert not [*here.glob("*.state*")]


def test_one_keyspace_and_one_prefix(here: Path) -> None:
    """Not both."""
    assert ran("copy", FROM, TO, "--keyspace", "talks", cwd=here).code == 0
    assert {name.partition("/")[0] for name in held(here / "to.db")} == {"talks"}
    assert ran("copy", FROM, "sqlite:///2.db", "--prefix", "numbers/n00", cwd=here).code == 0
    assert [*held(here / "2.db")] == [f"numbers/n00{at}" for at in range(10)]
    both = ran("copy", FROM, TO, "--prefix", "a", "--keyspace", "b", cwd=here)
    assert (both.code, both.err.count("--keyspace")) == (2, 1)


def test_refused_before_the_first_write(here: Path) -> None:
    """What the target does not take, or has otherwise: by name, in a table or as lines."""
    (here / "app.py").write_text(
        "from kvcodec import MemoryKV, SQLiteKV, Limits\n"
        "class Narrow(SQLiteKV):\n"
        "    def __init__(self, path):\n"
        "        super().__init__(path)\n"
        "        self.limits = Limits(value_bytes=5000)\n"
        "def narrow():\n"
        "    return Narrow('to.db')\n".replace(
            ", Limits\n", "\nfrom kvcodec.protocols import Limits\n"
        )
    )
    done = ran("copy", FROM, "app:narrow", "--json", cwd=here)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 2
    large = {name for name, data in held(here / "from.db").items() if len(data) > 5000}
    assert {line["name"] for line in lines if line["kind"] == "problem"} == large
    assert {line.get("what") for line in lines[:-1]} == {"does not fit"}
    assert lines[-1]["outcome"] == "refused"
    assert held(here / "to.db") == {}
    assert "does not fit" in ran("copy", FROM, "app:narrow", cwd=here).out
    same = ran("copy", FROM, FROM, cwd=here)
    assert (same.code, "one store" in same.err) == (2, True)


def test_other_bytes_are_written_over_only_if_asked_for(here: Path) -> None:
    """And found by name before."""
    with opened(TO.replace("to.db", str(here / "to.db")), create=True) as kv:
        Store(NUMBERS, kv).set("n007", -1)
    refused = ran("copy", FROM, TO, cwd=here)
    assert (refused.code, "numbers/n007" in refused.out) == (2, True)
    assert len(held(here / "to.db")) == 1
    assert ran("copy", FROM, TO, "--overwrite", cwd=here).code == 0
    assert held(here / "to.db") == held(here / "from.db")


# ------------------------------------------------------------------------- ended from outside

_APP = """
import os, signal
from kvcodec import SQLiteKV

class Ending(SQLiteKV):
    left = int(os.environ.get("ENDS_AT", "0"))
    def _count(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
    def get_many(self, keys, /):
        self._count()
        return super().get_many(keys)
    def set_many(self, items, /):
        self._count()
        super().set_many(items)
        self._count()

def target():
    return Ending("to.db")
"""


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_ended_at_drawn_moments_and_gone_on(here: Path, signal: str) -> None:
    """Nothing is lost, nothing is double, and what is there in between is whole."""
    (here / "app.py").write_text(_APP)
    drawing = random.Random(signal)
    wanted = held(here / "from.db")
    ended = 0
    while True:
        moment = str(drawing.randrange(4, 30) + 10 * ended)
        env = {"ENDS_AT": moment, "SIGNAL": signal}
        done = ran("copy", FROM, "app:target", "--json", cwd=here, env=env)
        if done.code == 0:
            break
        ended += 1
        assert ended < 12
        assert done.code == (-9 if signal == "SIGKILL" else 130)
        if signal != "SIGKILL":
            assert "the same command goes on" in done.err
        with opened(TO.replace("to.db", str(here / "to.db"))) as kv:
            readable(kv)
    assert ended > 0
    assert held(here / "to.db") == wanted
    summary = told(done.out)
    assert summary["total"] == len(wanted) == summary["written"] + summary["same"]
    assert summary["problems"] == 0
    assert not [*here.glob("*.state*")]


def test_the_state_is_of_one_copy(here: Path) -> None:
    """Another one does not take it for its own."""
    (here / "app.py").write_text(_APP)
    env = {"ENDS_AT": "12", "SIGNAL": "SIGINT"}
    assert ran("copy", FROM, "app:target", cwd=here, env=env).code == 130
    other = ran("copy", FROM, "sqlite:///other.db", cwd=here)
    assert (other.code, "kvcodec-copy.state" in other.err) == (2, True)
    assert ran("copy", FROM, "sqlite:///other.db", "--state", "2.state", cwd=here).code == 0
    assert ran("copy", FROM, "app:target", cwd=here).code == 0


# --------------------------------------------------------------------------------------- cost

_COPY = """
import sys
from kvcodec.cli.app import run
"""


def test_100_000_values_take_little_memory(tmp_path: Path) -> None:
    """The whole program, at its peak."""
    kv = SQLiteKV(tmp_path / "from.db")
    store = Store(Keyspace("values", bytes), kv)
    for some in batches(range(100_000), 1000):
        store.set_many({f"{at:06}": bytes(100) for at in some})
    Files(UPLOADS, kv).put("large", (bytes(2**20) for _ in range(100)))
    places = [f"sqlite:///{tmp_path / each}" for each in ("from.db", "to.db")]
    work = f"assert run(['copy', *{places!r}, '--quiet']) == 0\nresult = peak_bytes()"
    measured = growth_of(_COPY, work)
    assert measured["result"] <= 100 * MIB


# ------------------------------------------------------------------------------------ engines

_numbers = itertools.count(1)


@contextmanager
def _redis(_: Path) -> Generator[str]:
    server = redis_server()
    server.ask("SELECT", "31")
    with opened(url := f"redis://127.0.0.1:{server.port}/31") as kv:
        for name in everything(kv):
            kv.delete(name)
    yield url


@contextmanager
def _postgres(_: Path) -> Generator[str]:
    url = postgres_server().url
    yield f"{url}{'&' if '?' in url else '?'}table=copied_{next(_numbers)}"


@contextmanager
def _nats(folder: Path) -> Generator[str]:
    (folder / "nats").mkdir()
    with NatsServer(folder / "nats") as server:
        yield f"{server.url}/bucket?create=yes"


@contextmanager
def _folder(folder: Path) -> Generator[str]:
    (folder / "objects").mkdir()
    yield f"file://{folder / 'objects'}"


@contextmanager
def _s3(folder: Path) -> Generator[str]:
    (folder / "seaweed").mkdir()
    with SeaweedServer(folder / "seaweed") as server:
        yield (
            f"s3://bucket/copied?endpoint=http://127.0.0.1:{server.port}&region=us-east-1"
            "&access_key_id=CANARY-ID&secret_access_key=CANARY-KEY&allow_http=true"
        )


@pytest.mark.parametrize("engine", [_redis, _postgres, _nats, _folder, _s3])
def test_there_and_back(here: Path, engine: Callable[[Path], Any]) -> None:
    """From SQLite to a server, its place given in the environment, and back to another file."""
    wanted = held(here / "from.db")
    with engine(here) as url:
        env = {"PLACE": url}
        there = ran("copy", FROM, "env:PLACE", "--json", cwd=here, env=env)
        assert (there.code, there.err) == (0, "")
        assert told(there.out)["written"] == len(wanted)
        back = ran("copy", "env:PLACE", TO, "--json", cwd=here, env=env)
        assert (back.code, back.err) == (0, "")
        again = ran("copy", FROM, "env:PLACE", "--json", cwd=here, env=env)
        assert told(again.out)["same"] == len(wanted)
    assert held(here / "to.db") == wanted


def test_a_lifetime_goes_on_at_a_server(tmp_path: Path) -> None:
    """Redis itself forgets what has one, when it would have ended."""
    source = SQLiteKV(tmp_path / "from.db")
    Store(Keyspace("v", str, ttl=3600), source, clock=lambda: time.time() - 600).set("a", "x")
    Store(NUMBERS, source).set("n", 1)
    with _redis(tmp_path) as url:
        assert told(ran("copy", FROM, url, "--json", cwd=tmp_path).out)["written"] == 2
        opening: Any = Redis  # what its from_url takes is told in part only
        with opening.from_url(url) as client:
            assert 2900 < client.ttl("v/a") <= 3001
            assert client.ttl("numbers/n") == -1
