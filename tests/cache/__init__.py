"""``Cache``: loaded once, served until its time is over."""
