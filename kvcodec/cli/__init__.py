"""The program ``kvcodec``: looks into a KV, verifies, migrates, rotates and copies it."""
