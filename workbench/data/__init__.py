"""Datasets: what a file means, the Arrow table, checks, duplicates, mixing, splitting.

Does not know models beyond their tokenizers, nor how a dataset is trained on.
"""
