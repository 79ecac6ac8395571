"""Random changes to everything that is stored, of every kind: none is accepted.

*Accepted* means that an operation returns something else than what was stored, without an error.
What is left out, since no bytes can tell it: that a name was deleted, and that a whole old state
was put back. Both are in the other files, each with what is noticed all the same.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest

from kvcodec import (
    AESGCMCipher,
    BackendError,
    Cache,
    DecodeError,
    FernetCipher,
    Files,
    KeyRing,
    Keyspace,
    Log,
    MappingKV,
    Secret,
    Store,
    Subjects,
)
from kvcodec.format.derived import trace_name
from kvcodec.format.envelope import open_envelope
from kvcodec.format.files import spell_trace
from kvcodec.secrets import ciphers
from kvcodec.testing import ManualClock
from tests.attacks.support import Store_, ThreeMethods, dump, restore

MUTATIONS = int(os.environ.get("KVCODEC_MUTATIONS", "2000"))
"""How many there are in each store, of all ciphers together."""

KEY, OTHER = KeyRing.generate_key(), KeyRing.generate_key()
RING = KeyRing(KEY, retired=[OTHER])
OLD_RING = KeyRing(OTHER)
CLOCK = ManualClock()


class OwnCipher:
    """A cipher of the user's."""

    cipher_id = 200
    padding = 0

    def __init__(self, ring: KeyRing) -> None:
        inside: Any = AESGCMCipher(ring)
        self.key_id = bytes.fromhex(ring.primary)
        self.encrypt, self.decrypt = inside.encrypt, inside.decrypt


def _makers() -> dict[str, Callable[[KeyRing], Any]]:
    made: dict[str, Callable[[KeyRing], Any]] = {
        "fernet": FernetCipher,
        "aes-gcm": AESGCMCipher,
        "fernet, padded": lambda ring: FernetCipher(ring, pad_to=64),
        "aes-gcm, padded": lambda ring: AESGCMCipher(ring, pad_to=64),
        "a user's": OwnCipher,
    }
    chacha: Any = vars(ciphers).get("ChaCha20Cipher")
    return made if chacha is None else {**made, "chacha20": chacha}


MAKERS = _makers()


class Account(msgspec.Struct):
    url: str
    token: Secret[str]
    other: Secret[int] | None = None
    several: list[Secret[bytes]] = []


def _next(number: int) -> int:
    return number + 1


class Reader(NamedTuple):
    """What reads what is under some names, and what it found there."""

    read: Callable[[], Any]
    found: Any


