"""kvcodec in other libraries, under their own tests."""
