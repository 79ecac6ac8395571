"""Tests of kvcodec/plans/."""
