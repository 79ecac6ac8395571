"""Secret fields in msgspec's encodings: what its encoders and decoders call for a Secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

from typing_extensions import TypeVar

from kvcodec.codecs.codec import ENCODINGS
from kvcodec.codecs.depth import is_leaf
from kvcodec.codecs.traits import traits_of
from kvcodec.format.shapes import reachable
from kvcodec.secrets.marks import BINARY, BINARY_WITHIN, TEXT, TEXT_WITHIN, WRAP_IT, Clear
from kvcodec.secrets.secret import Secret

__all__ = ["SecretHooks", "inner_types"]


class SecretHooks:
    """What msgspec calls for a Secret in a value, in both directions.

    For one that is sealed by itself, and for one inside another, which is sealed with that.
    """

    def __init__(self, encoding: str) -> None:
        is_text = encoding == "json"
        self.clear: Clear
        self.clear, self._within = (TEXT, TEXT_WITHIN) if is_text else (BINARY, BINARY_WITHIN)
        self.encode: Callable[[Any], bytes] = ENCODINGS[encoding].encode
        self._encoding = encoding
        self._decoders: dict[Any, Callable[[bytes], Any]] = {}
        self.marked: Callable[[Any], Any] = partial(self._marked, self.clear)
        """The leaf of a secret that is sealed by itself: an encoder's hook."""
        self.marked_within: Callable[[Any], Any] = partial(self._marked, self._within)
        """The leaf of a secret inside another one: an encoder's hook."""
        self.revealed: Callable[[Any, Any], Any] = partial(self._revealed, self.clear)
        """The secret of a marked leaf: a decoder's hook."""

    def marked_flat(self, value: Any) -> Any:
        """As ``marked``, of what cannot nest: TypeError for any other."""
        if type(value) is Secret and is_leaf(value.reveal()):
            return self.clear.leaf(self.encode(value.reveal()))
        raise TypeError("what is in it may nest")

    def _marked(self, clear: Clear, value: Any) -> Any:
        if type(value) is Secret:
            return clear.leaf(self.encode(value.reveal()))
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")

    def _revealed(self, clear: Clear, kind: Any, leaf: Any) -> Any:
        encoded = clear.encoded(leaf)
        if encoded is None:
            raise TypeError(WRAP_IT)
        # Not by `get_args`, which takes as long as all the rest.
        inner = Any if kind is Secret else kind.__args__[0]
        return Secret((self._decoders.get(inner) or self.decoder(inner))(encoded))

    def decoder(self, inner: Any) -> Callable[[bytes], Any]:
        """How what is in a Secret is decoded. Raises ConfigError if it cannot be stored."""
        found = self._decoders.get(inner)
        if found is None:
            traits_of(inner, self._encoding)
            form = ENCODINGS[self._encoding]
            hook = partial(self._revealed, self._within)
            found = form.Decoder(inner, dec_hook=hook).decode
            self._decoders[inner] = found
        return found


def inner_types(value_type: Any) -> Iterable[Any]:
    """The T of every ``Secret[T]`` in a type, as far as annotations tell."""
    for kind in reachable(value_type, _parts):
        if get_origin(kind) is Secret and not isinstance(get_args(kind)[0], TypeVar):
            yield get_args(kind)[0]
        elif kind == Secret:
            yield Any


def _parts(kind: Any) -> list[Any]:
    parts = [*get_args(kind)]
    with suppress(Exception):  # of no class, or one whose annotations cannot be resolved
        parts += get_type_hints(get_origin(kind) or kind, include_extras=True).values()
    return parts
