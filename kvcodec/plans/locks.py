"""Locks of the process: each is about one store, one raw key and one purpose, and nothing else.

It is one lock for threads, for the tasks of every event loop, and for the sync and async stores of
a KV. Other processes are not excluded. What it promises beyond that:

- Who comes back to what it holds goes through: a loader that asks for its own key, an update
  within an update, a signal handler of a thread that holds it. Work that was handed on with its
  context (``asyncio.create_task``, ``asyncio.to_thread``) counts as its giver's while that holds
  it. A plain thread pool hands on no context: who waits for one there must not ask it for this.
- Nobody waits for ever: of those who would wait for each other in a circle, the one that came last
  gets WouldWaitForever.
- It is handed on in the order in which it was asked for. Who is cancelled leaves the row.
- After a fork the child holds what the forking thread held; everything else is free.
- Of an event loop that was closed with a task in it, who asks next ends what that task held.
- What nobody holds is not in any table.

There is no lock around the tables below. A signal handler may run between any two lines here, and
would wait for the very thread that it interrupts. So every step is one operation on a dict, a set
or a deque that no other thread can divide, and each comment says what may happen before the next.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict, deque
from contextlib import suppress
from contextvars import ContextVar
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kvcodec.backends.loops import running_loop
from kvcodec.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable, Iterator

__all__ = ["Lock", "WouldWaitForever"]

Purpose: TypeAlias = Literal["change", "load"]
"""Updates of a value, and loads of a cache: a loader may update its own key."""

_Key: TypeAlias = "tuple[Hashable, Purpose]"


class WouldWaitForever(Exception):
    """What this lock waits for waits, in the end, for who is asking."""


class _Hold:
    """Somebody's holding of one lock, from before it is his to the end."""

    __slots__ = ("above", "before", "key", "loop", "thread")

    def __init__(self, key: _Key, loop: Any) -> None:
        self.key = key
        self.loop = loop
        """Of an async holder; None of a sync one."""
        self.thread = threading.get_ident()
        above = self.before = _here.get()
        """What ``_here`` goes back to."""
        while above is not None and _holds.get(above.key) is not above:
            above = above.above  # of a giver that has ended
        self.above: _Hold | None = above
        """The latest of what his context holds already."""

    def chain(self) -> Iterator[_Hold]:
        """What his context holds, the latest first."""
        hold = self.above
        while hold is not None:
            yield hold
            hold = hold.above

    def is_within(self, owner: _Hold) -> bool:
        """Whether the owner cannot go on before this one is done."""
        if _ending.get(owner) == self.thread:
            return True  # a signal handler, on top of who hands it on
        if isinstance(owner, _Waiter) and owner.gone:
            return False  # anybody may end it
        if owner.loop is None and owner.thread == self.thread:
            return True  # whatever runs in his thread runs on top of him
        return self._is_on_top(owner) or any(hold is owner for hold in self.chain())

    def _is_on_top(self, owner: _Hold) -> bool:
        """Whether this one holds up the loop of a task that was let in and has not yet begun."""
        if owner.loop is None or not isinstance(owner, _Waiter) or owner.begun:
            return False
        return self.loop is None and owner.loop is _loop_of_this_thread()

    def stopped_by(self) -> tuple[Any, ...]:
        """What the ``stopping`` of a waiter has in common with it, if it stops this one."""
        return self, self.thread if self.loop is None else self.loop


