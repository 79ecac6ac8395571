"""DifyKV on the real SDK's storage, in a plugin's own process, against the stand-in daemon.

One test for each row of what is known of Dify's storage. Where a row says how the SDK behaves,
the test sees that as well ("raw"), so that the stand-in cannot drift away from it.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvcodec.backends.dify import DifyKV
from kvcodec.errors import (
    ConfigError,
    KeyNameError,
    KVCodecError,
    LimitExceeded,
    OutcomeUnknown,
)
from tests.backends.dify.conftest import MIB, Clock, Start, require_dify
from tests.backends.dify.daemon import (
    CACHE_SECONDS,
    MISSING,
    OVER_QUOTA,
    S3,
    Azure,
    Call,
    Daemon,
    Host,
    HostError,
    LocalDisk,
    Persistence,
    PluginProcess,
    ToolFailed,
)

PROBE = Path(__file__).parent / "probe"
VALUE = b"a value that nobody else may see"


# ---------------------------------------------------------------------------- the plugin's side


class Storage:
    """One of the probe's objects: the SDK's storage ("raw"), a DifyKV ("kv"), an "old" one."""

    def __init__(self, process: PluginProcess, target: str) -> None:
        self._process = process
        self._target = target

    def call(self, operation: str, key: str, **value: Any) -> dict[str, Any]:
        """Call a method in the plugin's process; tell its result or its error."""
        hex_key = key.encode("utf-8", "surrogatepass").hex()
        parameters = {"target": self._target, "operation": operation, "key": hex_key, **value}
        [message] = self._process.invoke("probe", "call", parameters, Call())
        report: dict[str, Any] = json.loads(message["message"]["text"])
        return report

    def get(self, key: str) -> bytes | None:
        """Return a value; the test fails if there was an error."""
        found = self.call("get", key)["result"]
        return None if found is None else bytes.fromhex(found)

    def set(self, key: str, value: bytes = VALUE, *, times: int = 1, kind: str = "bytes") -> None:
        """Store a value; the test fails if there was an error."""
        assert self.try_set(key, value, times=times, kind=kind) == {"result": None}

    def try_set(
        self, key: str, value: bytes = VALUE, *, times: int = 1, kind: str = "bytes"
    ) -> dict[str, Any]:
        """Store a value; tell the result or the error."""
        return self.call("set", key, value=value.hex(), times=times, kind=kind)


@dataclasses.dataclass
class Probe:
    """The same storage as the SDK has it, as kvcodec has it, and what is behind them."""

    process: PluginProcess
    daemon: Daemon

    def __post_init__(self) -> None:
        self.raw = Storage(self.process, "raw")
        self.kv = Storage(self.process, "kv")
        self.old = Storage(self.process, "old")

    def host(self, host: Host) -> Host:
        """Have the values kept by ``host`` from now on."""
        self.daemon.store.host = host
        return host


def _processes(timeout_seconds: int, daemon: Daemon) -> Iterator[PluginProcess]:
    require_dify()
    process = PluginProcess(PROBE, daemon, timeout_seconds=timeout_seconds)
    yield process
    process.stop()


def _nowhere() -> Daemon:
    return Daemon(Persistence(S3(), quota=MIB, clock=float))


@pytest.fixture(scope="module")
def patient_process() -> Iterator[PluginProcess]:
    """Start a probe with the SDK's own waiting time."""
    yield from _processes(250, _nowhere())


@pytest.fixture(scope="module")
def impatient_process() -> Iterator[PluginProcess]:
    """Start a probe with the SDK's least waiting time."""
    yield from _processes(1, _nowhere())


@pytest.fixture
def probe(patient_process: PluginProcess, daemon: Daemon) -> Probe:
    """A plugin with the SDK's own waiting time, 250 seconds."""
    patient_process.daemon = daemon
    return Probe(patient_process, daemon)


@pytest.fixture
def impatient(impatient_process: PluginProcess, daemon: Daemon) -> Probe:
    """A plugin that waits for one second, the SDK's least."""
    impatient_process.daemon = daemon
    return Probe(impatient_process, daemon)


