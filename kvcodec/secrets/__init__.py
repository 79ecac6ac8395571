"""Key rings, ciphers and ``Secret``: how a value is sealed, and where the keys come from."""
