"""previous=: what older declarations stored, read and moved on, only where it is declared."""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest
from cryptography.fernet import Fernet

from kvcodec import (
    ConfigError,
    DecodeError,
    FernetCipher,
    KeyRing,
    Keyspace,
    MemoryKV,
    NotEncrypted,
    Ordered,
    PathKeys,
    Previous,
    SchemaMismatch,
    Store,
    Tampered,
    TemplateKeys,
    UnknownKey,
)
from kvcodec.backends.dify import DifyKV
from kvcodec.testing import crash_everywhere, like_dify
from tests.both import BACKENDS, FACES, NOW, World, backends, every_listing_world, every_world

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
RING = KeyRing(KEY)
OTHER = KeyRing("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")


class Token(msgspec.Struct):
    access: str
    scopes: list[str] = []


ADA = Token("ya29.ada", ["mail"])
EVE = Token("ya29.eve")
JSON = b'{"access":"ya29.ada","scopes":["mail"]}'

OLD_NAMES = TemplateKeys("oauth:{user}:token", str)


def declared(old: Keyspace[Any, Any], **form: Any) -> Keyspace[Token]:
    """Today's declaration, with one older."""
    return Keyspace("tokens", Token, previous=[old], **form)


PATHS: dict[str, tuple[Keyspace[Any, Any], Callable[[Keyspace[Any, Any]], Keyspace[Token]]]] = {
    "json to msgpack": (
        Keyspace("tokens", Token),
        lambda old: declared(old, encoding="msgpack"),
    ),
    "plaintext to sealed": (
        Keyspace("tokens", Token),
        lambda old: declared(old, cipher=RING),
    ),
    "bare Fernet to bound": (
        Keyspace("tokens", Token, cipher=FernetCipher(RING, bound=False)),
        lambda old: declared(old, cipher=RING),
    ),
    "no ttl to ttl": (
        Keyspace("tokens", Token),
        lambda old: declared(old, ttl=600),
    ),
    "ttl to sealed msgpack with ttl": (
        Keyspace("tokens", Token, ttl=900),
        lambda old: declared(old, ttl=600, cipher=RING, encoding="msgpack"),
    ),
    "another name": (
        Keyspace("oauth", Token),
        declared,
    ),
    "another key scheme": (
        Keyspace("tokens", Token, keys=OLD_NAMES),
        declared,
    ),
    "another key scheme, sealed": (
        Keyspace("tokens", Token, keys=OLD_NAMES),
        lambda old: declared(old, cipher=RING),
    ),
}
ELSEWHERE = [name for name in PATHS if name.startswith("another")]

every_path = pytest.mark.parametrize("path", PATHS)


def opened(world: World, path: str) -> tuple[Any, Any, str, str]:
    """The old store, today's store, and the raw key of "ada" in both."""
    old, make = PATHS[path]
    new = make(old)
    return world.open(old), world.open(new), old.raw_key("ada"), new.raw_key("ada")


# ------------------------------------------------------------------- each operation, each path


@every_path
@every_world
def test_get_reads_and_changes_nothing(world: World, path: str) -> None:
    """get, require, exists and get_many see the old value; the stored bytes stay."""
    old, new, old_name, _ = opened(world, path)
    old.set("ada", ADA)
    before = world.holds(old_name)
    assert new.get("ada") == ADA
    assert new.require("ada") == ADA
    assert new.exists("ada") is True
    assert new.get_many(["ada", "bob"]) == {"ada": ADA}
    assert new.get("bob") is None
    assert new.exists("bob") is False
    assert world.holds(old_name) == before


@every_path
@every_world
def test_set_writes_todays_form_and_name(world: World, path: str) -> None:
    """After set, update or set_many only today's bytes are left, under today's name."""
    writes: list[Callable[[Any], object]] = [
        lambda store: store.set("ada", EVE),
        lambda store: store.set_many({"ada": EVE}),
        lambda store: store.update("ada", lambda _: EVE),
    ]
    for write in writes:
        old, new, old_name, name = opened(world, path)
        old.set("ada", ADA)
        write(new)
        assert new.get("ada") == EVE
        if old_name != name:
            assert world.holds(old_name) is None
        today = PATHS[path][1](PATHS[path][0])
        assert today.unpack(name, world.holds(name) or b"", now=NOW) == EVE
        new.delete("ada")


