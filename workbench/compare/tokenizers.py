"""The same text cut by each model's tokenizer, and how many characters a token carries.

Longer tokens mean fewer steps for the same text, so more characters a second and more text in
the same context. No weights are loaded. This module does not know whether a model is any good:
a tokenizer that cuts well says nothing of what was learned.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import NoModel, NoText, Stopped, TooLongToCut, WorkbenchError
from workbench.events import Failed, Progress
from workbench.models.estimate import config_of
from workbench.models.reference import ModelReference
from workbench.models.tokenizer import bring_tokenizer, readable_token, token_counts
from workbench.settings import Settings
from workbench.texts import sample

MOST_CHARACTERS = 4000
LETTERS = "嘅喺咗唔嚟啲"
"""Characters of everyday Cantonese that written Chinese hardly uses."""
TEXTS = ("cantonese", "written-chinese", "english")
"""Bundled samples that say the same in each language."""


@dataclass(frozen=True)
class TokenizerRequest:
    """Which tokenizers, and the text to cut."""

    models: tuple[ModelReference, ...]
    text: str

    def __post_init__(self) -> None:
        if not self.models:
            raise NoModel
        if not self.text.strip():
            raise NoText
        if len(self.text) > MOST_CHARACTERS:
            raise TooLongToCut(characters=len(self.text), limit=MOST_CHARACTERS)


@dataclass(frozen=True)
class Piece:
    """One token of the text."""

    token: int
    text: str
    """What it stands for; the bytes of a part of a character as ⟨E4 BB⟩."""
    is_bytes: bool
    """True when it is not a whole character."""


@dataclass(frozen=True)
class Rate:
    """How a text is paid for in tokens."""

    characters: int
    tokens: int

    @property
    def characters_per_token(self) -> float:
        return self.characters / max(1, self.tokens)

    @property
    def tokens_per_thousand(self) -> float:
        """Tokens of 1,000 characters."""
        return 1000 * self.tokens / max(1, self.characters)


@dataclass(frozen=True)
class Cut:
    """One tokenizer's pieces of the text, and its rates on what comes with the workbench."""

    model: str
    vocabulary: int
    """Tokens it knows, special ones included."""
    context: int | None
    """The most tokens the model was made for; None when it does not say."""
    pieces: tuple[Piece, ...]
    own: Rate
    """Of the text itself."""
    rates: dict[str, Rate]
    """Of the bundled samples, by name."""
    letters: dict[str, int]
    """Tokens of each Cantonese character."""

    @property
    def label(self) -> str:
        return ModelReference.parse(self.model).label

    @property
    def cantonese(self) -> Rate:
        return self.rates["cantonese"]

    def figures(self) -> dict[str, Any]:
        """What ``tokens --json`` prints for one model."""
        return {
            "model": self.model,
            "vocabulary": self.vocabulary,
            "context": self.context,
            "tokens": [asdict(piece) for piece in self.pieces],
            "characters_per_token": self.own.characters_per_token,
            "samples": {name: rate.characters_per_token for name, rate in self.rates.items()},
            "letters": self.letters,
        }


Event = Progress | Cut | Failed


def cuts(request: TokenizerRequest, settings: Settings, stop: threading.Event) -> Iterator[Event]:
    """Cut the text with each tokenizer; one that cannot be brought does not stop the next."""
    for reference in dict.fromkeys(request.models):
        try:
            yield (yield from cut_by(reference, request.text, settings, stop))
        except WorkbenchError as error:
            yield Failed(str(reference), error)
            if isinstance(error, Stopped):
                return


def cut_by(
    reference: ModelReference, text: str, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Cut]:
    """Cut one text with one tokenizer, which is fetched first if it is not here.

    Raises:
        ModelError, NoNetwork, DownloadFailed, IncompleteModel, Stopped.
    """
    tokenizer = yield from bring_tokenizer(reference, settings, stop)
    return Cut(
        model=str(reference),
        vocabulary=len(tokenizer),
        context=_context(config_of(reference.base, settings)),
        pieces=pieces(tokenizer, text),
        own=rate(tokenizer, (text,)),
        rates={name: rate(tokenizer, sample(name).documents) for name in TEXTS},
        letters=letters(tokenizer),
    )


def _context(config: dict[str, Any]) -> int | None:
    """Models that also see pictures keep the figures of their language part inside."""
    limit = config.get("text_config", config).get("max_position_embeddings")
    return int(limit) if limit else None


def pieces(tokenizer: Any, text: str) -> tuple[Piece, ...]:
    """The tokens of a text in their order, special ones left out."""
    found = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return tuple(_piece(tokenizer, token) for token in found)


def _piece(tokenizer: Any, token: int) -> Piece:
    shown = readable_token(tokenizer, token)
    whole = tokenizer.decode([token], clean_up_tokenization_spaces=False)
    return Piece(token, shown, is_bytes="\ufffd" in whole)


def rate(tokenizer: Any, documents: tuple[str, ...]) -> Rate:
    """Characters and tokens of some documents, each cut by itself."""
    return Rate(sum(map(len, documents)), sum(token_counts(tokenizer, list(documents))))


def letters(tokenizer: Any) -> dict[str, int]:
    """Tokens that each Cantonese character adds after a line break.

    The line break keeps away what some tokenizers put in front of a text of their own accord.
    """
    bare, *behind = token_counts(tokenizer, ["\n", *(f"\n{letter}" for letter in LETTERS)])
    return {letter: count - bare for letter, count in zip(LETTERS, behind, strict=True)}
