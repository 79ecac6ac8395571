"""What a message of ``get`` ends in, behind the decoder's own reason: the way out."""

OTHER_TYPE = "; has the type changed (upgrades=), or do two share the name?"
"""Of a SchemaMismatch: well-formed, and not what the type declares."""

OTHER_BYTES = "; damaged, or of another encoding= (previous=)"
"""Of any other DecodeError."""
