"""Commands under way to Redis: who gets them, how often, and what came of it. No I/O.

A generator yields operations of a link, is sent what they returned, and returns its result:

    "exchange", place, commands  their answers, or a Lost; errors of the server are answers
    "places", names              (place, which of the names) of each server that has some, or a Lost
    "moved", error               nothing: the link knows now where that slot is
    "asked", error               the place that an ASK names, or None
    "refresh"                    nothing: the link has asked who is who, if there is somebody to ask
    "primaries"                  the places of all primaries that are known
    "pause", seconds             nothing

Places are the link's own; ``None`` is the server, where there is one only.

kvcodec sends its commands itself, on a connection of the client's pool that is borrowed for one
exchange. The client's own methods send a command again after a fault, and a claim that was won
reads as lost then; and its WAIT may go to another connection than the write that it is about.
Hence the three ways of a call: one that reads, or writes the same whenever it is repeated, is
repeated until a deadline; one that writes on a condition is sent once.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import Enum
from random import uniform
from time import monotonic
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, TypeVar

from msgspec import Struct
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from kvcodec.errors import (
    BackendError,
    NotReplicated,
    OutcomeUnknown,
    QuotaExceeded,
    Unavailable,
)

__all__ = [
    "FAULTS",
    "Call",
    "Command",
    "Delivery",
    "Lost",
    "Patience",
    "Phase",
    "Place",
    "Settings",
    "Steps",
    "Way",
    "passes",
    "refusal",
    "told",
]

T = TypeVar("T")

Place: TypeAlias = Any
Command: TypeAlias = tuple[bytes, ...]
Steps: TypeAlias = Generator[tuple[Any, ...], Any, T]

FAULTS: Final = (RedisError, RedisClusterException, OSError, RuntimeError)
"""What a client raises where a server is out of reach. RuntimeError: an event loop that is over."""

_HOPS: Final = 16
"""Rounds in which redirections are followed at once. Each is a slot that has moved since."""


class Settings(Struct, frozen=True):
    """The options of a KV, and whether its client is a cluster's."""

    cluster: bool
    replicas: int
    wait_ms: int
    deadline: float


class Phase(Enum):
    """How far an exchange had come when it failed."""

    CONNECTING = 0
    SENDING = 1
    READING = 2


class Lost(NamedTuple):
    """An exchange that has no answers."""

    error: Exception
    phase: Phase = Phase.CONNECTING
    commands: int = 1

    @property
    def sent(self) -> bool:
        """Whether a command may be executed by now, or be later."""
        if isinstance(self.error, (BusyLoadingError, AuthenticationError)):
            return False  # an answer, though a client raises it as a fault
        if self.phase is Phase.SENDING:
            # A single command that was not sent whole is none. After a timeout a transport of
            # asyncio may send the rest all the same.
            return self.commands > 1 or not isinstance(self.error, RedisConnectionError)
        return self.phase is Phase.READING

    @property
    def lasting(self) -> bool:
        """Whether the same will happen again."""
        refusals = (AuthenticationError, AuthorizationError, ResponseError)
        return isinstance(self.error, refusals)


class Way(Enum):
    """How a command may be sent."""

    READ = "read"
    WRITE = "write"
    """Repeated after a fault: it comes to the same."""
    ONCE = "once"
    """Conditional: what it would do a second time depends on what it has done."""


class Call(NamedTuple):
    """A command, and the name that says who is to get it."""

    name: bytes
    command: Command


