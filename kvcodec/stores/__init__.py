"""Keyspaces opened on a KV: the sync and async twins, drivers of plans."""
