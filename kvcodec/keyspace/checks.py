"""What the options of a declaration, and its older declarations, have to agree on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import inspect as kinds

from kvcodec.codecs.codec import ValueCodec
from kvcodec.errors import ConfigError
from kvcodec.format.shapes import is_array, is_object
from kvcodec.keyspace.declaration import Declaration, Older
from kvcodec.keyspace.form import Form
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.protocols import CompressingCodec, HiddenNames, offers
from kvcodec.secrets.abilities import RingCipher, TimeHidingCipher

__all__ = ["check_older", "check_together"]


def check_together(
    form: Form, codec: ValueCodec[Any], encoding: object, *, compress_secrets: bool
) -> None:
    """Raise ConfigError for options that do not go together."""
    _check_cipher(form)
    if form.cipher is not None and form.checksum and codec.secrets is None:
        raise ConfigError("checksum= adds nothing to a sealed value: it is authenticated already")
    by_codec = offers(encoding, CompressingCodec) and encoding.compresses
    compressed = form.compression is not None or by_codec
    if codec.secrets is not None and compressed:
        raise ConfigError(
            "compression beside Secret fields: a sealed field does not get smaller, and the length "
            "of the rest would tell about it"
        )
    if form.cipher is not None and compressed and not compress_secrets:
        raise ConfigError(
            "compression with a cipher shows secrets by their length: if nobody else can choose a "
            "part of the value, say so with compress_secrets=True"
        )
    _check_root(codec)
    _check_unsigned(form, codec)
    if form.keep_unknown and codec.shape is None:
        raise ConfigError("keep_unknown= is for types of msgspec in JSON or MessagePack")


def _check_root(codec: ValueCodec[Any]) -> None:
    """Where nothing is sealed, a signature has to stand somewhere: in an object, array or null."""
    if codec.secrets is None or codec.shape is None:
        return
    members = codec.shape.types if isinstance(codec.shape, kinds.UnionType) else (codec.shape,)
    for member in members:
        leaf = isinstance(member, kinds.NoneType | kinds.CustomType)
        if not (leaf or is_object(member) or is_array(member)):
            raise ConfigError(
                "a type with Secret fields that may be a plain number or text as a whole has no "
                "place for its signature: put it into a Struct"
            )


def _check_unsigned(form: Form, codec: ValueCodec[Any]) -> None:
    if not form.unsigned:
        return
    if codec.secrets is None:
        raise ConfigError("unsigned= leaves fields out of what Secret fields sign: there are none")
    route = codec.secrets.route
    named = [each for members in route.objects.values() for each in members.named.items()]
    secret = {name for name, to in named if to.leads()}
    for name in form.unsigned:
        if name not in route.known:
            raise ConfigError(f"unsigned={name!r}: no field of the type is stored by that name")
        if name in secret:
            raise ConfigError(f"unsigned={name!r}: a secret is in it, which has to be signed")


def _check_cipher(form: Form) -> None:
    if offers(form.names, HiddenNames) and form.cipher is None:
        raise ConfigError("HiddenKeys needs cipher=: the name is stored inside the sealed value")
    if offers(form.cipher, TimeHidingCipher) and form.cipher.hide_time and form.dated:
        raise ConfigError("hide_time= beside ttl= or max_age=: their header shows the time")
    others = (form.dated, form.version > 1, form.compression, form.checksum, form.names)
    if form.bare is not None and any(others):
        raise ConfigError(
            "a bare token has no header: ttl=, max_age=, version=, compress=, checksum=, and keys= "
            "that store the name, need bound=True"
        )


def check_older(declared: Declaration[Any, Any], older: Sequence[Older]) -> None:
    """Raise ConfigError for older declarations whose values could be taken for today's."""
    listed = [each.declaration for each in older]
    for each in older:
        old = each.declaration
        _check_covered(old, listed)
        if not _begin_alike(declared, old):
            continue
        plainly = old.pipeline.form.is_plain or _takes_all(declared.pipeline)
        if declared.signs_unlike(old):
            _check_signed_unlike(declared, each)
        elif plainly or not _reads_by_itself(declared, old):
            raise ConfigError(
                f"what {old!r} stored cannot be told from today's by its first "
                "bytes: give one of them another name, or raise version= instead (for another "
                "key: KeyRing(retired=))"
            )


def _check_signed_unlike(declared: Declaration[Any, Any], older: Older) -> None:
    """With another unsigned=, the signature tells: as long as it is all that tells.

    Of a record without these members both signatures are the same, and today's form reads it.
    """
    old = older.declaration
    versions = {declared.pipeline.form.version, old.pipeline.form.version}
    if older.convert is None and len(versions) == 1 and _reads_by_itself(declared, old):
        return
    raise ConfigError(
        f"another unsigned= than that of {old!r} is told by what a record's signature holds, and "
        "only where nothing else changes: keep version= and encoding=, no convert=, its key in the "
        "ring (retired=), and migrate(); then change the rest"
    )


def _check_covered(old: Declaration[Any, Any], listed: list[Declaration[Any, Any]]) -> None:
    for older in old.elsewhere:
        if not any(older is one for one in listed):
            raise ConfigError(
                f"{old!r} itself reads {older!r}, which keeps its values under other names: name "
                "that in previous= here too"
            )


def _begin_alike(now: Declaration[Any, Any], old: Declaration[Any, Any]) -> bool:
    """Whether what the older one stored can begin as today's form does, under the same name."""
    if not now.names.are_spelt_as(old.names) or now.names.alphabets != old.names.alphabets:
        return False
    mine, theirs = now.pipeline, old.pipeline
    if _takes_all(mine):
        return True
    if theirs.form.is_plain:
        return _first_bytes_meet(mine, theirs)
    return theirs.form.bare is None and mine.wrapping.would_take(theirs.wrapping)


def _takes_all(mine: Pipeline[Any]) -> bool:
    """Whether anything is of today's form: text, raw bytes."""
    return not mine.form.is_enveloped_always and mine.codec.first is None


def _reads_by_itself(now: Declaration[Any, Any], old: Declaration[Any, Any]) -> bool:
    """Whether today's declaration reads what the older one stored, as from before compress=."""
    mine, theirs = now.pipeline, old.pipeline
    return now.name == old.name and mine.codec.name == theirs.codec.name and _has_key(mine, theirs)


def _first_bytes_meet(mine: Pipeline[Any], theirs: Pipeline[Any]) -> bool:
    if mine.form.is_enveloped_always or mine.codec.first is None or theirs.codec.first is None:
        return False
    return bool(mine.codec.first & theirs.codec.first)


def _has_key(mine: Pipeline[Any], theirs: Pipeline[Any]) -> bool:
    """Whether today's cipher opens what the other one seals."""
    if mine.cipher is None or theirs.cipher is None:
        return True
    held = mine.cipher.key_ids if offers(mine.cipher, RingCipher) else {mine.primary}
    return theirs.primary in held and mine.cipher.cipher_id == theirs.cipher.cipher_id
