"""Base models side by side: perplexity, where they differ, what they write.

``perplexity`` scores, ``heatmap`` shows where, ``continuation`` writes,
``history`` remembers all of it.
"""
