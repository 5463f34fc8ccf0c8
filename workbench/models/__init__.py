"""Where a model comes from, how it is loaded, and which are in memory.

``reference`` names one, ``fetch`` brings its files, ``estimate`` says what it
will take, ``loader`` loads it, ``pool`` keeps several of them, and ``decoding`` lets one write.
"""