@every_path
@every_world
def test_update_sees_the_old_value(world: World, path: str) -> None:
    """What change gets is the old value, as today's type; what it raises leaves the bytes."""
    old, new, old_name, _ = opened(world, path)
    old.set("ada", ADA)
    before = world.holds(old_name)

    def refuse(value: Token) -> Token:
        assert value == ADA
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        new.update("ada", refuse)
    assert world.holds(old_name) == before
    changed = new.update("ada", lambda value: Token(value.access + "!", value.scopes))
    assert changed == new.get("ada") == Token("ya29.ada!", ["mail"])


@every_path
@every_world
def test_add_sees_that_it_is_taken(world: World, path: str) -> None:
    """An old value counts; where there is none, add stores."""
    old, new, _, _ = opened(world, path)
    old.set("ada", ADA)
    assert new.add("ada", EVE) is False
    assert new.get("ada") == ADA
    assert new.add("bob", EVE) is True
    assert new.get("bob") == EVE


@every_path
@every_world
def test_pop_takes_it_once(world: World, path: str) -> None:
    """Pop gives the old value and leaves nothing under either name."""
    old, new, old_name, name = opened(world, path)
    old.set("ada", ADA)
    assert new.pop("ada") == ADA
    assert new.pop("ada") is None
    assert (world.holds(old_name), world.holds(name)) == (None, None)


@every_path
@every_world
def test_delete_removes_every_name(world: World, path: str) -> None:
    """Delete and delete_many leave nothing that could come back."""
    removes: list[Callable[[Any], object]] = [
        lambda store: store.delete("ada"),
        lambda store: store.delete_many(["ada"]),
    ]
    for remove in removes:
        old, new, old_name, name = opened(world, path)
        new.set("ada", EVE)
        old.set("ada", ADA)
        remove(new)
        assert (world.holds(old_name), world.holds(name)) == (None, None)
        assert new.get("ada") is None


@every_path
@every_listing_world
def test_keys_and_items_list_old_and_new(world: World, path: str) -> None:
    """Each key once, whichever name it is under, and under both too."""
    old, new, old_name, _ = opened(world, path)
    old.set("ada", ADA)
    left = world.holds(old_name)
    old.set("eve", EVE)
    new.set("bob", EVE)
    assert sorted(new.keys()) == ["ada", "bob", "eve"]
    assert dict(new.items()) == {"ada": ADA, "bob": EVE, "eve": EVE}
    new.set("ada", EVE)
    if path in ELSEWHERE:
        world.put({old_name: left or b""})  # left by a crash between the set and the removal
    assert sorted(new.keys()) == ["ada", "bob", "eve"]
    assert dict(new.items())["ada"] == EVE
    assert new.count() == 3


@every_path
@every_listing_world
def test_migrate_moves_everything_on(world: World, path: str) -> None:
    """A dry run changes nothing and tells what there is; then all is of today's form and name."""
    old, new, old_name, name = opened(world, path)
    for key in ("ada", "eve"):
        old.set(key, ADA)
    new.set("bob", EVE)
    before = world.holds(old_name)
    dry = new.migrate(dry_run=True)
    assert (dry.checked, dry.changed, dry.states["older form"], dry.complete) == (3, 0, 2, True)
    assert world.holds(old_name) == before
    report = new.migrate()
    assert (report.checked, report.changed, report.complete) == (3, 2, True)
    again = new.verify()
    assert again.states == {"fine": 3}
    assert dict(new.items()) == {"ada": ADA, "bob": EVE, "eve": ADA}
    if old_name != name:
        assert world.holds(old_name) is None


@every_path
@every_listing_world
def test_a_walk_in_small_steps_is_the_whole_walk(world: World, path: str) -> None:
    """limit= and after=cursor meet every key once, moved or not, in either direction of names."""
    old, new, _, _ = opened(world, path)
    for at in range(4):
        old.set(f"k{at}", ADA)
        new.set(f"n{at}", ADA)
    for walk in (new.verify, new.migrate, new.verify):
        seen = in_steps_of_one(walk)
        assert len(seen) == len(set(seen)) == 8


