"""Tuning: from a base and a dataset to an adapter, one short job at a time.

    recipe.py      what is to be done, as one frozen dataclass and one YAML file
    rows.py        rows of a dataset: learned, held out, and what both have
    encode.py      rows as tokens, and which of them are learned from
    mask.py        where in a rendered conversation the answers are
    templates.py   chat templates for bases that bring none
    estimate.py    what fits into memory before anything is loaded

This package does not know where datasets come from, nor how an adapter is judged.
"""
