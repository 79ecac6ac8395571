"""``Files``: stored in chunks, read as one."""
