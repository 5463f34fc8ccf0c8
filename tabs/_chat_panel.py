"""The widgets of a conversation: what they say, and how a conversation is shown in them.

Does not know how answers come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tabs._chat_views import last_view, past_view, received_view
from tabs._models import DEFAULT_MODELS, as_precision
from tabs._shared import House
from tabs._words import label
from workbench.chat.conversation import Conversation
from workbench.chat.duo import CONTEXT, MOST_VOICES, Voice
from workbench.models.device import PRECISIONS
from workbench.models.reference import ModelReference
from workbench.models.sampling import PRESETS, SamplingOptions

START = "gentle"
TOKENS = 96
ALL = ""
DIALS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


@dataclass(frozen=True)
class Chosen:
    """What the widgets say, checked by whoever needs it."""

    voices: tuple[Voice, ...]
    options: SamplingOptions
    system: str
    user: str
    mode: str
    context: int
    precision: Any

    @property
    def names(self) -> list[str]:
        return [str(voice.reference) for voice in self.voices]


class Panel:
    """The widgets of a conversation."""

    def __init__(self) -> None:
        self.talk: gr.State = gr.State(None)
        """A ``Conversation``; None before anything was said."""
        self.editing = gr.State(False)
        with gr.Row():
            self.voices = gr.Dropdown(
                DEFAULT_MODELS, value=DEFAULT_MODELS, multiselect=True, allow_custom_value=True,
                max_choices=MOST_VOICES, label=label("chat.voices"), info=label("chat.voices_info"),
                elem_id="chat-voices", scale=4, min_width=280,
            )  # fmt: skip
            self.strength = gr.Slider(
                0, 1, 1, step=0.05, label=label("chat.strength"),
                info=label("chat.strength_info"), elem_id="chat-strength", scale=2, min_width=240,
            )  # fmt: skip
        self.character = gr.HTML(elem_id="chat-character")
        self.past = gr.HTML(elem_id="chat-past")
        self.last = gr.HTML(label("chat.empty"), elem_id="chat-last", elem_classes="tri-results")
        self.said = gr.HTML(elem_id="chat-said")
        self.message = gr.Textbox(
            label("chat.first_message"), label=label("chat.message"), lines=1, max_lines=8,
            elem_id="chat-message",
        )  # fmt: skip
        with gr.Row(elem_classes="tri-actions"):
            self.send = _button("send", variant="primary", scale=3)
            self.stop = gr.Button(
                label("action.stop"), variant="stop", elem_id="chat-stop", min_width=90
            )
        with gr.Row(elem_classes="tri-actions tri-small"):
            self.again = _button("again")
            self.edit = _button("edit")
            self.undo = _button("undo")
            self.go_on = _button("go_on")
            self.fresh = _button("fresh")
        with gr.Row():
            self.whom = gr.Dropdown(
                [(label("chat.all"), ALL)], value=ALL, label=label("chat.again_whom"),
                elem_id="chat-whom", min_width=220,
            )  # fmt: skip
            self.branch = gr.Dropdown(
                [], label=label("chat.branch"), visible=False, elem_id="chat-branch", min_width=220
            )
        self._options()
        with gr.Accordion(label("chat.received"), open=False, elem_id="chat-received-box"):
            self.received = gr.HTML(label("chat.received_none"), elem_id="chat-received")

    def _options(self) -> None:
        start = PRESETS[START]
        with gr.Accordion(label("chat.options"), open=False, elem_id="chat-options"):
            self.system = gr.Textbox(label=label("chat.system"), lines=2, elem_id="chat-system")
            with gr.Row():
                self.user = gr.Textbox(label=label("chat.user"), max_lines=1, min_width=160)
                self.mode = gr.Radio(
                    [(label("chat.mode_chat"), "chat"), (label("chat.mode_text"), "text")],
                    value="chat", label=label("chat.mode"), info=label("chat.mode_info"),
                    elem_id="chat-mode", min_width=300,
                )  # fmt: skip
            with gr.Row():
                self.preset = gr.Dropdown(
                    [(label(f"preset.{name}"), name) for name in PRESETS], value=START,
                    label=label("write.preset"), min_width=240,
                )  # fmt: skip
                self.length = gr.Slider(
                    8, 1024, TOKENS, step=8, label=label("field.max_new_tokens"), min_width=240,
                    elem_id="chat-length",
                )  # fmt: skip
                self.seed = gr.Number(
                    1, precision=0, minimum=0, label=label("field.seed"), min_width=120
                )
            with gr.Row():
                self.temperature = gr.Slider(
                    0, 2, start.temperature, step=0.05, label=label("field.temperature")
                )
                self.top_k = gr.Slider(0, 200, start.top_k, step=1, label=label("field.top_k"))
                self.top_p = gr.Slider(0.05, 1, start.top_p, step=0.01, label=label("field.top_p"))
            with gr.Row():
                self.min_p = gr.Slider(0, 0.5, start.min_p, step=0.01, label=label("field.min_p"))
                self.penalty = gr.Slider(
                    1, 2, start.repetition_penalty, step=0.05,
                    label=label("field.repetition_penalty"),
                )  # fmt: skip
            with gr.Row():
                self.context = gr.Number(
                    CONTEXT, precision=0, label=label("chat.context"),
                    info=label("chat.context_info"), elem_id="chat-context",
                )  # fmt: skip
                self.precision = gr.Dropdown(
                    [(label("precision.auto"), "auto"), *((name, name) for name in PRECISIONS)],
                    value="auto", label=label("compare.precision"), min_width=200,
                )  # fmt: skip

    @property
    def dials(self) -> list[Any]:
        return [self.temperature, self.top_k, self.top_p, self.min_p, self.penalty]

    @property
    def choices(self) -> list[Any]:
        """Inputs of ``chosen_of``, in its order."""
        return [
            self.voices, self.strength, self.length, self.seed, *self.dials, self.system,
            self.user, self.mode, self.context, self.precision,
        ]  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """What every handler fills: see ``shown``."""
        return [
            self.past, self.last, self.said, self.talk, self.message, self.editing, self.branch,
            self.whom, self.received,
        ]  # fmt: skip


def chosen_of(house: House, values: Sequence[Any]) -> Chosen:
    """What the widgets of ``Panel.choices`` say.

    Raises:
        BadReference, NotAllowed, OutOfRange.
    """
    names, strength, length, seed, *rest = values
    dials, (system, user, mode, context, precision) = rest[:5], rest[5:]
    options = SamplingOptions(
        max_new_tokens=int(length or 0),
        seed=int(seed or 0),
        **{name: int(v) if name == "top_k" else v for name, v in zip(DIALS, dials, strict=True)},
    )
    voices = tuple(Voice(one, float(strength)) for one in house.references(names))
    return Chosen(
        voices, options, system or "", user or "", mode, int(context or 0), as_precision(precision)
    )


def shown(language: str, talk: Conversation, said: str = "", **more: Any) -> tuple[Any, ...]:
    """``Panel.outputs`` for a conversation as it is."""
    path = talk.path()
    last = path[-1] if path else None
    answers = last.answers if last else ()
    whom = [(ModelReference.parse(one.voice).label, one.voice) for one in answers]
    return (
        past_view(language, talk),
        last_view(language, talk),
        said,
        talk,
        more.get("message", gr.skip()),
        more.get("editing", False),
        _branches(talk),
        gr.update(choices=[(label("chat.all"), ALL), *whom], value=ALL),
        received_view(language, last),
    )


def only_said(said: str) -> tuple[Any, ...]:
    """``Panel.outputs`` with a notice, everything else as it is."""
    return gr.skip(), gr.skip(), said, *[gr.skip()] * 6


def _branches(talk: Conversation) -> Any:
    """Every end of the tree, by its last words; shown when there is more than one."""
    inner = {turn.parent for turn in talk.turns.values()}
    ends = [turn for turn in talk.turns.values() if turn.number not in inner]
    choices = [(f"{turn.number}: {turn.said[:40]}", turn.number) for turn in ends]
    open_end = talk.tip if any(turn.number == talk.tip for turn in ends) else None
    return gr.update(choices=choices, value=open_end, visible=len(ends) > 1)


def _button(name: str, **options: Any) -> gr.Button:
    given = {"min_width": 90, "elem_id": f"chat-{name.replace('_', '-')}", **options}
    return gr.Button(label(f"chat.{name}"), **given)
