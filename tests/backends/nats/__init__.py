"""NatsKV, on a real server."""