HOSTS: list[Callable[[Path], Host]] = [LocalDisk, lambda _: S3(), lambda _: Azure()]
ON_EVERY_HOST = pytest.mark.parametrize("new_host", HOSTS, ids=["disk", "s3", "azure"])


def wrong(report: dict[str, Any], error: str, *words: str) -> dict[str, Any]:
    """Check that ``report`` tells of this error in these words, and that it holds no value."""
    assert report.get("error") == error, report
    for word in words:
        assert word in report["text"]
    assert not report["chained"]
    assert report["leaks"] == []
    return report


# -------------------------------------------------------------------------------- what is there


@ON_EVERY_HOST
def test_what_is_set_is_read(
    probe: Probe, new_host: Callable[[Path], Host], tmp_path: Path
) -> None:
    """A value comes back as bytes, exists, and is gone once deleted, on every kind of host."""
    probe.host(new_host(tmp_path))
    probe.kv.set("notes/ada", b"\x00\xff any bytes")
    assert probe.kv.get("notes/ada") == b"\x00\xff any bytes"
    assert probe.kv.call("exists", "notes/ada") == {"result": True}
    assert probe.kv.call("delete", "notes/ada") == {"result": None}
    assert probe.kv.get("notes/ada") is None
    assert probe.kv.call("exists", "notes/ada") == {"result": False}


@ON_EVERY_HOST
def test_missing_is_none(probe: Probe, new_host: Callable[[Path], Host], tmp_path: Path) -> None:
    """A missing key raises in the SDK, a bare Exception at that; here it is None."""
    probe.host(new_host(tmp_path))
    assert probe.raw.call("get", "absent")["text"] == MISSING
    assert probe.raw.call("get", "absent")["error"] == "Exception"
    assert probe.kv.get("absent") is None


@ON_EVERY_HOST
@pytest.mark.parametrize("key", ["absent", "access denied", "503", "i/o"])
def test_deleting_a_missing_key_is_no_error(
    probe: Probe, new_host: Callable[[Path], Host], tmp_path: Path, key: str
) -> None:
    """The SDK raises where there is nothing to delete; this does not, whatever the key's name."""
    probe.host(new_host(tmp_path))
    report = probe.raw.call("delete", key)
    assert report["error"] == "Exception"
    assert report["text"].startswith("delete data failed: ")
    assert probe.kv.call("delete", key) == {"result": None}


def test_a_delete_that_nobody_confirms_is_unknown(probe: Probe) -> None:
    """Words that say missing are not enough: the key must not exist, or no longer, either."""
    probe.host(Azure())
    probe.daemon.script("exist", "end marker only")
    wrong(probe.kv.call("delete", "k"), "OutcomeUnknown", "delete data failed")
    probe.daemon.before_answer = lambda operation: (  # another writer, after the delete
        probe.daemon.store.save("k", VALUE) if operation == "exist" else None
    )
    wrong(probe.kv.call("delete", "k"), "OutcomeUnknown", "delete data failed")


def test_deleting_below_a_value_is_no_error(probe: Probe) -> None:
    """On a local disk a key below another one's value is missing in words of its own."""
    probe.raw.set("a")
    assert "not a directory" in probe.raw.call("delete", "a/b")["text"]
    assert probe.kv.call("delete", "a/b") == {"result": None}


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview"])
@pytest.mark.parametrize("value", [b"", b"0", VALUE])
def test_bytes_of_every_kind(probe: Probe, kind: str, value: bytes) -> None:
    """All that holds bytes can be stored, the empty value too, and is read as bytes."""
    probe.kv.set("k", value, kind=kind)
    assert probe.kv.get("k") == value


