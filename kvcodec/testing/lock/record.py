"""What is recorded of a keyspace: its form, its limits, its names, and each version's values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from kvcodec.errors import KVCodecError
from kvcodec.format.plain import is_dict, is_list
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.testing.lock.golden import as_bytes, as_text, decoded, golden_of, samples
from kvcodec.testing.lock.shape import shape_of
from kvcodec.testing.lock.views import unlike, view
from kvcodec.testing.strategies import keys

__all__ = ["Entry", "form_of", "has_name", "recorded_in"]

NAMES = 25
"""Sample raw keys of a keyspace."""

Entry: TypeAlias = dict[str, Any]


def recorded_in(keyspace: Keyspace[Any, Any], before: Entry | None) -> Entry:
    """Return what is recorded of ``keyspace``, beside what was recorded before."""
    entry: Entry = before or {"forms": [], "names": {}}
    form = form_of(keyspace)
    held = next((one for one in entry["forms"] if one["form"] == form), None)
    if held is None:
        held = {"form": form, "versions": {}}
        entry["forms"].append(held)
    shape = shape_of(keyspace)
    version = held["versions"].setdefault(str(keyspace.version), {"shape": [], "golden": []})
    if version["shape"] != shape or "views" not in version:
        # Beside those of before: a value without the new field is still in somebody's database.
        golden = list(dict.fromkeys([*version["golden"], *map(as_text, golden_of(keyspace))]))
        before_now = dict(zip(version["golden"], version.get("views", ()), strict=False))
        views = [_view(keyspace, text, before_now.get(text)) for text in golden]
        version.update(shape=shape, golden=golden, views=views)
    version["limits"] = _higher(_limits(keyspace), version.get("limits", {}))
    if not any(has_name(keyspace, *name) for name in entry["names"].items()):
        entry["names"] |= _names(keyspace)
    return entry


def _view(keyspace: Keyspace[Any, Any], text: str, before: Any) -> Any:
    """The view of a golden value, today's fields included; that of before if it is not readable.

    Then it is read by one of ``previous=``.
    """
    encoded = as_bytes(text)
    try:
        value = decoded(keyspace.declaration.pipeline, keyspace.version, encoded)
    except KVCodecError:
        return before
    if before is not None and unlike(before, value) is not None:
        return before
    return view(value, keyspace.declaration.pipeline.codec.to_plain(encoded))


def _limits(keyspace: Keyspace[Any, Any]) -> dict[str, int]:
    form = keyspace.declaration.pipeline.form
    return {"max_bytes": form.max_bytes, "max_depth": form.max_depth}


def _higher(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: max(limit, other.get(name, 0)) for name, limit in one.items()}


def form_of(keyspace: Keyspace[Any, Any]) -> dict[str, Any]:
    """Return what decides the form of the stored bytes, beside the type."""
    pipeline = keyspace.declaration.pipeline
    form = pipeline.form
    return {
        "codec": pipeline.codec.name,
        "cipher": 0 if form.cipher is None else form.cipher.cipher_id,
        "bare": form.bare is not None,
        "compression": 0 if form.compression is None else form.compression.compression_id,
        "dated": form.dated,
        "expires": form.ttl is not None,
        "checksum": form.checksum,
        "secrets": pipeline.codec.secrets is not None,
        "named": form.names is not None,
    }


def _names(keyspace: Keyspace[Any, Any]) -> dict[str, Any]:
    if keyspace.declaration.names.naming:
        return {}  # HiddenKeys: another ring, other names
    return {keyspace.raw_key(key): _key_parts(key) for key in samples(keys(keyspace), NAMES)}


def _key_parts(key: Any) -> Any:
    whole = key._asdict() if hasattr(key, "_asdict") else key
    return msgspec.json.decode(msgspec.json.encode(whole))  # as it comes back from the file


def has_name(keyspace: Keyspace[Any, Any], raw_key: str, parts: Any) -> bool:
    """Say whether ``raw_key`` is still the name of the key that was recorded with it."""
    if keyspace.declaration.names.stored is not None:
        return keyspace.declaration.names.is_name(raw_key)
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
