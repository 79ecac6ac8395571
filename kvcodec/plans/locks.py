"""Locks of the process: each is about one store, one raw key and one purpose, and nothing else.

It is one lock for threads, for the tasks of every event loop, and for the sync and async stores of
a KV. Other processes are not excluded. What it promises beyond that:

- Who comes back to what it holds goes through: a loader that asks for its own key, an update
  within an update, a signal handler of a thread that holds it. Work that was handed on with its
  context (``asyncio.create_task``, ``asyncio.to_thread``) counts as its giver's while that lasts.
- Nobody waits for ever: who would wait for something that waits for him gets WouldWaitForever.
- It is handed on in the order in which it was asked for. Who is cancelled leaves the row.
- After a fork the child holds what the forking thread held; everything else is free.
- What nobody holds is not in any table.

There is no lock around the tables below. A signal handler may run between any two lines here, and
would wait for the very thread that it interrupts. So every step is one operation on a dict or a
deque that no other thread can divide, and each comment says what may happen before the next one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kvcodec.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable, Iterator

__all__ = ["Lock", "Purpose", "WouldWaitForever", "running_loop"]

Purpose: TypeAlias = Literal["change", "load"]
"""Updates of a value, and loads of a cache: a loader may update its own key."""

_Key: TypeAlias = "tuple[Hashable, Purpose]"


class WouldWaitForever(Exception):
    """What this lock waits for waits, in the end, for who is asking."""


class _Hold:
    """Somebody's holding of one lock, from before it is his to the end."""

    __slots__ = ("above", "key", "loop", "open", "queue", "thread", "waiter")

    def __init__(self, key: _Key, thread: int | None, loop: Any) -> None:
        self.key = key
        self.thread = thread
        """Of a sync holder: whatever else runs in it runs on top of him."""
        self.loop = loop
        """Of an async one."""
        self.above = _here.get()
        """What his context holds already."""
        self.queue: deque[_Waiter] = deque()
        """Who is next; the same one for all that hold the lock in turn."""
        self.waiter: _Waiter | None = None
        self.open = [True]
        """Who takes this out ends the hold: once, whoever comes first."""

    def chain(self) -> Iterator[_Hold]:
        """What his context holds, the latest first."""
        hold = self.above
        while hold is not None:
            yield hold
            hold = hold.above

    def is_within(self, owner: _Hold) -> bool:
        """Whether the owner is who asks, or who gave him his work."""
        if owner.thread is not None and owner.thread == self.thread:
            return True
        return any(hold is owner for hold in self.chain())


class _Waiter:
    """Somebody in the row for one lock."""

    __slots__ = ("_done", "blocked", "gone", "hold", "queue")

    def __init__(self, hold: _Hold, queue: deque[_Waiter], done: Any, blocked: Any) -> None:
        self.hold = hold
        self.queue = queue
        self._done = done
        self.blocked = blocked
        """The event loop that stands still while this one waits."""
        self.gone = False
        hold.waiter = self

    def wake(self) -> None:
        """Let him look again. Twice is no harm."""
        try:
            if self.hold.loop is None:
                self._done.release()
            else:
                self.hold.loop.call_soon_threadsafe(_settle, self._done)
        except RuntimeError:  # awake already; or his loop is closed, and he is gone
            self.gone = self.gone or self.hold.loop is not None

    def stops(self, hold: _Hold) -> bool:
        """Whether that one cannot go on while this one waits."""
        if hold.loop is not None and hold.loop is self.blocked:
            return True
        return self.hold.is_within(hold)


_holds: dict[_Key, _Hold] = {}
"""Who holds what. To hold a lock is to stand here: ``setdefault`` lets one of many in."""

_waiting: dict[_Waiter, _Key] = {}
"""Who waits for what; asked only by who has to wait and holds something."""

_here: ContextVar[_Hold | None] = ContextVar("kvcodec holds", default=None)


