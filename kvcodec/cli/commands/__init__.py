"""The commands of ``kvcodec``: one a module, with its arguments, its help and its lines of JSON."""
