"""A lock on what was promised: today's code still reads what older code stored.

One line in a test::

    def test_schema_lock():
        SchemaLock("kvcodec.lock.json").check(PREFERENCES, TOKENS, HISTORY)

The file is committed with the code. It holds, for each keyspace, its declaration as text, its
form, sample raw keys, and golden encodings of each version, made from generated values. Stored
data outlives code: what the file holds is what is in somebody's database.
"""

from __future__ import annotations

import base64
import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

from kvcodec.errors import KVCodecError
from kvcodec.format.envelope import Header
from kvcodec.format.plain import is_dict, is_list
from kvcodec.keyspace.keyspace import Keyspace, Previous
from kvcodec.keyspace.pipeline import Payload, Pipeline
from kvcodec.keyspace.secret_pipeline import SealedPayload, SecretPipeline
from kvcodec.secrets.marks import MARK
from kvcodec.testing.strategies import keys, members, values
from kvcodec.testing.views import unlike, view

__all__ = ["LockBroken", "SchemaLock"]

DRAWN = 200
"""Values that golden ones are chosen from: each member of an Enum of 20 is among them."""

OF_MEMBER = 2
"""Golden values of each member of each union: its smallest one is often among the others."""

GOLDEN = 60
"""Golden values of one version. With their views that is 10 to 100 kB of JSON for a keyspace."""

NAMES = 25
"""Sample raw keys of a keyspace."""

UPDATE_VARIABLE = "KVCODEC_LOCK_UPDATE"
"""Set by ``pytest --kvcodec-lock-update``: compatible changes are recorded."""

_FORMAT = 1
_WAY_OUT = "record it with: pytest --kvcodec-lock-update"
_OTHER_WAY_OUT = "raise version= with an upgrade, or name the old declaration in previous="

Entry: TypeAlias = dict[str, Any]


class LockBroken(AssertionError):
    """Today's declaration breaks what the lock file promises."""