class Patience:
    """How long to wait between two tries: not at all, then longer each time, until a deadline."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = 0.0
        self._tries = 0

    def calm(self) -> None:
        """Begin anew: something was done."""
        self._tries = 0

    def pause(self) -> float | None:
        """Return the seconds until the next try, or None if there is no time left for one."""
        self._tries += 1
        if self._tries == 1:
            self._ends = monotonic() + self._seconds
            return 0.0  # a connection from before a restart is the usual reason
        left = self._ends - monotonic()
        most = min(0.5, 0.02 * 2.0 ** min(self._tries, 10))
        pause = uniform(0.5, 1.0) * most  # noqa: S311 - so that not all come back at once
        return pause if left > pause else None


class Delivery:
    """Calls under way: each goes to the server that has its name, until each has its answer.

    ``first``: what came of a first exchange of all of them, if there was one.
    """

    def __init__(
        self,
        settings: Settings,
        calls: Sequence[Call],
        way: Way,
        first: list[Any] | Lost | None = None,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._way = way
        self._answers: list[Any] = [None] * len(calls)
        self._left: list[int] = [*range(len(calls))]
        self._asking: dict[int, Place] = {}
        self._patience = Patience(settings.deadline)
        self._first = first
        self._hops = 0
        self._unsure = self._unproven = False
        self._wait = settings.replicas > 0 and way is not Way.READ

    def run(self) -> Steps[list[Any]]:
        """Return the answers, in the order of the calls."""
        while self._left:
            trouble = yield from self._round()
            self._hops = self._hops + 1 if trouble is None else 0
            if trouble is not None:
                yield from self._over(trouble)
        if self._unproven:
            raise NotReplicated(
                f"written, and not seen to be on {self._settings.replicas} replicas within"
                f" {self._settings.wait_ms} ms",
                stage="store",
            )
        return self._answers

    def _round(self) -> Steps[Lost | ResponseError | None]:
        """Send what has no answer yet; return why some of it is to be sent after a pause."""
        trouble: Lost | ResponseError | None = None
        groups = yield from self._groups()
        if isinstance(groups, Lost):
            return groups
        self._left = []
        for place, which, asking in groups:
            some = yield from self._exchanged(place, which, asking=asking)
            if isinstance(some, Lost):
                trouble = some
                self._left += which
                continue
            refused = self._sorted(which, some)
            self._left += [index for index, _ in refused]
            for index, error in refused:
                trouble = (yield from self._refused(index, error)) or trouble
        return trouble

    def _sorted(self, which: Sequence[int], some: Sequence[Any]) -> list[tuple[int, ResponseError]]:
        """Keep the answers that end a call; return the others."""
        refused: list[tuple[int, ResponseError]] = []
        for index, answer in zip(which, some, strict=True):
            if isinstance(answer, ResponseError) and not isinstance(answer, NoScriptError):
                refused.append((index, answer))
            else:
                self._answers[index] = answer
        return refused

    def _groups(self) -> Steps[Any]:
        if not self._settings.cluster:
            return ((None, self._left, False),)
        asked = [(place, [index], True) for index, place in self._asking.items()]
        own = [index for index in self._left if index not in self._asking]
        if not own:
            return asked
        groups = yield ("places", [self._calls[index].name for index in own])
        if isinstance(groups, Lost):
            return groups
        return [*((place, [own[n] for n in which], False) for place, which in groups), *asked]

    def _exchanged(self, place: Place, which: Sequence[int], *, asking: bool) -> Steps[Any]:
        """The answers to some of the calls, without those to what goes with them."""
        commands = [self._calls[index].command for index in which]
        if asking:  # which is for the next command only
            commands.insert(0, _ASKING)
        if self._wait:
            commands.append(_wait(self._settings))
        answers, self._first = self._first, None
        if answers is None:
            answers = yield ("exchange", place, commands)
        if isinstance(answers, Lost):
            self._unsure = self._unsure or answers.sent
            return answers
        if asking:
            self._asking.pop(which[0])
            del answers[0]
        if self._wait:
            self._prove(answers, answers.pop())
        return answers

    def _prove(self, answers: list[Any], replicas: Any) -> None:
        # WAIT is about all that the connection wrote before, and answers at once if that is
        # nothing: what it says behind a refusal means nothing.
        repeated = self._way is Way.WRITE
        done = any(repeated or each for each in answers if not isinstance(each, ResponseError))
        if done and not (isinstance(replicas, int) and replicas >= self._settings.replicas):
            self._unproven = True

    def _refused(self, index: int, error: ResponseError) -> Steps[ResponseError | None]:
        """Follow a redirection; return why the call is to be sent after a pause; or raise."""
        astray = isinstance(error, AskError) and self._settings.cluster
        if astray and self._hops < _HOPS:
            yield from self._redirected(index, error)
            return None
        if self._way is Way.ONCE or not (astray or passes(error)):
            self._give_up(error)
        return error

    def _redirected(self, index: int, error: ResponseError) -> Steps[None]:
        if isinstance(error, MovedError):  # which is an AskError, too
            yield ("moved", error)
            return
        place = yield ("asked", error)
        if place is None:
            yield ("refresh",)
        else:
            self._asking[index] = place

    def _over(self, trouble: Lost | ResponseError) -> Steps[None]:
        """Wait until it may be over, or raise."""
        yield ("refresh",)
        self._asking.clear()
        once = self._way is Way.ONCE
        lasting = isinstance(trouble, Lost) and trouble.lasting
        pause = None if once or lasting else self._patience.pause()
        if pause is None:
            self._give_up(trouble)
        if pause:
            yield ("pause", pause)

    def _give_up(self, trouble: Lost | ResponseError) -> NoReturn:
        reading = self._way is Way.READ
        if isinstance(trouble, ResponseError):
            if not self._unsure or reading:
                self._fail(refusal(trouble))
            raise OutcomeUnknown(f"{_UNSURE}, and then: {_said(trouble)}", stage="store")
        reason = told(trouble.error)
        if self._unsure and not reading:
            raise OutcomeUnknown(f"{_UNSURE}: {reason}", stage="store") from trouble.error
        self._fail(Unavailable(reason, stage="store"), trouble.error)

    def _fail(self, error: BackendError, cause: Exception | None = None) -> NoReturn:
        left = {*self._left}
        done = [n for n in range(len(self._calls)) if n not in left and self._answers[n]]
        if done and self._way is not Way.READ:
            error.after_a_part()
        raise error from cause


_ASKING: Final = (b"ASKING",)

_UNSURE: Final = "sent, and the answer did not come"


def _wait(settings: Settings) -> Command:
    return (b"WAIT", b"%d" % settings.replicas, b"%d" % settings.wait_ms)


def passes(error: ResponseError) -> bool:
    """Whether a refusal is of servers that are changing places, or starting."""
    later = (TryAgainError, ClusterDownError, ReadOnlyError)
    return isinstance(error, later) or str(error).startswith(("NOREPLICAS", "BUSY "))


def refusal(error: ResponseError) -> BackendError:
    """Return what an error of the server means to the caller: nothing was applied."""
    said = _said(error)
    if isinstance(error, OutOfMemoryError):
        return QuotaExceeded(said, possibly_stored=False, stage="store")
    if isinstance(error, AskError):
        return BackendError(
            f"{said}: the server is one of a cluster; its client is redis.RedisCluster",
            stage="store",
        )
    return (Unavailable if passes(error) else BackendError)(said, stage="store")


def _said(error: ResponseError) -> str:
    """The server's own words, without what it may repeat of a command."""
    text = str(error).partition(", with args")[0]
    return f"the server refused: {type(error).__name__}: {text}"


def told(error: Exception) -> str:
    """Return why an exchange has failed, for people."""
    return f"{type(error).__name__}: {error}"
