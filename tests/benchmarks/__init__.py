"""``make bench``: kvcodec beside the lines that it replaces, measured in one run."""
