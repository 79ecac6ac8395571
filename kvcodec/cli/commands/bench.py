"""``kvcodec bench``: how long get, set, append and a listing take on this very backend."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter
from msgspec import Struct
from rich.text import Text

from kvcodec.backends.capabilities import capabilities_of, limits_of
from kvcodec.cli.arguments import Place
from kvcodec.cli.interrupt import Interrupt, interruptible
from kvcodec.cli.output import FINE, INTERRUPTED, Column, Common, Output, size
from kvcodec.cli.places import opened
from kvcodec.errors import ConfigError
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.protocols import KV
from kvcodec.stores.log import Log
from kvcodec.stores.store import Store

__all__ = ["bench"]

_SIZES: Final = {100: 100, 10 * 1024: 100, 1024 * 1024: 10}
"""Bytes of a value, and how many keys with such are written and read in turn."""

_KEYS: Final = 100
"""Of the listing."""

_MESSAGE: Final = 500
"""Bytes of a message."""

_LEAST: Final = 3
"""Calls of each row, however long they take."""


class Measured(Struct):
    """What was measured of one operation: in microseconds."""

    operation: str
    value_bytes: int
    calls: int
    median_us: float
    p99_us: float
    per_second: float


def bench(
    url: Place,
    /,
    *,
    seconds: Annotated[
        float,
        Parameter(metavar="SECONDS", help="How long each operation is measured, at each size."),
    ] = 1.0,
    common: Common | None = None,
) -> int:
    """Measure get, set, append and a listing on this very backend, one call after the other.

    It writes to a keyspace of its own, which begins with kvcodec-bench- and is cleared at the end,
    after Ctrl-C too. What it prints is what these calls took, from here, just now: other programs
    on the machine, the network and what else the backend holds are in it.

    get and set are those of a Store of bytes; append is that of a Log, with messages of 500 bytes;
    list is the listing of a keyspace of 100 keys.

    For example: `kvcodec bench redis://localhost/0 --seconds 3`
    """
    if not 0 < seconds < math.inf:
        raise ConfigError("--seconds is a number above 0")
    out = Output(common)
    found: list[Measured] = []
    with (
        opened(url, create=True) as kv,
        interruptible() as interrupt,
        _keyspaces(kv) as rows,
        out.progress("bench", None) as bar,
    ):
        for operation, length, call in rows:
            bar.update(bar.tasks[0].id, description=f"{operation} {size(length)}")
            measured = _measured(operation, length, call, seconds, interrupt)
            if measured is None:
                break
            out.record(measured)
            found.append(measured)
    _show(out, found)
    if interrupt.asked:
        out.warn("interrupted; what was written is removed")
    return INTERRUPTED if interrupt.asked else FINE


_Values: TypeAlias = Store[bytes, tuple[int, int]]

_Row: TypeAlias = tuple[str, int, Callable[[int], object]]
"""The operation, the bytes of a value, and one call of it, by its number."""


@contextmanager
def _keyspaces(kv: KV) -> Generator[Iterator[_Row]]:
    """The rows on a KV; what they have written is removed at the end."""
    name = f"kvcodec-bench-{secrets.token_hex(4)}"
    store = Store(Keyspace(f"{name}-values", bytes, key=tuple[int, int]), kv)
    log = Log(Keyspace(f"{name}-log", bytes), kv)
    keys = [(n, at) for n, count in ((0, _KEYS), *_SIZES.items()) for at in range(count)]
    try:
        yield _rows(kv, store, log)
    finally:
        store.delete_many(keys)
        log.delete("log")


def _rows(kv: KV, store: _Values, log: Log[bytes, str]) -> Iterator[_Row]:
    for length, keys in _SIZES.items():
        # Zeros in front: no keyspace of bytes takes what begins as kvcodec's own values do.
        value = bytes(2) + secrets.token_bytes(min(length, _room(kv)) - 2)
        yield "set", len(value), partial(_set, store, length, value)
        store.set_many({(length, at): value for at in range(keys)})
        yield "get", len(value), partial(_get, store, length)
        store.delete_many([(length, at) for at in range(keys)])
    message = bytes(_MESSAGE)
    yield "append", _MESSAGE, lambda _: log.append("log", message)
    if capabilities_of(kv).scan:
        store.set_many({(0, at): b"" for at in range(_KEYS)})
        yield f"list {_KEYS}", 0, lambda _: [*store.keys()]


def _set(store: _Values, length: int, value: bytes, at: int) -> None:
    store.set((length, at % _SIZES[length]), value)


def _get(store: _Values, length: int, at: int) -> bytes | None:
    return store.get((length, at % _SIZES[length]))


def _room(kv: KV) -> int:
    limit = limits_of(kv).value_bytes
    return max(_SIZES) if limit is None else limit


def _measured(
    operation: str,
    length: int,
    call: Callable[[int], object],
    seconds: float,
    interrupt: Interrupt,
) -> Measured | None:
    """Call for so long; None if it was interrupted before."""
    taken: list[int] = []
    end = time.perf_counter() + seconds
    while len(taken) < _LEAST or time.perf_counter() < end:
        if interrupt.asked:
            return None
        began = time.perf_counter_ns()
        call(len(taken))
        taken.append(time.perf_counter_ns() - began)
    taken.sort()
    p99 = taken[math.ceil(0.99 * len(taken)) - 1]
    per_second = len(taken) / sum(taken) * 1e9
    return Measured(
        operation,
        length,
        len(taken),
        round(median(taken) / 1000, 1),
        round(p99 / 1000, 1),
        round(per_second, 1),
    )


# -------------------------------------------------------------------------------- for people


def _show(out: Output, found: list[Measured]) -> None:
    columns = [
        Column("operation"),
        *(Column(title, "right") for title in ("bytes", "calls", "median", "99 %", "per second")),
    ]
    rows = [
        (
            each.operation,
            size(each.value_bytes) if each.value_bytes else "",
            f"{each.calls:,}",
            _time(each.median_us),
            _time(each.p99_us),
            f"{each.per_second:,.0f}",
        )
        for each in found
    ]
    if found:
        out.table(columns, rows)
        out.show()
        out.show("median, on a scale where each step is ten times the last")
        for line in chart(found, 40):
            out.show(line)


def _time(us: float) -> str:
    if us < 1_000:
        return f"{us:,.1f} µs"
    return f"{us / 1_000:,.2f} ms" if us < 1_000_000 else f"{us / 1_000_000:,.2f} s"


_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


def chart(found: list[Measured], width: int) -> list[Text]:
    """Return a bar for each row, as long as the median's logarithm: from 1 µs, or the least."""
    logs = [math.log10(max(each.median_us, 0.1)) for each in found]
    low, high = math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1)
    names = [
        f"{each.operation} {size(each.value_bytes)}" if each.value_bytes else each.operation
        for each in found
    ]
    indent = max(map(len, names))
    lines: list[Text] = []
    for name, value, each in zip(names, logs, found, strict=True):
        eighths = max(1, round((value - low) / (high - low) * width * 8))
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        lines.append(
            Text.assemble(f"{name:<{indent}} ", (bar, "cyan"), f" {_time(each.median_us)}")
        )
    ends = f"{_time(10**low)}{_time(10**high):>{width - len(_time(10**low))}}"
    return [*lines, Text(f"{'':<{indent}} {ends}", style="dim")]
