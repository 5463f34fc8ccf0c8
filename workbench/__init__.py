"""Trilogy's core: models, comparison, prompts, data, tuning and chat.

Everything that is not the screen lives here. Nothing in this package imports
gradio, and importing it pulls in neither torch nor transformers.
"""

__version__ = "0.1.0"