def in_steps_of_one(walk: Callable[..., Any]) -> list[str]:
    """The names that a walk meets, a call each."""
    seen: list[str] = []
    report = walk(limit=1, on_progress=lambda finding: seen.append(finding.raw_key))
    while not report.complete:
        report = walk(
            after=report.cursor,
            limit=1,
            on_progress=lambda finding: seen.append(finding.raw_key),
        )
    return seen


@every_path
@every_world
def test_raw_explain_and_quarantine_find_it(world: World, path: str) -> None:
    """They look where get looks; quarantine keeps the bytes, and get then finds nothing."""
    old, new, old_name, _ = opened(world, path)
    old.set("ada", ADA)
    before = world.holds(old_name)
    assert new.raw("ada") == before
    explanation = new.explain("ada")
    assert "older form" in [step.name for step in explanation.steps]
    assert "ya29" not in str(explanation)
    assert new.quarantine("ada") == f"{old_name}!q1"
    assert world.holds(f"{old_name}!q1") == before
    assert new.get("ada") is None


@every_path
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("step", ["migrate", "update", "set", "pop", "delete"])
def test_a_crash_after_every_operation(
    path: str, backend: str, step: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Stopped anywhere, the value is as it was or as it should be, and a rerun completes."""
    old, make = PATHS[path]
    today = make(old)
    new_kv = backends(tmp_path_factory.mktemp("crash"))[backend]
    after = {"update": EVE, "set": EVE, "pop": None, "delete": None}.get(step, ADA)

    def filled() -> Any:
        kv = new_kv()
        Store(old, kv, clock=lambda: NOW).set("ada", ADA)
        return kv

    def run(kv: Any) -> None:
        store = Store(today, kv, clock=lambda: NOW)
        steps: dict[str, Callable[[], object]] = {
            "migrate": lambda: store.migrate(["ada"]),
            "update": lambda: store.update("ada", lambda _: EVE, default=EVE),
            "set": lambda: store.set("ada", EVE),
            "pop": lambda: store.pop("ada"),
            "delete": lambda: store.delete("ada"),
        }
        steps[step]()

    def check(kv: Any) -> None:
        assert Store(today, kv, clock=lambda: NOW).get("ada") in (ADA, after)

    def check_end(kv: Any) -> None:
        check(kv)
        run(kv)
        assert Store(today, kv, clock=lambda: NOW).get("ada") == after
        if old.raw_key("ada") != today.raw_key("ada"):
            assert kv.get(old.raw_key("ada")) is None

    assert crash_everywhere(run, check, make_kv=filled).stops > 0
    crash_everywhere(run, check_end, make_kv=filled)


@pytest.mark.parametrize("face", FACES)
def test_indexed_keyspaces_move_where_nothing_lists(face: type[Any]) -> None:
    """On Dify's storage the older index tells the keys, and the new one has them afterwards."""
    world = World(face, DifyKV(like_dify()))
    old = Keyspace("oauth", Token, indexed=True)
    new = Keyspace("tokens", Token, indexed=True, cipher=RING, previous=[old])
    for at in range(5):
        world.open(old).set(f"k{at}", ADA)
    world.open(new).set("n", EVE)
    store = world.open(new)
    names = ["k0", "k1", "k2", "k3", "k4", "n"]
    assert sorted(store.keys()) == names
    assert store.migrate().changed == 5
    assert sorted(world.open(new).keys()) == names
    assert world.open(old).keys() == []
    assert world.open(new).verify().states == {"fine": 6}


# -------------------------------------------------------------------------------- what counts


@every_world
def test_a_crash_between_the_two_names_is_cleaned_up(world: World) -> None:
    """Where both names hold a value, today's is read, and the next migrate removes the other."""
    old, new, old_name, name = opened(world, "another name")
    old.set("ada", ADA)
    world.put({name: b'{"access":"new"}'})
    assert new.get("ada") == Token("new")
    assert new.migrate(["ada"]).states == {"fine": 1}
    assert world.holds(old_name) is None
    assert new.get("ada") == Token("new")


@every_world
def test_several_older_names_are_read_in_order(world: World) -> None:
    """The first that holds a value is read; pop and delete leave none of them."""
    first, second = Keyspace("one", Token), Keyspace("two", Token)
    today = world.open(Keyspace("tokens", Token, previous=[first, second]))
    for take in (today.pop, today.delete):
        world.open(second).set("ada", EVE)
        world.open(first).set("ada", ADA)
        assert today.get("ada") == ADA
        take("ada")
        assert today.get("ada") is None
        assert [world.holds(f"{name}/ada") for name in ("one", "two")] == [None, None]


@every_world
def test_nothing_is_read_that_is_not_declared(world: World) -> None:
    """Without previous= the old bytes raise, or are under a name that nobody looks at."""
    world.put({"tokens/ada": JSON, "oauth/ada": JSON})
    forms: list[dict[str, Any]] = [{"cipher": RING}, {"encoding": "msgpack"}, {"ttl": 60}]
    for form in forms:
        with pytest.raises(DecodeError):
            world.open(Keyspace("tokens", Token, **form)).get("ada")
    assert world.open(Keyspace("tokens", Token)).get("eve") is None


@every_world
def test_what_is_of_todays_form_is_never_tried_as_an_older_one(world: World) -> None:
    """A sealed value that does not open raises: there is no way round by an older declaration."""
    _, today, _, name = opened(world, "plaintext to sealed")
    today.set("ada", ADA)
    data = bytearray(world.holds(name) or b"")
    data[-1] ^= 1
    world.put({name: bytes(data)})
    with pytest.raises(Tampered):
        today.get("ada")
    with pytest.raises(Tampered):
        today.update("ada", lambda value: value, default=EVE)
    assert world.holds(name) == bytes(data)


@every_world
def test_an_envelope_that_is_an_older_form_alone_says_what_is_wrong_by_that(world: World) -> None:
    """A key that is missing is told as such, and not as today's form having been changed."""
    world.open(Keyspace("tokens", Token, cipher=RING)).set("ada", ADA)
    today = declared(Keyspace("tokens", Token, cipher=OTHER), cipher=OTHER, ttl=60)
    with pytest.raises(UnknownKey):
        world.open(today).get("ada")
    report = world.open(today).verify(["ada"])
    assert report.unreadable == {"tokens/ada": "decrypt: UnknownKey"}
    sealed: list[Keyspace[Any]] = [
        Keyspace("tokens", Token, cipher=OTHER),
        Keyspace("tokens", bytes, cipher=OTHER),
    ]
    with pytest.raises(Tampered, match="no lifetime"):  # nobody can say which
        world.open(Keyspace("tokens", Token, cipher=OTHER, ttl=60, previous=sealed)).get("ada")


@every_world
def test_older_forms_are_read_under_their_own_names_only(world: World) -> None:
    """Plaintext is declared for the old name: under today's it is refused."""
    _, today, old_name, name = opened(world, "another key scheme, sealed")
    world.put({name: JSON})
    with pytest.raises(NotEncrypted):
        today.get("ada")
    world.put({old_name: JSON})
    with pytest.raises(NotEncrypted):
        today.get("ada")  # today's name comes first, and what is there is unreadable


@every_world
def test_the_sunset_closes_the_window(world: World) -> None:
    """From until= on, old values are refused: not missing, not read, not overwritten by update."""
    until = datetime.fromtimestamp(NOW + 10, UTC)
    for old, ring in (
        (Keyspace("tokens", Token), RING),
        (Keyspace("oauth", Token), None),
    ):
        previous = Previous(old, until=until)
        today = Keyspace("tokens", Token, previous=[previous], cipher=ring)
        world.clock.now = NOW
        world.open(old).set("ada", ADA)
        before = world.holds(old.raw_key("ada"))
        store = world.open(today)
        assert store.get("ada") == ADA
        world.clock.now = NOW + 10
        for read in (store.get, store.require, store.pop):
            with pytest.raises(DecodeError):
                read("ada")
        with pytest.raises(DecodeError):
            store.update("ada", lambda value: value, default=EVE)
        assert store.verify(["ada"]).states["unreadable"] == 1
        assert world.holds(old.raw_key("ada")) == before
        world.open(old).delete("ada")


@pytest.mark.parametrize(
    "until",
    [datetime(2030, 1, 1), True, "2030-01-01", float("nan")],  # noqa: DTZ001 - the point
)
def test_a_sunset_is_a_moment(until: Any) -> None:
    """A wall clock without a zone, or anything else, is a ConfigError."""
    with pytest.raises(ConfigError, match="until="):
        Previous(Keyspace("tokens", Token), until=until)


@pytest.mark.parametrize("wrong", [Token, "tokens", None])
def test_previous_takes_keyspaces(wrong: Any) -> None:
    """Anything else is a ConfigError."""
    with pytest.raises(ConfigError, match="previous= takes keyspaces"):
        Keyspace("tokens", Token, previous=[wrong])
    with pytest.raises(ConfigError, match="convert= is a function"):
        Previous(Keyspace("tokens", Token), convert=3)  # type: ignore[arg-type]  # the point


def test_reads_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line per declaration, with its name and no value; the count goes on."""
    today = declared(Keyspace("tokens", Token), cipher=RING)
    store = Store(today, {"tokens/ada": JSON, "tokens/eve": JSON}, clock=lambda: NOW)
    with caplog.at_level(logging.INFO, "kvcodec"):
        for _ in range(3):
            store.get("ada")
            store.get("eve")
    assert today.previous[0].reads == 6
    (line,) = [record.getMessage() for record in caplog.records if record.name == "kvcodec"]
    assert "tokens" in line
    assert "ya29" not in line
    today.explain("tokens/ada", JSON)
    assert today.previous[0].reads == 6  # a look is no read


def test_convert_makes_todays_value() -> None:
    """Another type needs a function; its faults tell nothing of the value."""
    text = Keyspace("tokens", str)
    for convert, error in ((Token, None), (len, SchemaMismatch), (int, DecodeError)):
        today = Keyspace("tokens", Token, cipher=RING, previous=[Previous(text, convert=convert)])
        store = Store(today, {"tokens/ada": b"sk-live-SECRET"}, clock=lambda: NOW)
        if error is None:
            assert store.get("ada") == Token("sk-live-SECRET")
            continue
        with pytest.raises(error) as caught:
            store.get("ada")
        assert "SECRET" not in str(caught.value)


def test_what_today_cannot_hold_is_refused() -> None:
    """NaN of MessagePack would be null in JSON: a DecodeError, never another value."""
    numbers = dict[str, float | None]
    old = Keyspace("numbers", numbers, encoding="msgpack")
    store = Store(Keyspace("numbers", numbers, previous=[old]), kv := MemoryKV())
    Store(old, kv).set("a", {"x": float("nan")})
    before = kv.get("numbers/a")
    Store(old, kv).set("b", {"x": 1.5, "y": None})
    with pytest.raises(DecodeError, match="today's type does not hold it"):
        store.get("a")
    assert store.migrate().unreadable == {"numbers/a": "decode: DecodeError"}
    assert kv.get("numbers/a") == before
    assert store.get("b") == {"x": 1.5, "y": None}
    wrong = Previous(Keyspace("tokens", Token), convert=lambda _: object())
    today = Keyspace("tokens", Token, cipher=RING, previous=[wrong])
    with pytest.raises(DecodeError, match="today's type does not hold it"):
        today.unpack("tokens/ada", JSON, now=NOW)


def test_a_bare_token_of_another_program() -> None:
    """What cryptography's Fernet wrote under the same key reads, and is bound by the next set."""
    token = Fernet(KEY).encrypt(JSON)
    kv = MemoryKV()
    kv.set("tokens/ada", token)
    old = Keyspace("tokens", Token, cipher=FernetCipher(RING, bound=False))
    store = Store(declared(old, cipher=RING), kv, clock=lambda: NOW)
    assert store.get("ada") == ADA
    store.migrate()
    bound = kv.get("tokens/ada") or b""
    assert bound[:1] == b"\xc1"
    kv.set("tokens/eve", bound)
    with pytest.raises(Tampered):
        store.get("eve")
    kv.set("tokens/eve", base64.urlsafe_b64encode(b"\x80" + bytes(72)))
    with pytest.raises(DecodeError):
        store.get("eve")


# ------------------------------------------------------------------------------------- times


def test_a_lifetime_of_before_goes_on() -> None:
    """Migrate keeps the time of expiry; where there was none, a lifetime begins with it."""
    old, make = PATHS["ttl to sealed msgpack with ttl"]
    kv = MemoryKV()
    Store(old, kv, clock=lambda: NOW).set("ada", ADA)
    today = make(old)
    Store(today, kv, clock=lambda: NOW + 800).migrate()
    assert Store(today, kv, clock=lambda: NOW + 899).get("ada") == ADA
    assert Store(today, kv, clock=lambda: NOW + 900).get("ada") is None
    old, make = PATHS["no ttl to ttl"]
    Store(old, kv := MemoryKV(), clock=lambda: NOW).set("ada", ADA)
    today = make(old)
    Store(today, kv, clock=lambda: NOW + 800).migrate()
    assert Store(today, kv, clock=lambda: NOW + 1399).get("ada") == ADA
    assert Store(today, kv, clock=lambda: NOW + 1400).get("ada") is None


@every_world
def test_an_old_value_that_expired_is_missing_everywhere(world: World) -> None:
    """Of a form with a lifetime, read by one without: every method agrees that it is gone."""
    for old in (Keyspace("tokens", Token, ttl=5), Keyspace("oauth", Token, ttl=5)):
        world.open(old).set("ada", ADA)
        store = world.open(declared(old))
        assert store.exists("ada") is True
        world.clock.now += 5
        assert store.get("ada") is None
        assert store.exists("ada") is False
        assert store.get_many(["ada"]) == {}
        if world.can_list:
            assert store.keys() == []
            assert store.items() == []
        assert store.update("ada", lambda value: value, default=EVE) == EVE
        assert store.get("ada") == EVE
        store.delete("ada")
        world.open(old).set("ada", ADA)
        world.clock.now += 5
        assert store.add("ada", EVE) is True
        store.delete("ada")


# -------------------------------------------------------------------------------------- names


class Route(NamedTuple):
    user: str
    number: int


def test_integers_that_sort_are_another_name() -> None:
    """From plain digits to Ordered: the same prefix, other names, and all is found."""
    old = Keyspace("turns", Token, key=int)
    ordered: Any = Annotated[int, Ordered()]
    today: Keyspace[Token, Any] = Keyspace("turns", Token, key=ordered, previous=[old])
    kv = MemoryKV()
    Store(old, kv).set(7, ADA)
    store = Store(today, kv)
    assert store.get(7) == ADA
    assert list(store.keys()) == [7]
    assert store.migrate().changed == 1
    assert list(kv.scan_keys("")) == [today.raw_key(7)]


def test_keys_of_older_schemes_come_as_todays_type() -> None:
    """A tuple of before is the NamedTuple of today."""
    old = Keyspace(
        "chats", Token, key=tuple[str, int], keys=TemplateKeys("c:{user}:{number}", tuple[str, int])
    )
    today = Keyspace("chats", Token, key=Route, previous=[old])
    kv = MemoryKV()
    Store(old, kv).set(("ada", 7), ADA)
    (key,) = Store(today, kv).keys()
    assert key == Route("ada", 7)
    assert type(key) is Route
    assert Store(today, kv).get(Route("ada", 7)) == ADA


def test_rewrap_reaches_older_names_too() -> None:
    """A retired key is not said to be free while an older name still needs it."""
    ring = KeyRing(KEY)
    old = Keyspace("oauth", Token, cipher=OTHER)
    kv = MemoryKV()
    Store(old, kv).set("ada", ADA)
    both = KeyRing(KEY, retired=["AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="])
    rotated = Keyspace("oauth", Token, cipher=both)
    store = Store(Keyspace("tokens", Token, cipher=both, previous=[rotated]), kv)
    before = store.rewrap(limit=1)
    assert before.key_ids == {ring.primary: 1}  # rewrapped in its own form and place
    assert store.rewrap().may_drop(OTHER.primary) is True
    assert store.get("ada") == ADA
    assert kv.get("oauth/ada") is not None


def test_rewrap_without_the_older_key_says_so() -> None:
    """What an older declaration seals under a ring of its own is counted under its key."""
    old = Keyspace("oauth", Token, cipher=OTHER)
    kv = MemoryKV()
    Store(old, kv).set("ada", ADA)
    store = Store(Keyspace("tokens", Token, cipher=RING, previous=[old]), kv)
    report = store.rewrap()
    assert report.key_ids == {OTHER.primary: 1}
    assert report.may_drop(OTHER.primary) is False


# ------------------------------------------------------------------- what cannot be told apart


SECOND: dict[str, Any] = {"version": 2, "upgrades": {1: lambda plain: plain}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {}),
        ({"cipher": RING}, {"cipher": RING, "encoding": "msgpack"}),
        ({"cipher": OTHER}, {"cipher": RING}),
        ({"ttl": 5}, {"ttl": 5, "encoding": "msgpack"}),
        (SECOND, {**SECOND, "encoding": "msgpack"}),
    ],
)
def test_forms_that_begin_alike_are_refused(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Under one name, what could be taken for today's is a ConfigError that names the ways out."""
    with pytest.raises(ConfigError, match=r"cannot be told .* version= instead"):
        declared(Keyspace("tokens", Token, **old), **new)
    Keyspace("tokens", Token, previous=[Keyspace("other", Token, **old)], **new)


def test_text_and_bytes_of_today_take_everything() -> None:
    """Any bytes are of today's form where that is text: no older form can be told from it."""
    for kind in (str, bytes):
        for old in (Keyspace("notes", Token), Keyspace("notes", Token, cipher=RING)):
            with pytest.raises(ConfigError, match="cannot be told"):
                Keyspace("notes", kind, previous=[Previous(old, convert=str)])


def test_what_today_reads_by_itself_may_be_named() -> None:
    """A form that only lacked compress=, or had a key that is retired now, reads as it is."""
    retired = KeyRing(KEY, retired=["AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="])
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"ttl": 60}, {"ttl": 60, "compress": "zlib"}),
        ({"cipher": OTHER}, {"cipher": retired}),
    ]
    for old, new in pairs:
        before: Any = Keyspace("tokens", Token, **old)
        today = declared(before, **new)
        raw_key, data = before.pack("ada", ADA, now=NOW)
        assert today.unpack(raw_key, data, now=NOW) == ADA


