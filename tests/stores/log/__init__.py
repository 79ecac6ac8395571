"""Logs: against a list, stopped everywhere, with many writers, in every form."""
