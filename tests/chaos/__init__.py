"""Faults on purpose, for as long as you like, and a checker that says what they broke."""