class _Waiter(_Hold):
    """Somebody in the row for one lock, and his holding of it later."""

    __slots__ = ("_done", "begun", "gone", "guests", "news", "place", "row", "stopping")

    def __init__(self, key: _Key, loop: Any) -> None:
        super().__init__(key, loop)
        self.stopping = frozenset((*self.chain(), *(self._below() if loop is None else ())))
        """What cannot go on while this one waits."""
        self._done: Any = threading.Lock() if loop is None else loop.create_future()
        if loop is None:
            self._done.acquire()  # to be released by who wakes it
        self.begun = self.gone = False
        self.row: deque[_Waiter] = deque()
        self.place = self
        """Whose turn it waits for: it may be on top of who waits already."""
        self.guests: list[_Waiter] = []
        """Who waits for this one's turn."""
        self.news: Any = None
        """What a holder has told who waits, for when it is let in."""

    def sleep(self) -> Any:
        """Wait to be woken; of an async one, return what is to be awaited."""
        return self._done.acquire() if self.loop is None else self._done

    def wake(self) -> None:
        """Let him look again, and who is on top of him. Twice is no harm."""
        try:
            if self.loop is None:
                self._done.release()
            else:
                self.loop.call_soon_threadsafe(_settle, self._done)
        except RuntimeError:  # awake already; or his loop is closed, and he will never look
            self.gone = self.gone or self.loop is not None
        for guest in self.guests.copy():
            guest.wake()

    def _below(self) -> Iterator[Any]:
        """The thread of a sync one, and what goes on in it: it may be a signal handler's."""
        yield self.thread
        yield from (hold for hold, thread in _ending.copy().items() if thread == self.thread)
        loop = _loop_of_this_thread()
        if loop is not None:
            yield loop

    def ahead(self) -> set[_Hold]:
        """Who may have to be done before it is this one's turn."""
        place, earlier, row = self.place, self._earlier(), list(self.place.row.copy())
        owner = _holds.get(self.key)  # after both: they lose nobody before he stands here
        if owner is place or self not in _waiting:
            return set()  # looked at last: if it waits still, what was seen before is so
        at = row.index(place) if place in row else 0
        found: set[_Hold] = {*row[:at], *earlier.difference(row[at:])}
        return found if owner is None else {owner, *found}

    def _earlier(self) -> set[_Hold]:
        """Who waits for the same: in a row, or awake to ask anew and handed the lock meanwhile."""
        return {each for each in _lined_up_before(self, self.place) if each.key == self.key}


_holds: dict[_Key, _Hold] = {}
"""Who holds what. To hold a lock is to stand here: ``setdefault`` lets one of many in."""

_rows: dict[_Key, deque[_Waiter]] = {}
"""Who is next, for locks that somebody has had to wait for since they were taken."""

_waiting: dict[_Waiter, None] = {}
"""All who wait, in the order in which they lined up; asked by those only who have to wait too.

The order is the dict's own. A number would be drawn at one moment and seen at another: a thread
that stops in between is earlier than nobody, and a circle closes unseen.
"""

_ending: dict[_Hold, int] = {}
"""Which thread hands on the lock of a hold: ``setdefault`` lets one of many do it."""

_here: ContextVar[_Hold | None] = ContextVar("kvcodec holds", default=None)
"""The latest of what this context holds. One that has ended means nothing."""


