"""Named, typed endpoints for programs and agents: what guests may do, under the same rules.

They share the line, the quotas and the limits of the page. Errors are said in English.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from tabs._rules import rule
from tabs._shared import House
from tabs._words import explain
from workbench.chat.duo import Answered, ChatRequest, Voice, chat
from workbench.chat.messages import Message
from workbench.compare.continuation import ContinuationRequest, Written, continuations
from workbench.compare.perplexity import PerplexityRequest, Scored, perplexities
from workbench.errors import WorkbenchError
from workbench.events import Failed
from workbench.models.sampling import SamplingOptions
from workbench.texts import from_paste

LINE: dict[str, Any] = {"concurrency_id": "compute", "concurrency_limit": 1}


def build_api(house: House) -> None:
    """Register the endpoints; call it within the page."""

    @rule("look")
    def models() -> list[dict[str, Any]]:
        loaded = {str(model.reference): model for model in house.pool.loaded()}
        return [
            {
                "model": name,
                "loaded": name in loaded,
                "precision": loaded[name].precision if name in loaded else None,
            }
            for name in sorted(house.allowed() | loaded.keys())
        ]

    @rule("compare")
    def perplexity(models: list[str], text: str) -> list[dict[str, Any]]:
        with saying():
            asked = PerplexityRequest(
                house.references(models), from_paste(text, house.settings.max_text_bytes)
            )
            found = {}
            for event in house.measure(perplexities, asked, threading.Event()):
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, Scored):
                    found[event.result.model] = _figures(event)
            return list(found.values())

    @rule("compare")
    def generate(
        model: str,
        prompt: str,
        max_new_tokens: int = 64,
        temperature: float = 0.9,
        top_p: float = 0.95,
        seed: int = 1,
    ) -> dict[str, Any]:
        with saying():
            options = SamplingOptions(
                max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
            )
            asked = ContinuationRequest(house.references([model]), (prompt,), options)
            return _written(house, asked)

    @rule("chat")
    def talk(
        model: str,
        message: str,
        system: str = "",
        max_new_tokens: int = 128,
        temperature: float = 0.7,
        seed: int = 1,
    ) -> dict[str, Any]:
        with saying():
            voices = tuple(Voice(one) for one in house.references([model]))
            options = SamplingOptions(
                max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
            )
            turn = (Message("user", message),)
            return _answered(house, ChatRequest(voices, (turn,), options, system))

    describe: Callable[..., Any] = gr.api
    describe(
        models, api_name="models", concurrency_limit=8,
        api_description="The models that may be used here, and which are in memory. "
        "Returns: list of {model, loaded, precision}.",
    )  # fmt: skip
    describe(
        perplexity, api_name="perplexity", **LINE,
        api_description="How surprised each model is by a text; lower is better. Compare "
        "bits_per_character between models, never token_perplexity. Args: models: references such "
        "as bundled:gemma-3-270m; text: the text to score. Returns: one {model, "
        "bits_per_character, bits_per_byte, token_perplexity, tokens, characters} a model.",
    )  # fmt: skip
    describe(
        generate, api_name="generate", **LINE,
        api_description="Continue a text with a model. Args: model: a reference such as "
        "bundled:gemma-3-270m; prompt: the text to continue; max_new_tokens: 1 to 4096; "
        "temperature: 0 takes the likeliest token; seed: the same gives the same text. "
        "Returns: {text, tokens, register}.",
    )  # fmt: skip
    describe(
        talk, api_name="chat", **LINE,
        api_description="One answer of a model to one message, through its chat template. Args: "
        "model: a reference, with +RUN for a tuned one; message: what is said to it; system: "
        "who it is to be; max_new_tokens, temperature, seed: as for generate. "
        "Returns: {text, tokens, register, model, fingerprint} with the weights that answered.",
    )  # fmt: skip


@contextmanager
def saying() -> Iterator[None]:
    """Errors of the workbench become the sentence that the caller is told."""
    try:
        yield
    except WorkbenchError as error:
        raise gr.Error(explain("en", error), print_exception=False) from None


def _figures(event: Scored) -> dict[str, Any]:
    result = event.result
    return {
        "model": result.model,
        "bits_per_character": result.bits_per_character,
        "bits_per_byte": result.bits_per_byte,
        "token_perplexity": result.token_perplexity,
        "tokens": result.scored_tokens,
        "characters": result.characters,
    }


def _written(house: House, asked: ContinuationRequest) -> dict[str, Any]:
    for event in house.measure(continuations, asked, threading.Event()):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Written):
            if not event.reused:
                house.count(None, event.tokens)
            return {"text": event.text, "tokens": event.tokens, "register": event.register}
    raise AssertionError("a request for one text ends with one")


def _answered(house: House, asked: ChatRequest) -> dict[str, Any]:
    for event in house.compute(chat, asked, threading.Event()):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Answered):
            house.count(None, event.tokens)
            return {
                "text": event.text,
                "tokens": event.tokens,
                "register": event.register,
                "model": event.who.name,
                "fingerprint": event.who.fingerprint,
            }
    raise AssertionError("one voice gives one answer")
