"""Deliberate faults of kvcodec, as small patches, and what of the public kit catches each.

    python -m tests.testing.mutations

prints the table. A fault that nothing catches is a hole in what users get, not in our own tests.
"""

# A patch takes whatever the function takes that it stands in for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import functools
import itertools
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from kvcodec import (
    DecodeError,
    EncodeError,
    KeyNameError,
    KeyRing,
    Keyspace,
    Log,
    MappingKV,
    MemoryKV,
    NotEncrypted,
    PrefixKV,
    SQLiteKV,
    Store,
    Unavailable,
)
from kvcodec.backends.sqlite_statements import Statements
from kvcodec.codecs import msgspec as codecs
from kvcodec.codecs import traits
from kvcodec.codecs import values as codec_values
from kvcodec.format import envelope
from kvcodec.format.envelope import Header
from kvcodec.keys import parts, paths
from kvcodec.keys.parts import escape, is_safe
from kvcodec.keyspace import encoding, wrapping
from kvcodec.keyspace.wrapping import Payload
from kvcodec.plans import listing, values, writing
from kvcodec.plans.cache import Caching
from kvcodec.plans.files import sources
from kvcodec.plans.files.reading import Cursor
from kvcodec.plans.listing import Listing
from kvcodec.plans.log import writing as log_writing
from kvcodec.plans.log.rows import Rows, Written
from kvcodec.plans.swap import PLAINLY, put
from kvcodec.secrets import ciphers as crypto
from kvcodec.testing import (
    KeyspaceLaws,
    KVConformance,
    cache_machine,
    crash_everywhere,
    files_machine,
    like_cache,
    log_machine,
    store_machine,
)
from kvcodec.testing.faulty import ManualClock

Patch: TypeAlias = Callable[[pytest.MonkeyPatch], None]
Checks: TypeAlias = Mapping[str, Callable[[], None]]

EXAMPLES = 20
"""Per law and machine: a tenth of a second each."""


class Preferences(msgspec.Struct):
    """A Struct as plugins store it."""

    theme: str = "light"
    size: float = 1.0
    tags: set[str] = set()
    seen: int = 0


Kind = Literal["text", "image"]
RING = KeyRing.generate()


# ------------------------------------------------------------------------------- what is checked


@functools.cache  # the same object for the same subject: tried once without a fault
def laws(*arguments: Any, **options: Any) -> Callable[[], Checks]:
    """The laws of a keyspace, declared after the fault is in place."""

    def checks() -> Checks:
        suite = KeyspaceLaws()
        suite.keyspace = Keyspace("notes", *arguments, **options)
        suite.examples = EXAMPLES
        names = [name for name in dir(suite) if name.startswith("test_")]
        return {f"KeyspaceLaws.{name}": getattr(suite, name) for name in names}

    return checks


@functools.cache  # the same object for the same subject: tried once without a fault
def machine(make_kv: Callable[[], Any], *arguments: Any, **options: Any) -> Callable[[], Checks]:
    """The state machine of a store."""

    def checks() -> Checks:
        made = store_machine(make_kv, Keyspace("notes", *arguments, **options))
        return {"store_machine": functools.partial(_run_machine, made)}

    return checks


def conformance(make_kv: Callable[[Path, Callable[[], float]], Any]) -> Callable[[], Checks]:
    """The checks of a backend."""

    class Suite(KVConformance):
        examples = EXAMPLES
        concurrent = False

        def make_kv(self) -> Any:
            self.clock = ManualClock()
            self.folder = TemporaryDirectory()
            return make_kv(Path(self.folder.name), self.clock)

        def close_kv(self, kv: Any, /) -> None:
            super().close_kv(kv)
            self.folder.cleanup()

        def advance(self, seconds: float) -> None:
            self.clock.advance(seconds)

    def checks() -> Checks:
        suite = Suite()
        names = [name for name in dir(suite) if name.startswith("test_")]
        found = {f"KVConformance.{name}": getattr(suite, name) for name in names}
        return {name: check for name, check in found.items() if check is not None}

    return checks


