"""Trying workflows out: a database of their own, fixed results for some steps, and what came of it.

Empty on purpose: pytest imports this package whenever it starts.
"""
