"""Tuning: from a base and a dataset to an adapter, one short job at a time.

    recipe.py      what is to be done, as one frozen dataclass and one YAML file
    rows.py        rows of a dataset: learned, held out, and what both have
    encode.py      rows as tokens, and which of them are learned from
    mask.py        where in a rendered conversation the answers are
    estimate.py    what fits into memory before anything is loaded
    trial.py       how long it will take, from a few steps that are thrown away
    job.py         start, stop, resume, follow a run: a process of its own
    train.py       that process; trainer.py, head.py, plan.py and watch.py are its parts
    evaluation.py  held-out bits per character, the forgetting line, answers
    checkpoints.py complete or absent, verified before they are used
    runs.py        what runs have said, as lists and curves
    card.py        the model card; export.py what leaves the house
    commands.py    the verbs of the command line

Events and their facts:

    queued{before}             progress{stage, done, total, unit, model}
    ready{rows, held_rows, tokens, learned_tokens, cut, masked, micro_batch, steps, versions,
          base_fingerprint, dataset_sha256, ...}
    resumed{step, damaged}     notice{key, facts}
    step{step, loss, bits_per_character, learning_rate, grad_norm, tokens, tokens_per_second,
         memory_bytes, seconds_left}
    evaluation{step, loss, bits_per_character, forgetting}
    sample{step, prompt, text, register}            saved{step}
    stopped{step}   interrupted{step}   failed{error, facts, sentence}   done{step, adapter}

This package does not know where datasets come from, nor how an adapter is judged.
"""
