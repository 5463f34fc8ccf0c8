"""Tuning: from a base and a dataset to an adapter, one short job at a time.

    recipe.py      what is to be done, as one frozen dataclass and one YAML file
    rows.py        rows of a dataset: learned, held out, and what both have
    encode.py      rows as tokens, and which of them are learned from
    mask.py        where in a rendered conversation the answers are
    templates.py   chat templates for bases that bring none
    estimate.py    what fits into memory before anything is loaded
    job.py         start, stop, resume, follow a run: a process of its own
    queue.py       who is at work, by locks that die with their process
    train.py       that process; trainer.py, head.py, plan.py and watch.py are its parts
    evaluation.py  held-out bits per character, the forgetting line, answers
    checkpoints.py complete or absent, verified before they are used
    events.py      what a run says; runs.py reads it as lists and curves
    card.py        the model card; export.py what leaves the house
    commands.py    the verbs of the command line

This package does not know where datasets come from, nor how an adapter is judged.
"""
