"""``TemplateKeys``: names already in use, as text with a field in braces for each part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, shorten
from kvcodec.keys.parts import TEXT, VERBATIM, Part
from kvcodec.keys.paths import UNCLEAN, Scheme
from kvcodec.keys.shapes import Shape, shape_of

__all__ = ["TemplateKeys"]

K = TypeVar("K", default=str)


_FIELD = r"\{([A-Za-z_][A-Za-z0-9_]*)\}"
_BAD_LITERAL = r"!|\\|[\x00-\x1f\x7f-\x9f]|[{}]|[\ud800-\udfff]|\.\."


class TemplateKeys(Scheme[K]):
    r"""Names already in use: ``TemplateKeys("whatsapp:{phone}:{account}", Route)``.

    Each field in braces is one part of the key, in the key type's order, or by the names of its
    fields in any order; a template with one field takes any part type (str by default), and one
    without any (``key=None``) names a single value. Parts are encoded as in ``PathKeys``.

    With ``verbatim=True`` text stands as it is, for names that others wrote:
    ``TemplateKeys("user:{id}:prefs", verbatim=True)`` has ``user:ada@x.org:prefs``. Such a key is
    refused when it is used (KeyNameError) if its name could be another key's, as a part does that
    holds the text behind its field, unless no field of text follows; and if it holds what hosts
    refuse: ``/``, ``\``, ``!``, control characters, ``..``.

    Raises ConfigError when declared if a raw key could be split in two ways (the character
    after a field must be one that the field's text cannot hold), if fields and key type do not
    agree, or if the literal text holds what hosts refuse (``//``, ``..``, ``\``, control
    characters, a leading or trailing ``/``) or ``!``, which begins what kvcodec derives from names.
    """

    __slots__ = ("template", "verbatim")

    def __init__(
        self,
        template: str,
        key: type[K] | None = str,  # type: ignore[assignment]
        *,
        verbatim: bool = False,
    ) -> None:
        given: tuple[object, object] = (template, verbatim)
        if not (isinstance(given[0], str) and isinstance(given[1], bool)):
            raise ConfigError("a template is text, and verbatim= is True or False")
        self.template: str = template
        self.verbatim: bool = verbatim
        literals, fields = _parse_template(template)
        shape = _reorder(shape_of(key, VERBATIM if verbatim else TEXT), fields)
        _check_unambiguous(template, literals, shape.parts)
        super().__init__(literals, shape, key)

    @property
    def spelling(self) -> tuple[str, bool]:
        """What decides its raw keys: the template, and whether parts stand as they are."""
        return self.template, self.verbatim

    def bind(self, name: str, key_type: Any) -> TemplateKeys[K]:
        """Return the scheme itself: a template knows its own key type.

        Raises ConfigError if the keyspace declares another one.
        """
        if key_type is not str and key_type != self.key_type:
            raise ConfigError(
                f"the type of the keys stands in the template: TemplateKeys({self.template!r}, "
                "KeyType); key= says another one, and is not needed",
                keyspace=name,
            )
        return self


def _parse_template(template: str) -> tuple[list[str], list[str]]:
    pieces = re.split(_FIELD, template)
    literals, fields = pieces[::2], pieces[1::2]
    whole = "x".join(literals)
    if any(re.search(_BAD_LITERAL, text) for text in literals) or re.search(UNCLEAN, whole):
        raise ConfigError(
            f"template '{shorten(template, 80)}' holds a brace that is no field, '!', a control "
            "character or a path that hosts clean away ('//', '..', '.', leading or trailing '/')"
        )
    return literals, fields


def _reorder(shape: Shape, fields: list[str]) -> Shape:
    """The shape with its parts in the order in which the template names them."""
    if len(set(fields)) != len(fields):
        raise ConfigError(f"the template names a field twice: {fields}")
    if len(fields) != len(shape.parts):
        raise ConfigError(
            f"the template has {len(fields)} fields, the key {len(shape.parts)} parts: name the "
            "key's type, TemplateKeys(template, KeyType)"
        )
    if not shape.names or shape.names[0] == "0" or len(fields) < 2:
        return shape
    if set(fields) != set(shape.names):
        raise ConfigError(f"the template names {fields}, the key has {list(shape.names)}")
    order = [shape.names.index(field) for field in fields]

    def rebuild(values: Sequence[Any]) -> Any:
        return shape.rebuild([values[order.index(at)] for at in range(len(order))])

    def explode(key: Any) -> Sequence[Any]:
        values = shape.explode(key)
        return [values[at] for at in order]

    return replace(
        shape,
        parts=tuple(shape.parts[at] for at in order),
        explode=explode,
        rebuild=rebuild,
        names=tuple(fields),
        order=tuple(order),
    )


def _check_unambiguous(template: str, literals: list[str], parts: tuple[Part, ...]) -> None:
    for part, literal in zip(parts[:-1], literals[1:-1], strict=True):
        if literal == "" or (not part.is_verbatim and part.can_hold(literal[0])):
            raise ConfigError(
                f"template '{shorten(template, 80)}' is ambiguous: what follows a field must "
                "begin with a character that the field cannot hold (':' or '/' for text; with "
                "verbatim=True any text may stand between fields of text)"
            )
    # The last field needs no such check: the literal behind it is always the name's end.
