"""What kvcodec itself lays out as bytes and names, each as a table and its two directions."""