class Lock:
    """The lock of one place for one purpose, to be taken once, by ``with`` or ``async with``.

    ``place``: the store behind a handle and the key's name there (``place_behind``). Raises
    WouldWaitForever instead of waiting so.
    """

    __slots__ = ("_hold", "_key", "_token")

    def __init__(self, place: Hashable, purpose: Purpose) -> None:
        self._key: _Key = (place, purpose)
        self._hold: _Hold | None = None
        self._token: Token[_Hold | None] | None = None

    def enter_at_once(self, loop: asyncio.AbstractEventLoop | None = None) -> bool:
        """Take it if it is free, or the caller's own; say whether it was. ``leave`` ends it.

        ``loop``: the running one, of who calls from a task.
        """
        hold = self._hold = self._asked(loop)
        owner = _holds.setdefault(self._key, hold)
        if owner is hold:
            self._token = _here.set(hold)
            return True
        self._hold = None
        return hold.is_within(owner)

    def __enter__(self) -> None:
        waiter: _Waiter | None = None
        try:
            while not self.enter_at_once():
                done = threading.Lock()
                done.acquire()  # to be released by who lets this one in
                waiter = self._queued(done, None)
                if waiter is not None:
                    done.acquire()
                    if self._was_let_in(waiter):
                        return
        except BaseException:
            self._give_up(waiter)
            raise

    async def __aenter__(self) -> None:
        loop = running_loop()
        waiter: _Waiter | None = None
        try:
            while not self.enter_at_once(loop):
                done = loop.create_future()
                waiter = self._queued(done, loop)
                if waiter is not None:
                    await done
                    if self._was_let_in(waiter):
                        return
        except BaseException:
            self._give_up(waiter)
            raise

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Hand it on, if it was taken here and not further out."""
        hold, token = self._hold, self._token
        if hold is not None:
            _end(hold)
        if token is not None:
            _here.reset(token)  # after it: a signal handler in between is still within

    def _give_up(self, waiter: _Waiter | None) -> None:
        if waiter is not None:
            _leave(waiter)
        if self._hold is not None and _holds.get(self._key) is self._hold:
            self.leave()

    def _asked(self, loop: asyncio.AbstractEventLoop | None) -> _Hold:
        return _Hold(self._key, threading.get_ident() if loop is None else None, loop)

    def _queued(self, done: Any, loop: asyncio.AbstractEventLoop | None) -> _Waiter | None:
        """A place in the row; None where the lock is free by now."""
        owner = _holds.get(self._key)
        if owner is None:
            return None
        if owner.loop is not None and owner.loop.is_closed():
            _end(owner)  # with a task in it that will never end
            return None
        blocked = _loop_of_this_thread() if loop is None else None
        waiter = _Waiter(self._asked(loop), owner.queue, done, blocked)
        _line_up(waiter)
        if owner.waiter is not None:
            owner.waiter.wake()  # this may be a signal handler, before his waking
        if _would_wait_forever(waiter):
            _leave(waiter)
            raise WouldWaitForever
        owner = _holds.get(self._key)
        if owner is not None and owner.queue is waiter.queue:
            return waiter  # whoever ends a hold looks at the row again after it
        return None if _withdrawn(waiter) else waiter

    def _was_let_in(self, waiter: _Waiter) -> bool:
        _waiting.pop(waiter, None)
        if _holds.get(self._key) is not waiter.hold:
            return False  # the row was given up: everything anew
        self._hold, self._token = waiter.hold, _here.set(waiter.hold)
        return True


def _line_up(waiter: _Waiter) -> None:
    thread, queue = waiter.hold.thread, waiter.queue
    _waiting[waiter] = waiter.hold.key
    # On top of who waits in this thread already, a signal handler: it has to come before him.
    if thread is not None and any(each.hold.thread == thread for each in tuple(queue)):
        queue.appendleft(waiter)
    else:
        queue.append(waiter)


def _withdrawn(waiter: _Waiter) -> bool:
    """Leave the row; say whether nobody has been, or will be, handing the lock to this one."""
    _waiting.pop(waiter, None)
    try:
        waiter.queue.remove(waiter)
    except ValueError:
        return False
    return True


def _leave(waiter: _Waiter) -> None:
    """Wait no more: whoever hands the lock on at this moment hands it on once more."""
    if _withdrawn(waiter):
        return
    waiter.gone = True
    if _holds.get(waiter.hold.key) is waiter.hold:
        _end(waiter.hold)


def _end(hold: _Hold) -> None:
    """Hand the lock to the next in the row; to nobody, where there is none."""
    while _is_first_to_end(hold):
        waiter = _next(hold.queue)
        if waiter is None:
            _holds.pop(hold.key, None)
            # Who lined up after that look saw this hold, and sleeps.
            while (late := _next(hold.queue)) is not None:
                late.wake()
            return
        waiter.hold.queue = hold.queue
        _holds[hold.key] = waiter.hold
        waiter.wake()
        if not waiter.gone:
            return
        hold = waiter.hold


def _is_first_to_end(hold: _Hold) -> bool:
    try:
        return hold.open.pop()
    except IndexError:
        return False


def _next(queue: deque[_Waiter]) -> _Waiter | None:
    try:
        return queue.popleft()
    except IndexError:
        return None


def _would_wait_forever(waiter: _Waiter) -> bool:
    """Whether the holder of a lock cannot end before this waiter is let in.

    A walk along who waits for whom (E. G. Coffman, M. Elphick, A. Shoshani: System Deadlocks,
    Computing Surveys 3(2), 1971). Of two that come at the same moment each sees the other, since
    both line up before they look.
    """
    if waiter.hold.above is None and waiter.hold.thread is None:
        return False  # a task that holds nothing stops nobody
    seen: set[_Key] = set()
    left = [waiter.hold.key]
    while left:
        key = left.pop()
        owner = _holds.get(key)
        if owner is None or owner is waiter.hold or key in seen:
            continue  # free, or handed to this one meanwhile
        seen.add(key)
        if waiter.stops(owner):
            return True
        left += [theirs for each, theirs in tuple(_waiting.items()) if each.stops(owner)]
    return False


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


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop of asyncio that runs here. Raises ConfigError under any other, as trio's."""
    import asyncio  # by who runs a loop, and then it is imported already

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise ConfigError(
        "this needs an event loop of asyncio (uvloop's, or anyio's on asyncio): under trio use the "
        "sync store in trio.to_thread.run_sync"
    )


def _after_fork() -> None:
    """In the child there is one thread, in its context: only what that holds will ever end."""
    here = _here.get()
    _waiting.clear()
    _holds.clear()
    for hold in () if here is None else (here, *here.chain()):
        if hold.open:
            hold.queue = deque()
            _holds[hold.key] = hold


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