def test_names_that_an_older_declaration_reads_elsewhere_are_named_too() -> None:
    """A chain of names is listed whole: otherwise the first of them would be lost in silence."""
    first = Keyspace("one", Token)
    second = Keyspace("two", Token, previous=[first])
    with pytest.raises(ConfigError, match="name that in previous= here too"):
        Keyspace("three", Token, previous=[second])
    today = Keyspace("three", Token, previous=[second, first])
    kv = MemoryKV()
    Store(first, kv).set("ada", ADA)
    assert Store(today, kv).get("ada") == ADA
    assert Store(today, kv).migrate().changed == 1
    assert list(kv.scan_keys("")) == ["three/ada"]


def test_forms_in_a_chain_under_one_name_are_read() -> None:
    """JSON, then MessagePack, then sealed: the last declaration reads all three."""
    first = Keyspace("tokens", Token)
    second = Keyspace("tokens", Token, encoding="msgpack", previous=[first])
    today = declared(second, cipher=RING)
    for space in (first, second, today):
        raw_key, data = space.pack("ada", ADA, now=NOW)
        assert today.unpack(raw_key, data, now=NOW) == ADA


def test_path_keys_given_by_hand_are_the_default() -> None:
    """keys=PathKeys() is no other scheme."""
    old = Keyspace("tokens", Token, keys=PathKeys())
    assert Store(declared(old, cipher=RING), {"tokens/ada": JSON}).get("ada") == ADA
