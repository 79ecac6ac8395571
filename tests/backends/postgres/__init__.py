"""PostgresKV and its twin, on a real server."""