class World:
    """Everything that kvcodec stores, under two keys, in two keyspaces, in two contexts."""

    def __init__(self, cipher: Any, kv: Store_) -> None:
        self.kv = kv
        self.cipher = cipher
        self.readers: dict[str, Reader] = {}
        for context in ("one", "two"):
            for space in ("k", "l"):
                self._shapes(f"{context}-{space}", context)
        self._index()

    def _spaces(self, name: str, kind: Any, context: str, **options: Any) -> Any:
        declare: Any = Keyspace
        return declare(name, kind, cipher=self.cipher, **options).bound_to(context)

    def _shapes(self, name: str, context: str) -> None:
        kv = self.kv
        values = Store(self._spaces(f"{name}v", str, context, ttl=60), kv, clock=CLOCK)
        plain = Store(self._spaces(f"{name}p", str, context, encoding="msgpack"), kv)
        versions = self._spaces(f"{name}n", int, context, version=2, upgrades={1: _next})
        records = Store(self._spaces(f"{name}r", Account, context), kv)
        packed = Store(
            self._spaces(f"{name}m", Account, context, encoding="msgpack", ttl=60), kv, clock=CLOCK
        )
        log = Log(self._spaces(f"{name}g", str, context), kv, segment_bytes=60, clock=CLOCK)
        lanes = Log(
            self._spaces(f"{name}w", str, context),
            kv,
            segment_bytes=60,
            clock=CLOCK,
            writers="many",
            writer="w",
        )
        file_space = self._spaces(f"{name}f", bytes, context)
        files = Files(file_space, ThreeMethods(kv), chunk_bytes=64, clock=CLOCK)
        trace = file_space.declaration.pipeline.part("trace")
        cache = Cache(self._spaces(f"{name}c", str, context, ttl=60), kv, negative=9, clock=CLOCK)
        people = Subjects(self._spaces(f"{name}s", bytes, context), kv)
        for key in ("a", "b"):
            words = f"of {name} {key}"
            self._store(values, key, words)
            self._store(plain, key, words)
            self._store(Store(versions, kv), key, len(name) * 100 + ord(key))
            account = Account(words, Secret(words), Secret(ord(key)), [Secret(words.encode())] * 2)
            self._store(records, key, account)
            self._store(packed, key, account)
            log.extend(key, [f"{words} {number}" for number in range(8)])
            lanes.extend(key, [f"{words} {number}" for number in range(8)])
            files.put(key, words.encode() * 20)
            cache.get_or_load(key, lambda: None)
            people.add(key)
            self._reads(f"{name}g/{key}", partial(_all, log, key))
            self._reads(f"{name}w/{key}", partial(_all, lanes, key))
            self._reads(f"{name}f/{key}", partial(files.get, key))
            self._reads(f"{name}f/{key}!t", partial(_swept, files, key))
            self._reads(f"{name}c/{key}", partial(_loaded, cache, key))
            self._reads(f"{name}s/{key}", partial(_ring, people, key))
            # As a put that was killed leaves one; reading it, above, has swept.
            left = trace_name(f"{name}f/{key}")
            kv.set(left, trace.wrap(left, spell_trace({"0" * 16: 3}), 0.0))

    def _store(self, store: Store[Any], key: str, value: Any) -> None:
        store.set(key, value)
        self._reads(f"{store.keyspace.name}/{key}", lambda: store.get(key))

    def _index(self) -> None:
        for space in ("x", "y"):
            keyspace = self._spaces(space, str, "one", indexed=True)
            opened = ThreeMethods(self.kv)
            store = Store(keyspace, opened)
            for number in range(12):
                store.set(f"{space} {number}", "v")
            self._reads(f"{space}!i", partial(_listed, keyspace, opened))

    def _reads(self, prefix: str, read: Callable[[], Any]) -> None:
        self.readers[prefix] = Reader(read, read())

    def readers_of(self, name: str) -> list[Reader]:
        """What reads a name: by the longest beginning of it that is known."""
        known = [prefix for prefix in self.readers if name.startswith(prefix)]
        return [self.readers[prefix] for prefix in known]


def _all(log: Log[str], key: str) -> list[str]:
    return list(log.iterate(key))


def _ring(people: Subjects[str], key: str) -> str:
    return repr(people.ring(key))


def _swept(files: Files[str], key: str) -> bytes | None:
    files.sweep([key])
    return files.get(key)


class NotThere(Exception):
    """What the loader raises: news that cannot be read are loaded anew, and that is no answer."""


def _loaded(cache: Cache[Any], key: str) -> Any:
    def load() -> Any:
        raise NotThere

    return cache.get_or_load(key, load)


def _listed(keyspace: Any, opened: Any) -> list[str]:
    return sorted(Store(keyspace, opened).keys())


# ------------------------------------------------------------------------------ the mutations

Mutate = Callable[[random.Random, dict[str, bytes], str], bytes]


def _flip(rng: random.Random, state: dict[str, bytes], name: str) -> bytes:
    data = bytearray(state[name])
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _cut(rng: random.Random, state: dict[str, bytes], name: str) -> bytes:
    data = state[name]
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, len(data) + 1) :]


def _insert(rng: random.Random, state: dict[str, bytes], name: str) -> bytes:
    data = state[name]
    at = rng.randrange(len(data) + 1)
    more = rng.choice((b"\0", b"=", b" ", b"A", rng.randbytes(rng.randrange(1, 20)), data[:at]))
    return data[:at] + more + data[at:]


def _header(rng: random.Random, state: dict[str, bytes], name: str) -> bytes:
    """Fields changed, left out, or of another header; in the order that is allowed."""
    data = state[name]
    if data[:1] != b"\xc1":
        return _flip(rng, state, name)
    header, _, _, payload = open_envelope(data)
    ids = [bytes.fromhex(each) for each in (RING.primary, OLD_RING.primary)]
    changes: list[dict[str, Any]] = [
        {"version": rng.choice((1, 2, 3, 2**31))},
        {"written_ms": rng.choice((None, 1, 2**40, 2**63))},
        {"expires_ms": rng.choice((None, 1, 2**60, 2**63))},
        {"compression": rng.choice((0, 1, 2, 9))},
        {"cipher": rng.choice((0, 1, 2, 3, 200))},
        {"key_id": rng.choice((ids[0], ids[1], rng.randbytes(16)))},
        {"padding": rng.choice((0, 1, 2))},
    ]
    changed = header
    for change in rng.sample(changes, rng.choice((1, 1, 2))):
        changed = msgspec.structs.replace(changed, **change)
    fields = changed.encode()
    return b"\xc1\x01" + bytes((len(fields),)) + fields + payload


