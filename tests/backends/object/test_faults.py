"""What a writer is told when the answer does not come, and what no message tells."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError
from obstore.store import LocalStore, MemoryStore

from kvcodec import (
    BackendError,
    ConfigError,
    Keyspace,
    Log,
    OutcomeUnknown,
    Store,
    Unavailable,
)
from kvcodec.backends.object import ObjectKV
from kvcodec.backends.object_async import AsyncObjectKV
from kvcodec.backends.object_faults import fault_of
from kvcodec.backends.object_place import place_of
from kvcodec.backends.object_steps import Asking
from kvcodec.backends.wrapping import Steps, drive
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.seaweed import SeaweedServer

Ask = Callable[..., Any]

ONCE = {"max_retries": 0}


@pytest.fixture
def proxy(seaweed: SeaweedServer) -> Iterator[Proxy]:
    """A way to the server."""
    proxy = Proxy(seaweed.port)
    yield proxy
    proxy.close()


@pytest.fixture
def folder(new_folder: Callable[[], str]) -> str:
    """A folder that nobody has used."""
    return new_folder()


def asked(store: Any, method: str, *arguments: Any) -> Any:
    """Call a method of an ObjectKV."""
    return getattr(ObjectKV(store, conditional=True), method)(*arguments)


def asked_async(store: Any, method: str, *arguments: Any) -> Any:
    """Call a method of an AsyncObjectKV."""

    async def ask() -> Any:
        return await getattr(AsyncObjectKV(store, conditional=True), method)(*arguments)

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("ask", [asked, asked_async])


@BOTH
def test_a_conditional_write_is_never_repeated(
    ask: Ask, seaweed: SeaweedServer, proxy: Proxy, folder: str
) -> None:
    """It was applied and nobody was told: OutcomeUnknown, whatever the store would repeat."""
    there, through = seaweed.store(folder), seaweed.store(folder, port=proxy.port)
    ask(there, "set", "key", b"value")
    _, token = ask(there, "get_versioned", "key")
    proxy.lose(b"if-none-match: *")
    with pytest.raises(OutcomeUnknown):
        ask(through, "set_if_absent", "new", b"mine", None)
    assert proxy.passed == 1
    proxy.lose(b"if-match: ")
    with pytest.raises(OutcomeUnknown):
        ask(through, "set_if_version", "key", b"other", token, None)
    assert proxy.passed == 1
    assert ask(there, "get_many", ["new", "key"]) == {"new": b"mine", "key": b"other"}


def test_obstores_own_repetition_is_what_this_is_against(
    seaweed: SeaweedServer, proxy: Proxy, folder: str
) -> None:
    """By itself: the object was created, and who created it is told that it was there."""
    store = seaweed.store(folder, port=proxy.port)
    proxy.lose(b"if-none-match: *")
    with pytest.raises(AlreadyExistsError):
        store.put("new", b"mine", mode="create")
    assert proxy.passed == 2
    assert ObjectKV(store).get("new") == b"mine"


@BOTH
def test_what_comes_to_the_same_is_repeated(
    ask: Ask, seaweed: SeaweedServer, proxy: Proxy, folder: str
) -> None:
    """As the store's retry_config says; without any it is not known."""
    there = seaweed.store(folder)
    proxy.lose(b"PUT ")
    ask(seaweed.store(folder, port=proxy.port), "set", "key", b"value")
    assert proxy.passed == 2
    proxy.lose(b"GET ")
    assert ask(seaweed.store(folder, port=proxy.port), "get", "key") == b"value"
    once = seaweed.store(folder, port=proxy.port, retry_config=ONCE)
    proxy.lose(b"PUT ")
    with pytest.raises(OutcomeUnknown):
        ask(once, "set", "key", b"other")
    assert ask(there, "get", "key") == b"other"
    proxy.lose(b"GET ")
    with pytest.raises(Unavailable):
        ask(once, "get", "key")


def test_many_of_which_some_are_done(seaweed: SeaweedServer, proxy: Proxy, folder: str) -> None:
    """The message says how many; nobody is told that nothing was applied."""
    kv = ObjectKV(seaweed.store(folder, port=proxy.port, retry_config=ONCE))
    proxy.lose(b"PUT ")
    with pytest.raises(OutcomeUnknown, match="of 20 keys 19 are done"):
        kv.set_many({f"{number}": b"1" for number in range(20)})
    assert len([*kv.scan_keys("")]) == 20


