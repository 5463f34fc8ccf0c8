"""Rows that say the same: exactly, nearly, or in other words.

Does not know datasets: texts go in, pairs of row numbers come out.
"""