def crashes(
    run: Callable[[Any], object], check: Callable[[Any], object], make_kv: Callable[[], Any]
) -> Callable[[], Checks]:
    """An application, stopped everywhere."""

    def everywhere() -> None:
        crash_everywhere(run, check, make_kv=make_kv)

    return lambda: {"crash_everywhere": everywhere}


def _run_machine(made: Any) -> None:
    run_state_machine_as_test(
        made, settings=settings(max_examples=EXAMPLES, stateful_step_count=20)
    )


def log() -> Checks:
    """The state machine of a log."""
    made = log_machine(MemoryKV, Keyspace("notes", int))
    return {"log_machine": functools.partial(_run_machine, made)}


def files() -> Checks:
    """The state machine of files."""
    made = files_machine(MemoryKV, Keyspace("files", bytes))
    return {"files_machine": functools.partial(_run_machine, made)}


def cached() -> Checks:
    """The state machine of a cache."""
    made = cache_machine(MemoryKV, Keyspace("cache", int, ttl=60))
    return {"cache_machine": functools.partial(_run_machine, made)}


def _append(kv: Any) -> None:
    chat = Log(Keyspace("notes", str), kv, segment_bytes=64)
    for number in range(12):
        chat.append("ada", f"message {number}", id=str(number))


def _check_messages(kv: Any) -> None:
    found = [*Log(Keyspace("notes", str), kv, segment_bytes=64).iterate("ada")]
    if found != [f"message {number}" for number in range(len(found))]:
        raise AssertionError(f"messages are missing: {found}")


def _note_many(kv: Any) -> None:
    store = Store(Keyspace("notes", int, indexed=True), kv)
    for number in range(3):
        store.set(str(number), number)


def _check_listing(kv: Any) -> None:
    store = Store(Keyspace("notes", int, indexed=True), kv)
    listed = [*store.keys()]
    there = [str(number) for number in range(3) if store.get(str(number)) is not None]
    if not set(there) <= set(listed):
        raise AssertionError(f"{there} are stored, {listed} are listed")


# --------------------------------------------------------------------------------- the patches


class Mutation(NamedTuple):
    """One fault: what it is called, how it is made, and what is checked then."""

    name: str
    patch: Patch
    checks: Callable[[], Checks]


def attribute(owner: Any, name: str, new: Any) -> Patch:
    """Replace an attribute."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, new)


def around(owner: Any, name: str, wrap: Callable[..., Any]) -> Patch:
    """Replace a function by ``wrap(original, *its arguments)``."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        return wrap(original, *arguments, **options)

    return lambda monkeypatch: monkeypatch.setattr(owner, name, wrapped)


def setting_without(part: str) -> Patch:
    """Take a part of the statement by which SQLiteKV sets a value."""

    def changed(original: Any, statements: Any, table: str) -> None:
        original(statements, table)
        statements.set = statements.set.replace(part, "")

    return around(Statements, "__init__", changed)


def encoder(change: Callable[[Any], Any]) -> Patch:
    """Let the encoder of JSON write ``change(value)`` for a value."""

    def changed(original: Any, *arguments: Any) -> Any:
        codec = original(*arguments)
        encode = codec.encode
        lossy = lambda value: encode(change(value))  # noqa: E731 - two fields take the same one
        return msgspec.structs.replace(codec, encode=lossy, quick=lossy)

    return around(codecs, "msgspec_codec", changed)


def part_of_keys(kind: type, **changes: Any) -> Patch:
    """Change how parts of one type are joined and split."""
    part = msgspec.structs.replace(parts._PARTS[kind], **changes)
    return lambda monkeypatch: monkeypatch.setitem(parts._PARTS, kind, part)


def _safe_with_dots(text: str) -> bool:
    return parts._UNRESERVED.issuperset(text)


