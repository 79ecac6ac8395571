"""Values that change shape: versions, older forms, unknown fields, and the lock on them."""