@pytest.mark.parametrize("kind", ["str", "int"])
def test_what_is_not_bytes_is_refused(probe: Probe, kind: str) -> None:
    """A str or an int is a TypeError, in the SDK and here; nothing is sent."""
    assert probe.raw.try_set("k", kind=kind)["error"] == "TypeError"
    wrong(probe.kv.try_set("k", kind=kind), "TypeError", "is bytes, not")
    assert probe.daemon.requests == []


# -------------------------------------------------------------------------------- out of reach


def test_an_outage_is_not_missing_where_the_host_tells(probe: Probe) -> None:
    """On hosts whose ``exist`` surfaces an outage, a read during one raises Unavailable."""
    host = probe.host(Azure())
    probe.kv.set("k")
    probe.daemon.store.expire_cache()
    host.down = True
    assert probe.raw.call("get", "k")["text"] == MISSING
    wrong(probe.kv.call("get", "k"), "Unavailable", "exist data failed", "no such host")
    wrong(probe.kv.call("exists", "k"), "Unavailable", "exist data failed")
    host.down = False
    assert probe.kv.get("k") == VALUE


@pytest.mark.parametrize("new_host", HOSTS[:2], ids=["disk", "s3"])
def test_an_outage_looks_missing_where_the_host_lies(
    probe: Probe, new_host: Callable[[Path], Host], tmp_path: Path
) -> None:
    """On a local disk and on S3 Dify says of an outage what it says of a missing key.

    Nothing can be known there; the class says so. The value is back with the host.
    """
    host = probe.host(new_host(tmp_path))
    probe.kv.set("k")
    host.down = True
    assert probe.raw.call("exist", "k") == {"result": False}
    assert probe.kv.get("k") is None
    host.down = False
    assert probe.kv.get("k") == VALUE


@ON_EVERY_HOST
def test_an_outage_deletes_nothing_and_says_so(
    probe: Probe, new_host: Callable[[Path], Host], tmp_path: Path
) -> None:
    """A delete during an outage raises on every host, also where ``exist`` lies: the words tell."""
    host = probe.host(new_host(tmp_path))
    probe.kv.set("404")
    host.down = True
    wrong(probe.kv.call("delete", "404"), "OutcomeUnknown", "delete data failed")
    host.down = False
    assert probe.kv.get("404") == VALUE


@ON_EVERY_HOST
def test_a_set_during_an_outage_is_unknown(
    probe: Probe, new_host: Callable[[Path], Host], tmp_path: Path
) -> None:
    """The SDK's bare Exception becomes OutcomeUnknown, and it does not hold the value."""
    probe.host(new_host(tmp_path)).down = True
    assert probe.raw.try_set("k")["leaks"] != []  # the SDK's frames hold the value
    wrong(probe.kv.try_set("k"), "OutcomeUnknown", "save data failed")


def test_stored_but_unreadable_is_unavailable(probe: Probe) -> None:
    """The words for a missing key, of a key that exists, are an outage."""
    probe.kv.set("k")
    probe.daemon.script("get", "nothing there")
    probe.daemon.script("get", "nothing there")
    wrong(probe.kv.call("get", "k"), "Unavailable", MISSING[:30])
    assert probe.kv.get("k") == VALUE


def test_stored_while_being_read_is_read(probe: Probe) -> None:
    """A value that another writer stores between the two questions is returned, not an error."""
    probe.kv.set("k")
    probe.daemon.script("get", "nothing there")
    assert probe.kv.get("k") == VALUE


@pytest.mark.parametrize(
    ("fault", "raw_error"),
    [("end marker only", "StorageInvocationError"), ("odd data", "Error")],
)
def test_an_answer_that_is_none_is_unavailable(probe: Probe, fault: Any, raw_error: str) -> None:
    """An end marker alone, or data that is not hexadecimal: the value cannot be had."""
    probe.kv.set("k")
    probe.daemon.script("get", fault)
    assert probe.raw.call("get", "k")["error"] == raw_error
    probe.daemon.script("get", fault)
    wrong(probe.kv.call("get", "k"), "Unavailable", "not read")
    probe.daemon.script("exist", fault)
    wrong(probe.kv.call("exists", "k"), "Unavailable", "not read")


