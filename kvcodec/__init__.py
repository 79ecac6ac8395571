"""Typed storage on any raw bytes key-value handle."""
