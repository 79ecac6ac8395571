"""The example plugin as Dify runs it: its own process under the real SDK, against the stand-in.

The process is stopped and started between the steps: what it remembers comes from the daemon.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kvcodec.secrets.keyring import KeyRing
from tests.backends.dify.conftest import MIB, require_dify
from tests.backends.dify.daemon import (
    S3,
    Azure,
    Call,
    Daemon,
    Host,
    LocalDisk,
    Persistence,
    PluginProcess,
    ToolFailed,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "dify_plugin"
KEY = KeyRing.generate_key()
TOKEN = "sk-live-4f9c2ab1d7e8-canary-7788"


class Assistant:
    """The example's tool, as users ask it, in a process that can be started anew."""

    def __init__(self, daemon: Daemon, *, timeout_seconds: int = 250) -> None:
        self.daemon = daemon
        self.key = KEY
        self._timeout_seconds = timeout_seconds
        self.process = self._start()

    def _start(self) -> PluginProcess:
        return PluginProcess(EXAMPLE, self.daemon, timeout_seconds=self._timeout_seconds)

    def serve(self, daemon: Daemon) -> None:
        """Give the plugin another workspace, and a new process if its last one was killed."""
        self.daemon = self.process.daemon = daemon
        self.key = KEY
        if not self.process.running():
            self.restart()

    def restart(self) -> None:
        """Stop the plugin, let the daemon's cache run out, and start the plugin again."""
        self.process.stop()
        self.daemon.store.expire_cache()
        self.process = self._start()

    def ask(self, action: str, *, user: str = "ada", conversation: str = "c1", **more: str) -> str:
        """Invoke the tool; return the text that the user gets to see."""
        call = Call(user, conversation, {"encryption_key": self.key})
        parameters = {"action": action, **more}
        [message] = self.process.invoke("assistant", "assistant", parameters, call)
        text: str = message["message"]["text"]
        return text

    def remember(self, name: str, value: str) -> str:
        """Ask it to remember one of Ada's preferences."""
        return self.ask("remember", name=name, value=value)

    def preferences(self, **of: str) -> dict[str, Any]:
        """Ask for the preferences as they are."""
        shown: dict[str, Any] = json.loads(self.ask("preferences", **of))
        return shown


@pytest.fixture(scope="module")
def patient_assistant() -> Iterator[Assistant]:
    """Start the example plugin with the SDK's own waiting time."""
    require_dify()
    assistant = Assistant(Daemon(Persistence(S3(), quota=MIB, clock=float)))
    yield assistant
    assistant.process.stop()


@pytest.fixture
def assistant(patient_assistant: Assistant, daemon: Daemon) -> Assistant:
    """Return the example plugin, with nothing stored yet."""
    patient_assistant.serve(daemon)
    return patient_assistant


@pytest.fixture
def impatient(daemon: Daemon) -> Iterator[Assistant]:
    """Start the example plugin with the SDK's least waiting time, one second."""
    require_dify()
    assistant = Assistant(daemon, timeout_seconds=1)
    yield assistant
    assistant.process.stop()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return the directory in which the daemon keeps the plugin's values on its local disk."""
    return tmp_path / "host" / "workspace" / "plugin"


# ------------------------------------------------------------------------------ what it is for


def test_everything_survives_restarts(assistant: Assistant) -> None:
    """Preferences, a conversation and a token are there again in each new process."""
    assert assistant.preferences() == {"name": "", "language": "en", "tone": "friendly"}
    assert assistant.remember("name", "Ada") == "Noted: name = Ada"
    assistant.restart()
    assert assistant.remember("language", "de") == "Notiert: language = de"
    assert assistant.ask("say", value="Grüße, 世界") == "Notiert, Ada. That makes 2."
    assert assistant.ask("save_token", value=TOKEN).endswith("7788.")
    assistant.restart()
    assert assistant.preferences() == {"name": "Ada", "language": "de", "tone": "friendly"}
    assert assistant.ask("say", value="again") == "Notiert, Ada. That makes 4."
    assert assistant.ask("history").split("\n") == [
        "user: Grüße, 世界",
        "assistant: Notiert, Ada.",
        "user: again",
        "assistant: Notiert, Ada.",
    ]
    assert assistant.ask("token") == "I keep your token that ends in 7788."


