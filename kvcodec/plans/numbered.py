"""Which names of a numbered series are there, without asking for each: of rows, or of chunks.

How many there are says a head, a manifest or a trace, which anybody may have written where nothing
is sealed. So of a long series it is looked for what is there, and nothing else is removed or read.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from kvcodec.backends.capabilities import Capabilities
from kvcodec.plans.driver import Plan
from kvcodec.plans.many import BATCH
from kvcodec.plans.swap import is_there

__all__ = ["stretches"]


def stretches(
    name_of: Callable[[int], str], low: int, high: int, can: Capabilities
) -> Plan[list[range]]:
    """Ranges from ``low`` up to ``high``, the highest first, that hold all numbers with a name.

    At the cost of a look for each ``BATCH`` that are there, and of some 250 at the end of what is
    there. Of holes longer than ``BATCH``, such as a backup leaves that was put back in part, one is
    always seen over; of several, what lies between them may be missed if it is short.
    """
    found: list[range] = []
    while high - low > BATCH:
        end = yield from _end(name_of, low, high, can)
        if end is None:
            return found
        found.append(range(max(low, end - BATCH), end))
        high = found[-1].start
    return [*found, range(low, high)] if low < high else found


def _end(name_of: Callable[[int], str], low: int, high: int, can: Capabilities) -> Plan[int | None]:
    """Where what is there ends, below ``high``; ``high`` itself if it is near."""
    for number in range(high - 1, high - 1 - BATCH, -1):
        if (yield from is_there(name_of(number), can)):
            return high
    gone = high - BATCH
    steps = [1 << bit for bit in range((high - low).bit_length())]
    far = chain(range(low, low + BATCH), *((low + step, high - step) for step in steps))
    for number in sorted({number for number in far if low <= number < gone}, reverse=True):
        if (yield from is_there(name_of(number), can)):
            return (yield from _bisected(name_of, number, gone, can))
        gone = number
    return None


def _bisected(name_of: Callable[[int], str], there: int, gone: int, can: Capabilities) -> Plan[int]:
    """Where what is there ends, between a number that is there and one that is not."""
    while gone - there > 1:
        middle = (there + gone) // 2
        if (yield from is_there(name_of(middle), can)):
            there = middle
        else:
            gone = middle
    return gone
