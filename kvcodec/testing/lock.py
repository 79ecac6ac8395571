"""A lock on what was promised: today's code still reads what older code stored.

One line in a test::

    def test_schema_lock():
        SchemaLock("kvcodec.lock.json").check(PREFERENCES, TOKENS, HISTORY)

The file is committed with the code. It holds, for each keyspace, its form, sample raw keys, and
golden encodings of each version, made from generated values. Stored data outlives code: what the
file holds is what is in somebody's database.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy

from kvcodec.envelope import Header
from kvcodec.errors import KVCodecError
from kvcodec.keyspace import Keyspace
from kvcodec.pipeline import Payload
from kvcodec.testing.strategies import keys, values

__all__ = ["LockBroken", "SchemaLock"]

SAMPLES = 25
"""Golden values of a version, and raw keys of a keyspace: a few hundred lines of JSON at most."""

UPDATE_VARIABLE = "KVCODEC_LOCK_UPDATE"
"""Set by ``pytest --kvcodec-lock-update``: compatible changes are recorded."""

_WAY_OUT = "record it with: pytest --kvcodec-lock-update"


class LockBroken(AssertionError):
    """Today's declaration breaks what the lock file promises."""


class SchemaLock:
    """The lock file at ``path``, beside the code that declares the keyspaces.

    Raises LockBroken, with the way out, for a keyspace or version that is not recorded yet, a
    form that is not read any more, a golden value that today's code cannot read, or would store
    differently under the same version. A new field with a default is compatible: what was stored
    reads back, and nothing of it is lost.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def check(self, *keyspaces: Keyspace[Any, Any], update: bool | None = None) -> None:
        """Hold every keyspace against the file.

        With ``update`` (by default where pytest was told ``--kvcodec-lock-update``) what is
        compatible is recorded; what is not still raises: raise ``version=`` and give an upgrade,
        or name the old declaration in ``previous=``.
        """
        wanted = bool(os.environ.get(UPDATE_VARIABLE)) if update is None else update
        recorded = self._read()
        problems = [
            problem
            for keyspace in keyspaces
            for problem in _problems(keyspace, recorded.get(keyspace.name), update=wanted)
        ]
        if problems:
            raise LockBroken("\n".join([f"{self._path}:", *problems]))
        if wanted:
            for keyspace in keyspaces:
                recorded[keyspace.name] = _recorded(keyspace, recorded.get(keyspace.name))
            self._path.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")

    def _read(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        found: dict[str, Any] = json.loads(self._path.read_text())
        return found


# ------------------------------------------------------------------------------------ record


def _recorded(keyspace: Keyspace[Any, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    entry = before or {"forms": [], "names": []}
    form = _form(keyspace)
    held = next((one for one in entry["forms"] if one["form"] == form), None)
    if held is None:
        held = {"form": form, "versions": {}}
        entry["forms"].append(held)
    golden = [base64.b64encode(data).decode() for data in _golden(keyspace)]
    held["versions"][str(keyspace.version)] = golden
    if not entry["names"]:
        entry["names"] = _names(keyspace)
    return entry


def _form(keyspace: Keyspace[Any, Any]) -> dict[str, Any]:
    """What decides the form of the stored bytes, beside the type."""
    form = keyspace._pipeline.form
    return {
        "codec": keyspace._pipeline.codec.name,
        "cipher": 0 if form.cipher is None else form.cipher.cipher_id,
        "compression": 0 if form.compression is None else form.compression.compression_id,
        "dated": form.dated,
        "expires": form.ttl is not None,
        "checksum": form.checksum,
    }


def _golden(keyspace: Keyspace[Any, Any]) -> list[bytes]:
    codec = keyspace._pipeline.codec
    encoding = codec.name if codec.name in ("json", "msgpack") else "json"
    found: set[bytes] = set()
    for value in _samples(values(keyspace.value_type, encoding=encoding)):
        try:
            found.add(keyspace._pipeline.encode(value))
        except KVCodecError:
            continue  # too large, for one: never stored, so nothing that was promised
    return sorted(found)


def _names(keyspace: Keyspace[Any, Any]) -> list[str]:
    return sorted({keyspace.raw_key(key) for key in _samples(keys(keyspace))})


def _samples(strategy: SearchStrategy[Any]) -> list[Any]:
    found: list[Any] = []

    # Derandomised: the same type gives the same samples, on every machine.
    @settings(
        max_examples=SAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


# ------------------------------------------------------------------------------------- check


def _problems(
    keyspace: Keyspace[Any, Any], entry: dict[str, Any] | None, *, update: bool
) -> Iterator[str]:
    name = f"keyspace {keyspace.name!r}"
    if entry is None:
        if not update:
            yield f"{name} is not in the lock file: {_WAY_OUT}"
        return
    for old in entry["forms"]:
        yield from (f"{name}: {problem}" for problem in _form_problems(keyspace, old))
    for raw_key in entry["names"]:
        if not any(_has_name(one, raw_key) for one in _all_forms(keyspace)):
            yield (
                f"{name}: the stored name {raw_key!r} is no key any more: name the old "
                "declaration in previous="
            )
            break
    if not update and not _is_recorded(keyspace, entry):
        yield f"{name}: version {keyspace.version} in this form is not recorded: {_WAY_OUT}"


def _is_recorded(keyspace: Keyspace[Any, Any], entry: dict[str, Any]) -> bool:
    form = _form(keyspace)
    return any(
        old["form"] == form and str(keyspace.version) in old["versions"] for old in entry["forms"]
    )


def _form_problems(keyspace: Keyspace[Any, Any], old: dict[str, Any]) -> Iterator[str]:
    reader = next((one for one in _all_forms(keyspace) if _form(one) == old["form"]), None)
    if reader is None:
        changed = _difference(old["form"], _form(keyspace))
        yield f"its form changed ({changed}): name the old declaration in previous="
        return
    for version, golden in old["versions"].items():
        problem = _first_problem(reader, int(version), golden)
        if problem is not None:
            yield f"version {version}: {problem}"


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}: {old[name]} -> {new[name]}" for name in old if old[name] != new[name]
    )


def _all_forms(keyspace: Keyspace[Any, Any]) -> Iterable[Keyspace[Any, Any]]:
    yield keyspace
    for previous in keyspace.previous:
        yield from _all_forms(previous.keyspace)


def _has_name(keyspace: Keyspace[Any, Any], raw_key: str) -> bool:
    try:
        return keyspace.raw_key(keyspace.key(raw_key)) == raw_key
    except KVCodecError:
        return False


def _first_problem(keyspace: Keyspace[Any, Any], version: int, golden: Iterable[str]) -> str | None:
    if version > keyspace.version:
        return f"today's code writes version {keyspace.version}: versions only go up"
    for text in golden:
        problem = _problem(keyspace, version, base64.b64decode(text))
        if problem is not None:
            return problem
    return None


def _problem(keyspace: Keyspace[Any, Any], version: int, encoded: bytes) -> str | None:
    pipeline = keyspace._pipeline
    try:
        today = pipeline.upgraded(Payload(Header(version=version), encoded))
        value = pipeline.decode(today)
        if version != keyspace.version:
            return None
        again = pipeline.encode(value)
    except KVCodecError as error:
        return (
            f"cannot be read any more ({error.args[0]}): raise version= with an upgrade, or give "
            f"new fields a default\n    stored: {encoded!r}"
        )
    lost = _lost(_plain(keyspace, encoded), _plain(keyspace, again), "$")
    if lost is None:
        return None
    return (
        f"would be stored differently ({lost}): raise version= with an upgrade\n"
        f"    stored: {encoded!r}\n    today:  {again!r}"
    )


def _plain(keyspace: Keyspace[Any, Any], encoded: bytes) -> Any:
    return keyspace._pipeline.codec.to_plain(encoded)


def _lost(old: Any, new: Any, path: str) -> str | None:
    """Where plain data of before is missing or another in today's; None if all is there."""
    for name, value in _entries(old):
        found = dict(_entries(new)).get(name, _NOTHING)
        if found is _NOTHING:
            return f"{path}.{name} is gone"
        lost = _lost(value, found, f"{path}.{name}")
        if lost is not None:
            return lost
    if type(old) is not type(new) or (isinstance(old, list) and len(old) != len(new)):
        return f"{path} is another value"
    is_nan = old != old and new != new  # noqa: PLR0124 - as MessagePack can hold it
    return None if isinstance(old, dict | list) or old == new or is_nan else f"{path} is another"


_NOTHING = object()


def _entries(plain: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(plain, dict):
        return list(plain.items())
    return list(enumerate(plain)) if isinstance(plain, list) else ()
