"""What takes more than one operation of a KV, written once for the sync and the async stores."""