def test_a_document_longer_than_a_value_survives_a_restart(
    assistant: Assistant, files: Path
) -> None:
    """Three megabytes, over Dify's limit on one value, come back whole from several chunks."""
    assistant.daemon.store.quota = 100 * MIB
    assert assistant.ask("document") == "I keep no document of yours."
    document = "Grüße 世界 " * 180_000
    size = len(document.encode())
    assert size > 2_621_000
    assert assistant.ask("keep_document", value=document).endswith(f"of {size} bytes.")
    assistant.restart()
    assert assistant.ask("document") == document
    assert len(list((files / "documents").glob("ada!g*"))) > 1
    assert assistant.ask("keep_document", value="short") == "I keep your document of 5 bytes."
    assert assistant.ask("document") == "short"
    assert len(list((files / "documents").glob("ada!g*"))) <= 1


def test_users_and_conversations_are_apart(assistant: Assistant) -> None:
    """Dify gives all users one storage: nobody reads another's, whatever the names are like."""
    assistant.remember("name", "Ada")
    assistant.ask("save_token", value=TOKEN)
    assistant.ask("say", value="mine")
    for other in ("ada/c1", "ad", "ADA", "..", "ada c1", "a:da", "アダ"):
        assert assistant.preferences(user=other)["name"] == ""
        assert assistant.ask("token", user=other) == "I keep no token of yours."
        assert assistant.ask("history", user=other, conversation="c1").startswith("Nothing")
    assert assistant.ask("history", conversation="c2") == "Nothing was said yet."
    assert assistant.ask("say", user="..", value="x").endswith("That makes 2.")
    assert assistant.ask("history") == "user: mine\nassistant: Noted, Ada."


def test_requests_at_the_same_time_lose_nothing(assistant: Assistant) -> None:
    """Eight requests of one conversation in one process, each with a storage object of its own."""

    def say(number: int) -> str:
        return assistant.ask("say", value=f"no {number}")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(say, range(8)))
    # The count is read after the append: of those who came last together, several say 16.
    counts = [int(answer.split()[-1].rstrip(".")) for answer in answers]
    assert max(counts) == 16
    assert len(assistant.ask("history").split("\n")) == 16
    said = [line for line in assistant.ask("history").split("\n") if line.startswith("user")]
    assert sorted(said) == [f"user: no {n}" for n in range(8)]


def test_forgetting_deletes_and_may_be_repeated(assistant: Assistant, files: Path) -> None:
    """After ``forget`` no file of the user is left; a second time is no error."""
    assistant.remember("name", "Ada")
    assistant.ask("say", value="mine")
    assistant.ask("save_token", value=TOKEN)
    assert len([path for path in files.rglob("*") if path.is_file()]) == 3
    for _ in range(2):
        assert assistant.ask("forget") == "I have forgotten you."
        assert [path for path in files.rglob("*") if path.is_file()] == []
    assert assistant.preferences()["name"] == ""


def test_a_preference_that_is_none_is_refused(assistant: Assistant, files: Path) -> None:
    """What the type does not declare is told to the user, and nothing is stored."""
    assistant.remember("tone", "brief")
    before = (files / "preferences" / "ada").read_bytes()
    assert "Invalid enum value 'xx'" in assistant.remember("language", "xx")
    assert "unknown field `colour`" in assistant.remember("colour", "red")
    assert (files / "preferences" / "ada").read_bytes() == before
    assert assistant.ask("dance").startswith("I can do one of these: remember,")


# ------------------------------------------------------------------------------- what is stored