def _cut(text: str) -> str:
    return escape(text)[:9]


def _without_sign(number: int) -> str:
    return f"p{abs(number):019d}"


def _in_any_order(original: Any, *arguments: Any) -> Any:
    encode = msgspec.json.Encoder().encode
    return msgspec.structs.replace(original(*arguments), encode=encode, quick=encode)


def _claimed(self: Any, key: str, value: bytes, _ttl: Any) -> bool:
    self.set(key, value)
    return True


def _good(self: Any, key: str, value: bytes, _token: Any, _ttl: Any) -> bool:
    self.set(key, value)
    return True


def _forget_first(original: Any, self: Any, track: Any, held: Any, head: Any) -> Any:
    yield from self.heads.commit(track, head.cut(len(head.items)), held)
    return (yield from original(self, track, held, head))


def _never_stored(_self: Any, track: Any, _held: Any, head: Any) -> Any:
    yield from ()
    return Written(track.name(""), head.next, head.as_row(bytes(4)), b"")


def _new_digest(_message_id: str) -> bytes:
    return os.urandom(12)


def _note_later(monkeypatch: pytest.MonkeyPatch) -> None:
    note = Listing.note

    def no_note(_self: Any, _raw_key: str) -> Any:
        yield from ()

    def set_first(original: Any, listing: Any, place: Any, value: Any, ttl: Any) -> Any:
        yield from original(listing, place, value, ttl)
        yield from note(listing, place.raw_key)

    monkeypatch.setattr(Listing, "note", no_note)
    around(writing, "set_value", set_first)(monkeypatch)


def _astray(original: Any, self: Any, offset: int, whence: int) -> Any:
    return original(self, offset + 1 if offset else offset, whence)


def _ended_by_failure(original: Any, data: Any, size: int) -> Iterator[Any]:
    with suppress(InterruptedError):
        yield from original(data, size)


def _nothing(_self: Any, _place: Any) -> Any:
    yield from ()