def test_an_end_marker_for_set_cannot_be_seen(probe: Probe) -> None:
    """The SDK takes a bare end marker for a stored value: neither it nor kvcodec can tell."""
    probe.daemon.script("set", "end marker only")
    probe.kv.set("k")
    assert probe.kv.get("k") is None


def test_an_end_marker_for_delete_is_unknown(probe: Probe) -> None:
    """Of a delete the SDK does tell it; the value is still there."""
    probe.kv.set("k")
    probe.daemon.script("del", "end marker only")
    wrong(probe.kv.call("delete", "k"), "OutcomeUnknown", "no data found")
    assert probe.kv.get("k") == VALUE


def test_an_error_after_storing_is_unknown(probe: Probe) -> None:
    """The daemon's own database fails once the value is stored: unknown, and here it is stored."""
    probe.daemon.script("set", "done, then error")
    wrong(probe.kv.try_set("k"), "OutcomeUnknown", "save data failed", "refused")
    assert probe.kv.get("k") == VALUE
    probe.daemon.script("del", "done, then error")
    wrong(probe.kv.call("delete", "k"), "OutcomeUnknown", "delete data failed", "refused")
    assert probe.kv.get("k") is None


@pytest.mark.parametrize("fault", ["silence", "done, then silence"])
@pytest.mark.parametrize("operation", ["set", "delete"])
def test_no_answer_to_a_write_is_unknown(impatient: Probe, fault: Any, operation: str) -> None:
    """A write that waits in vain is OutcomeUnknown, whether or not it was done."""
    impatient.kv.set("k", b"old")
    impatient.daemon.script("set" if operation == "set" else "del", fault)
    kv = impatient.kv
    report = kv.try_set("k") if operation == "set" else kv.call("delete", "k")
    wrong(report, "OutcomeUnknown", "invocation exited without response after 1 seconds")
    done = VALUE if operation == "set" else None
    assert kv.get("k") == (b"old" if fault == "silence" else done)


def test_no_answer_to_a_read_is_unavailable(impatient: Probe) -> None:
    """A read that waits in vain is Unavailable, never None."""
    impatient.kv.set("k")
    impatient.daemon.script("get", "silence")
    wrong(impatient.kv.call("get", "k"), "Unavailable", "without response after 1 seconds")
    impatient.daemon.script("exist", "silence")
    wrong(impatient.kv.call("get", "absent"), "Unavailable", "without response after 1 seconds")


def test_no_permission_is_told(probe: Probe) -> None:
    """A manifest that forgets storage: every call says so, and that nothing was done."""
    probe.daemon.storage_permission = False
    for report in (
        probe.kv.call("get", "k"),
        probe.kv.call("exists", "k"),
        probe.kv.try_set("k"),
        probe.kv.call("delete", "k"),
    ):
        wrong(report, "Unavailable", "enable storage access in plugin manifest")


def test_a_storage_without_exist_is_refused(probe: Probe) -> None:
    """Before SDK 0.2.0 nothing told missing from unavailable: no KV is made of it."""
    wrong(probe.old.call("get", "k"), "ConfigError", "dify_plugin 0.2.0 or later")
    assert probe.daemon.requests == []


# ----------------------------------------------------------------------------------------- keys

ALIASES = {"a//b": "a/b", "./a": "a", "a/": "a", "/a": "a", "x/../b": "b", "//a": "a"}
DIRECTORIES = [".", "/", "x/..", "./", "//", "a/../"]
TRAVERSALS = ["..", "../x", "a..b", "a\\b", "\\"]
REFUSED = ["", *ALIASES, *DIRECTORIES, *TRAVERSALS, "\ud800", "a\0b", "a\nb", "a\x7f", "a\x85b"]


