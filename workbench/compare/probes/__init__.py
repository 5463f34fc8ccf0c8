"""Probes: sets of small questions with known answers, read, asked, graded and counted.

``items`` says what a question is, ``reading`` reads files of them, ``ask`` asks models.
"""
