"""Servers that tests start, one per file."""