@pytest.mark.parametrize("operation", ["get", "exists", "set", "delete"])
@pytest.mark.parametrize("key", REFUSED, ids=ascii)
def test_names_that_lead_elsewhere_are_refused(probe: Probe, key: str, operation: str) -> None:
    """Every name that Dify would clean, refuse or take for its directory is refused unsent."""
    kv = probe.kv
    report = kv.try_set(key) if operation == "set" else kv.call(operation, key)
    wrong(report, "KeyNameError", "Dify takes no key with")
    assert report["stage"] == "name"
    assert probe.daemon.requests == []


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        ("", "Exception", "'required' tag"),
        ("\ud800", "PydanticSerializationError", "surrogates not allowed"),
        ("..", "Exception", "path traversal attempt detected"),
        ("a..b", "Exception", "path traversal attempt detected"),
        ("a\\b", "Exception", "path traversal attempt detected"),
        ("k" * 257, "Exception", "key length must be less than 256"),
        ("k" * 256, "Exception", "file name too long"),  # on a local disk
    ],
)
def test_what_the_sdk_says_of_bad_keys(probe: Probe, key: str, error: str, words: str) -> None:
    """The SDK's own behaviour, which the checks here forestall."""
    report = probe.raw.try_set(key)
    assert report["error"] == error
    assert words in report["text"]


@pytest.mark.parametrize(("alias", "key"), ALIASES.items())
def test_an_alias_is_another_name_of_a_key(probe: Probe, alias: str, key: str) -> None:
    """What the SDK accepts as an alias overwrites the other key: hence the refusal."""
    probe.kv.set(key, b"mine")
    probe.raw.set(alias, b"theirs")
    probe.daemon.store.expire_cache()
    assert probe.kv.get(key) == b"theirs"


def test_a_delete_reaches_the_directory_only_without_kvcodec(probe: Probe, tmp_path: Path) -> None:
    """``delete('/')`` wipes every key of the plugin in the SDK, and is refused here."""
    probe.kv.set("a")
    for key in DIRECTORIES:
        wrong(probe.kv.call("delete", key), "KeyNameError")
    assert probe.kv.get("a") == VALUE
    assert probe.raw.call("delete", "/") == {"result": None}
    assert not (tmp_path / "host" / "workspace" / "plugin").exists()


def test_a_set_turns_the_directory_into_a_file_only_without_kvcodec(probe: Probe) -> None:
    """``set('.')`` on an empty store makes every later set fail in the SDK; refused here."""
    wrong(probe.kv.try_set("."), "KeyNameError")
    probe.raw.set(".")
    assert probe.raw.try_set("a")["error"] == "Exception"


@pytest.mark.parametrize(
    ("key", "limit"), [("k" * 256, 255), ("k" * 257, 256), ("a/" + "é" * 128, 256)]
)
@pytest.mark.parametrize("operation", ["get", "exists", "set", "delete"])
def test_keys_that_are_too_long_are_refused(
    probe: Probe, key: str, limit: int, operation: str
) -> None:
    """The limit counts bytes of UTF-8, of the key and of its parts, for every operation."""
    kv = probe.kv
    report = kv.try_set(key) if operation == "set" else kv.call(operation, key)
    assert wrong(report, "LimitExceeded", f"Dify takes {limit}")["limit"] == limit
    assert probe.daemon.requests == []


@pytest.mark.parametrize(
    "key",
    [
        "k" * 255,
        "k" * 128 + "/" + "k" * 127,
        "é" * 127,
        "whatsapp:+49 30:7",
        "日本/語",
        "%2e%2e",
        "a.b",
        ".a",
        "...".replace(".", ". "),
        "history/ada/7!head",
    ],
)
def test_names_that_are_fine(probe: Probe, key: str) -> None:
    """Colons, spaces, other scripts, percent signs and the longest names are stored as they are."""
    probe.kv.set(key)
    probe.daemon.store.expire_cache()
    assert probe.kv.get(key) == VALUE


