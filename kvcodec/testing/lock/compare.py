"""What of a lock file today's declarations break, in words and with the way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import inspect as kinds

from kvcodec.codecs.codec import Secrets
from kvcodec.errors import KVCodecError
from kvcodec.format.plain import is_dict, is_list
from kvcodec.format.shapes import member_of, part_of
from kvcodec.keyspace.declaration import Declaration, Older
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.testing.lock.golden import as_bytes, decoded, entries, shown, upgraded
from kvcodec.testing.lock.record import Entry, form_of, has_name
from kvcodec.testing.lock.renamed import renamed
from kvcodec.testing.lock.shape import changes, exchanged_tag
from kvcodec.testing.lock.views import unlike

__all__ = ["problems"]

_WAY_OUT = "record it with: pytest --kvcodec-lock-update, or kvcodec lock update"
_OTHER_WAY_OUT = "raise version= with an upgrade, or name the old declaration in previous="
_TAKE_ALONG = "else let the upgrade (or convert=) take it along, or pop it there if it is to go"


def problems(
    keyspaces: Iterable[Keyspace[Any, Any]], recorded: dict[str, Entry], *, update: bool
) -> Iterator[str]:
    """Yield each promise that is broken; with ``update``, not what only waits to be recorded."""
    given_ones = {keyspace.name: keyspace for keyspace in keyspaces}
    heirs = {
        reader.keyspace.name: keyspace
        for keyspace in given_ones.values()
        for reader in _readers(keyspace)
    }
    for name, keyspace in given_ones.items():
        if name not in recorded and not update:
            yield f"keyspace {name!r} is not in the lock file: {_WAY_OUT}"
        elif name in recorded and not update and not _is_recorded(keyspace, recorded[name]):
            yield (
                f"keyspace {name!r}: version {keyspace.version} in this form is not recorded: "
                f"{_WAY_OUT}"
            )
    for name, entry in recorded.items():
        if name in heirs:
            keyspace = given_ones.get(name, heirs[name])
            yield from (f"keyspace {name!r}: {text}" for text in _problems_of(keyspace, entry))
        else:
            yield (
                f"keyspace {name!r} is recorded, and not checked any more: give it to check(), "
                "name it in previous= of the one that has its values now, or remove it from the "
                "file once its data is gone"
            )


def _is_recorded(keyspace: Keyspace[Any, Any], entry: Entry) -> bool:
    form = form_of(keyspace)
    return any(
        old["form"] == form and str(keyspace.version) in old["versions"] for old in entry["forms"]
    )


def _problems_of(keyspace: Keyspace[Any, Any], entry: Entry) -> Iterator[str]:
    for old in entry["forms"]:
        for version, held in old["versions"].items():
            problem = _first_problem(keyspace, old["form"], int(version), held)
            if problem is not None:
                yield f"version {version}: {problem}" + changes(keyspace, held["shape"])
    for raw_key, parts in entry["names"].items():
        if not any(has_name(one.keyspace, raw_key, parts) for one in _readers(keyspace)):
            yield (
                f"the stored name {raw_key!r} is no longer that of the key {parts!r}: name the old "
                "declaration in previous="
            )
            break


class _Reader(NamedTuple):
    """A declaration, and the older ones on the way to it: each with whose ``previous`` it is."""

    keyspace: Keyspace[Any, Any]
    way: tuple[tuple[Declaration[Any, Any], Older], ...] = ()


def _readers(
    keyspace: Keyspace[Any, Any], way: tuple[tuple[Declaration[Any, Any], Older], ...] = ()
) -> Iterator[_Reader]:
    yield _Reader(keyspace, way)
    today = keyspace.declaration
    for previous, older in zip(keyspace.previous, today.older, strict=True):
        yield from _readers(previous.keyspace, (*way, (today, older)))


def _first_problem(
    keyspace: Keyspace[Any, Any], form: dict[str, Any], version: int, held: Entry
) -> str | None:
    readers = [one for one in _readers(keyspace) if _reads(form_of(one.keyspace), form)]
    if not readers:
        changed = _difference(form, form_of(keyspace))
        return f"its form changed ({changed}): name the old declaration in previous="
    todays = [one.keyspace for one in readers if one.keyspace.version == version]
    tags = [exchanged_tag(one, held["shape"]) for one in todays]
    if len(tags) == len(readers) and None not in tags:
        return f"means something else ({tags[0]}): {_OTHER_WAY_OUT}"
    views = held.get("views", [None] * len(held["golden"]))  # a file of before has none
    if len(views) != len(held["golden"]):
        return "its views and golden values are not of the same number: restore the file"
    for text, seen in zip(held["golden"], views, strict=True):
        golden = _Golden(version, as_bytes(text), seen, held.get("limits", {}))
        found = [_problem(reader, golden) for reader in readers]
        if None not in found:
            return found[0]
    return None


def _reads(now: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether a form reads what another one stored: also what was not compressed."""
    return now == old or (
        old["compression"] == 0 and now == {**old, "compression": now["compression"]}
    )


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}: {old[name]} -> {new[name]}" for name in old if old[name] != new[name]
    )


class _Golden(NamedTuple):
    """A golden value as it is recorded."""

    version: int
    encoded: bytes
    seen: Any
    """Its view; None if there is none."""
    limits: dict[str, int]
    """Those under which it may have been stored."""


def _problem(reader: _Reader, golden: _Golden) -> str | None:
    keyspace = reader.keyspace
    too_much = _over_limits(keyspace, golden)
    if too_much is not None:
        return f"cannot be read any more ({too_much}): raise it again"
    if golden.version > keyspace.version:
        return f"today's code writes version {keyspace.version}: versions only go up"
    is_todays = golden.version == keyspace.version and not reader.way
    try:
        return _changed(keyspace, golden) if is_todays else _lost_on_the_way(reader, golden)
    except KVCodecError as error:
        return (
            f"cannot be read any more ({error.args[0]}): {_OTHER_WAY_OUT}; a new field needs a "
            f"default\n    stored: {shown(golden.encoded)}"
        )


