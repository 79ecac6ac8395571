"""``verify``, ``migrate`` and ``rewrap``: what they find, and that an interrupt costs nothing.

A walk is cut at an operation that is drawn, by the first Ctrl-C, by a second one, or by a kill;
and again, until it comes to its end.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kvcodec import KeyRing, Log, Store, open_kv
from kvcodec.cli.places import opened
from tests.cli import walked
from tests.cli.program import Ran, drawn, ran
from tests.cli.walked import NEW, OLD, declarations, fill
from tests.memory import MIB, growth_of
from tests.servers.engines import redis_server
from tests.servers.nats import NatsServer

ROTATED = f"{NEW},{OLD}"
OLD_ID, NEW_ID = KeyRing(OLD).primary, KeyRing(NEW).primary


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A directory with the app and its full database."""
    shutil.copy(walked.__file__, tmp_path)
    with open_kv(f"sqlite:///{tmp_path}/app.db") as kv:
        fill(kv)
    return tmp_path


def walk(
    cwd: Path, command: str, place: str, *options: str, keys: str = ROTATED, **env: str
) -> Ran:
    """Run one command over all of the app's declarations."""
    env = {"APP_KEYS": keys, "PLACE": "sqlite:///app.db", **env}
    arguments = (command, place, "walked:declarations", "--ring-env", "APP_KEYS", *options)
    return ran(*arguments, cwd=cwd, env=env)