class Lock:
    """The lock of one place for one purpose, to be taken once, by ``with`` or ``async with``.

    ``place``: the store behind a handle and the key's name there (``place_behind``). Raises
    WouldWaitForever instead of waiting so.
    """

    __slots__ = ("_hold", "_key", "_waiter")

    def __init__(self, place: Hashable, purpose: Purpose) -> None:
        self._key: _Key = (place, purpose)
        self._hold: _Hold | None = None
        self._waiter: _Waiter | None = None

    def enter_at_once(self, loop: asyncio.AbstractEventLoop | None = None) -> bool:
        """Take it if it is free, or the caller's own; say whether it was. ``leave`` ends it.

        ``loop``: the running one, of who calls from a task.
        """
        hold = self._hold = _Hold(self._key, loop)
        _here.set(hold)  # before it: a signal handler in between is within
        owner = _holds.setdefault(self._key, hold)
        if owner is hold:
            return True
        self._hold = None
        _here.set(hold.before)
        if hold.is_within(owner):
            return True
        if _is_lost(owner):
            _end(owner)
        return False

    def __enter__(self) -> None:
        try:
            while not self.enter_at_once():
                waiter = self._lined_up(None)
                if waiter is not None:
                    waiter.sleep()
                    if self._was_let_in(waiter):
                        return
        except BaseException:
            self._give_up()
            raise

    async def __aenter__(self) -> None:
        loop = running_loop()
        try:
            while not self.enter_at_once(loop):
                waiter = self._lined_up(loop)
                if waiter is not None:
                    await waiter.sleep()
                    if self._was_let_in(waiter):
                        return
        except BaseException:
            self._give_up()
            raise

    @property
    def news(self) -> Any:
        """What a holder has told while this one waited, or None."""
        return None if self._waiter is None else self._waiter.news

    def tell(self, news: object) -> None:
        """Tell all who wait for this lock at the moment, if it was taken here.

        They are let in as ever: who comes later is not told, and does not wait for longer.
        """
        if self._hold is not None:
            for each in list(_waiting):
                if each.key == self._key:
                    each.news = news

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def __del__(self) -> None:
        try:
            self.leave()  # where a signal handler has raised in place of it
        except AttributeError:
            pass  # in place of __init__

    def leave(self) -> None:
        """Hand it on, if it was taken here and not further out."""
        hold = self._hold
        if hold is None:
            return
        _end(hold)
        if _here.get() is hold:  # elsewhere, a coroutine that is closed by the collector of garbage
            _here.set(hold.before)  # after it: a signal handler in between is still within
        self._hold = None

    def _give_up(self) -> None:
        if self._waiter is not None:
            _leave(self._waiter)
        self.leave()

    def _lined_up(self, loop: asyncio.AbstractEventLoop | None) -> _Waiter | None:
        """A place in the row; None where the lock may be free by now."""
        if self._waiter is None:
            _help(threading.get_ident())
        waiter = _Waiter(self._key, loop)
        waiter.news = self.news  # of before its row was given up
        self._waiter = waiter
        _line_up(waiter)
        if _would_wait_forever(waiter):
            _leave(waiter)
            owner = _holds.get(self._key)
            if owner is not None and waiter.is_within(owner):
                return None  # who was let in meanwhile is below
            raise WouldWaitForever
        if self._key in _holds and _rows.get(self._key) is waiter.row:
            if _holds.get(self._key) is waiter.place:
                waiter.wake()  # its turn came before it was a guest: nobody else will
            return waiter  # whoever ends a hold looks at its row after it
        _leave(waiter)
        return None

    def _was_let_in(self, waiter: _Waiter) -> bool:
        if _holds.get(self._key) is not waiter.place:
            _leave(waiter)  # the row was given up: everything anew
            return False
        if waiter.place is waiter:
            self._hold = waiter
            _here.set(waiter)
            waiter.begun = True
        _step_out(waiter)  # or it would be its own successor
        return True


# ----------------------------------------------------------------------------------- the row


def _line_up(waiter: _Waiter) -> None:
    row = waiter.row = _rows.setdefault(waiter.key, waiter.row)
    for each in row.copy():
        # On top of who waits already, as a signal handler and a sync store in an event loop may
        # be: who has to be done before it is that one's turn has the same turn.
        if not each.gone and not waiter.stopping.isdisjoint(each.stopped_by()):
            waiter.place = each
            each.guests.append(waiter)
            break
    else:
        row.append(waiter)
    _waiting[waiter] = None


def _step_out(waiter: _Waiter) -> None:
    _waiting.pop(waiter, None)
    place = waiter.place
    with suppress(ValueError):  # whoever hands the lock to it does so too
        (place.row if place is waiter else place.guests).remove(waiter)


def _leave(waiter: _Waiter) -> None:
    """Wait no more: whoever hands the lock on at this moment hands it on once more."""
    waiter.gone = True
    _step_out(waiter)
    _end(waiter)  # if it was let in meanwhile
    if not waiter.row and waiter.key not in _holds:
        _give_up_row(waiter.key)


def _end(hold: _Hold) -> None:
    """Hand the lock to the next in the row; to nobody, where there is none. Twice is no harm."""
    thread = threading.get_ident()
    claims = [hold] if _ending.get(hold) == thread else []  # from before a handler that raised
    ended: _Hold | None = hold
    try:
        while ended is not None and _holds.get(ended.key) is ended:
            if _ending.setdefault(ended, thread) != thread:
                break  # somebody else is at it
            claims.append(ended)
            # Asked anew: who was at it may have done it. What has ended never comes back.
            ended = _handed_on(ended) if _holds.get(ended.key) is ended else None
    finally:
        for each in claims:
            _ending.pop(each, None)


