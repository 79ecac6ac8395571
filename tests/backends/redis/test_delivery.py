"""What is sent, how often, and what is said of it, by the answers that a server might give."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kvcodec import BackendError, NotReplicated, OutcomeUnknown, QuotaExceeded, Unavailable
from kvcodec.backends.redis_delivery import Lost, Phase, Settings, Steps
from kvcodec.backends.redis_steps import Asking

MOVED = MovedError("1 127.0.0.1:2")
ASK = AskError("1 127.0.0.1:2")
GONE = RedisConnectionError("gone")

ONE = Settings(cluster=False, replicas=0, wait_ms=5, deadline=0.0)
PROVEN = Settings(cluster=False, replicas=1, wait_ms=5, deadline=0.0)
CLUSTER = Settings(cluster=True, replicas=0, wait_ms=5, deadline=0.0)
PROVEN_CLUSTER = Settings(cluster=True, replicas=1, wait_ms=5, deadline=0.0)


def lost(error: Exception = GONE, phase: Phase = Phase.READING, commands: int = 1) -> Lost:
    """An exchange without answers."""
    return Lost(error, phase, commands)


class Link:
    """A link whose servers answer what they are told to. It notes what it is asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = [*answers]
        self.sent: list[list[str]] = []
        self.asked: list[str] = []

    def run(self, steps: Steps[Any]) -> Any:
        """Drive the steps to their end."""
        answer: Any = None
        try:
            while True:
                operation = steps.send(answer)
                answer = self._answer(*operation)
        except StopIteration as stop:
            return stop.value

    def _answer(self, what: str, *arguments: Any) -> Any:
        self.asked.append(what)
        if what == "exchange":
            self.sent.append([command[0].decode() for command in arguments[1]])
            answers = self._answers.pop(0)
            return answers if isinstance(answers, Lost) else [*answers]
        if what == "places":
            return [("home", range(len(arguments[0])))]
        return "away" if what == "asked" else None


def test_wait_counts_behind_a_success_only() -> None:
    """A server that says MOVED says to WAIT that all is on its replicas: nothing was written."""
    link = Link([MOVED, 1], [b"OK", 0])
    with pytest.raises(NotReplicated):
        link.run(Asking(PROVEN_CLUSTER).set("key", b"value"))
    assert link.sent == [["SET", "WAIT"], ["SET", "WAIT"]]
    assert link.asked == ["places", "exchange", "moved", "places", "exchange"]
    Link([MOVED, 0], [b"OK", 1]).run(Asking(PROVEN_CLUSTER).set("key", b"value"))


def test_wait_itself_may_be_refused() -> None:
    """Then nothing is proven."""
    with pytest.raises(NotReplicated):
        Link([b"OK", ResponseError("NOPERM")]).run(Asking(PROVEN).set("key", b"value"))


def test_asking_goes_before_each_command() -> None:
    """It is for one command: a script that is not known there has used it up."""
    link = Link([ASK], [b"OK", NoScriptError("")], [ASK], [b"OK", 1])
    assert link.run(Asking(CLUSTER).delete_if_version("key", b"=value")) is True
    assert link.sent == [["EVALSHA"], ["ASKING", "EVALSHA"], ["EVAL"], ["ASKING", "EVAL"]]


def test_a_circle_of_redirections_ends() -> None:
    """With the reason, also for what is sent once."""
    with pytest.raises(BackendError, match="MovedError"):
        Link(*[[MOVED]] * 100).run(Asking(CLUSTER).set_if_absent("key", b"value", None))
    with pytest.raises(BackendError, match="MovedError"):
        Link(*[[MOVED]] * 100).run(Asking(CLUSTER).set("key", b"value"))


CONDITIONAL = [
    ("set_if_absent", "key", b"value", None),
    ("set_if_version", "key", b"value", b"=", None),
    ("delete_if_version", "key", b"="),
]


