"""Small C stacks: what recurses on them is refused before it does, whatever Python's limit says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kvcodec.codecs.stack import usual_stack

ROOT = Path(__file__).parents[2]

KIB = 1024


def in_a_thread(program: str, kib: int, limit: int = 1000) -> subprocess.CompletedProcess[str]:
    """Run a program's ``run()`` in a thread with so much stack, in a process of its own."""
    start = (
        f"import sys, threading; sys.setrecursionlimit({limit}); threading.stack_size({kib}*1024)\n"
        "thread = threading.Thread(target=run); thread.start(); thread.join()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program + start],
        cwd=ROOT,
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=100,
    )


CYCLES = """
import asyncio, dataclasses, msgspec
from kvcodec import AsyncStore, EncodeError, Keyspace, Log, Store

class Flat(msgspec.Struct):
    name: str = ""
    numbers: list[int] = []

@dataclasses.dataclass
class Data:
    numbers: list[int]

listed, named, numbered = [], {}, {}
listed.append(listed)
named["a"] = named
numbered[1] = numbered
own, data = Flat(), Data([])
own.name = own
data.numbers.append(data)
wrong = [
    (int, listed), (str, listed), (list[int], listed), (dict[str, int], named), (Flat, own),
    (Flat, Flat("", listed)), (Data, data), (dict[int, str], numbered),
    (list[set[int]], listed), (dict[str, frozenset[str]], named),
]
refused = []

def run():
    for kind, value in wrong:
        for encoding in ("json", "msgpack"):
            for validate in (True, False):
                keyspace = Keyspace("k", kind, encoding=encoding, validate=validate)
                for store in (
                    lambda: keyspace.pack("a", value, now=0.0),
                    lambda: Store(keyspace, {}).set("a", value),
                    lambda: asyncio.run(AsyncStore(keyspace, {}).set("a", value)),
                    lambda: Log(Keyspace("l", kind, encoding=encoding), {}).append("a", value),
                ):
                    try:
                        store()
                    except EncodeError:
                        refused.append(kind)
    print("alive", len(refused) == len(wrong) * 16)

"""


def test_a_cycle_where_nothing_nests_is_refused_on_a_small_stack() -> None:
    """Where the limit was raised, if only by one, as docs say for threads with little stack."""
    done = in_a_thread(CYCLES, 128, 1001)
    assert (done.returncode, done.stdout) == (0, "alive True\n"), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="asks for Linux's limits")
def test_a_cycle_is_refused_where_threads_usually_have_little_stack() -> None:
    """Regression: at its usual limit Python let the encoder go on to the end of such a stack.

    3.13 counts to 10,000, for which 1 MiB, what threads have under musl, is too little.
    """
    limited = (
        "import resource\nhard = resource.getrlimit(resource.RLIMIT_STACK)[1]\n"
        f"resource.setrlimit(resource.RLIMIT_STACK, (256 * {KIB}, hard))\n"
    )
    done = in_a_thread(limited + CYCLES, 128)
    assert (done.returncode, done.stdout) == (0, "alive True\n"), done.stderr


UNKNOWN = """
import msgspec
from kvcodec import Keyspace, Store, TooDeep

class Message(msgspec.Struct):
    text: str = ""

stored = {
    "json": b'{"zz":' + b"[" * 240 + b"]" * 240 + b"}",
    "msgpack": b"\\x81\\xa2zz" + b"\\x91" * 500 + b"\\x90",
}
refused = []

def run():
    for encoding, data in stored.items():
        kv = {"k/a": data}
        store = Store(Keyspace("k", Message, encoding=encoding, keep_unknown=True), kv)
        assert store.get("a") == Message()
        for act in (lambda: store.set("a", Message()), lambda: store.update("a", lambda was: was)):
            try:
                act()
            except TooDeep:
                refused.append(encoding)
        assert kv == {"k/a": data}
    print("alive", len(refused))

"""


@pytest.mark.parametrize("limit", [1000, 10**6])
def test_unknown_fields_that_nest_too_deep_are_not_carried_along(limit: int) -> None:
    """Regression: 500 levels in a field that the type does not know ended a process with 128 KiB.

    ``get`` skips them; to be kept they would have to be decoded.
    """
    done = in_a_thread(UNKNOWN, 128, limit)
    assert (done.returncode, done.stdout) == (0, "alive 4\n"), done.stderr


MADE = """
from typing import Any
from kvcodec import DecodeError, Keyspace, Previous, Store

tower = []
for _ in range(100_000):
    tower = [tower]
kv = {}
old = Keyspace("k", int)
Store(old, kv).set("a", 1)
upgrades = {1: lambda _: tower}

def run():
    for kind in (list[int], list[Any]):
        for options in (
            {"previous": [Previous(old, convert=lambda _: tower)]},
            {"version": 2, "upgrades": upgrades},
        ):
            try:
                Store(Keyspace("k", kind, **options), kv).get("a")
            except DecodeError:
                print("refused")

"""


def test_what_convert_and_upgrades_make_is_looked_at_too() -> None:
    """Regression: what they make was encoded in today's form without a look at its depth."""
    done = in_a_thread(MADE, 128, 10**6)
    assert (done.returncode, done.stdout.split()) == (0, ["refused"] * 4), done.stderr


DROPPED = """
def run():
    tower = []
    for _ in range(100_000):
        tower = [tower]
    del tower
    print("alive")

"""


def test_whose_recursion_it_is_that_drops_a_deep_value() -> None:
    """Python's own, without kvcodec: 3.13 frees nested containers by C recursion, 10,000 deep.

    The trashcan of other versions stops at 50, or looks at the stack (python/cpython#117760 and
    #124715). Hence no test drops a deep value in a thread with a small stack.
    """
    done = in_a_thread(DROPPED, 128)
    if sys.version_info[:2] == (3, 13) and done.returncode < 0:
        pytest.skip(f"signal {-done.returncode}: this Python ends where deep values are dropped")
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="asks for Linux's limits")
@pytest.mark.parametrize(
    ("limit", "is_glibc", "size"),
    [
        (8192 * KIB, True, 8192 * KIB),
        (256 * KIB, True, 256 * KIB),
        (-1, True, 2048 * KIB),  # RLIM_INFINITY
        (8192 * KIB, False, 1024 * KIB),
    ],
)
def test_the_usual_stack_is_what_threads_are_given(
    limit: int, size: int, monkeypatch: pytest.MonkeyPatch, *, is_glibc: bool
) -> None:
    """The limit of the process; where there is none, and under musl, what is then usual."""
    import resource

    names: Any = {"CS_GNU_LIBC_VERSION": 2} if is_glibc else {}
    monkeypatch.setattr(os, "confstr_names", names)

    def limits(_: int) -> tuple[int, int]:
        return limit, limit

    monkeypatch.setattr(resource, "getrlimit", limits)
    assert usual_stack() == size