class SchemaLock:
    """The lock file at ``path``, beside the code that declares the keyspaces.

    Give all keyspaces of a file to one ``check``: one that is recorded and not given is a promise
    that nobody keeps any more.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def check(self, *keyspaces: Keyspace[Any, Any], update: bool | None = None) -> None:
        """Hold every keyspace against the file.

        Raises LockBroken, with what changed and the way out, for a keyspace, form or version that
        is not recorded yet; a form or name that is not read any more; a golden value that today's
        code cannot read, reads as another value (fields, defaults or members of an Enum that have
        changed places), or would store differently under the same version; a limit that is below
        a golden value; a recorded keyspace that is not given. A new field with a default is
        compatible: what was stored reads back, and nothing of it is lost.

        With ``update`` (by default where pytest was told ``--kvcodec-lock-update``) what is
        compatible is recorded, beside what is recorded already. What is not compatible raises
        all the same.
        """
        wanted = bool(os.environ.get(UPDATE_VARIABLE)) if update is None else update
        recorded = self._read()
        problems = list(_problems_of_all(keyspaces, recorded, update=wanted))
        if problems:
            raise LockBroken("\n".join([f"{self._path}:", *problems]))
        if wanted:
            for keyspace in keyspaces:
                recorded[keyspace.name] = _recorded(keyspace, recorded.get(keyspace.name))
            whole = {"format": _FORMAT, "keyspaces": recorded}
            text = json.dumps(whole, indent=1, sort_keys=True)
            self._path.write_text(text + "\n", encoding="utf-8")

    def _read(self) -> dict[str, Entry]:
        if not self._path.exists():
            return {}
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            entries: dict[str, Entry] = found["keyspaces"]
            is_ours = found["format"] == _FORMAT
        except (ValueError, LookupError, TypeError) as error:
            raise LockBroken(f"{self._path}: not a lock file ({error}): restore it") from error
        if not is_ours:
            raise LockBroken(f"{self._path}: made by another kvcodec, in format {found['format']}")
        return entries


# ------------------------------------------------------------------------------------ record


def _recorded(keyspace: Keyspace[Any, Any], before: Entry | None) -> Entry:
    entry: Entry = before or {"forms": [], "names": {}}
    form = _form(keyspace)
    held = next((one for one in entry["forms"] if one["form"] == form), None)
    if held is None:
        held = {"form": form, "versions": {}}
        entry["forms"].append(held)
    shape = _shape(keyspace)
    version = held["versions"].setdefault(str(keyspace.version), {"shape": [], "golden": []})
    if version["shape"] != shape or "views" not in version:
        # Beside those of before: a value without the new field is still in somebody's database.
        golden = list(dict.fromkeys([*version["golden"], *map(_as_text, _golden(keyspace))]))
        before_now = dict(zip(version["golden"], version.get("views", ()), strict=False))
        views = [_view(keyspace, text, before_now.get(text)) for text in golden]
        version.update(shape=shape, golden=golden, views=views)
    version["limits"] = _higher(_limits(keyspace), version.get("limits", {}))
    if not any(_has_name(keyspace, *name) for name in entry["names"].items()):
        entry["names"] |= _names(keyspace)
    return entry


def _view(keyspace: Keyspace[Any, Any], text: str, before: Any) -> Any:
    """The view of a golden value, today's fields included; that of before if it is not readable.

    Then it is read by one of ``previous=``.
    """
    encoded = _as_bytes(text)
    try:
        value = _value(keyspace._pipeline, keyspace.version, encoded)
    except KVCodecError:
        return before
    if before is not None and unlike(before, value) is not None:
        return before
    return view(value, keyspace._pipeline.codec.to_plain(encoded))


def _limits(keyspace: Keyspace[Any, Any]) -> dict[str, int]:
    form = keyspace._pipeline.form
    return {"max_bytes": form.max_bytes, "max_depth": form.max_depth}


def _higher(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: max(limit, other.get(name, 0)) for name, limit in one.items()}


def _form(keyspace: Keyspace[Any, Any]) -> dict[str, Any]:
    """What decides the form of the stored bytes, beside the type."""
    pipeline = keyspace._pipeline
    form = pipeline.form
    return {
        "codec": pipeline.codec.name,
        "cipher": 0 if form.cipher is None else form.cipher.cipher_id,
        "bare": form.bare,
        "compression": 0 if form.compression is None else form.compression.compression_id,
        "dated": form.dated,
        "expires": form.ttl is not None,
        "checksum": form.checksum,
        "secrets": pipeline.codec.secrets is not None,
        "named": form.naming is not None,
    }


_SAME_MARK = b"kvo1." + 32 * b"0" + b"."
"""Stands for the mark that secrets have in an encoding: another one in each process, as long."""


def _golden(keyspace: Keyspace[Any, Any]) -> list[bytes]:
    pipeline = keyspace._pipeline
    encoding = pipeline.codec.name if pipeline.codec.name in ("json", "msgpack") else "json"
    drawn = _samples(values(keyspace.value_type, encoding=encoding), DRAWN)
    chosen = _covering(_encoded(pipeline, drawn))
    for strategy in members(keyspace.value_type, encoding=encoding):
        # Whatever else is chosen: None, and each other member of a union, at each place.
        chosen += _encoded(pipeline, _samples(strategy, OF_MEMBER))
    return chosen


def _encoded(pipeline: Pipeline[Any], drawn: Iterable[Any]) -> dict[bytes, Any]:
    """Values by their encodings, as plain data."""
    found: dict[bytes, Any] = {}
    for value in drawn:
        try:
            data = pipeline.encode(value)
        except KVCodecError:
            continue  # too deep, for one: never stored, so nothing that was promised
        if len(data) <= pipeline.form.max_bytes:
            found[data.replace(MARK.encode(), _SAME_MARK)] = pipeline.codec.to_plain(data)
    return found


def _covering(found: dict[bytes, Any]) -> list[bytes]:
    """A few of many values, in which everything is that is in several of the many."""
    features = {data: frozenset(_features(plain, ())) for data, plain in found.items()}
    often = Counter(feature for held in features.values() for feature in held)
    wanted = {feature for feature, times in often.items() if times > 2 or len(found) < GOLDEN}
    chosen: list[bytes] = []
    for data, held in features.items():
        if len(chosen) < GOLDEN and not wanted.isdisjoint(held):
            chosen.append(data)
            wanted -= held
    return chosen


def _features(plain: Any, path: tuple[Any, ...]) -> Iterator[Any]:
    """What is special about plain data: kinds, sizes, and values, of which some come up again."""
    yield path, type(plain).__name__
    if is_dict(plain) or is_list(plain):
        yield path, "items", min(len(plain), 3)
        for at, value in _entries(plain):
            yield from _features(value, (*path, at if is_dict(plain) else "[]"))
    elif isinstance(plain, str | bytes):
        yield path, "length", min(len(plain), 8)
        yield path, "value", plain[:40]
    elif isinstance(plain, int | float):
        yield path, "value", repr(plain)
        yield path, "size", plain < 0, len(repr(plain)) // 3


def _names(keyspace: Keyspace[Any, Any]) -> dict[str, Any]:
    if hasattr(keyspace._naming, "naming"):
        return {}  # HiddenKeys: another ring, other names
    return {keyspace.raw_key(key): _key_parts(key) for key in _samples(keys(keyspace), NAMES)}


def _key_parts(key: Any) -> Any:
    whole = key._asdict() if hasattr(key, "_asdict") else key
    return msgspec.json.decode(msgspec.json.encode(whole))  # as it comes back from the file


def _samples(strategy: SearchStrategy[Any], count: int) -> list[Any]:
    found: list[Any] = []

    # Derandomised: the same type gives the same samples, on every machine.
    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
        ],
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    try:
        collect()
    except Unsatisfiable:
        pass  # a member of a union that nothing leads to
    return found


def _as_text(data: bytes) -> str:
    """Readable where it is text, so that a diff of the file is."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = _BASE64
    return _BASE64 + base64.b64encode(data).decode() if text.startswith(_BASE64) else text