def _changed(keyspace: Keyspace[Any, Any], golden: _Golden) -> str | None:
    """How a golden value of today's version comes back as another one."""
    pipeline, encoded = keyspace.declaration.pipeline, golden.encoded
    value = decoded(pipeline, golden.version, encoded)
    again = pipeline.encoding.encode(value)
    codec = pipeline.codec
    stored, written = codec.to_plain(encoded), codec.to_plain(again)
    lost = _Lost(codec.secrets).of(codec.shape, stored, written, "$")
    if lost is None:
        return _other_meaning(golden, value)
    new_name = renamed(codec.shape, stored, stored, written)
    return (
        f"would be stored differently ({lost}): {_OTHER_WAY_OUT}\n"
        + ("" if new_name is None else f"    {new_name}\n")
        + f"    stored: {shown(encoded)}\n    today:  {shown(again)}"
    )


def _lost_on_the_way(reader: _Reader, golden: _Golden) -> str | None:
    """What a golden value loses that no upgrade and no ``convert=`` has looked at."""
    pipeline = reader.keyspace.declaration.pipeline
    given = upgraded(pipeline, golden.version, golden.encoded)
    value = pipeline.encoding.decode(given)
    again = _written(pipeline, value)
    to_plain, shape = pipeline.codec.to_plain, pipeline.codec.shape
    found = renamed(shape, to_plain(golden.encoded), to_plain(given), again)
    for today, older in reversed(reader.way):
        value, before = today.todays(older, value), again
        again = _written(today.pipeline, value)
        if found is None and older.convert is None:
            found = renamed(today.pipeline.codec.shape, before, before, again)
    if found is None:
        return None
    return f"may lose a field ({found}); {_TAKE_ALONG}\n    stored: {shown(golden.encoded)}"


def _written(pipeline: Pipeline[Any], value: Any) -> Any:
    """A value as plain data, as this declaration writes it."""
    return pipeline.codec.to_plain(pipeline.encoding.encode_any(value))


def _other_meaning(golden: _Golden, value: Any) -> str | None:
    """How a golden value that reads and writes back unchanged has become another one."""
    other = None if golden.seen is None else unlike(golden.seen, value)
    if other is None:
        return None
    return f"means something else ({other}): {_OTHER_WAY_OUT}\n    stored: {shown(golden.encoded)}"


def _over_limits(keyspace: Keyspace[Any, Any], golden: _Golden) -> str | None:
    """Which limit was lowered so far that a golden value is over it."""
    form, codec = keyspace.declaration.pipeline.form, keyspace.declaration.pipeline.codec
    most_bytes, depth = (golden.limits.get(name, 0) for name in ("max_bytes", "max_depth"))
    if form.max_bytes < len(golden.encoded) <= most_bytes:
        return f"max_bytes={form.max_bytes} is less than its {len(golden.encoded)} bytes"
    if form.max_depth < depth and codec.too_deep is not None:
        is_over = codec.too_deep(golden.encoded, form.max_depth)
        return f"it nests deeper than max_depth={form.max_depth}" if is_over else None
    return None


_ANY_ORDER = object()
"""Stands for the type of what is in a secret, which is not known: all of its lists may be sets."""


class _Lost:
    """Where plain data of before is missing or another in today's. The order of sets is no part."""

    def __init__(self, secrets: Secrets | None) -> None:
        self._secrets = secrets

    def of(self, shape: Any, old: Any, new: Any, path: str) -> str | None:
        """The first such place; None if all is there. ``shape``: of ``msgspec.inspect``."""
        member = member_of(shape, old)
        of_parts = member if member is _ANY_ORDER else None
        if isinstance(member, kinds.SetType | kinds.FrozenSetType):
            of_parts = member.item_type
        if of_parts is not None and is_list(old) and is_list(new):
            return self._of_set(of_parts, old, new, path)
        held = dict(entries(new))
        for name, value in entries(old):
            if name not in held:
                return f"{path}.{name} is gone"
            lost = self.of(of_parts or part_of(member, name), value, held[name], f"{path}.{name}")
            if lost is not None:
                return lost
        if type(old) is not type(new) or (is_list(old) and len(old) != len(new)):
            return f"{path} is another value"
        if is_dict(old) or is_list(old):
            return None
        return self._of_leaf(old, new, path)

    def _of_set(self, item: Any, old: list[Any], new: list[Any], path: str) -> str | None:
        left = [*new]
        for one in old:
            at = next((at for at, it in enumerate(left) if self.of(item, one, it, "") is None), -1)
            if at < 0:
                return f"{path} is another value"
            left.pop(at)
        return f"{path} is another value" if left else None

    def _of_leaf(self, old: Any, new: Any, path: str) -> str | None:
        is_nan = old != old and new != new  # noqa: PLR0124 - as MessagePack can hold it
        if old == new or is_nan:
            return None
        inside, inside_now = self._inside(old), self._inside(new)
        if inside and inside_now and self.of(_ANY_ORDER, inside, inside_now, path) is None:
            return None
        return f"{path} is another value"

    def _inside(self, leaf: Any) -> list[Any]:
        """What is in a marked secret, as a list of one; an empty one for what is none."""
        encoded = None if self._secrets is None else self._secrets.clear.encoded(leaf)
        if self._secrets is None or encoded is None:
            return []
        return [self._secrets.decode(encoded)]
