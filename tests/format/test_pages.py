"""docs/FORMAT.md and docs/BYTES.md: what they say is what kvcodec writes, reads and refuses.

The reader of the page stands beside kvcodec here, on the worked bytes and on many others: what one
refuses the other refuses, and what both read is the same.
"""

# The reader is made of the page's text: its names are known to no type checker.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import (
    AESGCMCipher,
    Cache,
    FernetCipher,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    KVCodecError,
    Log,
    Secret,
    Store,
    Subjects,
)
from kvcodec.secrets import tokens
from tests.format import worked
from tests.format.worked import Ran
from tests.format.worked_cases import CASES, KEY, NOW, RETIRED, TYPED, Case

READER = worked.reader()
RING = KeyRing(KEY, retired=[RETIRED])
REFUSED = "refused"

IDS = [case.title for case in CASES]


def clock() -> float:
    """The moment of all examples."""
    return NOW / 1000


def test_the_page_is_what_the_code_writes() -> None:
    """docs/BYTES.md, byte by byte. If it differs, stored bytes have changed: change the code."""
    assert worked.PAGE.read_text("utf-8") == worked.page()


def test_each_kind_has_worked_bytes() -> None:
    """Each kind of the format is on the page, and each cipher, padded and not."""
    ran = [(case, name) for case in CASES for name in worked.run(case).stored]
    kinds = {worked.kind_of(case, name) for case, name in ran}
    assert kinds >= {"value", *READER.OWN, "chunk"}
    sealed = {
        (c.told.get("cipher", 1), c.told.get("padding", 0)) for c in CASES if "ring" in c.told
    }
    assert sealed == {(1, 0), (1, 1), (2, 0), (2, 1)}
    assert any(b"\x04\x01" in data[:6] for c in CASES for data in worked.run(c).stored.values())
    assert any(worked.run(case).kms for case in CASES)


# ------------------------------------------------------------------- both readers, side by side


def plain(value: Any, codec: str = "raw") -> Any:
    """A value as the page's reader gives it: plain data, with secrets opened."""
    kept = {"json": (), "msgpack": (bytes, datetime)}.get(codec, (bytes,))
    return msgspec.to_builtins(
        value, enc_hook=lambda secret: plain(secret.reveal(), codec), builtin_types=kept
    )


def outcome(read: Callable[[], Any]) -> Any:
    """What a reader says: a value, or that it refuses."""
    try:
        return read()
    except (KVCodecError, READER.Unreadable):
        return REFUSED


def by_kvcodec(case: Case, space: Any, kv: dict[str, bytes], name: str) -> Any:
    """What kvcodec makes of a case's values."""
    kind = worked.kind_of(case, name)
    if kind == "value":
        return plain(space.unpack(name, kv[name], now=clock()), case.told.get("codec", "json"))
    if "manifest" in case.kinds.values():
        return Files(space, kv, clock=clock).get("a")
    if "head" in case.kinds.values():
        many: Any = {"writers": "many"} if "writer" in case.code else {}
        return list(Log(space, kv, clock=clock, **many).iterate("a"))
    if kind == "shard":
        return set(Store(space, worked.three_methods(kv), clock=clock).keys())
    if kind == "news":
        cache = Cache(space, kv, negative=5, clock=clock)
        return cache.get_or_load("ada", lambda: "loaded")
    return Subjects(space, kv, wrapper=worked.run(case).kms, clock=clock).ring("ada").primary


