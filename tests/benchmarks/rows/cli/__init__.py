"""Rows of kvcodec/cli/."""
