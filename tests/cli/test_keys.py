"""``kvcodec keygen`` and ``kvcodec key-id``, as the real program."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from kvcodec import KeyRing
from tests.cli.program import drawn, ran


def test_a_key_for_the_environment(tmp_path: Path) -> None:
    """One line, which a file of variables can have as it is; a new one each time."""
    first = ran("keygen", cwd=tmp_path)
    assert (first.code, first.err) == (0, "")
    assert len(KeyRing(first.out.removesuffix("\n")).primary) == 32
    second = ran("keygen", "--env", "APP_KEYS", cwd=tmp_path)
    name, _, key = second.out.removesuffix("\n").partition("=")
    assert name == "APP_KEYS"
    assert key != first.out.removesuffix("\n")
    record = json.loads(ran("keygen", "--json", cwd=tmp_path).out)
    assert record == {"key_id": KeyRing(record["key"]).primary, "key": record["key"]}
    assert not [*tmp_path.iterdir()]


def test_a_key_in_a_file(tmp_path: Path) -> None:
    """Private, never written over, and never shown."""
    done = ran("keygen", "--file", "app.key", cwd=tmp_path)
    path = tmp_path / "app.key"
    key = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert done.out == f"{KeyRing(key).primary}  in app.key\n"
    again = ran("keygen", "--file", "app.key", cwd=tmp_path)
    assert (again.code, again.out) == (2, "")
    assert "there is something already" in again.err
    assert path.read_text().strip() == key
    assert ran("keygen", "--file", "b.key", "--env", "A", cwd=tmp_path).code == 2
    assert ran("keygen", "--env", "A B", cwd=tmp_path).code == 2


def test_a_terminal_is_told_that_it_remembers(tmp_path: Path) -> None:
    """The key is shown, since it was asked for; with a way to keep the next one off the screen."""
    code, lines = drawn("keygen", cwd=tmp_path, columns=200)
    assert code == 0
    assert len(KeyRing(lines[0]).primary) == 32
    assert "--file" in lines[1]


def test_ids_of_keys_from_anywhere(tmp_path: Path) -> None:
    """Standard input, a variable and a file give the same; the keys are not repeated."""
    one, two = KeyRing.generate_key(), KeyRing.generate_key()
    ring = KeyRing(one, retired=[two])
    (tmp_path / "app.key").write_text(f"{one}\n{two}\n")
    (tmp_path / "app.key").chmod(0o600)
    wanted = f"{ring.primary}\n{ring.retired[0]}  retired\n"
    found = [
        ran("key-id", cwd=tmp_path, given=f"{one},{two}\n"),
        ran("key-id", "--env", "APP_KEYS", cwd=tmp_path, env={"APP_KEYS": f"{one} {two}"}),
        ran("key-id", "--file", "app.key", cwd=tmp_path),
    ]
    assert [(each.code, each.out, each.err) for each in found] == [(0, wanted, "")] * 3
    lines = ran("key-id", "--json", cwd=tmp_path, given=f"{one},{two}").out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"key_id": ring.primary, "role": "primary"},
        {"key_id": ring.retired[0], "role": "retired"},
    ]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("{key}",), "{key}"),
        (("--env", "{key}"), ""),
        (("--file", "{key}"), ""),
        ((), "{key}x"),
        ((), "not a key, but a password"),
        ((), ""),
        (("--env", "NOT_SET"), ""),
        (("--file", "nowhere.key"), ""),
        (("--env", "A", "--file", "b"), ""),
    ],
)
def test_what_is_no_key_is_not_repeated(
    arguments: tuple[str, ...], given: str, tmp_path: Path
) -> None:
    """Wrong usage, in one line; and a key in the list of arguments is not shown once more."""
    key = KeyRing.generate_key()
    filled = [each.replace("{key}", key) for each in arguments]
    done = ran("key-id", *filled, cwd=tmp_path, given=given.replace("{key}", key))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("kvcodec: ConfigError: ")
    assert key not in done.err
    assert "password" not in done.err


def test_a_terminal_does_not_show_what_is_typed(tmp_path: Path) -> None:
    """Neither the key nor a part of it; only the id."""
    key = KeyRing.generate_key()
    code, lines = drawn(
        "key-id", cwd=tmp_path, columns=80, typed=f"{key}\n", after="Key (not shown): "
    )
    assert (code, lines) == (0, ["Key (not shown):", KeyRing(key).primary])