def by_the_page(case: Case, kv: dict[str, bytes], name: str) -> Any:
    """What the page's reader makes of them."""
    declared = READER.Declared(**case.told)
    kind = worked.kind_of(case, name)
    if kind == "value":
        return READER.read_value(declared, name, kv[name], NOW)
    if "manifest" in case.kinds.values():
        return READER.read_file(declared, "files/a", kv.get, NOW)
    if "head" in case.kinds.values():
        many = "writer" in case.code
        items = READER.read_log(declared, "log/a", kv.get, NOW, many=many)
        return [READER.decoded(declared.codec, item[2]) for item in items]
    if kind == "shard":
        names = READER.read_index(declared, kv.get)  # of others, too: they may share shards
        return {name.removeprefix("notes/") for name in names if name in kv}
    if kind == "news":
        try:
            READER.read_own(declared, "news", name, kv[name], [], NOW)
        except READER.Expired:
            return "loaded"
        return None
    kms = worked.run(case).kms
    key = READER.read_subject(declared, name, kv[name], kms and partial(_unwrapped, kms))[0]
    return KeyRing(READER.base64.urlsafe_b64encode(key).decode()).primary


def _unwrapped(kms: Any, wrapped: bytes, context: str) -> bytes:
    """What the page's reader is given to unwrap with."""
    try:
        key: bytes = kms.unwrap(wrapped, context)
    except InvalidTag:
        raise READER.Unreadable("not wrapped for this") from None
    return key


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_reader_reads_what_is_on_the_page(case: Case) -> None:
    """Every name of every case, to the same value as kvcodec."""
    ran = worked.run(case)
    for name, data in ran.left.items():
        found = by_the_page(case, dict(ran.left), name)
        if case.title == "A secret within a secret":
            # Which text is a secret's, only a type tells: the page's reader leaves it as it stands.
            assert found == case.reads
        elif case.reads is TYPED:
            value = ran.space.unpack(name, data, now=clock())
            assert msgspec.convert(found, type(value), str_keys=True) == value
        else:
            assert found == by_kvcodec(case, ran.space, dict(ran.left), name)
        if case.reads is not TYPED and worked.kind_of(case, name) == "value":
            assert found == case.reads
        assert data == ran.stored[name]


def mutations(data: bytes) -> Iterator[bytes]:
    """Each byte changed in two ways, and everything that is cut off or added."""
    for at, byte in enumerate(data):
        for flip in (1, 0x20):
            yield data[:at] + bytes((byte ^ flip,)) + data[at + 1 :]
    yield from (data[:at] for at in range(0, len(data), 5))
    yield data + b"\0"


IS_AUTHENTIC = [case for case in CASES if "ring" in case.told or case.told.get("checksum")]


@pytest.mark.parametrize("case", [case for case in CASES if case.reads is not TYPED])
def test_both_refuse_the_same(case: Case) -> None:
    """Changed bytes: what is sealed is refused by both, and of the rest kvcodec reads no more."""
    ran = worked.run(case)
    for name, data in ran.left.items():
        for changed in mutations(data):
            kv = {**ran.left, name: changed}
            theirs = outcome(partial(by_the_page, case, dict(kv), name))
            if case in IS_AUTHENTIC and not _is_open(case, ran, name, changed):
                assert theirs == REFUSED
            ours = outcome(partial(by_kvcodec, case, ran.space, dict(kv), name))
            # The page's reader also refuses rows that do not meet, which only a log that anybody
            # may write to can have; kvcodec looks at their links.
            stricter = (
                theirs == REFUSED and "head" in case.kinds.values() and "ring" not in case.told
            )
            assert stricter or ours in (REFUSED, theirs), (name, changed)


def _is_open(case: Case, ran: Ran, name: str, changed: bytes) -> bool:
    """Whether changed bytes may be read: of a record what nobody signs, or another spelling."""
    if not case.told.get("secrets"):
        # Of a lane's grid: that something is there is all that two of the three names say.
        return name.partition("!")[2][:2] in ("lx", "ly")
    decode = msgspec.json.decode if case.told.get("codec") is None else msgspec.msgpack.decode
    try:
        found = decode(changed)
    except (msgspec.MsgspecError, ValueError):
        return False
    stored = decode(ran.stored[name])
    return isinstance(found, dict) and {**found, "note": 0} == {**stored, "note": 0}


# ----------------------------------------------------------------------- every form of a value

CIPHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "none": (None, {}),
    "fernet": (RING, {"ring": (RETIRED, KEY)}),
    "fernet padded": (FernetCipher(RING, pad_to=7), {"ring": (KEY,), "padding": 1}),
    "aes": (AESGCMCipher(RING), {"ring": (KEY,), "cipher": 2}),
    "aes padded": (AESGCMCipher(RING, pad_to=64), {"ring": (KEY,), "cipher": 2, "padding": 1}),
}
OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"ttl": 5}, {"ttl": 5000}),
    ({"max_age": 5}, {"max_age": 5000}),
    ({"version": 2, "upgrades": {1: dict}}, {"version": 2}),
    ({"compress": "zlib", "compress_secrets": True}, {"compress": True}),
    ({"keys": HashedKeys()}, {"names": "hashed"}),
    ({"checksum": True, "max_age": 1, "ttl": 9}, {"checksum": True, "max_age": 1000, "ttl": 9000}),
    ({"encoding": "msgpack", "keys": HiddenKeys(KeyRing(KEY))}, {"codec": "msgpack", "names": KEY}),
]
VALUES = [{}, {"n": 1, "a": -5}, {"é": 2**53, "long": 7, **{f"k{at}": 0 for at in range(40)}}]


def forms() -> Iterator[tuple[Any, Any]]:
    """Keyspaces, and what the reader is told of each."""
    for (cipher, told), (options, more) in itertools.product(CIPHERS.values(), OPTIONS):
        sealed = cipher is not None
        if ("checksum" in options and sealed) or (more.get("names") == KEY and not sealed):
            continue  # refused when it is declared
        space = Keyspace("forms", dict[str, int], cipher=cipher, **options)
        yield space, {"keyspace": "forms", **told, **more}
        if sealed:
            here = {"keyspace": "forms", "context": "here"}
            yield space.bound_to("here"), {**here, **told, **more}


@pytest.mark.parametrize("value", VALUES, ids=["empty", "small", "large"])
def test_every_form_of_a_value(value: dict[str, int]) -> None:
    """The reader reads all of them, and refuses what is told otherwise, moved, changed or over."""
    for space, told in forms():
        declared = READER.Declared(**told)
        raw_key, data = space.pack("a b", value, now=clock())
        assert READER.read_value(declared, raw_key, data, NOW) == value
        for other in others(told):
            wrong = READER.Declared(**other)
            assert outcome(partial(READER.read_value, wrong, raw_key, data, NOW)) == REFUSED
        if told.keys() & {"ttl", "max_age"}:
            late = NOW + min(told.get(age, 10**9) for age in ("ttl", "max_age"))
            assert READER.read_value(declared, raw_key, data, late - 1) == value
            with pytest.raises(READER.Expired):
                READER.read_value(declared, raw_key, data, late)
            with pytest.raises(KVCodecError):
                space.unpack(raw_key, data, now=late / 1000)
        if "ring" in told:
            moved = raw_key[:-1] + ("c" if raw_key[-1] != "c" else "d")
            assert outcome(partial(READER.read_value, declared, moved, data, NOW)) == REFUSED


