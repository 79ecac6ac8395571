"""What is sealed: whole values, and Secret fields."""