def of_parts(name: str, new: Callable[[str], Any]) -> Patch:
    """Replace a function of text in parts, wherever keys are joined."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (parts, paths):
            monkeypatch.setattr(module, name, new)

    return patch


def safe_also(characters: str) -> Patch:
    """Take more characters for safe in a name."""
    safe = frozenset(characters)
    return of_parts("is_safe", lambda text: is_safe("".join(set(text) - safe) or "a"))


def _with_ints_as_floats(value: Any) -> Any:
    return int(float(value))


def _split_without_looking_back(scheme: Any, raw_key: str) -> Any:
    match = paths._pattern(scheme._literals, scheme._shape.parts).fullmatch(raw_key)
    found = paths._NO_KEY if match is None else scheme._rebuild(match.groups())
    if found is paths._NO_KEY:
        raise KeyNameError("not a raw key of this scheme", raw_key=raw_key, stage="name")
    return found


def _without_check(original: Any, self: Any, raw_key: str, data: bytes, now: float) -> Any:
    try:
        return original(self, raw_key, data, now)
    except NotEncrypted:
        return Payload(Header(), data)


def _default_for(*kinds: type[Exception]) -> Callable[..., Any]:
    def get(original: Any, self: Any, key: Any, default: Any = None) -> Any:
        try:
            return original(self, key, default)
        except kinds:
            return default

    return get


def _clobber(original: Any, self: Any, key: Any, value: Any, *, ttl: Any = None) -> None:
    try:
        original(self, key, value, ttl=ttl)
    except EncodeError:
        self.delete(key)
        raise


def _replace_anyway(original: Any, place: Any, data: Any, held: Any, ttl: Any, _can: Any) -> Any:
    return original(place, data, held, ttl, PLAINLY)


def _add_anyway(_original: Any, place: Any, data: Any, ttl: Any, _clock: Any, can: Any) -> Any:
    yield from put(place.raw_key, data, ttl, can)
    return True


def _leave_it(_original: Any, _name: Any, _held: Any, _can: Any) -> Generator[Any, Any, bool]:
    yield from ()
    return True


def _put_without_ttl(original: Any, raw_key: str, data: bytes, _ttl: Any, can: Any) -> Any:
    return original(raw_key, data, None, can)


def _quick_without_looking(codec: Any, _form: Any) -> Any:
    return codec.quick or encoding.no_quick_way


def _nothing_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_quick_way", _quick_without_looking)
    monkeypatch.setattr(encoding.Encoding, "compare", lambda *_: None)


def _lenient_text(data: bytes) -> str:
    return data.decode(errors="replace")


def _without_keyspace(original: Any, kind: Any, _keyspace: str, context: str, codec: str) -> bytes:
    return bytes(original(kind, "", context, codec))


def _without_key(original: Any, self: Any, start: bytes, _key: str) -> bytes:
    return bytes(original(self, start, ""))


def _by_pattern(self: Any, prefix: str, start_after: str = "") -> Iterator[str]:
    names = sorted({*self._values, *self._values.writes})
    yield from (name for name in names if fnmatch(name, f"{prefix}*") and name > start_after)


def _listed(method: Any, start: str, inner: str, after: str = "") -> Iterator[str]:
    yield from method(start + inner, after and start + after)


def _no_missing(original: Any, self: Any, wanted: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = original(self, wanted)
    return dict.fromkeys(wanted, b"") | found


def _raising_delete(self: Any, key: str) -> None:
    del self._mapping[key]


def _memory(_folder: Path, clock: Callable[[], float]) -> Any:
    return MemoryKV(clock=clock)


def _sqlite(folder: Path, clock: Callable[[], float]) -> Any:
    return SQLiteKV(folder / "kv.db", clock=clock)


ORDERED = Annotated[int, parts.Ordered()]
SECONDS: Patch = attribute(
    wrapping,
    "_is_over",
    lambda header, now: header.expires_ms is not None and now >= header.expires_ms,
)

MEMORY = conformance(_memory)
SQLITE = conformance(_sqlite)

MUTATIONS: list[Mutation] = [
    # ------------------------------------------------------------------------------ keys
    Mutation("a percent sign is left as it is", safe_also("%"), laws(int)),
    Mutation("a slash is left as it is", safe_also("/"), laws(int)),
    Mutation("two dots are left as they are", of_parts("is_safe", _safe_with_dots), laws(int)),
    Mutation("a control character is left as it is", safe_also("\n"), laws(int)),
    Mutation("an escaped name is cut", of_parts("escape", _cut), laws(int)),
    Mutation(
        "an int part goes through a float",
        part_of_keys(int, join=lambda value: str(int(float(value)))),
        laws(str, key=int),
    ),
    Mutation(
        "an Ordered part loses its sign",
        attribute(parts, "_ORDERED", msgspec.structs.replace(parts._ORDERED, join=_without_sign)),
        laws(str, key=ORDERED),
    ),
    Mutation(
        "other spellings of a raw key are taken",
        attribute(paths.Scheme, "split", _split_without_looking_back),
        laws(int),
    ),
    # ---------------------------------------------------------------------------- codecs
    Mutation("an int goes through a float", encoder(_with_ints_as_floats), laws(int)),
    Mutation(
        "a datetime loses its time zone",
        encoder(lambda moment: moment.replace(tzinfo=None)),
        laws(datetime, validate=False),
    ),
    Mutation(
        "sets are stored in their own order",
        around(codecs, "msgspec_codec", _in_any_order),
        laws(set[str]),
    ),
    Mutation(
        "NaN becomes null",
        attribute(traits, "_risk", lambda *_: "none"),
        laws(Preferences, validate=False),
    ),
    Mutation("what was encoded is not read back", _nothing_compared, laws(Preferences)),
    Mutation(
        "broken UTF-8 is replaced",
        attribute(codec_values, "_decode_text", _lenient_text),
        laws(str),
    ),
    Mutation(
        "JSON may be of any depth", attribute(codecs, "json_too_deep", lambda *_: False), laws(Any)
    ),
    Mutation(
        "a value may be of any size",
        attribute(wrapping.Wrapping, "refuse_size", lambda *_: None),
        laws(int),
    ),
    Mutation(
        "messages quote what was read", attribute(encoding, "reason", str), laws(dict[str, Kind])
    ),
    # -------------------------------------------------------------------------- envelope
    Mutation(
        "the context lacks the lengths of its parts",
        attribute(envelope, "length_prefixed", lambda *parts: b"".join(parts)),
        laws(int, cipher=RING),
    ),
    Mutation(
        "the context lacks the keyspace",
        around(wrapping, "place_of", _without_keyspace),
        laws(int, cipher=RING),
    ),
    Mutation(
        "the context lacks the key",
        around(wrapping.Wrapping, "_context", _without_key),
        laws(int, cipher=RING),
    ),
    Mutation(
        "the context lacks the header",
        around(
            wrapping.Wrapping,
            "_context",
            lambda original, self, _, key: original(self, b"\xc1\1\0", key),
        ),
        laws(int, cipher=RING, ttl=60),
    ),
    Mutation(
        "a checksum is of nothing",
        attribute(wrapping, "checksum_field", lambda *_: b"\x07\0\0\0\0"),
        laws(int, checksum=True),
    ),
    Mutation(
        "a token has several spellings",
        attribute(crypto, "_is_canonical", lambda _: True),
        laws(int, cipher=RING),
    ),
    Mutation(
        "plaintext is read as if it were sealed",
        around(wrapping.Wrapping, "unwrap", _without_check),
        laws(int, cipher=RING),
    ),
    Mutation("an expiry in milliseconds is taken for seconds", SECONDS, laws(int, ttl=60)),
    Mutation(
        "set drops its ttl",
        around(
            wrapping.Wrapping,
            "header_for",
            lambda original, self, now, _: original(self, now, None),
        ),
        laws(int, ttl=60),
    ),
    # ----------------------------------------------------------------------------- store
    Mutation(
        "the KV is not told the ttl", around(values, "put", _put_without_ttl), laws(int, ttl=60)
    ),
    Mutation(
        "what cannot be read is the default",
        around(Store, "get", _default_for(DecodeError)),
        laws(int),
    ),
    Mutation(
        "an outage is the default",
        around(Store, "get", _default_for(ConnectionError, Unavailable)),
        laws(int),
    ),
    Mutation("a refused set deletes", around(Store, "set", _clobber), laws(int)),
    Mutation(
        "update overwrites a newer value", around(values, "_replace", _replace_anyway), laws(int)
    ),
    Mutation(
        "what has expired exists",
        attribute(values, "_living", lambda _, held, __: held),
        laws(int, ttl=60),
    ),
    Mutation("add overwrites", around(values, "add", _add_anyway), machine(MemoryKV, int)),
    Mutation("pop leaves the value", around(values, "swap_out", _leave_it), machine(MemoryKV, int)),
    Mutation(
        "delete_many forgets the last",
        around(values, "delete_all", lambda original, places, can: original(places[:-1], can)),
        machine(MemoryKV, int),
    ),
    Mutation(
        "get_many finds nothing without many",
        around(listing, "get_many", lambda original, names, can: original(names[:1], can)),
        machine(dict, int),
    ),
    # -------------------------------------------------------------------------- backends
    Mutation(
        "MemoryKV: a ttl is dropped",
        attribute(MemoryKV, "set_with_ttl", lambda self, key, value, _: self.set(key, value)),
        MEMORY,
    ),
    Mutation(
        "MemoryKV: a claim overwrites",
        attribute(MemoryKV, "set_if_absent", _claimed),
        MEMORY,
    ),
    Mutation(
        "MemoryKV: an old token is good",
        attribute(MemoryKV, "set_if_version", _good),
        MEMORY,
    ),
    Mutation(
        "MemoryKV: what is absent is empty",
        around(MemoryKV, "get_many", _no_missing),
        MEMORY,
    ),
    Mutation(
        "MemoryKV: a prefix is a pattern",
        attribute(MemoryKV, "scan_keys", _by_pattern),
        MEMORY,
    ),
    Mutation(
        "MappingKV: deleting nothing raises",
        attribute(MappingKV, "delete", _raising_delete),
        conformance(lambda _, __: MappingKV({})),
    ),
    Mutation(
        "PrefixKV: listed names keep the prefix",
        lambda monkeypatch: monkeypatch.setitem(
            PrefixKV._offers,
            "scan_keys",
            lambda method, start: functools.partial(_listed, method, start),
        ),
        conformance(lambda _, clock: PrefixKV(MemoryKV(clock=clock), "tenant/")),
    ),
    Mutation(
        "SQLiteKV: a set keeps the old expiry",
        setting_without("exp = null, "),
        SQLITE,
    ),
    Mutation(
        "SQLiteKV: a write keeps the old version",
        setting_without("rev = excluded.rev, "),
        SQLITE,
    ),
    # ---------------------------------------------------------------------------- shapes
    Mutation(
        "Log: the head forgets before the row is stored",
        around(Rows, "write", _forget_first),
        crashes(_append, _check_messages, dict),
    ),
    Mutation("Log: rows are never stored", attribute(Rows, "write", _never_stored), log),
    Mutation("Log: a message id is forgotten", attribute(log_writing, "_digest", _new_digest), log),
    Mutation(
        "the index is written after the value",
        _note_later,
        crashes(_note_many, _check_listing, like_cache),
    ),
    Mutation("Files: a seek goes astray", around(Cursor, "seek", _astray), files),
    Mutation(
        "Files: a put that fails is stored",
        around(sources, "pieces", _ended_by_failure),
        files,
    ),
    Mutation("Cache: what is fresh is loaded again", attribute(Caching, "_find", _nothing), cached),
]


# ----------------------------------------------------------------------------------- the run


@contextmanager
def quietly() -> Generator[None]:
    """Look for faults without shrinking what is found: that they are found is what counts."""
    before = settings.get_current_profile_name()
    settings.register_profile(
        "mutations",
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=[*HealthCheck],
    )
    settings.load_profile("mutations")
    try:
        yield
    finally:
        settings.load_profile(before)


def catchers(mutation: Mutation, *, most: int | None = None) -> list[str]:
    """Return the checks that fail while the fault is there, or the first ``most`` of them."""
    with pytest.MonkeyPatch.context() as monkeypatch, quietly():
        mutation.patch(monkeypatch)
        failing = (name for name, check in mutation.checks().items() if fails(check))
        return [*itertools.islice(failing, most)]


def fails(check: Callable[[], None]) -> bool:
    """Say whether a check fails; one that is skipped does not."""
    try:
        check()
    except pytest.skip.Exception:
        return False
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - what a user would see
        return True
    return False


def table(found: Mapping[str, list[str]]) -> str:
    """Return which check caught which fault, in lines."""
    width = max(map(len, found))
    return "\n".join(
        f"{name:{width}}  {', '.join(checks) or 'NOTHING'}" for name, checks in found.items()
    )


def main() -> None:
    """Print the table."""
    start = time.perf_counter()
    found = {mutation.name: catchers(mutation) for mutation in MUTATIONS}
    missed = [name for name, checks in found.items() if not checks]
    sys.stdout.write(f"{table(found)}\n\n{len(found) - len(missed)} of {len(found)} caught, ")
    sys.stdout.write(f"{time.perf_counter() - start:.0f} s\n")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
