"""Talking: conversations, characters, and whose answer was better.

Does not know tuning or datasets: an adapter is named, rows are written to files.
"""