_BASE64 = "base64:"


def _as_bytes(text: str) -> bytes:
    data = (
        base64.b64decode(text.removeprefix(_BASE64)) if text.startswith(_BASE64) else text.encode()
    )
    return data.replace(_SAME_MARK, MARK.encode())


# ------------------------------------------------------------------------------------- check


def _problems_of_all(
    keyspaces: Iterable[Keyspace[Any, Any]], recorded: dict[str, Entry], *, update: bool
) -> Iterator[str]:
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
            yield from (f"keyspace {name!r}: {text}" for text in _problems(keyspace, entry))
        else:
            yield (
                f"keyspace {name!r} is recorded, and not checked any more: give it to check(), "
                "name it in previous= of the one that has its values now, or remove it from the "
                "file once its data is gone"
            )


def _is_recorded(keyspace: Keyspace[Any, Any], entry: Entry) -> bool:
    form = _form(keyspace)
    return any(
        old["form"] == form and str(keyspace.version) in old["versions"] for old in entry["forms"]
    )


def _problems(keyspace: Keyspace[Any, Any], entry: Entry) -> Iterator[str]:
    for old in entry["forms"]:
        for version, held in old["versions"].items():
            problem = _first_problem(keyspace, old["form"], int(version), held)
            if problem is not None:
                yield f"version {version}: {problem}" + _changes(keyspace, held["shape"])
    for raw_key, parts in entry["names"].items():
        if not any(_has_name(one.keyspace, raw_key, parts) for one in _readers(keyspace)):
            yield (
                f"the stored name {raw_key!r} is no longer that of the key {parts!r}: name the old "
                "declaration in previous="
            )
            break


def _has_name(keyspace: Keyspace[Any, Any], raw_key: str, parts: Any) -> bool:
    if keyspace._naming is not None:
        return keyspace._naming.is_raw_key(raw_key)
    try:
        now = _key_parts(keyspace.key(raw_key))
    except KVCodecError:
        return False
    if is_dict(now) and is_dict(parts):
        return now == parts  # the same fields, in whatever order
    return list(_leaves(now)) == list(_leaves(parts))


def _leaves(parts: Any) -> Iterator[Any]:
    for part in parts.values() if is_dict(parts) else parts if is_list(parts) else ():
        yield from _leaves(part)
    if not is_dict(parts) and not is_list(parts):
        yield parts


class _Reader(NamedTuple):
    """A declaration, and the older ones on the way to it: each with whose ``previous`` it is."""

    keyspace: Keyspace[Any, Any]
    way: tuple[tuple[Keyspace[Any, Any], Previous], ...] = ()


def _readers(
    keyspace: Keyspace[Any, Any], way: tuple[tuple[Keyspace[Any, Any], Previous], ...] = ()
) -> Iterator[_Reader]:
    yield _Reader(keyspace, way)
    for previous in keyspace.previous:
        yield from _readers(previous.keyspace, (*way, (keyspace, previous)))


