"""What an object store is asked, and what it answered: all of ObjectKV and its twin but the I/O.

Steps as ``wrapping.drive`` does them, by a link that each twin has for itself.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeVar

from kvcodec.backends.limits import check_key, check_value
from kvcodec.backends.object_faults import (
    FAULTS,
    REFUSED,
    fault_of,
    is_folder,
    is_missing,
    no_room_for,
    number_of,
)
from kvcodec.backends.object_names import folder_of, key_of, name_of
from kvcodec.backends.object_place import Place, see_that_threads_live
from kvcodec.backends.wrapping import Steps
from kvcodec.errors import BackendError, KVCodecError, OutcomeUnknown, Unsupported
from kvcodec.protocols import Limits, Token

__all__ = ["PAGE_KEYS", "Asking", "ObjectPlace"]

T = TypeVar("T")

PAGE_KEYS: Final = 1000
"""Names of one page of a listing: as many as S3 gives in one answer."""

_GROUP: Final = 500
"""Keys of ``set_many`` and its like that are under way together."""

_FOLDERS_GONE: Final = 10
"""How often a folder may go while a file is written into it, before that is an error."""

_WHO: Final = "this object store"


class Link(Protocol):
    """How a twin asks: of the async one each answer is awaited."""

    def read(self, name: str, /) -> Any: ...
    def head(self, name: str, /) -> Any: ...
    def put(self, name: str, data: bytes, /) -> Any: ...
    def put_if(self, name: str, data: bytes, mode: Any, /) -> Any: ...
    def delete(self, names: str | Sequence[str], /) -> Any: ...
    def listed(self, folder: str | None, /) -> Any: ...
    def page(self, stream: Any, /) -> Any: ...
    def together(self, each: Sequence[Steps[Any]], /) -> Any: ...


class ObjectPlace:
    """What both twins say of themselves: where they lead to, and what can be done there."""

    ordered: bool = False
    """Names come as the store has them: few list in the order of bytes."""

    limits: Limits
    """1,024 bytes of a key less the store's prefix; 250 of a part among files, 255 where an
    ``endpoint`` is not AWS; 5,000 MiB of a value. Names that are changed count as they are then."""

    version_of: Literal["write", "bytes"]
    """On S3 a token stands for the bytes, elsewhere for the write."""

    _place: Place

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._place.shown}>"

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return the bucket or folder, the same for every store in it, and the object's name."""
        return self._place.identity, self._place.prefix + name_of(key)

    def _seen(self, place: Place) -> None:
        """Take over what the store can do; what it cannot is None in place of the method."""
        self._place, self.limits, self.version_of = place, place.limits, place.version_of
        lacks = [] if place.claims else ["set_if_absent"]
        lacks += [] if place.swaps else ["get_versioned", "set_if_version"]
        vars(self).update(dict.fromkeys(lacks))


