"""What operators do about work that failed or waits, as functions: the command uses them, and later the console.

Nothing here prints, nothing of `messaging` imports it, and whatever changes something says who did it (`audit.py`).
"""