def test_preferences_are_plain_json(assistant: Assistant, files: Path) -> None:
    """A plain keyspace stores what ``json.dumps`` would: readable without kvcodec, and by it."""
    assistant.remember("name", "Ada")
    path = files / "preferences" / "ada"
    assert json.loads(path.read_bytes())["name"] == "Ada"
    path.write_bytes(json.dumps({"name": "By hand", "language": "fr"}).encode())
    assistant.restart()
    assert assistant.preferences() == {"name": "By hand", "language": "fr", "tone": "friendly"}


def test_the_token_is_unreadable_in_the_files(assistant: Assistant, files: Path) -> None:
    """Neither the token nor an encoding of it is to be found in any file or any file's name."""
    assistant.ask("save_token", value=TOKEN)
    everything = b"".join(
        str(path).encode() + path.read_bytes() for path in files.rglob("*") if path.is_file()
    )
    assert b"tokens/ada" in everything
    for part in (TOKEN, TOKEN[8:], KEY):
        encoded = part.encode()
        for form in (encoded, base64.b64encode(encoded)[:-4], encoded.hex().encode()):
            assert form not in everything


def test_a_copied_token_is_refused(assistant: Assistant, files: Path) -> None:
    """Whoever can copy files still cannot use another user's token; the owner still can."""
    assistant.ask("save_token", value=TOKEN)
    shutil.copy(files / "tokens" / "ada", files / "tokens" / "eve")
    refused = assistant.ask("token", user="eve")
    assert refused.startswith("What is saved as your token is not what you saved.")
    assert "7788" not in refused
    assert assistant.ask("token").endswith("7788.")


@pytest.mark.parametrize(
    ("stored", "answer"),
    [
        (json.dumps({"token": TOKEN}).encode(), "is not encrypted"),
        (b"", "is not encrypted"),
        (b"\xc1junk", "cannot read|is not what you saved"),
    ],
    ids=["plaintext", "empty", "junk"],
)
def test_a_forged_token_is_refused(
    assistant: Assistant, files: Path, stored: bytes, answer: str
) -> None:
    """Plaintext, nothing and junk in the token's place are errors, not tokens; saving heals."""
    assistant.ask("save_token", value="old")
    (files / "tokens" / "ada").write_bytes(stored)
    assistant.restart()
    text = assistant.ask("token")
    assert any(words in text for words in answer.split("|"))
    assert "7788" not in text
    assert (files / "tokens" / "ada").read_bytes() == stored
    assistant.ask("save_token", value=TOKEN)
    assert assistant.ask("token").endswith("7788.")


def test_another_encryption_key_opens_nothing(assistant: Assistant) -> None:
    """With the wrong key the token is refused as such; with the right one it is there again."""
    assistant.ask("save_token", value=TOKEN)
    assistant.key = KeyRing.generate_key()
    assert assistant.ask("token").startswith("Your token was saved with another encryption key.")
    assistant.key = KEY
    assert assistant.ask("token").endswith("7788.")


def test_the_form_checks_the_encryption_key(assistant: Assistant) -> None:
    """A good key is taken; a bad one is refused by the SDK's own error, which does not echo it."""
    assert assistant.process.validate("assistant", {"encryption_key": KEY}) == [{"result": True}]
    for bad in ("hunter2-hunter2", "", KEY[:-2]):
        with pytest.raises(ToolFailed) as refused:
            assistant.process.validate("assistant", {"encryption_key": bad})
        assert str(refused.value).startswith("ToolProviderCredentialValidationError: ")
        assert not bad or bad not in str(refused.value)


# --------------------------------------------------------------------------------------- faults

CHANGED = {"name": "Ada", "language": "fr", "tone": "brief"}


def _prepare(assistant: Assistant) -> None:
    for name, value in CHANGED.items():
        assistant.remember(name, value)
    assistant.daemon.store.expire_cache()