def _first_problem(
    keyspace: Keyspace[Any, Any], form: dict[str, Any], version: int, held: Entry
) -> str | None:
    readers = [one for one in _readers(keyspace) if _reads(_form(one.keyspace), form)]
    if not readers:
        changed = _difference(form, _form(keyspace))
        return f"its form changed ({changed}): name the old declaration in previous="
    todays = [one.keyspace for one in readers if one.keyspace.version == version]
    tags = [_exchanged_tag(one, held["shape"]) for one in todays]
    if len(tags) == len(readers) and None not in tags:
        return f"means something else ({tags[0]}): {_OTHER_WAY_OUT}"
    views = held.get("views", [None] * len(held["golden"]))  # a file of before has none
    if len(views) != len(held["golden"]):
        return "its views and golden values are not of the same number: restore the file"
    for text, seen in zip(held["golden"], views, strict=True):
        golden = _Golden(version, _as_bytes(text), seen, held.get("limits", {}))
        problems = [_problem(reader, golden) for reader in readers]
        if None not in problems:
            return problems[0]
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


def _exchanged_tag(keyspace: Keyspace[Any, Any], before: list[str]) -> str | None:
    """A class that is still there and has another tag: its own is another class's, or nobody's."""
    now = _tags(_shape(keyspace))
    return next(
        (
            f"{name} has another tag"
            for name, tags in _tags(before).items()
            if name in now and not tags <= now[name]
        ),
        None,
    )


