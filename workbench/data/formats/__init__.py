"""Records to rows and back: the formats of training data, and which field is what.

Does not know files.
"""