@pytest.mark.parametrize("host", ["disk", "s3", "azure"])
def test_an_outage_resets_nothing(assistant: Assistant, tmp_path: Path, host: str) -> None:
    """A change during an outage is refused and leaves the other preferences as they were."""
    store: Host = {"disk": LocalDisk(tmp_path), "s3": S3(), "azure": Azure()}[host]
    assistant.daemon.store.host = store
    _prepare(assistant)
    store.down = True
    answer = assistant.remember("name", "Eve")
    assert answer.startswith(("I cannot reach my memory", "I am not certain"))
    assert (host == "azure") == answer.startswith("I cannot reach")
    store.down = False
    assistant.restart()
    assert assistant.preferences() == CHANGED


def test_an_outage_of_reads_alone_resets_nothing(assistant: Assistant) -> None:
    """The dangerous one: reads fail, writes would pass, and a default would overwrite all."""
    _prepare(assistant)
    for fault in ("nothing there", "odd data", "end marker only"):
        assistant.daemon.script("get", fault)
        assistant.daemon.script("get", fault)
        written = assistant.daemon.requests.count(("set", "preferences/ada"))
        assert assistant.remember("name", "Eve").startswith("I cannot reach my memory")
        assert assistant.daemon.requests.count(("set", "preferences/ada")) == written
        assistant.daemon.clear_script()
    assistant.restart()
    assert assistant.preferences() == CHANGED


def test_no_answer_is_not_taken_for_none(impatient: Assistant) -> None:
    """A read that gets no answer changes nothing; a write that gets none is called uncertain."""
    _prepare(impatient)
    impatient.daemon.script("get", "silence")
    assert impatient.remember("name", "Eve").startswith("I cannot reach my memory")
    impatient.daemon.script("set", "done, then silence")
    assert impatient.remember("name", "Eve").startswith("I am not certain that this was saved.")
    assert impatient.preferences() == {**CHANGED, "name": "Eve"}


def test_a_full_quota_says_that_it_may_be_stored(assistant: Assistant) -> None:
    """Dify stores first and complains afterwards: the user is told to look, and it is there."""
    assistant.daemon.store.used = MIB
    answer = assistant.ask("save_token", value=TOKEN)
    assert answer.startswith("My memory is full. What you sent may be saved all the same")
    assistant.restart()
    assert assistant.ask("token").endswith("7788.")


def test_a_plugin_killed_while_it_writes_keeps_what_was_there(assistant: Assistant) -> None:
    """The process ends before its write is done: the next one reads what was acknowledged."""
    _prepare(assistant)
    assistant.daemon.before_answer = lambda operation: (
        assistant.process.kill() if operation == "set" else None
    )
    with pytest.raises(ToolFailed, match="gone"):
        assistant.remember("name", "Eve")
    assistant.daemon.before_answer = None
    assistant.restart()
    assert assistant.preferences() in (CHANGED, {**CHANGED, "name": "Eve"})
    assert assistant.remember("tone", "friendly") == "C'est noté: tone = friendly"


def test_what_cannot_be_read_is_left_as_it_is(assistant: Assistant, files: Path) -> None:
    """Damaged preferences are an error for the developer, not a reason to start from nothing."""
    _prepare(assistant)
    for damage in (b'{"name": "Ada", "langu', b"", b"\xff\xfe", b'{"language": "xx"}'):
        (files / "preferences" / "ada").write_bytes(damage)
        assistant.restart()
        assert assistant.remember("name", "Eve").startswith("I cannot read what is saved")
        assert (files / "preferences" / "ada").read_bytes() == damage


def test_what_is_too_long_is_refused_before_it_is_sent(assistant: Assistant) -> None:
    """Over Dify's limit the daemon would kill the plugin: the user is told, and it goes on."""
    assistant.daemon.store.quota = 100 * MIB
    answer = assistant.ask("say", value="x" * 2_600_000)
    assert answer == "That is too long for me to keep."
    assert ("set", "history/ada/c1") not in assistant.daemon.requests
    assert assistant.ask("say", value="short").endswith("That makes 2.")