@BOTH
@pytest.mark.parametrize(
    "call",
    [
        ("get", "key"),
        ("exists", "key"),
        ("set", "key", b"value"),
        ("delete", "key"),
        ("set_many", {"key": b"value", "other": b"value"}),
        ("get_many", ["key", "other"]),
        ("delete_many", ["key", "other"]),
        ("set_if_absent", "key", b"value", None),
        ("set_if_version", "key", b"value", {"e_tag": '"x"'}, None),
    ],
    ids=lambda call: call[0],
)
def test_nobody_there(ask: Ask, call: Any, seaweed: SeaweedServer) -> None:
    """Nothing was sent, so nothing was applied; and nothing of who asked is told."""
    store = seaweed.store("folder", port=free_port(), retry_config=ONCE)
    with pytest.raises(Unavailable, match="no connection to the object store") as raised:
        ask(store, *call)
    assert not raised.value.possibly_stored
    assert "CANARY" not in repr(raised.value) + str(raised.value)
    assert raised.value.__context__ is None


def test_an_append_and_an_update_whose_answer_is_lost(
    seaweed: SeaweedServer, proxy: Proxy, folder: str
) -> None:
    """An append with an id is there once when it is repeated; an update is not done twice."""
    kv = ObjectKV(seaweed.store(folder, port=proxy.port), conditional=True)
    log = Log(Keyspace("chats", str), kv)
    log.append("ada", "one", id="1")
    proxy.lose(b"if-match: ")
    with pytest.raises(OutcomeUnknown):
        log.append("ada", "two", id="2")
    log.append("ada", "two", id="2")
    assert [*log.iterate("ada")] == ["one", "two"]
    counts = Store(Keyspace("counts", int), kv)
    counts.set("ada", 1)
    proxy.lose(b"if-match: ")
    with pytest.raises(OutcomeUnknown):
        counts.update("ada", lambda count: count + 1)
    assert counts.get("ada") == 2


def _reads(kv: ObjectKV) -> bool:
    try:
        return kv.get("0") is not None
    except Unavailable:
        return False


def test_a_server_that_is_killed(tmp_path: Path) -> None:
    """What was acknowledged is there when it comes back; meanwhile it is out of reach."""
    with SeaweedServer(tmp_path) as server:
        kv = ObjectKV(server.store("folder"), conditional=True)
        once = ObjectKV(server.store("folder", retry_config=ONCE), conditional=True)
        wanted: dict[str, bytes] = {}
        for number in range(50):
            wanted[f"{number}"] = b"%d" % number
            assert kv.set_if_absent(f"{number}", b"%d" % number, None)
        server.kill()
        with pytest.raises((Unavailable, OutcomeUnknown)):
            once.set("late", b"")
        with pytest.raises(Unavailable):
            once.get("0")
        server.start()
        server.until(lambda: _reads(once))  # the disk is met again seconds after the gateway
        assert kv.get_many([*wanted]) == wanted
        assert not kv.set_if_absent("0", b"", None)


def test_no_bucket_is_no_missing_value(seaweed: SeaweedServer) -> None:
    """It is a mistake in the configuration, whichever way one looks."""
    from obstore.store import S3Store

    config: Any = dict(seaweed.store("folder").config)
    config["bucket"] = "no-such-bucket"
    kv = ObjectKV(S3Store(config=config, client_options={"allow_http": True}))
    looks: list[Callable[[], Any]] = [
        lambda: kv.get("key"),
        lambda: kv.exists("key"),
        lambda: kv.get_many(["key"]),
        lambda: [*kv.scan_keys("")],
    ]
    for look in looks:
        with pytest.raises(ConfigError, match="no such bucket"):
            look()
    assert ObjectKV(seaweed.store("folder")).get("<Code>NoSuchBucket</Code>") is None


def test_wrong_credentials(seaweed: SeaweedServer) -> None:
    """Are said to be refused, without them."""
    from obstore.store import S3Store

    config: Any = {**seaweed.store("folder").config, "secret_access_key": "CANARY-WRONG"}
    kv = ObjectKV(S3Store(config=config, client_options={"allow_http": True}))
    asks: list[Callable[[], Any]] = [lambda: kv.get("key"), lambda: kv.set("key", b"")]
    for ask in asks:
        with pytest.raises(ConfigError, match="SignatureDoesNotMatch") as raised:
            ask()
        assert "CANARY" not in str(raised.value)


STATUS = "Server returned non-2xx status code: {} : <Error><Code>{}</Code>CANARY</Error>"