def _swap(rng: random.Random, state: dict[str, bytes], name: str) -> bytes:
    """What is under another name: of another key, keyspace or context; or of another kind."""
    alike = [each for each in state if _kind(each) == _kind(name)]
    return state[rng.choice(alike if rng.random() < 0.7 else [*state])]


def _splice(rng: random.Random, state: dict[str, bytes], name: str) -> bytes:
    """The head of one and the tail of another."""
    mine, theirs = state[name], state[rng.choice([*state])]
    at = rng.randrange(len(mine))
    return mine[:at] + theirs[min(at, len(theirs)) :]


def _field(rng: random.Random, state: dict[str, bytes], name: str) -> bytes:
    """Members of a record, changed as data; of anything else, another one."""
    code: Any = {"r": msgspec.json, "m": msgspec.msgpack}.get(_kind(name))
    if code is None:
        return _swap(rng, state, name)
    data = state[name]
    head = 3 + data[2] if data[:1] == b"\xc1" else 0
    other = state[rng.choice([each for each in state if _kind(each) == _kind(name)])]
    plain: dict[str, Any] = code.decode(data[head:])
    theirs: dict[str, Any] = code.decode(other[head:])
    member = rng.choice([*plain])
    choices: list[Any] = [None, "", [], *plain.values(), *theirs.values(), "kvs1.AAAA", 5]
    if rng.random() < 0.2:
        del plain[member]
    else:
        plain[member] = rng.choice(choices)
    return data[:head] + bytes(code.encode(plain))


def _kind(name: str) -> str:
    """What is under a name, whosever it is."""
    if "!i" in name:
        return "!i"
    return name.partition("/")[0][-1] + name.partition("!")[2][:1]


KINDS_OF: tuple[Mutate, ...] = (_flip, _cut, _insert, _header, _swap, _splice, _field)


def _accepted(world: World, state: dict[str, bytes], name: str, data: bytes) -> bool:
    """Whether something else than what was stored is returned, by any of those who read it."""
    wrong = False
    for reader in world.readers_of(name):
        world.kv.set(name, data)
        try:
            wrong = wrong or reader.read() != reader.found
        except (DecodeError, BackendError, NotThere):
            pass
        restore(world.kv, state)  # a sweep, or a listing, mends what it finds
    return wrong


@pytest.mark.parametrize("name", MAKERS)
def test_no_change_of_the_stored_bytes_is_accepted(name: str, kv: Store_) -> None:
    """Flips, cuts, inserts, header surgery, swaps, splices, members of records; seeded."""
    world, older = World(MAKERS[name](RING), kv), World(MAKERS[name](OLD_RING), MappingKV({}))
    state = dump(world.kv)
    foreign = dump(older.kv)
    rng = random.Random(f"{name} 11")
    by_kind: dict[str, list[str]] = {}
    for each in state:
        if world.readers_of(each):
            by_kind.setdefault(_kind(each), []).append(each)
    done = 0
    accepted: list[tuple[str, str, bytes]] = []
    while done < MUTATIONS // len(MAKERS):
        target = rng.choice(by_kind[rng.choice([*by_kind])])
        mutate = rng.choice(KINDS_OF)
        # Of a retired key, which this ring opens as well: only the name has to be another one.
        source = rng.choice((state, state, state, foreign)) if mutate is _swap else state
        data = mutate(rng, source, target)
        if data == state[target] or (source is foreign and data == foreign.get(target)):
            continue
        done += 1
        if _accepted(world, state, target, data):
            accepted.append((target, mutate.__name__, data))
    assert accepted == []


def test_every_kind_is_among_them() -> None:
    """Value, record, manifest, chunk, trace, head, row, lane, shard, news, subject."""
    world = World(MAKERS["fernet"](RING), MappingKV({}))
    kinds = {_kind(name) for name in dump(world.kv) if world.readers_of(name)}
    assert kinds == {*"vpnrmgfs", "fg", "ft", "gs", "ww", "wl", "cn", "!i"}
