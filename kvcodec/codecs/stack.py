"""How deep Python lets an encoder recurse, and whether the C stacks of this process bear that.

msgspec recurses on the C stack and asks Python whether to go on (msgspec#1033, "not planned").
What Python answers does not come from the stack that is there: up to 3.11 it counts to its
recursion limit, 3.12 to 1,500 and 3.13 to 10,000, whatever that limit is (python/cpython#112215).
From 3.14 on it looks at the stack (python/cpython#91079).
"""

from __future__ import annotations

import os
import sys

__all__ = ["SAFE_RECURSION"]

_KIB = 1024

_NEEDED = (4096 if sys.version_info >= (3, 12) else 512) * _KIB
"""Bytes that the encoder takes until Python stops it. Measured with msgspec 0.22 on x86-64 Linux:
256 KiB on 3.11, 512 KiB on 3.12.1, 2.5 MiB on 3.13.0. A later 3.12 may count as 3.13 does."""


def usual_stack() -> int:
    """Bytes of the stack of a thread for which nobody asked for another size."""
    try:
        import resource
    except ImportError:  # Windows: Python's limit there is chosen for the stack of its executable
        return _NEEDED
    if sys.platform == "linux" and "CS_GNU_LIBC_VERSION" not in os.confstr_names:
        return 1024 * _KIB  # musl: what Python's configure script asks for
    size = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return 2048 * _KIB if size == resource.RLIM_INFINITY else size  # pthread_create(3)


SAFE_RECURSION = 1000 if usual_stack() >= _NEEDED else 0
"""The recursion limit up to which an encoder gives up before a usual stack ends: Python's own, or
none. Above it, a value that is not of its type can nest until the process ends, and is looked at
before it is encoded, as values of nesting types always are.

A thread may have been given less (``threading.stack_size``). That cannot be asked: the call sets.
A program that does so raises the limit as well, to 1,001 say, and every value is looked at."""
