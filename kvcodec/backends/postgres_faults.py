"""What an error of psycopg means to the caller, and whether a connection still lives.

An error of the server rolled its statement back, whatever it was: nothing was applied. A
connection that broke while a statement was under way leaves it open whether that was applied,
unless it was part of a transaction that nobody can commit any more.

The server's words are told where they cannot hold a value; the exception itself is never chained,
because its details, and the frames of the client, do.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.pq import ConnStatus, PipelineStatus, TransactionStatus

from kvcodec.backends.postgres_statements import LIMITS
from kvcodec.errors import (
    ConfigError,
    Conflict,
    KVCodecError,
    LimitExceeded,
    OutcomeUnknown,
    QuotaExceeded,
    Unavailable,
    shorten,
)

if TYPE_CHECKING:
    from kvcodec.backends.postgres_statements import Call

__all__ = ["NoTable", "Overtaken", "fault_of", "lives", "unusable"]

_DETAIL_CHARS: Final = 150
"""Of the server's words in a message."""

_TELLING: Final = frozenset("08 25 28 3D 3F 40 42 53 54 55 57 58".split())
"""Classes of errors (the first two characters of an SQLSTATE) whose words name tables, roles and
states of the server. Those of data, of constraints and of triggers may quote a value."""

_UNKNOWN: Final = frozenset({"40003", "08007", "57P02"})
"""What a server says that may have applied the statement: completion unknown, resolution unknown,
and a crash of another process, which reaches a session at any time."""


class NoTable(ConfigError):
    """The table is not there: the first use makes it."""


class Overtaken(Conflict):
    """Another transaction changed the row since this one began."""


def fault_of(error: psycopg.Error, call: Call[Any] | None, *, unsure: bool) -> KVCodecError:
    """Return what an error means. ``unsure``: a statement that may be applied was under way."""
    code, words = error.sqlstate, _words(error)
    key = None if call is None else call.key
    if code in ("42P01", "3F000"):
        return NoTable(words, stage="store")
    if code == "40001":
        return Overtaken(f"{words}; try again", raw_key=key, stage="store")
    if code == "40P01":
        return Conflict(f"{words}; try again", raw_key=key, stage="store")
    if code == "53100":
        return QuotaExceeded(words, possibly_stored=False, raw_key=key, stage="store")
    if code is not None and code.startswith("54"):
        limit = LIMITS.key_bytes or 0
        return LimitExceeded(words, limit=limit, raw_key=key, stage="store")
    if code is not None and code.startswith("42"):
        return ConfigError(f"{words}: is the table kvcodec's, and may it be used?", stage="store")
    if unsure and _leaves_open(error):
        return OutcomeUnknown(words, raw_key=key, stage="store")
    return Unavailable(words, raw_key=key, stage="store")


def _leaves_open(error: psycopg.Error) -> bool:
    code = error.sqlstate
    if code is None:
        # Of the client. Other kinds than these two are raised before anything is sent.
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return code in _UNKNOWN or code.startswith("08")


def _words(error: psycopg.Error) -> str:
    code = error.sqlstate
    if code is None:
        return shorten(str(error).partition("\n")[0] or type(error).__name__, _DETAIL_CHARS)
    said = error.diag.message_primary if code[:2] in _TELLING else None
    return shorten(f"{said or type(error).__name__} ({code})", _DETAIL_CHARS)


# --------------------------------------------------------------------------------- connections


def lives(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Say whether an idle connection is still one, as far as this side can know.

    Without a question to the server: one that ended it has said so, or closed it, and that waits
    to be read. So a restart of the server costs nobody an unknown outcome.
    """
    pgconn = conn.pgconn
    try:
        while _unread(pgconn.socket):
            pgconn.consume_input()
    except psycopg.Error:
        return False
    return pgconn.status == ConnStatus.OK


def _unread(socket: int) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([socket], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def unusable(
    conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], status: int
) -> KVCodecError | None:
    """Return what keeps a user's own connection, of this status, from taking a statement."""
    if conn.pgconn.pipeline_status != PipelineStatus.OFF:
        # How many rows a statement changed is not known there when it returns, nor its fault.
        return ConfigError(
            "the connection is in pipeline mode, which tells no outcome: leave its block first",
            stage="store",
        )
    if status == TransactionStatus.INERROR:
        return Unavailable(
            "the connection's transaction has failed: roll it back first", stage="store"
        )
    if conn.closed or (status == TransactionStatus.IDLE and not lives(conn)):
        return Unavailable("the connection is closed: open another one", stage="store")
    return None