class Asking:
    """The methods of a KV, as steps."""

    def __init__(self, place: Place, link: Link) -> None:
        self._place = place
        self._link = link
        self._limits = place.limits

    def get(self, key: str) -> Steps[bytes | None]:
        """The value, or None."""
        found = yield from self._read(key)
        return None if found is None else found[0]

    def get_versioned(self, key: str) -> Steps[tuple[bytes, Token] | None]:
        """The value, and what the store knows this write of it by."""
        found = yield from self._read(key)
        if found is None:
            return None
        value, meta = found
        # Google goes by the version, all others by the ETag; None is no answer to either.
        token = {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}
        if not token:
            raise Unsupported("the object store tells no ETag", raw_key=key, stage="store")
        return value, token

    def exists(self, key: str) -> Steps[bool]:
        """Whether there is one."""
        name = self._named(key)
        try:
            yield self._link.head, name
        except FAULTS as error:
            fault = None if is_missing(error, name) else fault_of(error, key, writes=False)
        else:
            return True
        if fault is not None:
            raise fault
        # An answer to HEAD has no body, which would tell that there is no such bucket.
        return (yield from self._read(key)) is not None

    def set(self, key: str, value: bytes) -> Steps[None]:
        """A PUT."""
        name, data = self._named(key), self._data(key, value)
        yield from self._done((self._link.put, name, data), key)

    def delete(self, key: str) -> Steps[None]:
        """A DELETE, which some stores answer with an error if there is nothing."""
        name = self._named(key)
        try:
            yield self._link.delete, name
        except FAULTS as error:
            if is_missing(error, name):
                return
            fault = fault_of(error, key, writes=True)
        else:
            return
        raise fault

    def get_many(self, keys: Sequence[str]) -> Steps[dict[str, bytes]]:
        """A GET each."""
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), _GROUP):
            group = keys[start : start + _GROUP]
            answers = yield self._link.together, [self.get(key) for key in group]
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            pairs = zip(group, answers, strict=True)
            found.update((key, value) for key, value in pairs if value is not None)
        return found

    def set_many(self, items: Mapping[str, bytes]) -> Steps[None]:
        """A PUT each."""
        for key, value in items.items():  # before any is sent
            self._named(key)
            self._data(key, value)
        pairs = [*items.items()]
        for start in range(0, len(pairs), _GROUP):
            group = pairs[start : start + _GROUP]
            yield from self._all(
                [self.set(key, value) for key, value in group], len(pairs), before=start
            )

    def delete_many(self, keys: Sequence[str]) -> Steps[None]:
        """A request for up to 1,000 where the store has one, else a DELETE each."""
        names = [self._named(key) for key in keys]
        for start in range(0, len(keys), _GROUP):
            group = slice(start, start + _GROUP)
            if self._place.bulk:
                yield from self._removed(names[group], before=start)
            else:
                each = [self.delete(key) for key in keys[group]]
                yield from self._all(each, len(keys), before=start)

    def set_if_absent(self, key: str, value: bytes) -> Steps[bool]:
        """A PUT that creates."""
        name, data = self._named(key), self._data(key, value)
        done = yield from self._if(name, data, "create", key)
        if not done and self._place.identity == ("file",):
            yield from self._no_folder(key, name)
        return done

    def set_if_version(self, key: str, value: bytes, token: Token) -> Steps[bool]:
        """A PUT that replaces what has this ETag."""
        name, data = self._named(key), self._data(key, value)
        return (yield from self._if(name, data, token, key))

    def listing(self, prefix: str) -> Steps[Any]:
        """The stream of the objects in the folder that all names with a prefix have in common."""
        see_that_threads_live()
        return (yield self._link.listed, folder_of(prefix))

    def page(self, stream: Any, prefix: str, after: str) -> Steps[list[str] | None]:
        """The keys of the next page that have the prefix, or None at the end."""
        try:
            page = yield self._link.page, stream
        except FAULTS as error:
            fault = fault_of(error, None, writes=False)
        else:
            return None if page is None else _keys(page, prefix, after)
        raise fault

    def _read(self, key: str) -> Steps[tuple[bytes, Any] | None]:
        name = self._named(key)
        try:
            found: tuple[bytes, Any] = yield self._link.read, name
        except FAULTS as error:
            if is_missing(error, name):
                return None
            fault = fault_of(error, key, writes=False)
        else:
            return found
        raise fault

    def _done(self, operation: tuple[Any, ...], key: str | None) -> Steps[None]:
        try:
            yield from self._sent(*operation)
        except FAULTS as error:
            fault = fault_of(error, key, writes=True)
        else:
            return
        raise fault

    def _sent(self, *operation: Any) -> Steps[None]:
        """Do what writes; among files again where its folder went before it was there.

        Whoever deletes the last file of a folder removes that too. Nothing was written by then.
        """
        for _ in range(_FOLDERS_GONE if self._place.identity == ("file",) else 0):
            try:
                yield operation
            except FAULTS as error:
                if number_of(error) != errno.ENOENT:
                    raise
            else:
                return
        yield operation

    def _removed(self, names: Sequence[str], *, before: int) -> Steps[None]:
        try:
            yield from self._done((self._link.delete, names), None)
        except BackendError as error:
            if before:
                error.after_a_part()
            raise

    def _if(self, name: str, data: bytes, mode: Any, key: str) -> Steps[bool]:
        try:
            yield from self._sent(self._link.put_if, name, data, mode)
        except REFUSED:
            return False
        except FAULTS as error:
            fault = fault_of(error, key, writes=True)
        else:
            return True
        raise fault

    def _no_folder(self, key: str, name: str) -> Steps[None]:
        """Raise KeyNameError if a folder has the name: nobody has a value there."""
        try:
            yield self._link.head, name
        except FAULTS as error:
            folder = is_folder(error)
        else:
            return
        if folder:
            raise no_room_for(key)

    def _all(self, each: list[Steps[None]], of: int, *, before: int) -> Steps[None]:
        """Do all of a group; say of how many it is not known whether they were done."""
        answers = yield self._link.together, each
        failed = [answer for answer in answers if isinstance(answer, Exception)]
        if not failed:
            return
        unknown = [error for error in failed if isinstance(error, OutcomeUnknown)]
        worst = (unknown or failed)[0]
        if not isinstance(worst, KVCodecError) or (len(failed) == of and not before):
            raise worst
        raise OutcomeUnknown(
            f"of {of} keys {before + len(each) - len(failed)} are done, the others are not or may "
            f"be: do all again ({worst.args[0]})",
            stage="store",
        )

    def _named(self, key: str) -> str:
        see_that_threads_live()
        check_key(key, _NO_LIMITS, _WHO)
        name = name_of(key)
        check_key(name, self._limits, _WHO)
        return name

    def _data(self, key: str, value: bytes) -> bytes:
        data = value if type(value) is bytes else bytes(memoryview(value))
        check_value(key, len(data), self._limits, _WHO)
        return data


_NO_LIMITS: Final = Limits()


def _keys(page: Collection[Any], prefix: str, after: str) -> list[str]:
    keys = (key_of(found["path"]) for found in page)
    start = after.encode()
    return [
        key
        for key in keys
        if key is not None and key.startswith(prefix) and (not after or key.encode() > start)
    ]
