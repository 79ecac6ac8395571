"""Values and their encodings, checked for what would not come back; older shapes of plain data."""