def _help(thread: int) -> None:
    """Do what a thread was about to do: a signal handler on top of it may have to wait for that."""
    for hold in [each for each, ender in _ending.copy().items() if ender == thread]:
        owner = _holds.get(hold.key)
        if owner is hold:
            continue
        for each in list(_waiting):
            if each.key == hold.key:
                each.wake()
        if isinstance(owner, _Waiter):
            owner.wake()
            if owner.gone and owner not in _ending:
                _end(owner)


def _handed_on(hold: _Hold) -> _Waiter | None:
    """Hand the lock on; return who has got it and is gone."""
    row = _rows.get(hold.key) if _rows else None
    waiter = None if row is None else _first(row)
    if waiter is None:
        _holds.pop(hold.key, None)
        _give_up_row(hold.key)  # who lined up after that look saw this hold, and sleeps
        return None
    _holds[hold.key] = waiter  # before it leaves the row: it is always seen in one of them
    _step_out(waiter)
    waiter.wake()
    return waiter if waiter.gone else None


def _give_up_row(key: _Key) -> None:
    """Let all in a row ask anew."""
    row = _rows.pop(key, None) if _rows else None
    for each in () if row is None else row.copy():
        each.wake()


def _is_lost(owner: _Hold) -> bool:
    """Whether it is for others to end it."""
    if isinstance(owner, _Waiter) and owner.gone:
        return True
    return owner.loop is not None and bool(owner.loop.is_closed())


def _first(row: deque[_Waiter]) -> _Waiter | None:
    try:
        return row[0]
    except IndexError:
        return None


# ----------------------------------------------------------------------------------- circles


def _would_wait_forever(waiter: _Waiter) -> bool:
    """Whether a lock cannot be handed on as far as this waiter before it is let in.

    A walk along who waits for whom (E. G. Coffman, M. Elphick, A. Shoshani: System Deadlocks,
    Computing Surveys 3(2), 1971), among those who lined up earlier: the last of a circle sees all
    of it, and no other does.
    """
    if not waiter.stopping:
        return False  # a task that holds nothing stops nobody
    stopped_by = _earlier(waiter)
    left = [waiter]
    while left:
        for hold in left.pop().ahead():
            things = hold.stopped_by()
            if not waiter.stopping.isdisjoint(things):
                return True
            left += [each for thing in things for each in stopped_by.pop(thing, ())]
    return False


def _earlier(waiter: _Waiter) -> dict[Any, list[_Waiter]]:
    """Who waits already, by what they stop."""
    stopped_by: defaultdict[Any, list[_Waiter]] = defaultdict(list)
    for each in _lined_up_before(waiter):
        for thing in each.stopping:
            stopped_by[thing].append(each)
    return stopped_by


def _lined_up_before(*waiters: _Waiter) -> Iterator[_Waiter]:
    """Who waits already for longer than all of these."""
    return takewhile(lambda each: each not in waiters, list(_waiting))


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _loop_of_this_thread() -> Any:
    if "asyncio" not in sys.modules:
        return None
    try:
        return running_loop()
    except ConfigError:
        return None


# --------------------------------------------------------------------------------- after a fork


def _after_fork() -> None:
    """In the child there is one thread: only what that holds will ever end."""
    thread, here = threading.get_ident(), _here.get()
    for waiter in list(_waiting):
        if waiter.loop is None and waiter.thread == thread:
            waiter.wake()  # on top of him a signal handler has forked: he looks again
        else:
            waiter.gone = True  # for who hands a lock on, if that is what was interrupted
    _waiting.clear()
    _rows.clear()
    own: set[_Hold] = set() if here is None else {here, *here.chain()}
    for key, hold in list(_holds.items()):
        if hold.thread != thread or not (hold.loop is None or hold in own):
            del _holds[key]
    for hold, ender in list(_ending.items()):
        if ender != thread:
            del _ending[hold]


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