def _tags(shape: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in shape:
        head = _TAGGED.fullmatch(line)
        if head is not None:
            found.setdefault(head[1], set()).add(head[2])
    return found


_TAGGED = re.compile(r"(\w+), tag (.+):")
"""The first line of a tagged class in a declaration as text."""


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
    version, encoded = golden.version, golden.encoded
    too_much = _over_limits(keyspace, golden)
    if too_much is not None:
        return f"cannot be read any more ({too_much}): raise it again"
    if version > keyspace.version:
        return f"today's code writes version {keyspace.version}: versions only go up"
    try:
        value = _value(keyspace._pipeline, version, encoded)
        for outer, previous in reversed(reader.way):
            value = outer._converted(previous, value)
        if version != keyspace.version or reader.way:
            return None
        again = keyspace._pipeline.encode(value)
    except KVCodecError as error:
        return (
            f"cannot be read any more ({error.args[0]}): {_OTHER_WAY_OUT}; a new field needs a "
            f"default\n    stored: {_shown(encoded)}"
        )
    to_plain = keyspace._pipeline.codec.to_plain
    lost = _lost(to_plain(encoded), to_plain(again), "$")
    if lost is None:
        return _other_meaning(golden, value)
    return (
        f"would be stored differently ({lost}): {_OTHER_WAY_OUT}\n"
        f"    stored: {_shown(encoded)}\n    today:  {_shown(again)}"
    )


def _other_meaning(golden: _Golden, value: Any) -> str | None:
    """How a golden value that reads and writes back unchanged has become another one."""
    other = None if golden.seen is None else unlike(golden.seen, value)
    if other is None:
        return None
    return f"means something else ({other}): {_OTHER_WAY_OUT}\n    stored: {_shown(golden.encoded)}"


def _over_limits(keyspace: Keyspace[Any, Any], golden: _Golden) -> str | None:
    """Which limit was lowered so far that a golden value is over it."""
    form, codec = keyspace._pipeline.form, keyspace._pipeline.codec
    most_bytes, depth = (golden.limits.get(name, 0) for name in ("max_bytes", "max_depth"))
    if form.max_bytes < len(golden.encoded) <= most_bytes:
        return f"max_bytes={form.max_bytes} is less than its {len(golden.encoded)} bytes"
    if form.max_depth < depth and codec.too_deep is not None:
        is_over = codec.too_deep(golden.encoded, form.max_depth)
        return f"it nests deeper than max_depth={form.max_depth}" if is_over else None
    return None


def _value(pipeline: Pipeline[Any], version: int, encoded: bytes) -> Any:
    header = Header(version=version)
    payload = Payload(header, encoded)
    if isinstance(pipeline, SecretPipeline):
        context = pipeline._secret_context("", header)
        plain = pipeline.codec.to_plain(encoded)
        payload = SealedPayload(header, pipeline._sealed(plain, context), "", context)
    return pipeline.decode(pipeline.upgraded(payload))


def _shown(encoded: bytes) -> str:
    return _as_text(encoded.replace(MARK.encode(), b""))


def _lost(old: Any, new: Any, path: str) -> str | None:
    """Where plain data of before is missing or another in today's; None if all is there."""
    for name, value in _entries(old):
        found = dict(_entries(new)).get(name, _NOTHING)
        if found is _NOTHING:
            return f"{path}.{name} is gone"
        lost = _lost(value, found, f"{path}.{name}")
        if lost is not None:
            return lost
    if type(old) is not type(new) or (is_list(old) and len(old) != len(new)):
        return f"{path} is another value"
    if is_dict(old) or is_list(old) or old == new:
        return None
    is_nan = old != old and new != new  # noqa: PLR0124 - as MessagePack can hold it
    return None if is_nan else f"{path} is another value"


_NOTHING = object()


def _entries(plain: Any) -> Iterable[tuple[Any, Any]]:
    if is_dict(plain):
        return list(plain.items())
    return list(enumerate(plain)) if is_list(plain) else ()


# -------------------------------------------------------------------------- declarations as text


def _changes(keyspace: Keyspace[Any, Any], before: list[str]) -> str:
    """What changed in the declaration, as a diff; nothing if that shows none."""
    lines = [
        line
        for line in difflib.ndiff(before, _shape(keyspace))
        if not line.startswith("?") and (line[0] in "+-" or line.endswith(":"))
    ]
    changed = any(line[0] in "+-" for line in lines)
    return "\n" + "\n".join(f"    {line}" for line in lines) if changed else ""


def _shape(keyspace: Keyspace[Any, Any]) -> list[str]:
    """The type as text: a line for each field of each class in it."""
    root = keyspace._pipeline.codec.shape
    if root is None:
        return [_other_shape(keyspace)]
    named: dict[Any, list[str]] = {}
    first = _text(root, named)
    return [first, *(line for lines in named.values() for line in lines)]


def _other_shape(keyspace: Keyspace[Any, Any]) -> str:
    kind = keyspace.value_type
    schema = getattr(kind, "model_json_schema", None)
    if schema is not None:
        return json.dumps(schema(), sort_keys=True)
    return f"{getattr(kind, '__name__', str(kind))} as {keyspace._pipeline.codec.name}"


def _text(node: Any, named: dict[Any, list[str]]) -> str:
    kind = type(node).__name__
    if hasattr(node, "fields"):
        return _object_text(node, named)
    if kind == "UnionType":
        return " | ".join(sorted(_text(one, named) for one in node.types))
    if kind == "DictType":
        return f"dict[{_text(node.key_type, named)}, {_text(node.value_type, named)}]"
    if kind == "LiteralType":
        return " | ".join(map(repr, node.values))
    if kind == "EnumType":
        return f"{node.cls.__name__}{sorted((one.value for one in node.cls), key=repr)}"
    inner = [node.item_type] if hasattr(node, "item_type") else getattr(node, "item_types", ())
    parts = [_text(one, named) for one in inner]
    parts += [
        f"{name}={value!r}"
        for name in node.__struct_fields__
        if not name.startswith("item_type") and (value := getattr(node, name)) is not None
    ]
    name = kind.removesuffix("Type").lower()
    return f"{name}[{', '.join(parts)}]" if parts else name


def _object_text(node: Any, named: dict[Any, list[str]]) -> str:
    name = str(getattr(node.cls, "__name__", node.cls))
    if node.cls not in named:
        tag = getattr(node, "tag", None)
        named[node.cls] = []  # before its fields: they may lead back here
        head = f"{name}:" if tag is None else f"{name}, tag {tag!r}:"
        fields = [f"  {one.encode_name}: {_field_text(one, named)}" for one in node.fields]
        named[node.cls] = [head, *fields]
    return name


def _field_text(field: Any, named: dict[Any, list[str]]) -> str:
    text = _text(field.type, named)
    if field.required:
        return text
    if field.default_factory is not msgspec.NODEFAULT:
        return f"{text} = {field.default_factory.__name__}()"
    return text if field.default is msgspec.NODEFAULT else f"{text} = {field.default!r}"
