"""Who is asked, with which key and how: the panel at the head of the Prompts tab.

A typed key leaves its box at once and is kept in the server's memory for that session only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tabs._models import DEFAULT_MODELS, offered
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice, on_space
from tabs._words import label, say
from workbench.errors import NotAllowed
from workbench.prompts.teachers import (
    THRESHOLDS,
    Key,
    Options,
    Teacher,
    TeacherChoice,
    environment_key,
    made,
    needs_key,
)

KINDS = ("local", "gemini", "openai")
STARTS = {
    "local": (DEFAULT_MODELS, DEFAULT_MODELS[0], 400),
    "gemini": (
        ["gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"], "gemini-2.5-flash", 8192,
    ),
    "openai": ([], "", 4096),
}  # fmt: skip
"""For each kind: what is offered before anybody is asked, the first choice, tokens of a reply."""
BLOCKING = THRESHOLDS[1:]
WORK: dict[str, Any] = {
    "api_visibility": "private", "concurrency_id": "prompts", "concurrency_limit": 4,
    "show_progress": "hidden",
}  # fmt: skip


@dataclass(frozen=True)
class Asking:
    """What the panel says."""

    choice: TeacherChoice
    options: Options
    concurrency: int
    per_minute: int


class Panel:
    """The widgets, in the order in which ``asking_of`` reads them."""

    def __init__(self, house: House, language: gr.Textbox) -> None:
        models, first, tokens = STARTS["local"]
        with gr.Row():
            self.kind = gr.Radio(
                [(label(f"teacher.{one}"), one) for one in KINDS], value="local",
                label=label("teacher.kind"), elem_id="prompts-kind", scale=2, min_width=280,
            )  # fmt: skip
            self.model = gr.Dropdown(
                models, value=first, allow_custom_value=True, label=label("teacher.model"),
                elem_id="prompts-model", scale=2, min_width=240,
            )  # fmt: skip
            self.offer = gr.Button(
                label("teacher.list"), elem_id="prompts-models", scale=0, min_width=150
            )
        with gr.Row(visible=False) as self.server:
            self.key = gr.Textbox(
                type="password", label=label("teacher.key"), info=label("teacher.key_info"),
                elem_id="prompts-key", max_lines=1, scale=2, min_width=240,
            )  # fmt: skip
            self.base_url = gr.Textbox(
                "", label=label("teacher.base_url"), info=label("teacher.base_url_info"),
                elem_id="prompts-url", max_lines=1, scale=2, min_width=240,
                visible=not on_space(),
            )  # fmt: skip
        self.said = gr.HTML(elem_id="prompts-teacher-said")
        with gr.Accordion(label("teacher.how"), open=False, elem_id="prompts-how"):
            with gr.Row():
                self.temperature = gr.Number(
                    1.0, label=label("teacher.temperature"), minimum=0, maximum=5, min_width=130
                )
                self.tokens = gr.Number(
                    tokens, label=label("teacher.max_tokens"), precision=0, minimum=1,
                    min_width=130, elem_id="prompts-tokens",
                )  # fmt: skip
                self.timeout = gr.Number(
                    120, label=label("teacher.timeout"), minimum=1, maximum=900, min_width=130
                )
                self.concurrency = gr.Number(
                    4, label=label("teacher.concurrency"), precision=0, minimum=1, maximum=64,
                    min_width=130,
                )  # fmt: skip
                self.per_minute = gr.Number(
                    0, label=label("teacher.per_minute"), info=label("teacher.no_limit"),
                    precision=0, minimum=0, min_width=130,
                )  # fmt: skip
            with gr.Row():
                self.thinking = gr.Number(
                    -1, label=label("teacher.thinking"), info=label("teacher.thinking_info"),
                    precision=0, minimum=-1, min_width=200,
                )  # fmt: skip
                known = [(one, one) for one in BLOCKING]
                self.safety = gr.Dropdown(
                    [(label("teacher.safety_default"), THRESHOLDS[0]), *known],
                    value="default", label=label("teacher.safety"), min_width=200,
                )  # fmt: skip
                self.structured = gr.Checkbox(
                    False, label=label("teacher.structured"), info=label("teacher.structured_info")
                )
        self._wire(house, language)

    @property
    def inputs(self) -> list[Any]:
        return [
            self.kind, self.model, self.base_url, self.temperature, self.tokens, self.timeout,
            self.concurrency, self.per_minute, self.thinking, self.safety, self.structured,
        ]  # fmt: skip

    def _wire(self, house: House, language: gr.Textbox) -> None:
        @rule("look")
        def change(request: gr.Request, language: str, kind: str) -> tuple[Any, ...]:
            models, first, tokens = STARTS[kind]
            if kind == "local":
                models = offered(house)
            return (
                gr.update(choices=models, value=first),
                gr.update(visible=kind != "local"),
                tokens,
                _key_line(house, request, language, kind),
            )

        @rule("own")
        def remember(request: gr.Request, language: str, key: str, kind: str) -> tuple[str, str]:
            """The box is emptied; the key stays in memory until this page is closed."""
            if key.strip():
                house.typed.put(request, kind, key.strip())
            return "", _key_line(house, request, language, kind)

        @rule("generate")
        def ask_models(
            request: gr.Request, language: str, *values: Any
        ) -> Iterator[tuple[Any, ...]]:
            try:
                asking = asking_of(values)
                if asking.choice.kind == "local":
                    yield gr.update(choices=offered(house)), gr.skip()
                    return
                names = teacher_of(house, request, asking.choice).models()
            except Exception as error:
                yield gr.skip(), failed(language, error)
                return
            chosen = asking.choice.model if asking.choice.model in names else None
            value = chosen or (names[0] if names else asking.choice.model)
            text = say(language, "teacher.listed", count=len(names))
            yield gr.update(choices=names, value=value), notice("good", text)

        outputs = [self.model, self.server, self.tokens, self.said]
        self.kind.change(change, [language, self.kind], outputs, **QUICK)
        gr.on(
            [self.key.submit, self.key.blur], remember, [language, self.key, self.kind],
            [self.key, self.said], **QUICK,
        )  # fmt: skip
        self.offer.click(ask_models, [language, *self.inputs], [self.model, self.said], **FOLLOW)


def asking_of(values: tuple[Any, ...] | list[Any]) -> Asking:
    """What the panel's widgets say.

    Raises:
        BadTeacher, OutOfRange.
    """
    kind, model, base_url, temperature, tokens, timeout, concurrency, per_minute, *rest = values
    thinking, safety, structured = rest
    choice = TeacherChoice(kind, (model or "").strip(), (base_url or "").strip())
    if kind == "local":
        choice = TeacherChoice(kind, choice.model)
    options = Options(
        temperature=float(temperature or 0), max_tokens=int(tokens or 0), thinking=int(thinking),
        safety=safety, structured=bool(structured), timeout=float(timeout or 0),
    )  # fmt: skip
    return Asking(choice, options, int(concurrency or 1), int(per_minute or 0))


def key_of(house: House, request: gr.Request, choice: TeacherChoice) -> Key:
    """The key this visitor typed, else the owner's, which is for the owner.

    Raises:
        NotAllowed: the server is sent to no address that a guest or a visitor names.
    """
    visitor = house.who(request)
    if choice.base_url and not visitor.may("import_from_url"):
        raise NotAllowed(model=choice.base_url)
    typed = Key(house.typed.get(request, choice.kind))
    if typed or not visitor.may("generate_with_owner_key"):
        return typed
    return environment_key(choice)


def teacher_of(
    house: House,
    request: gr.Request,
    choice: TeacherChoice,
    stop: Any = None,
    tell: Callable[[Any], Any] = lambda _progress: None,
) -> Teacher:
    """Whoever is chosen, ready to be asked.

    Raises:
        NotAllowed, NoKey, BadTeacher.
    """
    if choice.kind == "local":
        from workbench.prompts.teachers.local import Local

        house.references([choice.model], request)
        return Local(choice, house.pool, stop, tell)
    return made(choice, key_of(house, request, choice))


def _key_line(house: House, request: gr.Request, language: str, kind: str) -> str:
    """Whether there is a key, without a character of it."""
    if kind == "local":
        return ""
    if house.typed.get(request, kind):
        return notice("good", say(language, "teacher.key_kept"))
    choice = TeacherChoice(kind, "any")
    if house.who(request).may("generate_with_owner_key") and environment_key(choice):
        return notice("good", say(language, "teacher.key_environment"))
    wanted = "teacher.key_wanted" if needs_key(choice) else "teacher.key_perhaps"
    return notice("info", say(language, wanted))