@pytest.mark.parametrize(
    ("error", "writes", "kind"),
    [
        (GenericError(STATUS.format(503, "SlowDown")), True, OutcomeUnknown),
        (GenericError(STATUS.format(503, "SlowDown")), False, Unavailable),
        (GenericError(STATUS.format(400, "KeyTooLongError")), True, BackendError),
        (GenericError("https://host/?sig=CANARY"), True, OutcomeUnknown),
        (GenericError("CANARY\n    kind: Connect,\n    retries: 2,\n"), True, OutcomeUnknown),
        (GenericError("CANARY\n    kind: Connect,\n    retries: 0,\n"), True, Unavailable),
        (PermissionDeniedError(STATUS.format(403, "ExpiredToken")), True, ConfigError),
        (GenericError("/CANARY: No space left on device (os error 28)\n"), True, BackendError),
        (GenericError("/CANARY: Permission denied (os error 13)\n"), True, ConfigError),
        (GenericError("/CANARY: Input/output error (os error 5)\n"), True, Unavailable),
    ],
)
def test_what_errors_mean(error: Exception, *, writes: bool, kind: type[Exception]) -> None:
    """And nothing of their own words is told."""
    fault = fault_of(error, "key", writes=writes)
    assert isinstance(fault, kind)
    assert "CANARY" not in str(fault)


NOT_SENT = GenericError("\n    kind: Connect,\n    retries: 0,\n")
NO_ANSWER = GenericError("connection closed")


class _Failing:
    """A link to a store of which each request ends as it is said."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = iter(answers)
        self.asked = 0

    def put(self, *_: object) -> None:
        self.asked += 1
        if (error := next(self._answers)) is not None:
            raise error

    delete = put_if = put

    def together(self, each: Sequence[Steps[Any]]) -> list[Any]:
        return [_outcome(steps) for steps in each]


def _outcome(steps: Steps[Any]) -> Any:
    try:
        return drive(steps)
    except BackendError as error:
        return error


def _asking(link: Any, *, bulk: bool) -> Asking:
    return Asking(place_of(MemoryStore(), conditional=None)._replace(bulk=bulk), link)


def test_many_of_which_one_may_be_done() -> None:
    """If that is not the first one either: nobody is told that nothing was applied."""
    asking = _asking(_Failing(NOT_SENT, NO_ANSWER), bulk=False)
    with pytest.raises(OutcomeUnknown):
        drive(asking.set_many({"a": b"1", "b": b"2"}))
    asking = _asking(_Failing(NO_ANSWER, NOT_SENT), bulk=False)
    with pytest.raises(OutcomeUnknown):
        drive(asking.delete_many(["a", "b"]))


def test_many_that_are_deleted_in_several_requests() -> None:
    """The first one went through, the second was not sent: a part is done."""
    keys = [f"{number}" for number in range(501)]
    with pytest.raises(Unavailable) as raised:
        drive(_asking(_Failing(None, NOT_SENT), bulk=True).delete_many(keys))
    assert raised.value.possibly_stored
    with pytest.raises(Unavailable) as raised:
        drive(_asking(_Failing(NOT_SENT), bulk=True).delete_many(keys))
    assert not raised.value.possibly_stored


FOLDER_GONE = GenericError("CANARY: No such file or directory (os error 2)")


def test_a_folder_that_goes_while_a_file_is_written(tmp_path: Path) -> None:
    """Whoever deleted its last file has removed it: again, as nothing was written. Not for ever."""
    place = place_of(LocalStore(tmp_path), conditional=None)
    link: Any = _Failing(FOLDER_GONE, FOLDER_GONE, None, FOLDER_GONE, None)
    drive(Asking(place, link).set("a/b", b"1"))
    assert link.asked == 3
    assert drive(Asking(place, link).set_if_absent("a/b", b"1"))
    assert link.asked == 5
    link = _Failing(*[FOLDER_GONE] * 99)
    with pytest.raises(Unavailable):
        drive(Asking(place, link).set("a/b", b"1"))
    link = _Failing(FOLDER_GONE, None)
    with pytest.raises(Unavailable):
        drive(_asking(link, bulk=False).set("a/b", b"1"))
    assert link.asked == 1


_FORKED = """
import asyncio, os, signal, sys
from obstore.store import LocalStore
from kvcodec import ConfigError
from kvcodec.backends.object import ObjectKV
from kvcodec.backends.object_async import AsyncObjectKV

def told(ask):
    try:
        return ask()
    except ConfigError as error:
        return "forked" in str(error)

def child(expected):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # of a child that waits for ever
        got = [
            told(lambda: ObjectKV(store).get("key")),
            told(lambda: [*ObjectKV(store).scan_keys("")]),
            told(lambda: asyncio.run(AsyncObjectKV(store).get("key"))),
        ]
        os._exit(got != expected)
    assert os.waitpid(pid, 0)[1] == 0, expected

store = LocalStore(sys.argv[1])
child([None, [], None])
ObjectKV(store).set("key", b"value")
child([True, True, True])
"""


def test_a_fork(tmp_path: Path) -> None:
    """Before the first use all is well; after it the child is told, in place of no answer."""
    subprocess.run([sys.executable, "-c", _FORKED, str(tmp_path)], check=True, timeout=180)
