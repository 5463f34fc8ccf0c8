"""The rooms of Prompts: templates, seeds, teachers, parsing, the autopsy, runs and judging.

Importing this package loads neither a client library nor a model.
"""
