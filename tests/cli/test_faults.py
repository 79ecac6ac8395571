"""Stores that fail in the middle: the code says so, and the same command goes on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from kvcodec import MemoryKV
from kvcodec.cli import copying, walks
from kvcodec.cli.app import run
from kvcodec.testing import FaultyKV
from kvcodec.testing.faulty import ErrorAfter, ErrorBefore, OverQuota, Partial, Unknown
from tests.cli import walked

FAULTS = (ErrorBefore(), ErrorAfter(), Unknown(applied=True), Partial(items=1), OverQuota())

script: list[Any] = []
held: dict[str, dict[str, bytes]] = {"source": {}, "target": {}}


class OneByOne:
    """A handle that lists, in order, and takes and gives one value at a time."""

    def __init__(self, held: dict[str, bytes]) -> None:
        self.get = held.get
        self.set = held.__setitem__
        self.names = held.keys()
        self._held = held

    def delete(self, name: str) -> None:
        """Remove a name."""
        self._held.pop(name, None)

    def scan_keys(self, prefix: str, start_after: str = "") -> Any:
        """List the names that begin so."""
        names = [each for each in self.names if each.startswith(prefix)]
        return iter(sorted(each for each in names if each > start_after))


def source() -> Any:
    """The first store, which has the faults."""
    return FaultyKV(OneByOne(held["source"]), script)


def target() -> Any:
    """The other one, which has none."""
    return OneByOne(held["target"])


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What is in the source, in a working directory of its own; each state is kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(walks, "KEPT_EVERY", 0.0)
    monkeypatch.setattr(walks, "WORTH", 0)
    monkeypatch.setattr(copying, "_KEPT_SECONDS", 0.0)
    monkeypatch.setenv("APP_KEYS", f"{walked.NEW},{walked.OLD}")
    kv = MemoryKV()
    walked.fill(kv)
    return {name: kv.get(name) or b"" for name in kv.scan_keys("")}


def _begin(rows: dict[str, bytes]) -> None:
    held["source"].clear()
    held["source"].update(rows)
    held["target"].clear()


@pytest.mark.parametrize("command", ["copy", "verify", "migrate", "rewrap"])
def test_an_outage_ends_it_with_3_and_it_goes_on(
    command: str, rows: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the fault, and whether the answer alone is lost: nothing lost, nothing double."""
    here, drawn = __name__, random.Random(7)
    given = [f"{here}:target"]
    if command != "copy":
        given = ["tests.cli.walked:declarations", "--ring-env", "APP_KEYS"]
    codes, checked = set[int](), set[tuple[int, ...]]()
    for fault in FAULTS * 4:
        _begin(rows)
        code, said = 3, capsys.readouterr()
        for at in (drawn.randrange(1, 400), drawn.randrange(1, 200), None):
            script[:] = [] if at is None else [None] * at + [fault]
            code = run([command, f"{here}:source", *given, "--json"])
            codes.add(code)
            said = capsys.readouterr()
            if code != 3:
                break
            assert "Traceback" not in said.err
        reports = [json.loads(line) for line in said.out.splitlines()]
        if command == "copy":
            assert (code, held["target"]) == (0, rows)
            assert reports[-1]["total"] == reports[-1]["written"] + reports[-1]["same"] == len(rows)
        else:
            assert code == 1  # of what is unreadable there
            checked.add(tuple(each["checked"] for each in reports if each["kind"] == "report"))
            assert held["source"].keys() == rows.keys()
        assert not [*Path().glob("*.state*")]
    assert 3 in codes
    assert len(checked) <= 1  # the same, wherever it was ended
