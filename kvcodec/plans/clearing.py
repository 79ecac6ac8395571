"""Removing everything that a keyspace holds: values in groups, logs and files one by one.

Names are gone by, and not keys: what has expired, or cannot be read, goes too. What is in
quarantine is nobody's, and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kvcodec.errors import ConfigError
from kvcodec.format.derived import news_name
from kvcodec.keyspace.declaration import Declaration
from kvcodec.plans.driver import Plan, located, told
from kvcodec.plans.listing import Listing
from kvcodec.plans.many import GROUP, remove_many
from kvcodec.plans.report import Finding

__all__ = ["clear_owners", "clear_values"]

Told: TypeAlias = Callable[[Finding], object] | None


def clear_values(listing: Listing[Any, Any], on_progress: Told) -> Plan[None]:
    """Remove every value, those under older names first, and what caches keep beside them.

    Raises ConfigError for parts of logs and files, before the page that they are on, and the one
    before it, is touched: without its head nobody would find a log's rows.
    """
    listing.must_list()
    for declared in (*listing.declared.elsewhere, listing.declared):
        scan = listing.scan(declared, sort=True)
        held: list[str] = []
        try:
            while (page := (yield from scan.pull())) is not None:
                _refuse_parts(declared, page)
                if len(held) >= GROUP:
                    yield from _removed(listing, held, on_progress)
                    held = []
                held += [name for name in page if _is_value(declared, name)]
        finally:
            yield from scan.close()
        yield from _removed(listing, held, on_progress)


def _removed(listing: Listing[Any, Any], names: list[str], on_progress: Told) -> Plan[None]:
    yield from remove_many(names, listing.can) if names else ()
    for name in names:
        told(on_progress, _gone(name))


def _is_value(declared: Declaration[Any, Any], name: str) -> bool:
    owner = name.partition("!")[0]
    return name in (owner, news_name(owner)) and declared.names.is_name(owner)


_PARTS = {"s": "a Log", "l": "a Log", "w": "a Log", "g": "Files", "t": "Files"}
"""Who keeps what under a derived name (format/derived.py)."""


def _refuse_parts(declared: Declaration[Any, Any], page: list[str]) -> None:
    for name in page:
        owner, _, part = name.partition("!")
        if part[:1] in _PARTS and declared.names.is_name(owner):
            raise ConfigError(
                f"a part of what {_PARTS[part[:1]]} keeps is here: open the keyspace as that, and "
                "clear it there. A Store would leave it behind",
                keyspace=declared.name,
                raw_key=name,
                stage="store",
            )


def clear_owners(
    listing: Listing[Any, Any],
    letters: str,
    remove: Callable[[str], Plan[Any]],
    on_progress: Told,
) -> Plan[None]:
    """Remove every log, or every file: by its own name, or by the parts that are left of one.

    ``letters``: what the names of its parts begin with, behind the mark.
    """
    listing.must_list()
    scan, last, names = listing.scan(listing.declared, parts=True), "", listing.declared.names
    try:
        while (page := (yield from scan.pull())) is not None:
            owners = dict.fromkeys(_owner(name, letters) for name in page)
            for raw_key in owners:
                if raw_key != last and names.is_name(raw_key):
                    yield from located(remove(raw_key), listing.declared.name, raw_key)
                    told(on_progress, _gone(raw_key))
                    last = raw_key
    finally:
        yield from scan.close()


def _owner(name: str, letters: str) -> str:
    """Whose a name is; "" for nobody's here."""
    owner, mark, part = name.partition("!")
    return owner if not mark or part[:1] in letters else ""


def _gone(raw_key: str) -> Finding:
    return Finding(raw_key, "removed", changed=True)
