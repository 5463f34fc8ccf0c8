"""What the parts of the Compare tab share: a run button with its Stop, and how it is wired.

Does not know what is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tabs._rules import rule, rule_of
from tabs._shared import COMPUTE, QUICK, House
from tabs._words import label


def run_and_stop(run_key: str, element: str) -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_classes="tri-actions"):
        run = gr.Button(label(run_key), variant="primary", elem_id=f"{element}-run", scale=3)
        stop = gr.Button(label("action.stop"), variant="stop", elem_id=f"{element}-stop", scale=1)
    return run, stop


def keeping_the_rest(said: str) -> tuple[Any, ...]:
    """A notice beside results and memory as they are."""
    return said, *[gr.skip()] * 4


def wire(
    handler: Any,
    run: gr.Button,
    stop: gr.Button,
    inputs: list[Any],
    outputs: list[Any],
    house: House,
    work: str,
    moving: gr.HTML,
) -> None:
    """A run button whose handler gets the request last, and its Stop."""

    @rule(rule_of(handler))
    def started(request: gr.Request, *values: Any) -> Iterator[Any]:
        yield from handler(*values, request)

    @rule("look")
    def stopped(request: gr.Request) -> None:
        house.stops.stop(request, work)

    run.click(
        started, inputs, outputs, show_progress="minimal", show_progress_on=moving,
        trigger_mode="once", **COMPUTE,
    )  # fmt: skip
    stop.click(stopped, queue=False, **QUICK)