def lines(done: Ran, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind."""
    found = [json.loads(line) for line in done.out.splitlines()]
    return [line for line in found if line["kind"] == kind]


def reports(done: Ran) -> dict[str, dict[str, Any]]:
    """The reports by keyspace."""
    return {line["keyspace"]: line for line in lines(done, "report")}


# ------------------------------------------------------------------------------ what is found


def test_verify_looks_at_every_keyspace(app: Path) -> None:
    """Each in its shape; what cannot be read is named, with the stage and the kind of error."""
    done = walk(app, "verify", "sqlite:///app.db", "--json")
    assert (done.code, done.err) == (1, "")
    found = reports(done)
    assert {name: one["checked"] for name, one in found.items()} == {
        "tokens": 61,
        "preferences": 20,
        "history": 2,
        "uploads": 1,
        "people": 2,
    }
    assert found["tokens"]["states"] == {"fine": 59, "unreadable": 1, "skipped": 1}
    assert found["tokens"]["key_ids"] == {OLD_ID: 59}
    assert found["tokens"]["may_drop"] == []
    assert found["preferences"]["states"] == {"older version": 20}
    assert all(one["complete"] and one["changed"] == 0 for one in found.values())
    named = {line["name"]: line for line in lines(done, "finding")}
    assert len(named) == 22
    damaged = named["tokens/user-33"]
    assert (damaged["state"], damaged["stage"]) == ("unreadable", "envelope")
    assert damaged["error"] == "NotEncrypted"
    assert named["tokens/no/key"]["state"] == "skipped"
    assert not [*app.glob("*.state")]


def test_migrate_and_rewrap_change_what_they_say(app: Path) -> None:
    """A dry run says it before, and writes nothing; then everything opens without the old key."""
    before = _stored(app)
    dry = walk(app, "migrate", "sqlite:///app.db", "--dry-run", "--json")
    assert reports(dry)["preferences"]["states"] == {"older version": 20}
    dry = walk(app, "rewrap", "sqlite:///app.db", "--dry-run", "--json")
    assert reports(dry)["tokens"]["key_ids"] == {OLD_ID: 59}
    assert dry.code == 1
    assert _stored(app) == before
    migrated = reports(walk(app, "migrate", "sqlite:///app.db", "--json"))
    assert [one["changed"] for one in migrated.values()] == [0, 20, 0, 0, 0]
    done = walk(app, "rewrap", "sqlite:///app.db", "--json")
    assert [line["keyspace"] for line in lines(done, "left out")] == ["preferences"]
    wrapped = reports(done)
    foreseen = {name: one["states"] for name, one in reports(dry).items()}
    assert {name: one["states"] for name, one in wrapped.items()} == foreseen
    assert wrapped["tokens"]["may_drop"] == []  # one is unreadable
    assert wrapped["history"]["may_drop"] == wrapped["uploads"]["may_drop"] == [OLD_ID]
    assert wrapped["history"]["checked"] == wrapped["history"]["changed"] > 2  # its rows, too
    _open_with_the_new_key(app)


def _stored(app: Path) -> dict[str, bytes | None]:
    with open_kv(f"sqlite:///{app}/app.db") as kv:
        listing: Any = kv
        return {name: kv.get(name) for name in listing.scan_keys("")}


def _open_with_the_new_key(app: Path) -> None:
    tokens, preferences, history, *_ = declarations(KeyRing(NEW))
    with open_kv(f"sqlite:///{app}/app.db") as kv:
        held = Store(tokens, kv)
        for number in (each for each in range(60) if each != 33):
            assert held.get(f"user-{number:02}") == f"token {number}"
        assert Store(preferences, kv).get("user-7") == walked.Sized("dark", 3)
        assert Log(history, kv).count(("ada", 1)) == 90


def test_a_table_for_people(app: Path) -> None:
    """Counts, keys with what they are needed for, and names; at 80 columns, nothing is cut."""
    env = {"APP_KEYS": ROTATED}
    arguments = ("sqlite:///app.db", "walked:declarations", "--ring-env", "APP_KEYS")
    code, shown = drawn("verify", *arguments, cwd=app, columns=200, env=env)
    assert any(line.split() == ["preferences", "20", "20", "older", "version"] for line in shown)
    assert _key_rows(shown) == [OLD_ID, NEW_ID]  # what seals the most is first
    code, shown = drawn("rewrap", *arguments, cwd=app, columns=80, env=env)
    text = "\n".join(shown)
    assert code == 1
    assert "preferences: nothing is sealed" in text
    assert any(line.split() == ["history", OLD_ID, "0", *_FREE] for line in shown), text
    assert _key_rows(shown) == [NEW_ID, OLD_ID]
    assert any(line.split() == ["tokens", NEW_ID, "59", "needed"] for line in shown), text
    assert any(line.split() == ["tokens", "tokens/user-33", *_DAMAGED] for line in shown), text
    quiet = walk(app, "verify", "sqlite:///app.db", "--quiet")
    assert quiet == (1, "", "")


@pytest.mark.parametrize(
    ("command", "columns"), [("verify", 200), ("migrate", 80), ("rewrap", 80), ("rewrap", 200)]
)
def test_progress_is_drawn(app: Path, command: str, columns: int) -> None:
    """How many of how many, how fast, and how long yet: a killed one has left it on the screen."""
    env = {"APP_KEYS": ROTATED, "PLACE": "sqlite:///app.db", "CUT": "40:KILL", "DRAWN_EVERY": "0"}
    arguments = ("walked:one_by_one", "walked:declarations", "--ring-env", "APP_KEYS")
    code, shown = drawn(command, *arguments, cwd=app, columns=columns, env=env)
    assert code == -9
    assert re.search(r" tokens ━.* \d+/61 +[\d,]+/s 0:00:\d\d 0:00:\d\d$", shown[-1]), shown


def _key_rows(shown: list[str]) -> list[str]:
    """The keys of a keyspace, in the order of the table."""
    rows = [line.split() for line in shown if line.startswith("history ")]
    return [row[1] for row in rows if len(row[1]) == len(OLD_ID)]


_FREE = ["not", "needed", "here", "any", "more"]
_DAMAGED = ["envelope:", "NotEncrypted"]


def test_what_is_wrong_is_said(app: Path) -> None:
    """Of arguments, of a keyspace with nothing to rewrap, and of a state of something else."""
    env = {"APP_KEYS": OLD}
    (app / "alone.py").write_text("from walked import *\nP = Keyspace('preferences', Sized)\n")
    done = ran("rewrap", "sqlite:///app.db", "alone:P", cwd=app, env=env)
    assert done.code == 2
    assert "nothing is sealed" in done.err
    done = walk(app, "verify", "sqlite:///app.db", "--limit", "0")
    assert (done.code, "--limit" in done.err) == (2, True)
    done = walk(app, "verify", "sqlite:///app.db", "--as", "log")
    assert (done.code, "--as" in done.err) == (2, True)
    done = walk(app, "verify", "sqlite:///app.db", "--limit", "5", "--state", "mine")
    assert (done.code, (app / "mine").exists()) == (0, True)
    assert done.err == "The same command goes on from mine.\n"
    done = walk(app, "migrate", "sqlite:///app.db", "--state", "mine")
    assert done.code == 2
    assert "mine is the state of verify sqlite:///app.db" in done.err
    assert (app / "mine").exists()


# -------------------------------------------------------------------------- cut, and gone on


COMMANDS = ("verify", "migrate", "rewrap")
HOW = ("INT", "INT INT", "KILL")


@pytest.fixture(params=COMMANDS)
def case(request: pytest.FixtureRequest, app: Path) -> tuple[Path, str, random.Random]:
    """A command, and where it is cut."""
    seed = 0 if os.environ.get("CI") else random.randrange(10**6)
    print("seed", seed)  # noqa: T201 - shown where the test fails
    return app, request.param, random.Random(seed)


def test_a_cut_walk_goes_on(case: tuple[Path, str, random.Random]) -> None:
    """By whatever it was cut: what it says and what is stored is that of a walk nobody cut."""
    app, command, draw = case
    place = draw.choice(("walked:one_by_one", "walked:together"))
    full = (app / "app.db").read_bytes()
    whole, stored = walk(app, command, place, "--json"), _stored(app)
    operations = int((app / "operations").read_text())
    for how in HOW:
        _replace(app, full)
        runs = _cut_and_go_on(app, command, place, how, operations, draw)
        assert (runs[-1].code, runs[-1].err) == (whole.code, "")
        assert not (app / f"kvcodec-{command}.state").exists()
        assert _stored(app).keys() == stored.keys()
        assert _sums(runs[-1]) == _sums(whole)
        if how == "INT":
            assert reports(runs[-1]) == reports(whole)
            assert _named(*runs) == _named(whole)  # each once
        assert {*_named(*runs)} >= {each for each in _named(whole) if not each[2]}
    again = reports(walk(app, command, place, "--json"))  # after the kills
    assert [one["changed"] for one in again.values()] == [0] * len(again)


def _replace(app: Path, full: bytes) -> None:
    for path in app.glob("app.db*"):
        path.unlink()
    (app / "app.db").write_bytes(full)


def _cut_and_go_on(
    app: Path, command: str, place: str, how: str, operations: int, draw: random.Random
) -> list[Ran]:
    """The runs of a walk: up to two that are cut, and the last one, that is not."""
    runs: list[Ran] = []
    for _ in range(2):
        at = draw.randrange(1, operations // 2)
        cuts = {"INT": f"{at}:INT", "KILL": f"{at}:KILL", "INT INT": f"{at}:INT,{at + 1}:INT"}
        # Kept after each group of values, or at the end alone: a kill finds either.
        kept = {"KEPT_EVERY": "0"} if draw.random() < 0.7 else {}
        done = walk(app, command, place, "--json", CUT=cuts[how], **kept)
        runs.append(done)
        assert done.code in {"KILL": {-9, 1}}.get(how, {130, 1}), done
        if done.code == 1:
            return runs  # it came to its end before
        is_kept = (app / f"kvcodec-{command}.state").exists()
        if how == "INT":
            assert is_kept
        if how != "KILL":
            assert ("goes on from" in done.err) == is_kept
            assert "Traceback" not in done.err
    runs.append(walk(app, command, place, "--json"))
    return runs


def _sums(done: Ran) -> dict[str, Any]:
    """What a walk that did some values twice says as well: how many, and under which keys."""
    return {
        name: (one["checked"], sum(one["states"].values()), one["key_ids"], one["unreadable"])
        for name, one in reports(done).items()
    }


def _named(*runs: Ran) -> Counter[tuple[str, str, bool]]:
    """The findings of some runs; those whose values are changed have True."""
    found = [line for done in runs for line in lines(done, "finding")]
    return Counter((line["name"], line["state"], line["changed"]) for line in found)


# --------------------------------------------------------------------------------- on engines


def test_on_redis_which_lists_in_no_order(app: Path) -> None:
    """A rewrap that is cut goes on where it was, name by name."""
    url = f"redis://127.0.0.1:{redis_server().port}/31"
    with open_kv(url) as kv:
        fill(kv)
    cut = {"PLACE": url, "CUT": "30:INT"}
    first = walk(app, "rewrap", "walked:one_by_one", "--json", **cut)
    assert first.code == 130
    checked = reports(first)["tokens"]["checked"]
    assert 0 < checked < 61
    last = walk(app, "rewrap", "walked:one_by_one", "--json", PLACE=url)
    assert reports(last)["tokens"]["changed"] == 59
    assert _named(first, last).total() == len({*_named(first, last)})


def test_on_nats_through_its_loop(app: Path, tmp_path: Path) -> None:
    """Whose client is async: in two runs, the first of which is limited."""
    (tmp_path / "nats").mkdir()
    with NatsServer(tmp_path / "nats") as server:
        url = f"{server.url}/app"
        with opened(f"{url}?create=yes") as kv:
            fill(kv)
        first = walk(app, "rewrap", url, "--limit", "40", "--json")
        last = walk(app, "rewrap", url, "--json")
    assert [one["checked"] for one in reports(first).values()] == [40]
    assert last.code == 1
    found = {name: one["states"] for name, one in reports(last).items()}
    assert found["tokens"] == {"older key": 59, "unreadable": 1, "skipped": 1}
    assert [*found] == ["tokens", "history", "uploads", "people"]
    assert _named(first, last).total() == len({*_named(first, last)})


# ------------------------------------------------------------------------------------- memory


def test_memory_does_not_grow_with_the_names(tmp_path: Path) -> None:
    """100,000 values are verified in 100 MiB, all of the program included."""
    with open_kv(f"sqlite:///{tmp_path}/app.db") as kv:
        filling: Any = kv
        for start in range(0, 100_000, 1_000):
            names = (f"preferences/user-{number:06}" for number in range(start, start + 1_000))
            filling.set_many(dict.fromkeys(names, b'{"theme":"light"}'))
    place, where = f"sqlite:///{tmp_path}/app.db", "tests.cli.walked:declarations"
    done = growth_of(
        f"import os; os.environ['APP_KEYS'] = {OLD!r}",
        "from kvcodec.cli.app import run; result = run(sys.argv[1:])",
        *("verify", place, where, "--ring-env", "APP_KEYS", "--quiet"),
        *("--state", tmp_path / "state"),
    )
    assert done["result"] == 0
    assert 10 * MIB < done["growth"] < 90 * MIB  # on top of a bare interpreter's 10
