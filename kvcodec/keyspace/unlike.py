"""How the header of stored bytes differs from what a declaration writes (law 4), for people."""

from __future__ import annotations

from kvcodec.format.envelope import COMPRESSIONS, Header, cipher_said
from kvcodec.keyspace.form import Form

__all__ = ["unlike"]


def unlike(form: Form, header: Header, checksum: bytes) -> str | None:
    """What tells a header from those of the declaration, and what to declare; None for nothing."""
    cipher = 0 if form.cipher is None else form.cipher.cipher_id
    compression = 0 if form.compression is None else form.compression.compression_id
    differences = (
        header.version == 1 and not form.is_enveloped_always,
        header.cipher != cipher,
        bool(header.key_id) != bool(cipher),
        header.padding != form.padding,
        (header.expires_ms is None) != (form.ttl is None),
        (header.written_ms is None) == form.dated,
        header.compression not in (0, compression),
        bool(checksum) != form.checksum,
    )
    # Told apart first, and told in words only then: every read asks.
    return _said(differences.index(True), form, header, cipher) if any(differences) else None


def _said(which: int, form: Form, header: Header, cipher: int) -> str:
    its, ours = cipher_said(header.cipher), cipher_said(cipher)
    compression = COMPRESSIONS.get(header.compression)
    lifetime = "it has a lifetime: declare ttl=", "it has no lifetime, and ttl= is declared"
    written = (
        "it has a time of writing: declare max_age=",
        "it has no time of writing, and ttl= or max_age= is declared",
    )
    summed = "it has a checksum: declare checksum=True", "it has no checksum, as is declared"
    return (
        "it has no schema version, and begins as none without does",
        f"it was written with {its}, and the keyspace declares {ours} (cipher=)",
        "its key id is missing, or one too much",
        "it was written with another pad_to= of the cipher",
        lifetime[form.ttl is not None],
        written[form.dated],
        f"it is compressed: declare compress={compression!r}",
        summed[form.checksum],
    )[which]