def test_a_key_below_another_one(probe: Probe) -> None:
    """``a`` beside ``a/b``: on a local disk the second fails and says so; on S3 both are there."""
    probe.kv.set("a/b")
    wrong(probe.kv.try_set("a"), "OutcomeUnknown", "is a directory")
    wrong(probe.kv.call("get", "a"), "Unavailable")
    assert probe.kv.get("a/b") == VALUE
    probe.host(S3())
    probe.kv.set("a/b", b"1")
    probe.kv.set("a", b"2")
    assert (probe.kv.get("a/b"), probe.kv.get("a")) == (b"1", b"2")


class _Recorder:
    """A storage that takes everything and remembers the keys."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def get(self, key: str) -> bytes:
        self.keys.append(key)
        return b""

    def set(self, key: str, _value: bytes) -> None:
        self.keys.append(key)

    def delete(self, key: str) -> None:
        self.keys.append(key)

    def exist(self, key: str) -> bool:
        self.keys.append(key)
        return True


def _outcome(call: Callable[..., object], *arguments: object) -> str:
    try:
        call(*arguments)
    except (KeyNameError, LimitExceeded):
        return "refused"
    return "sent"


KEYS = st.text(st.sampled_from("ab./\\\0 é日\ud800:"), max_size=12) | st.text(max_size=300)


@given(KEYS)
@example("k" * 255 + "/b")
@example("a/../..")
def test_a_key_that_is_sent_is_a_name_of_its_own(key: str) -> None:
    """Any text: either all four methods refuse it unsent, or Dify takes it for exactly itself."""
    storage = _Recorder()
    kv = DifyKV(storage)
    outcomes = {
        _outcome(kv.get, key),
        _outcome(kv.exists, key),
        _outcome(kv.set, key, b""),
        _outcome(kv.delete, key),
    }
    assert len(outcomes) == 1
    if outcomes == {"refused"}:
        assert storage.keys == []
        return
    assert set(storage.keys) == {key}
    assert posixpath.normpath(key) == key
    assert posixpath.normpath(posixpath.join("/plugin", key)) == f"/plugin/{key}" != "/plugin/"
    Persistence(S3(), quota=1, clock=float).save(key, b"")  # the daemon takes it


@pytest.mark.parametrize("odd", ["text", 7, ["list"]])
def test_a_get_that_gives_no_bytes_is_unavailable(odd: object) -> None:
    """A storage that hands out anything but bytes is told, by the type's name alone."""

    class Odd(_Recorder):
        def get(self, key: str) -> Any:
            return odd

    with pytest.raises(KVCodecError, match=f"got {type(odd).__name__} for bytes"):
        DifyKV(Odd()).get("k")


@pytest.mark.parametrize("documented", [None, bytearray(b"v"), memoryview(b"v")])
def test_what_the_documentation_promises_is_understood(documented: object) -> None:
    """None for missing, as Dify documents it and no SDK does; bytes of every kind are bytes."""

    class Documented(_Recorder):
        def get(self, key: str) -> Any:
            return documented

    found = DifyKV(Documented()).get("k")
    assert found == (None if documented is None else b"v")
    assert found is None or type(found) is bytes


def test_an_error_that_echoes_the_value_is_told_by_its_name() -> None:
    """Words that kvcodec does not know might hold the value: only the type's name is passed on."""

    class Echo(_Recorder):
        def set(self, key: str, _value: bytes) -> None:
            raise ValueError(f"cannot send {_value!r}, {_value.hex()}")

    with pytest.raises(OutcomeUnknown, match=r"not confirmed: ValueError$") as caught:
        DifyKV(Echo()).set("k", VALUE)
    assert caught.value.__context__ is None


def test_exist_must_say_yes_or_no() -> None:
    """A storage whose ``exist`` says neither is not taken for a no."""

    class Odd(_Recorder):
        def exist(self, key: str) -> Any:
            return None

    with pytest.raises(KVCodecError, match="no yes or no"):
        DifyKV(Odd()).exists("k")


