"""kvcodec's own backends, called as they are."""
