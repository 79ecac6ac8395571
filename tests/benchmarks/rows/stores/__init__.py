"""What users open: the ways of values, files, logs and caches, and the opening itself."""