def test_only_what_the_host_has_is_offered() -> None:
    """No compare-and-set, no claims, no listing: the capabilities' methods are not there."""
    for method in ("set_if_absent", "set_if_version", "get_versioned", "scan_keys", "set_with_ttl"):
        assert not hasattr(DifyKV, method)
    with pytest.raises(ConfigError):
        DifyKV({})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ----------------------------------------------------------------------- cache, quota and size


def test_a_read_during_a_write_pins_the_old_value(probe: Probe, clock: Clock) -> None:
    """The host's cache may hold the old value for five minutes: reading back proves nothing."""
    probe.kv.set("k", b"new")
    probe.daemon.store.fill_cache("k", b"old")  # by a read that had begun before the write
    assert probe.kv.get("k") == b"old"
    clock.now += CACHE_SECONDS
    assert probe.kv.get("k") == b"new"


def test_the_cache_goes_by_the_name_as_sent(probe: Probe, clock: Clock) -> None:
    """An alias read stays stale after a set of the key: one more reason to refuse aliases."""
    probe.kv.set("a", b"old")
    assert probe.raw.get("./a") == b"old"
    probe.kv.set("a", b"new")
    assert probe.raw.get("./a") == b"old"
    assert probe.kv.get("a") == b"new"
    clock.now += CACHE_SECONDS
    assert probe.raw.get("./a") == b"new"


def test_a_delete_empties_the_cache(probe: Probe) -> None:
    """A value that only the cache still holds is gone after a delete, without an error."""
    probe.daemon.store.fill_cache("k", VALUE)
    assert probe.kv.get("k") == VALUE
    assert probe.kv.call("delete", "k") == {"result": None}
    assert probe.kv.get("k") is None


def test_over_quota_the_value_is_stored_all_the_same(probe: Probe) -> None:
    """Dify saves first and checks afterwards: QuotaExceeded says ``possibly_stored``."""
    probe.kv.set("full", b"x", times=MIB)
    report = wrong(probe.kv.try_set("k"), "QuotaExceeded", "quota is full", "may be stored")
    assert report["possibly_stored"] is True
    assert probe.kv.get("k") == VALUE
    assert OVER_QUOTA in probe.raw.try_set("other")["text"]
    probe.kv.set("other")  # the same again passes, since nothing grows


def test_the_largest_value_passes(probe: Probe) -> None:
    """2,500,000 bytes are stored and read; one more is refused before anything is sent."""
    probe.daemon.store.quota = 10 * MIB
    probe.kv.set("k", b"x", times=2_500_000)
    assert probe.kv.get("k") == b"x" * 2_500_000
    sent = list(probe.daemon.requests)
    report = wrong(probe.kv.try_set("k", b"x", times=2_500_001), "LimitExceeded", "2500000")
    assert (report["limit"], report["found"]) == (2_500_000, 2_500_001)
    assert probe.daemon.requests == sent


def test_a_line_of_five_mebibytes_kills_the_plugin(start: Start, daemon: Daemon) -> None:
    """What the SDK does with a value over the limit: the daemon ends the plugin's process."""
    daemon.store.quota = 10 * MIB
    process = start(PROBE, daemon)
    Storage(process, "raw").set("k", b"x", times=2_621_000)
    assert process.running()
    with pytest.raises(ToolFailed, match="gone"):
        Storage(process, "raw").set("k", b"x", times=2_621_440)
    assert not process.running()
    assert daemon.requests == [("set", "k")]


def test_the_limits_are_told() -> None:
    """Keyspaces and file chunks are cut to these before anything is sent."""
    assert (DifyKV.limits.key_bytes, DifyKV.limits.value_bytes) == (256, 2_500_000)


def test_the_daemon_keeps_its_directory(tmp_path: Path) -> None:
    """The stand-in itself: only a traversal that survives cleaning is refused, as in the daemon."""
    store = Persistence(LocalDisk(tmp_path), quota=MIB, clock=float)
    store.save("x/../b", b"1")
    assert (tmp_path / "workspace" / "plugin" / "b").read_bytes() == b"1"
    with pytest.raises(HostError, match="traversal"):
        store.save("../b", b"1")
