"""Slack's stores beside those that slack-sdk ships, and what these do not promise."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.requires import require_module

require_module("slack_sdk", install="pip install 'kvcodec[slack]'")

from slack_sdk.oauth.installation_store import (  # noqa: E402 - after the skip
    Bot,
    FileInstallationStore,
    Installation,
)
from slack_sdk.oauth.installation_store.sqlite3 import SQLite3InstallationStore  # noqa: E402

from kvcodec import (  # noqa: E402
    AsyncSQLiteKV,
    ConfigError,
    EncodeError,
    KeyRing,
    MemoryKV,
    SQLiteKV,
    Tampered,
    Unavailable,
    UnknownKey,
    WatchedKV,
)
from kvcodec.integrations.slack import (  # noqa: E402
    AsyncSealedInstallations,
    AsyncStates,
    SealedInstallations,
    States,
)
from kvcodec.testing import (  # noqa: E402
    ErrorBefore,
    FaultyKV,
    ManualClock,
    crash_everywhere,
    like_eventual,
)
from tests.both import Waiting, awaited_kv  # noqa: E402
from tests.leaks import CANARY, leaks  # noqa: E402

RING = KeyRing.generate()
AT = {"enterprise_id": "E1", "team_id": "T1"}


def installation(user: str = "U1", **more: Any) -> Installation:
    """One person's installation, with a bot."""
    fields: dict[str, Any] = {"app_id": "A1", **AT, "user_id": user, "installed_at": 1.5}
    fields |= {"bot_token": f"xoxb-{user}", "bot_id": "B1", "bot_user_id": "UB"}
    fields |= {"bot_scopes": ["chat:write"], "user_token": f"xoxp-{user}"}
    return Installation(**(fields | more))


class Awaited(Waiting):
    """The async store behind the names of the other one."""

    def __init__(self, store: Any) -> None:
        super().__init__(store, asyncio.run)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name if name == "rewrap" else f"async_{name}")


def plain(kv: Any, ring: KeyRing = RING) -> Any:
    """The sync store."""
    return SealedInstallations(kv, ring)


def awaited(kv: Any, ring: KeyRing = RING) -> Any:
    """Its twin."""
    over: Any = awaited_kv(kv) if hasattr(kv, "set") else kv
    return Awaited(AsyncSealedInstallations(over, ring))


TWINS = pytest.mark.parametrize("opened", [plain, awaited])

# ------------------------------------------------------------------- beside what slack-sdk ships


