"""The heart: the declaration, and the whole way between a value and its bytes. No I/O, no clock."""
