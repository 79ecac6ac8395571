"""What the stores accept that slack-sdk ships, files in plain, and kvcodec's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.requires import require_module

require_module("slack_sdk", install="pip install 'kvcodec[slack]'")

from slack_sdk.oauth.installation_store import (  # noqa: E402 - after the skip
    FileInstallationStore,
    Installation,
)
from slack_sdk.oauth.state_store import FileOAuthStateStore  # noqa: E402

from kvcodec import DecodeError, KeyRing  # noqa: E402
from kvcodec.integrations.slack import SealedInstallations, States  # noqa: E402
from tests.integrations.accepted import Attempt, Outcome, Seam  # noqa: E402

RING = KeyRing.generate()
STATE = "s" * 43


def _not_possible() -> Outcome:
    return "not possible"


def _their_installations(attack: Callable[[Path, Path], object]) -> Attempt:
    def attempt() -> Outcome:
        with TemporaryDirectory() as folder:
            store = FileInstallationStore(base_dir=folder)
            for team in ("T1", "T2"):
                store.save(Installation(team_id=team, user_id="U1", user_token=f"xoxp-{team}"))
            mine, yours = (
                Path(folder) / f"none-{each}/installer-U1-latest" for each in ("T1", "T2")
            )
            attack(mine, yours)
            found = store.find_installation(enterprise_id=None, team_id="T1", user_id="U1")
            return "taken" if found else "vanished"

    return attempt


def _our_installations(attack: Callable[[bytes, bytes], bytes], ring: KeyRing = RING) -> Attempt:
    def attempt() -> Outcome:
        kv: dict[str, bytes] = {}
        for team in ("T1", "T2"):
            SealedInstallations(kv, RING).save(Installation(team_id=team, user_id="U1"))
        mine, yours = (f"slack-installations/-/-/{each}/U1" for each in ("T1", "T2"))
        kv[mine] = attack(kv[mine], kv[yours])
        try:
            found = SealedInstallations(kv, ring).find_installation(
                enterprise_id=None, team_id="T1", user_id="U1"
            )
        except DecodeError:
            return "refused"
        return "taken" if found else "vanished"

    return attempt


def _their_states(attack: Callable[[Path], object]) -> Attempt:
    def attempt() -> Outcome:
        with TemporaryDirectory() as folder:
            store = FileOAuthStateStore(expiration_seconds=600, base_dir=folder)
            issued = Path(folder) / store.issue()  # pyright: ignore[reportUnknownMemberType]
            attack(issued)
            return "taken" if store.consume(STATE) else "vanished"

    return attempt


def _our_states(attack: Callable[[bytes], bytes], ring: KeyRing = RING) -> Attempt:
    def attempt() -> Outcome:
        kv: dict[str, bytes] = {}
        States(kv, cipher=RING).issue()
        (issued,) = kv
        kv[f"slack-states/{STATE}"] = attack(kv[issued])
        try:
            return "taken" if States(kv, cipher=ring).consume(STATE) else "vanished"
        except DecodeError:
            return "refused"

    return attempt


def _damaged(mine: bytes, _: bytes = b"") -> bytes:
    return mine[:-1] + bytes([mine[-1] ^ 1])


SEAMS = [
    Seam(
        name="slack-sdk FileInstallationStore",
        package="slack-sdk",
        version="3.48.0",
        shipped={
            "wrong key": (_not_possible, "not possible"),
            "copied row": (
                _their_installations(lambda mine, yours: shutil.copy(yours, mine)),
                "taken",
            ),
            "planted plaintext": (
                _their_installations(lambda mine, _: mine.write_text('{"user_id":"U1"}')),
                "taken",
            ),
            "damaged row": (
                _their_installations(
                    lambda mine, _: mine.write_text(mine.read_text().replace("xoxp", "xoxq"))
                ),
                "taken",
            ),
        },
        ours={
            "wrong key": _our_installations(lambda mine, _: mine, KeyRing.generate()),
            "copied row": _our_installations(lambda _, yours: yours),
            "planted plaintext": _our_installations(lambda _, __: b'{"user_id":"U1"}'),
            "damaged row": _our_installations(_damaged),
        },
        because={"wrong key": "the shipped store has no key: its files are plain"},
    ),
    Seam(
        name="slack-sdk FileOAuthStateStore",
        package="slack-sdk",
        version="3.48.0",
        shipped={
            "wrong key": (_not_possible, "not possible"),
            "copied row": (
                _their_states(lambda issued: shutil.copy(issued, issued.parent / STATE)),
                "taken",
            ),
            "planted plaintext": (
                _their_states(lambda issued: (issued.parent / STATE).write_text("9999999999")),
                "taken",
            ),
            "damaged row": (
                _their_states(
                    lambda issued: (issued.parent / STATE).write_text(f"1{issued.read_text()}")
                ),
                "taken",
            ),
        },
        ours={
            "wrong key": _our_states(lambda issued: issued, KeyRing.generate()),
            "copied row": _our_states(lambda issued: issued),
            "planted plaintext": _our_states(lambda _: b"true"),
            "damaged row": _our_states(_damaged),
        },
        because={"wrong key": "the shipped store has no key: its files are plain"},
    ),
]
