"""Bytes to records: what a file is, by its content, and its rows one by one.

Does not know what the fields of a record mean.
"""