def others(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Declarations that differ in one point, which stored bytes are not of."""
    is_tied = "ring" in told or "checksum" in told
    if is_tied:
        yield {**told, "keyspace": "other"}
        yield {**told, "context": "there"}
        yield {**told, "codec": "raw"}
    if "ring" in told:
        yield {**told, "ring": (RETIRED,)}
        yield {**told, "cipher": 3 - told.get("cipher", 1)}
        yield {**told, "padding": 1 - told.get("padding", 0)}
        yield {**told, "ring": ()}
    else:
        yield {**told, "ring": (KEY,)}
    yield {**told, "checksum": not told.get("checksum")}
    yield {**told, "ttl": None if "ttl" in told else 5000}
    if "names" in told:
        yield {**told, "names": KEY if told["names"] == "hashed" else "hashed"}
    if told.get("version"):
        yield {**told, "version": 1}
        yield {**told, "version": 3, "oldest": 3}


class Account(msgspec.Struct):
    """A record with secrets at several depths."""

    user: str
    keys: list[Secret[int]]
    named: dict[str, Secret[str] | None]
    when: datetime = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    rate: float = -0.0
    amount: int = 2**70
    note: str = ""


@pytest.mark.parametrize("cipher", [one for one in CIPHERS if one != "none"])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("context", ["", "here"])
def test_records_in_every_form(cipher: str, context: str, encoding: Any) -> None:
    """Secrets in lists and dicts, big integers, an envelope around: read; moved ones refused."""
    sealing, told = CIPHERS[cipher]
    told = {"keyspace": "records", "codec": encoding, "unsigned": ("note",), **told}
    told["secrets"] = (("keys", ...), ("named", ...))
    options: dict[str, Any] = {"cipher": sealing, "unsigned": ("note",), "encoding": encoding}
    account = Account("ada", [Secret(1), Secret(2)], {"a": Secret("x"), "b": None})
    if encoding == "msgpack":
        account.amount = 2**64 - 1
    space: Any = Keyspace("records", Account, ttl=60, checksum=True, **options)
    space = space.bound_to(context) if context else space
    raw_key, data = space.pack("ada", account, now=clock())
    declared = READER.Declared(context=context, ttl=60_000, checksum=True, **told)
    assert READER.read_value(declared, raw_key, data, NOW) == plain(account, encoding)


@pytest.mark.parametrize("ids", ["AQDFqp2WtLOjirrA4iW8jrvU", "AgDFqp2WtLOjirrA4iW8jrvU", "A" * 24])
@given(rest=st.text("A_-=Q\n\0é.", max_size=6), start=st.sampled_from(["kvs1.", "kvs1", "KVS1."]))
def test_both_take_the_same_for_a_sealed_field(ids: str, rest: str, start: str) -> None:
    """Which text counts as a token decides what signs."""
    text = f"{start}{ids}.{rest}"
    ours, theirs = tokens.parsed(text), READER.token_of(text)
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert theirs == (ours.form + ours.key_id, ours.ciphertext)


@pytest.mark.parametrize("cipher", [one for one in CIPHERS if one != "none"])
def test_changed_records(cipher: str) -> None:
    """What is changed beside a sealed field, or exchanged, is refused by both readers."""
    sealing, told = CIPHERS[cipher]
    space = Keyspace("records", Account, cipher=sealing, unsigned=("note",))
    account = Account("ada", [Secret(1), Secret(2)], {"a": Secret("x"), "b": None})
    raw_key, data = space.pack("ada", account, now=0)
    declared = READER.Declared(
        keyspace="records", secrets=(("keys", ...), ("named", ...)), unsigned=("note",), **told
    )
    stored = msgspec.json.decode(data)
    again = msgspec.json.decode(space.pack("ada", account, now=0)[1])
    changed: dict[str, Any] = {
        "another user": {**stored, "user": "eve"},
        "a list cut": {**stored, "keys": stored["keys"][:1]},
        "tokens exchanged": {**stored, "keys": stored["keys"][::-1]},
        "an old token": {**stored, "keys": again["keys"]},
        "null": {**stored, "named": {"a": None, "b": None}},
        "plaintext": {**stored, "keys": [1, 2]},
        "order": dict(reversed(stored.items())),
        "nothing": {},
    }
    for case, record in changed.items():
        data = msgspec.json.encode(record)
        assert outcome(partial(READER.read_value, declared, raw_key, data, NOW)) == REFUSED, case
        assert outcome(partial(space.unpack, raw_key, data, now=0)) == REFUSED, case
    edited = msgspec.json.encode({**stored, "note": "kvs1. edited"})
    assert READER.read_value(declared, raw_key, edited, NOW)["note"] == "kvs1. edited"
    assert space.unpack(raw_key, edited, now=0).note == "kvs1. edited"
