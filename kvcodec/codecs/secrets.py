"""Secret fields in msgspec's encodings: what its encoders and decoders call for a Secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, get_args, get_origin, get_type_hints

from typing_extensions import TypeVar

from kvcodec.codecs.codec import ENCODINGS
from kvcodec.codecs.traits import traits_of
from kvcodec.secrets.marks import BINARY, BINARY_WITHIN, TEXT, TEXT_WITHIN, Clear
from kvcodec.secrets.secret import Secret

__all__ = ["SecretHooks", "inner_type", "secret_types"]


class SecretHooks:
    """What msgspec calls for a Secret in a value, in both directions.

    For one that is sealed by itself, and for one inside another, which is sealed with that.
    """

    def __init__(self, encoding: str) -> None:
        is_text = encoding == "json"
        self.clear, self._within = (TEXT, TEXT_WITHIN) if is_text else (BINARY, BINARY_WITHIN)
        self.encode: Callable[[Any], bytes] = ENCODINGS[encoding].encode
        self._encoding = encoding
        self._decoders: dict[Any, Callable[[bytes], Any]] = {}

    def marked(self, value: Any) -> Any:
        """The leaf of a secret that is sealed by itself: an encoder's hook."""
        return self._marked(self.clear, value)

    def marked_within(self, value: Any) -> Any:
        """The leaf of a secret inside another one: an encoder's hook."""
        return self._marked(self._within, value)

    def _marked(self, clear: Clear, value: Any) -> Any:
        if type(value) is Secret:
            return clear.leaf(self.encode(value.reveal()))
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")

    def revealed(self, kind: Any, leaf: Any) -> Any:
        """The secret of a marked leaf: a decoder's hook."""
        return self._revealed(self.clear, kind, leaf)

    def _revealed_within(self, kind: Any, leaf: Any) -> Any:
        return self._revealed(self._within, kind, leaf)

    def _revealed(self, clear: Clear, kind: Any, leaf: Any) -> Any:
        encoded = clear.encoded(leaf)
        if encoded is None:
            raise TypeError("not sealed")
        decode = self._decoders.get(kind) or self.decoder(kind)
        return Secret(decode(encoded))

    def decoder(self, kind: Any) -> Callable[[bytes], Any]:
        """How what is in a Secret is decoded. Raises ConfigError if it cannot be stored."""
        inner = inner_type(kind)
        traits_of(inner, self._encoding)
        form = ENCODINGS[self._encoding]
        found = form.Decoder(inner, dec_hook=self._revealed_within).decode
        self._decoders[kind] = found
        return found


def inner_type(kind: Any) -> Any:
    """The T of ``Secret[T]``: anything where none is given."""
    return (get_args(kind) or (Any,))[0]


def secret_types(value_type: Any) -> Iterable[Any]:
    """Every ``Secret[T]`` in a type, as far as annotations tell."""
    seen: dict[int, Any] = {}
    left: list[Any] = [value_type]
    while left:
        kind = left.pop()
        if id(kind) in seen:
            continue
        seen[id(kind)] = kind
        left += get_args(kind)
        if kind == Secret or (
            get_origin(kind) is Secret and not isinstance(inner_type(kind), TypeVar)
        ):
            yield kind
        left += _hints(kind)


def _hints(kind: Any) -> Iterable[Any]:
    try:
        return get_type_hints(get_origin(kind) or kind, include_extras=True).values()
    except Exception:  # noqa: BLE001 - no class, or one whose annotations cannot be resolved
        return ()
