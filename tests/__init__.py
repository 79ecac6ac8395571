"""The project's own tests; ``kvcodec.testing`` is what users get of them."""