class Step(NamedTuple):
    """Something that an app does."""

    what: str
    enterprise: str | None
    team: str | None
    user: str | None
    in_all: bool
    has_bot: bool


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(
            ["save", "save", "save", "save_bot", "delete_bot", "delete_installation", "delete_all"]
        ),
        st.sampled_from([None, "E1"]),
        st.sampled_from([None, "T1", "T2"]),
        st.sampled_from([None, "U1", "U2"]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


def take(step: Step, number: int, store: Any) -> None:
    """Do it to a store; ``number`` makes its tokens."""
    at = {"enterprise_id": step.enterprise, "team_id": step.team}
    saved = installation(
        step.user or "U3",
        **at,
        installed_at=float(number),
        is_enterprise_install=step.in_all,
        bot_token=f"xoxb-{number}" if step.has_bot else None,
        user_token=f"xoxp-{number}",
    )
    if step.what == "save":
        store.save(saved)
    elif step.what == "save_bot":
        store.save_bot(saved.to_bot())
    elif step.what == "delete_installation":
        store.delete_installation(**at, user_id=step.user)
    else:
        getattr(store, step.what)(**at)


def bot_of(store: Any, **at: Any) -> Any:
    """What tells bots apart."""
    bot: Bot | None = store.find_bot(**at)
    return bot and (bot.bot_token, bot.bot_id, bot.bot_scopes, bot.is_enterprise_install)


def found_by(store: Any, **at: Any) -> Any:
    """What tells installations apart."""
    found: Installation | None = store.find_installation(**at)
    return found and (found.user_id, found.user_token, found.bot_token, found.bot_scopes)


PLACES = [
    {"enterprise_id": enterprise, "team_id": team, "is_enterprise_install": in_all}
    for enterprise in (None, "E1")
    for team in (None, "T1", "T2")
    for in_all in (False, True)
]


@settings(max_examples=40)
@given(STEPS)
def test_it_finds_what_the_file_store_finds(steps: list[Step]) -> None:
    """But for the latest of all, once one person's is deleted: the file still has it."""
    alone = {(step.enterprise, step.team) for step in steps if step.user is not None}
    alone &= {(s.enterprise, s.team) for s in steps if s.what == "delete_installation"}
    with TemporaryDirectory() as folder:
        theirs = FileInstallationStore(base_dir=folder, client_id="c")
        stores = [theirs, plain({}), awaited({})]
        for number, step in enumerate(steps):
            for store in stores:
                take(step, number, store)
        for place in PLACES:
            team = None if place["is_enterprise_install"] else place["team_id"]
            users = ["U1", "U2", "U3", "U4"]
            users += [] if (place["enterprise_id"], team) in alone else [None]  # type: ignore[list-item]
            for ours in stores[1:]:
                assert bot_of(ours, **place) == bot_of(theirs, **place)
                for user in users:
                    asked = {**place, "user_id": user}
                    assert found_by(ours, **asked) == found_by(theirs, **asked)


@settings(max_examples=25)
@given(STEPS)
def test_it_finds_what_the_sqlite_store_finds(steps: list[Step]) -> None:
    """Whose user tokens are right after any deletion; its bots are not those of ``find_bot``."""
    with TemporaryDirectory() as folder:
        database = str(Path(folder) / "slack.db")
        theirs, ours = SQLite3InstallationStore(database=database, client_id="c"), plain({})
        theirs.init()  # type: ignore[no-untyped-call]
        for number, step in enumerate(steps):
            take(step, number, theirs)
            take(step, number, ours)
            _tell_apart(database)
        for place in PLACES:
            assert (bot_of(ours, **place) or [None])[0] == (bot_of(theirs, **place) or [None])[0]
            for user in (None, "U1", "U2", "U3", "U4"):
                one, other = (found_by(each, **place, user_id=user) for each in (ours, theirs))
                assert (one or [])[:2] == (other or [])[:2]


def _tell_apart(database: str) -> None:
    """Its clock has seconds: what was saved in the same one is in no order."""
    connection = sqlite3.connect(database)
    with connection:
        for table in ("slack_installations", "slack_bots"):
            connection.execute(f"update {table} set installed_at = datetime(id, 'unixepoch')")  # noqa: S608
    connection.close()


# ----------------------------------------------------------------------------- what comes back

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
TEXTS = st.text(st.characters(codec="utf-8"))


@given(
    st.builds(
        Installation,
        user_id=st.just("U1"),
        user_token=st.none() | TEXTS,
        user_scopes=st.lists(TEXTS) | st.lists(TEXTS).map(tuple),
        bot_token=st.none() | TEXTS,
        bot_scopes=st.lists(TEXTS),
        bot_token_expires_at=st.none() | st.integers(0, 2**40),
        installed_at=st.floats(0, 2**40),
        incoming_webhook_url=st.none() | TEXTS,
        token_type=st.none() | TEXTS,
        custom_values=st.dictionaries(TEXTS, st.none() | st.integers(-(2**53), 2**53) | TEXTS),
    )
)
def test_all_of_an_installation_comes_back(saved: Installation) -> None:
    """With what the app added, which slack-sdk's databases leave out."""
    store = plain({})
    store.save(saved)
    found = store.find_installation(enterprise_id=None, team_id=None, user_id="U1")
    expected = vars(saved) | {"user_scopes": list(saved.user_scopes or [])}
    assert vars(found) == expected
    bot = store.find_bot(enterprise_id=None, team_id=None)
    assert (bot and vars(bot)) == (vars(saved.to_bot()) if saved.bot_token is not None else None)


@TWINS
def test_what_would_not_come_back_is_refused(opened: Any) -> None:
    """And nothing of it is stored: no bot, and no name of who wanted to install."""
    kv = MemoryKV()
    store = opened(kv)
    for odd in ({1: "a"}, {"a": float("nan")}, {"a": b"x"}):
        with pytest.raises(EncodeError):
            store.save(installation(custom_values=odd))
    with pytest.raises(EncodeError):
        store.save(installation(incoming_webhook_url=b"x"))  # which a bot does not have
    assert list(kv.scan_keys("")) == []


def test_several_apps_share_a_kv() -> None:
    """Each has its own installations."""
    kv: dict[str, bytes] = {}
    one, other = (SealedInstallations(kv, RING, client_id=each) for each in ("a", "b"))
    one.save(installation())
    assert found_by(other, **AT) is None
    other.delete_all(**AT)
    assert found_by(one, **AT) is not None


def test_wrong_arguments_are_told_at_once() -> None:
    """And never is a token stored in clear."""
    nothing: Any = None
    for kind in (SealedInstallations, AsyncSealedInstallations):
        with pytest.raises(ConfigError, match=f"{kind.__name__} stores secrets"):
            kind({}, nothing)
        with pytest.raises(ConfigError):
            kind(nothing, RING)
    for states in (States, AsyncStates):
        for ttl in (nothing, 0, -1):
            with pytest.raises(ConfigError):
                states({}, ttl=ttl)


def test_twins_say_the_same() -> None:
    """Each method of the one has its twin, with the same words and parameters."""
    for one, other in ((SealedInstallations, AsyncSealedInstallations), (States, AsyncStates)):
        for name, method in vars(one).items():
            if name.startswith("_") or name == "logger":
                continue
            twin = vars(other)[name if name == "rewrap" else f"async_{name}"]
            assert inspect.getdoc(twin) == inspect.getdoc(method)
            assert inspect.signature(twin) == inspect.signature(method)


# ----------------------------------------------------------------------------------- attacks


@TWINS
def test_what_cannot_be_read_raises(opened: Any) -> None:
    """Where slack-sdk's SQLite store logs a warning and finds nothing."""
    kv: dict[str, bytes] = {}
    opened(kv).save(installation("U1"))
    opened(kv).save(installation("U2", user_token="xoxp-admin"))
    with pytest.raises(UnknownKey):
        opened(kv, KeyRing.generate()).find_installation(**AT)
    one, other = (f"slack-installations/-/E1/T1/{user}" for user in ("U1", "U2"))
    kv[one] = kv[other]
    with pytest.raises(Tampered):
        opened(kv).find_installation(**AT, user_id="U1")


@TWINS
def test_everything_moves_to_another_key(opened: Any) -> None:
    """Bots, installations, and who has one; the old key is needed no more."""
    kv: dict[str, bytes] = {}
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    opened(kv, KeyRing(old)).save(installation())
    reports = opened(kv, KeyRing(new, retired=[old])).rewrap()
    assert [report.changed for report in reports] == [1, 1, 1]
    assert all(report.may_drop(KeyRing(old).primary) for report in reports)
    assert found_by(opened(kv, KeyRing(new)), **AT) is not None


@TWINS
def test_no_error_of_writing_holds_a_token(opened: Any) -> None:
    """Neither in its text nor in the locals of kvcodec's frames."""
    for saved in (installation(bot_token=CANARY), installation(custom_values={"a": {CANARY}})):
        with pytest.raises((Unavailable, EncodeError)) as told:
            opened(FaultyKV(MemoryKV(), [ErrorBefore()] * 9)).save(saved)
        assert leaks(told.value) == []
    with pytest.raises(Unavailable) as told:
        opened(FaultyKV(MemoryKV(), [ErrorBefore()] * 9)).save_bot(
            installation(bot_token=CANARY).to_bot()
        )
    assert leaks(told.value) == []


# ------------------------------------------------------------------------- stops and crossings


@TWINS
def test_a_stop_anywhere_leaves_nothing_that_delete_all_does_not_find(opened: Any) -> None:
    """An app that is removed has no token left, wherever an installation was stopped before."""

    def run(kv: Any) -> None:
        store = opened(kv)
        store.save(installation("U1"))
        store.save(installation("U2"))
        store.delete_installation(**AT, user_id="U1")
        store.save(installation("U3"))

    def check(kv: Any) -> None:
        copied = MemoryKV()
        for name in list(kv.scan_keys("")):
            copied.set(name, kv.get(name))
        opened(copied).delete_all(**AT)
        left = list(copied.scan_keys(""))
        assert [name for name in left if not name.startswith("slack-installers/")] == []

    crash_everywhere(run, check)


def crossings(first: Any, second: Any) -> Any:
    """Yield a KV for each operation of ``first`` behind which ``second`` was done, whole."""
    at, done = 0, True
    while done:
        kv, seen, done = MemoryKV(), 0, False

        def between(_: object, kv: MemoryKV = kv, at: int = at) -> None:
            nonlocal seen, done
            seen += 1
            if seen == at + 1 and not done:
                done = True
                second(plain(kv))

        first(plain(WatchedKV(kv, between)))
        if done:
            yield kv
        at += 1


def test_an_installation_beside_a_removal() -> None:
    """Whichever is first: what is found is found by all, and the next removal takes it."""

    def save(store: Any) -> None:
        store.save(installation("U1"))

    def save_twice(store: Any) -> None:
        store.save(installation("U1", user_token="xoxp-old"))
        store.save(installation("U1"))

    def remove(store: Any) -> None:
        store.delete_installation(**AT)

    def removed_again(store: Any) -> None:
        store.save(installation("U1", user_token="xoxp-old"))
        store.delete_installation(**AT)

    pairs = [(save, remove), (save_twice, remove), (removed_again, save)]
    for kv in (kv for pair in pairs for kv in crossings(*pair)):
        store = plain(kv)
        one, latest = found_by(store, **AT, user_id="U1"), found_by(store, **AT)
        assert one == latest
        remove(store)
        assert found_by(store, **AT, user_id="U1") is None
        assert not list(kv.scan_keys("slack-installations/"))


@TWINS
def test_what_is_seen_later_than_it_is_written(opened: Any) -> None:
    """An installation is saved on a KV that shows writes after a while, which stands still here."""
    kv = like_eventual(lag=5)
    store = opened(kv)
    store.save(installation())
    kv.clock.advance(10)
    assert found_by(store, **AT)[0] == "U1"


def test_installations_at_once(tmp_path: Path) -> None:
    """Of many people in one workspace none is lost."""
    with SQLiteKV(tmp_path / "kv.db") as kv, ThreadPoolExecutor(8) as pool:
        users = [f"U{number}" for number in range(40)]
        list(pool.map(plain(kv).save, map(installation, users)))
        found = [found_by(plain(kv), **AT, user_id=user)[0] for user in users]
        assert found == users
        plain(kv).delete_all(**AT)
        assert not list(kv.scan_keys("slack-installations/"))


# ------------------------------------------------------------------------------------- states


def test_a_state_is_taken_once() -> None:
    """Within its time, by whoever comes first; what was never issued is none."""
    clock, kv = ManualClock(), MemoryKV()
    states = States(kv, ttl=timedelta(minutes=5), clock=clock)
    state, late = states.issue(), states.issue()
    assert state != late
    assert [states.consume(state), states.consume(state)] == [True, False]
    clock.advance(301)
    assert states.consume(late) is False
    for odd in ("", "x", "../" * 9, "ü" * 43, "a" * 43, "a" * 10_000, "\ud800", late + "\n"):
        assert states.consume(odd) is False


async def test_a_state_is_taken_once_by_tasks(tmp_path: Path) -> None:
    """The twin, with many at once."""
    async with AsyncSQLiteKV(tmp_path / "kv.db") as kv:
        states = AsyncStates(kv, cipher=RING)
        state = await states.async_issue()
        taken = await asyncio.gather(*(states.async_consume(state) for _ in range(20)))
        assert sorted(taken) == [False] * 19 + [True]
        assert await states.async_consume("x") is False


def test_a_state_is_taken_once_by_threads_and_connections(tmp_path: Path) -> None:
    """As of processes: each has a connection of its own."""
    path, ready = tmp_path / "kv.db", Barrier(4)

    def consume(state: str) -> bool:
        with SQLiteKV(path) as own:
            ready.wait(60)
            return States(own).consume(state)

    with SQLiteKV(path) as kv, ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            taken = list(pool.map(consume, [States(kv).issue()] * 4))
            assert sorted(taken) == [False, False, False, True]


def test_states_move_to_another_key() -> None:
    """And one that was planted without a key is refused."""
    kv: dict[str, bytes] = {}
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    state = States(kv, cipher=KeyRing(old)).issue()
    (report,) = States(kv, cipher=KeyRing(new, retired=[old])).rewrap()
    assert report.may_drop(KeyRing(old).primary)
    assert States(kv, cipher=KeyRing(new)).consume(state)
    (report,) = asyncio.run(AsyncStates(kv, cipher=KeyRing(new)).rewrap())
    assert report.checked == 0
