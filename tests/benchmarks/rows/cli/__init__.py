"""What the command line adds to what it calls."""