@pytest.mark.parametrize("call", CONDITIONAL, ids=lambda call: call[0])
@pytest.mark.parametrize("settings", [ONE, PROVEN, CLUSTER])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lost(), OutcomeUnknown),
        (lost(RedisTimeoutError()), OutcomeUnknown),
        (lost(RedisTimeoutError(), Phase.SENDING), OutcomeUnknown),
        (lost(GONE, Phase.SENDING), Unavailable),
        (lost(GONE, Phase.SENDING, commands=2), OutcomeUnknown),
        (lost(GONE, Phase.CONNECTING), Unavailable),
        (lost(RedisTimeoutError(), Phase.CONNECTING), Unavailable),
        (lost(BusyLoadingError("LOADING")), Unavailable),
        ([ClusterDownError("CLUSTERDOWN"), 0], Unavailable),
        ([ResponseError("NOREPLICAS"), 0], Unavailable),
        ([OutOfMemoryError("OOM"), 0], QuotaExceeded),
        ([ResponseError("ERR"), 0], BackendError),
    ],
    ids=str,
)
def test_conditional_writes_are_sent_once(
    call: Any, settings: Settings, answer: Any, kind: type[BackendError]
) -> None:
    """And what is said is as much as is known."""
    given = answer if isinstance(answer, Lost) or settings.replicas else answer[:1]
    link = Link(given)
    with pytest.raises(BackendError) as raised:
        link.run(getattr(Asking(settings), call[0])(*call[1:]))
    assert type(raised.value) is kind
    assert len(link.sent) == 1


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([lost(), lost()], OutcomeUnknown),
        ([lost(), lost(GONE, Phase.CONNECTING)], OutcomeUnknown),
        ([lost(GONE, Phase.CONNECTING)] * 2, Unavailable),
        ([lost(), [OutOfMemoryError("OOM")]], OutcomeUnknown),
        ([[OutOfMemoryError("OOM")]], QuotaExceeded),
    ],
    ids=str,
)
def test_a_plain_write_that_is_given_up(answers: list[Any], kind: type[BackendError]) -> None:
    """A try that may have been applied is not forgotten for a later one that was not."""
    link = Link(*answers)
    with pytest.raises(BackendError) as raised:
        link.run(Asking(ONE).set("key", b"value"))
    assert type(raised.value) is kind
    assert len(link.sent) == len(answers)


def test_a_read_that_is_given_up_is_never_unknown() -> None:
    """It changes nothing."""
    with pytest.raises(Unavailable):
        Link(lost(), lost()).run(Asking(ONE).get("key"))


def many(link: Link, count: int) -> Any:
    """Set several values in a cluster."""
    return link.run(Asking(CLUSTER).set_many({f"key{n}": b"value" for n in range(count)}))


def test_of_many_those_are_sent_again_that_were_not_done() -> None:
    """Each where its slot is."""
    link = Link([b"OK", MOVED, b"OK", ASK], [b"OK"], [b"OK", b"OK"])
    assert many(link, 4) is None
    assert link.sent == [["SET"] * 4, ["SET"], ["ASKING", "SET"]]


def test_of_many_a_part_may_be_stored() -> None:
    """Then the error says so; also of what was answered behind the refusal."""
    for answers in ([b"OK", OutOfMemoryError("OOM")], [OutOfMemoryError("OOM"), b"OK"]):
        with pytest.raises(QuotaExceeded) as raised:
            many(Link(answers), 2)
        assert raised.value.possibly_stored
    with pytest.raises(QuotaExceeded) as raised:
        many(Link([OutOfMemoryError("OOM")] * 2), 2)
    assert not raised.value.possibly_stored


def test_what_a_server_repeats_of_a_command_is_not_told() -> None:
    """Some repeat the beginning of a command that they do not know."""
    said = ResponseError("unknown command 'EVALSHA', with args beginning with: 'sha' 'SECRET'")
    with pytest.raises(BackendError, match="unknown command") as raised:
        Link([said]).run(Asking(ONE).set_if_version("key", b"SECRET", b"=", None))
    assert "SECRET" not in str(raised.value)
    assert raised.value.__cause__ is None
