"""The plugin of docs/tutorial/dify-plugin.md, written as its reader writes it, and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kvcodec.secrets.keyring import KeyRing
from tests.backends.dify.conftest import Start
from tests.backends.dify.daemon import Call, Daemon, PluginProcess, ToolFailed
from tests.test_docs import blocks, write_files

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "tutorial" / "dify-plugin.md"
KEY = {"encryption_key": KeyRing.generate_key()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reader's folder, with the files of the page in it."""
    made = tmp_path / "diary_plugin"
    write_files(PAGE, made)
    return made


def conversation() -> list[tuple[str, str, str, str]]:
    """What the page shows: who asks, the action, its text, and the answer."""
    [shown] = [
        block.text
        for block in blocks(PAGE.read_text(encoding="utf-8"))
        if block.language == "text" and block.text.startswith("ada>")
    ]
    turns = re.findall(r"^(\w+)> (\w+) ?(.*)\n((?:(?!\w+>).*\n)+)", shown + "\n", re.MULTILINE)
    return [(user, action, text, reply.rstrip("\n")) for user, action, text, reply in turns]


def ask(plugin: PluginProcess, user: str, action: str, text: str) -> str:
    """Invoke the tool; return what the user gets to see."""
    parameters = {"action": action, **({"text": text} if text else {})}
    [message] = plugin.invoke("diary", "diary", parameters, Call(user, None, KEY))
    reply: str = message["message"]["text"]
    return reply


def test_it_answers_as_the_page_says(folder: Path, daemon: Daemon, start: Start) -> None:
    """Every line of the conversation, under the real SDK; then three values are stored."""
    plugin = start(folder, daemon)
    turns = conversation()
    assert len(turns) == 8
    for user, action, text, reply in turns:
        assert ask(plugin, user, action, text) == reply
    kept = {key for operation, key in daemon.requests if operation == "set"}
    assert kept == {"entries/ada", "preferences/ada", "tokens/ada"}


def test_a_key_with_a_typing_error_is_refused(folder: Path, daemon: Daemon, start: Start) -> None:
    """When an administrator enters it, and the key itself is not in the words."""
    plugin = start(folder, daemon)
    plugin.validate("diary", KEY)
    with pytest.raises(ToolFailed) as refused:
        plugin.validate("diary", {"encryption_key": KEY["encryption_key"][:-3]})
    assert KEY["encryption_key"][:20] not in str(refused.value)


def test_its_tests_pass(folder: Path) -> None:
    """The tests that the page writes, by the two commands that it gives."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    for more in (["--kvcodec-lock-update", "-k", "schema_lock"], []):
        ran = subprocess.run(
            [*command, *more],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
    assert (folder / "kvcodec.lock.json").exists()
