"""``kvcodec explain``, as the real program; and its steps, for everything that there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kvcodec import KeyRing, MemoryKV, SQLiteKV
from kvcodec.cli.steps import steps_of
from tests.cli.program import drawn, ran
from tests.cli.stored import NAMES, RING, TOKEN, declarations, fill

URL = "sqlite:///app.db"
KEY = KeyRing.generate_key()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a database that holds something of each kind."""
    folder = tmp_path_factory.mktemp("explain")
    with SQLiteKV(folder / "app.db") as kv:
        fill(kv, KeyRing(KEY))
        kv.set("tokens/eve", kv.get("tokens/ada") or b"")
    return folder


DECLARED = ("--declared", NAMES, "--ring-env", RING)


def explained(folder: Path, name: str, *options: str) -> dict[str, Any]:
    """What the program says of a name, as a record."""
    done = ran("explain", URL, name, "--json", *options, cwd=folder, env={RING: KEY})
    assert (done.code, done.err) == (0, "")
    record: dict[str, Any] = json.loads(done.out)
    assert "".join(each["piece"] for each in record["pieces"]) == record["name"]
    return record


def test_without_a_declaration(folder: Path) -> None:
    """As far as the header tells: cipher, key id, times; nothing is opened."""
    record = explained(folder, "tokens/ada")
    assert [step["name"] for step in record["steps"]] == ["stored", "envelope", "sealed"]
    assert record["steps"][1]["facts"]["key id"] == KeyRing(KEY).primary
    assert record["steps"][2]["facts"]["what"] == "a value, a log's head, or a manifest"
    forecast = explained(folder, "forecasts/Leipzig")["steps"]
    assert {"written", "expires"} <= forecast[1]["facts"].keys()
    assert forecast[2]["facts"] == {"what": "JSON", "value": '{"celsius":-2}'}
    hashed = next(name for name in names_of(folder) if name.startswith("hashed/"))
    facts = explained(folder, hashed)["steps"][-1]["facts"]
    assert facts["key's whole name"] == "hashed/a%20long%20key"


def names_of(folder: Path) -> list[str]:
    """The names of the database."""
    with SQLiteKV(folder / "app.db") as kv:
        return [*kv.scan_keys("")]


def test_with_a_declaration(folder: Path) -> None:
    """To the value, which is shown where it is plain; a key is enough where one is declared."""
    arguments = ("--declared", "tests.cli.stored:PREFERENCES")
    record = explained(folder, "ada", *arguments)
    assert record["keyspace"] == "preferences"
    assert record["steps"][-1]["facts"]["value"] == "Preferences(theme='dark', sizes=[1, 2])"
    sealed = explained(folder, "tokens/ada", *DECLARED)
    assert [step["name"] for step in sealed["steps"]][-2:] == ["decrypt", "decode"]
    assert sealed["steps"][-1]["facts"]["value"] == "sealed, not shown"
    assert "value" not in sealed
    revealed = explained(folder, "accounts/ada", *DECLARED, "--reveal", "--yes")
    assert revealed["value"]["token"] == TOKEN


@pytest.mark.parametrize("columns", [80, 200])
def test_for_people(folder: Path, columns: int) -> None:
    """Each piece of a derived name in a line of its own, then what the row holds."""
    name = next(name for name in names_of(folder) if name.startswith("history/ada/7!s"))
    code, lines = drawn(
        "explain", URL, name, *DECLARED, cwd=folder, columns=columns, env={RING: KEY}
    )
    assert code == 0
    assert lines[0].startswith(f"{name}  ")
    pieces = [line.split()[0] for line in lines[4:10]] if columns == 200 else []
    assert columns == 80 or "".join(pieces) == name
    text = " ".join(" ".join(lines).split())
    assert "the key, part by part: Chat(user='ada', number=7)" in text
    assert "a row of the log: older messages, written once" in text
    assert "messages: " in text
    assert max(map(len, lines)) <= columns


def test_a_terminal_is_asked_before_anything_is_shown(folder: Path) -> None:
    """As `get` asks."""
    arguments = ("explain", URL, "tokens/ada", *DECLARED, "--reveal")
    for answer, shows in (("y\n", True), ("n\n", False)):
        code, lines = drawn(*arguments, cwd=folder, columns=200, env={RING: KEY}, typed=answer)
        assert code == (0 if shows else 2)
        assert (TOKEN in "\n".join(lines)) == shows


@pytest.mark.parametrize(
    ("name", "options", "code", "said"),
    [
        ("tokens/eve", DECLARED, 1, "Tampered"),
        ("strange/envelope", (), 1, "begins as an envelope, but: damaged"),
        ("strange/envelope", DECLARED, 1, "begins as an envelope, but: damaged"),
        ("nothing/here", (), 1, "MissingKey"),
        ("tokens/ada", ("--reveal",), 2, "--reveal needs --declared"),
        ("tokens/ada", (*DECLARED, "--reveal"), 2, "add --yes"),
    ],
)
def test_what_cannot_be_read(
    folder: Path, name: str, options: tuple[str, ...], code: int, said: str
) -> None:
    """Is the last step, or a message; and the exit code tells."""
    done = ran("explain", URL, name, *options, cwd=folder, env={RING: KEY})
    assert done.code == code
    assert said in done.out + done.err
    assert TOKEN not in done.out + done.err


def test_every_name_is_explained_to_its_end() -> None:
    """Logs, files, lanes, indexes, news, data keys, quarantine: each through its declaration."""
    kv, ring = MemoryKV(), KeyRing(KEY)
    fill(kv, ring)
    by_name = {each.name: each for each in declarations(ring)}
    for name in kv.scan_keys(""):
        data = kv.get(name) or b""
        keyspace = by_name.get(name.partition("/")[0].partition("!")[0])
        if keyspace is None:
            continue
        steps = steps_of(name, data, keyspace)
        last = [step.name for step in steps if step.name != "holds"][-1]
        assert last == ("error" if name == "preferences/broken!q1" else "decode"), name
        assert TOKEN not in str(steps)
        assert "dear diary" not in str(steps)
