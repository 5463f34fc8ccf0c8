"""The prompt, filled with real seeds, and one request to see what comes back and what is kept."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from html import escape
from typing import Any

import gradio as gr

from tabs._prompts_ask import WORK, Asking, Panel, asking_of, teacher_of
from tabs._prompts_views import difference, money, side_by_side, tally
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice, progress
from tabs._words import label, say
from workbench.data.dataset import listed as datasets
from workbench.events import Progress
from workbench.prompts import job, judging, seeds, template
from workbench.prompts.autopsy import Autopsy
from workbench.prompts.autopsy import tally as counted
from workbench.prompts.engine import finish_of
from workbench.prompts.ledger import prices
from workbench.prompts.rules import Rules
from workbench.prompts.seeds import DATASET, RUN, Seeds
from workbench.prompts.store import ANSWERED, LEDGER, REPLIES, Appended, ledger_line
from workbench.prompts.teachers import Reply
from workbench.prompts.template import Filled, Template
from workbench.workspace import Workspace

REDRAW_SECONDS = 0.4
TRIES = ".tries"
"""Beside the runs: what was tried once is paid for too, and kept."""
FIRST = {
    "local": "self-instruct-base", "gemini": "self-instruct-cantonese",
    "openai": "self-instruct-cantonese",
}  # fmt: skip
"""The prompt that suits each kind of teacher: a base only goes on with a list."""


class Editor:
    """The choice of a prompt, its text, and the seeds that fill it."""

    def __init__(self, house: House, language: gr.Textbox, panel: Panel) -> None:
        names = [one.label for one in _newest(Workspace(house.settings.workspace))]
        first = _suiting("local", names)
        with gr.Row():
            self.prompt = gr.Dropdown(
                names, value=first, label=label("prompts.prompt"), elem_id="prompts-prompt",
                scale=3, min_width=240,
            )  # fmt: skip
            self.seeds = gr.Dropdown(
                seeds.shipped(), value=seeds.DEFAULT, allow_custom_value=True,
                label=label("prompts.seeds"), info=label("prompts.seeds_info"),
                elem_id="prompts-seeds", scale=2, min_width=200,
            )  # fmt: skip
        self.about = gr.HTML(elem_id="prompts-about")
        with gr.Accordion(label("prompts.edit"), open=False, elem_id="prompts-edit"):
            self.text = gr.Textbox(
                lines=10, max_lines=24, label=label("prompts.text"),
                info=label("prompts.text_info"), elem_id="prompts-text",
            )  # fmt: skip
            with gr.Row(elem_classes="tri-actions"):
                self.keep = gr.Button(label("prompts.keep_version"), elem_id="prompts-keep")
                self.show = gr.Button(label("prompts.show_changes"), elem_id="prompts-changes")
            self.changes = gr.HTML()
        self.number = gr.State(0)
        with gr.Accordion(label("prompts.preview"), open=True, elem_id="prompts-preview"):
            self.preview = gr.HTML()
            self.another = gr.Button(label("prompts.another"), size="sm", elem_id="prompts-another")
        self.said = gr.HTML(elem_id="prompts-editor-said")
        self._wire(house, language, panel, names)
        _build_try(house, language, panel, self)

    @property
    def inputs(self) -> list[Any]:
        return [self.prompt, self.text, self.seeds]

    def _wire(self, house: House, language: gr.Textbox, panel: Panel, names: list[str]) -> None:
        @rule("look")
        def choose(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
            if not name:
                return gr.skip(), gr.skip()
            try:
                found = template.find(name, house.workspace(request))
            except Exception as error:
                return gr.skip(), failed(language, error)
            return found.template, about(language, found)

        @rule("look")
        def draw(
            request: gr.Request, language: str, number: int, name: str, text: str, source: str
        ) -> str:
            try:
                workspace = house.workspace(request)
                chosen = edited(name, text, workspace)
                found = load(source, workspace)
                return preview(language, chosen, template.fill(chosen, found.seeds, number), found)
            except Exception as error:
                return failed(language, error)

        @rule("own")
        def keep(request: gr.Request, language: str, name: str, text: str) -> tuple[Any, ...]:
            try:
                workspace = house.workspace(request)
                kept = template.save(edited(name, text, workspace), workspace)
            except Exception as error:
                return failed(language, error), gr.skip()
            choices = titled(language, template.listed(workspace))
            said = notice("good", say(language, "prompts.version_kept", name=kept.label))
            return said, gr.update(choices=choices, value=kept.label)

        @rule("look")
        def show(request: gr.Request, language: str, name: str, text: str) -> str:
            try:
                workspace = house.workspace(request)
                before = template.find(name, workspace)
                older = [
                    one for one in template.listed(workspace)
                    if one.name == before.name and one.version < before.version
                ]  # fmt: skip
                after = edited(name, text, workspace)
                if after.template == before.template and older:
                    return difference(language, older[-1], before)
                return difference(language, before, replace(after, version=before.version + 1))
            except Exception as error:
                return failed(language, error)

        @rule("look")
        def suit(kind: str, chosen: str | None) -> Any:
            """Another kind of teacher, and the prompt for the last one still chosen."""
            if (chosen or "").partition("@")[0] not in FIRST.values():
                return gr.skip()
            return _suiting(kind, names)

        inputs = [language, self.number, *self.inputs]
        panel.kind.change(suit, [panel.kind, self.prompt], self.prompt, **QUICK)
        self.prompt.change(choose, [language, self.prompt], [self.text, self.about], **FOLLOW).then(
            draw, inputs, self.preview, **FOLLOW
        )
        gr.on(
            [self.text.change, self.seeds.change], draw, inputs, self.preview, **FOLLOW
        )  # fmt: skip
        self.another.click(_next_number, self.number, self.number, **QUICK).then(
            draw, inputs, self.preview, **FOLLOW
        )
        self.keep.click(keep, [language, self.prompt, self.text], [self.said, self.prompt], **QUICK)
        self.show.click(show, [language, self.prompt, self.text], self.changes, **FOLLOW)

        @rule("look")
        def entitle(request: gr.Request, language: str) -> Any:
            """The prompts by their titles in the person's language."""
            return gr.update(choices=titled(language, _newest(house.workspace(request))))

        self.greetings: list[tuple[Any, ...]] = [
            (entitle, language, self.prompt),
            (choose, [language, self.prompt], [self.text, self.about]),
            (draw, inputs, self.preview),
        ]
        self.offer = _sources(house)


@rule("look")
def _next_number(number: int) -> int:
    return number + 1


def titled(language: str, found: list[Template]) -> list[tuple[str, str]]:
    """Prompts as choices: what each is called, then its name and version."""
    return [(f"{one.called(language)} · {one.label}", one.label) for one in found]


def _suiting(kind: str, names: list[str]) -> str | None:
    wanted = f"{FIRST[kind]}@"
    found = [one for one in names if one.startswith(wanted)]
    return found[-1] if found else next(iter(names), None)


def _newest(workspace: Workspace) -> list[Template]:
    """The newest version of every prompt."""
    found: dict[str, Template] = {one.name: one for one in template.listed(workspace)}
    return list(found.values())


def _sources(house: House) -> Callable[..., Any]:
    @rule("look")
    def offer(request: gr.Request) -> Any:
        """Shipped seeds, datasets and the rows of runs."""
        workspace = house.workspace(request)
        names = [f"{DATASET}{one.name}" for one in datasets(workspace)]
        runs = [f"{RUN}{one}" for one in job.listed(workspace) if not one.endswith(judging.SUFFIX)]
        return gr.update(choices=[*seeds.shipped(), *names, *runs])

    return offer


def load(source: str | None, workspace: Workspace) -> Seeds:
    """The seeds a visitor chose: shipped, a dataset or a run, never any other file.

    Raises:
        NoSeeds, NoSuchDataset, InvalidName.
    """
    return seeds.load(source_of(source), workspace)


def source_of(source: str | None) -> str:
    """What a visitor may name as seeds; anything else is taken for the name of a dataset."""
    chosen = (source or "").strip()
    known = chosen.startswith((DATASET, RUN)) or chosen in seeds.shipped()
    return chosen if known else f"{DATASET}{chosen}"


def edited(name: str, text: str, workspace: Workspace) -> Template:
    """The chosen prompt with the text as it stands in the editor.

    Raises:
        NoSuchPrompt, BadPrompt, UnknownSlot.
    """
    found = template.find(name or "", workspace)
    return found if not text or text == found.template else replace(found, template=text)


def about(language: str, found: Template) -> str:
    """What a prompt is for, and what its slots hold."""
    holes = "".join(
        f"<li><code>{{{{{escape(slot)}}}}}</code> {escape(found.slots.get(slot, ''))}</li>"
        for slot in found.holes
    )
    return (
        f'<p class="tri-quiet">{escape(found.says(language))}</p><ul class="tri-slots">{holes}</ul>'
    )


def preview(language: str, chosen: Template, filled: Filled, found: Seeds) -> str:
    """The prompt as it will be sent, with what was filled in marked."""
    parts = template.SLOT.split(chosen.template)
    text = "".join(
        f"<mark>{escape(filled.slots[part])}</mark>" if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )
    used = ", ".join(filled.seeds) or "–"
    line = say(language, "prompts.preview_line", characters=f"{len(filled.text):,}", seeds=used)
    broken = ""
    if found.broken:
        number, reason = found.broken[0]
        words = say(
            language, "prompts.broken_seeds", count=len(found.broken), line=number, reason=reason
        )
        broken = notice("warning", words)
    return (
        f'{broken}<p class="tri-quiet">{escape(line)}</p>'
        f'<pre class="tri-raw tri-prompt">{text}</pre>'
    )


def _build_try(house: House, language: gr.Textbox, panel: Panel, editor: Editor) -> None:
    with gr.Row(elem_classes="tri-actions"):
        once = gr.Button(label("prompts.try"), variant="primary", elem_id="prompts-try", scale=4)
        stop = gr.Button(label("action.stop"), variant="stop", elem_id="prompts-try-stop", scale=1)
    result = gr.HTML(elem_id="prompts-result")

    @rule("generate")
    def ask(
        request: gr.Request, language: str, number: int, name: str, text: str, source: str,
        *values: Any,
    ) -> Iterator[Any]:  # fmt: skip
        try:
            asking = asking_of(values)
            workspace = house.workspace(request)
            chosen = edited(name, text, workspace)
            found = load(source, workspace)
            stop = house.stops.start(request, "prompts")
            yield from _asked(house, request, language, asking, chosen, found, number, stop)
        except Exception as error:
            yield failed(language, error)

    once.click(
        ask, [language, editor.number, *editor.inputs, *panel.inputs], result, **WORK
    )  # fmt: skip
    stop.click(house.stopper("prompts"), None, None, **QUICK)


def _asked(
    house: House,
    request: gr.Request,
    language: str,
    asking: Asking,
    chosen: Template,
    found: Seeds,
    number: int,
    stop: threading.Event,
) -> Iterator[str]:
    """One request, drawn as it comes: the reply, and beside it what would be kept."""
    workspace = house.workspace(request)
    heard: queue.Queue[Any] = queue.Queue()
    filled = template.fill(chosen, found.seeds, number)
    teacher = teacher_of(house, request, asking.choice, stop, heard.put)
    rules = Rules.of(chosen.rules)

    def work() -> None:
        try:
            heard.put(teacher.ask(filled.text, asking.options, chosen.schema, stop, heard.put))
        except BaseException as error:
            heard.put(error)

    def looked(text: str, finish: str) -> tuple[Autopsy, list[Any]]:
        autopsy = Autopsy(chosen, rules, found.seeds)
        return autopsy, autopsy.examine(text, number, finish, filled.row)

    yield progress(language, Progress("start", 0, 0, "", asking.choice.label))
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    raw, drawn = "", 0.0
    while True:
        said = heard.get()
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, Reply):
            break
        if time.monotonic() - drawn < REDRAW_SECONDS:
            continue
        drawn = time.monotonic()
        if isinstance(said, Progress):
            yield progress(language, said)
            continue
        raw = said
        _, verdicts = looked(raw, "")
        yield side_by_side(language, raw, verdicts[:-1], live=True)
    _remember(workspace, chosen, filled, number, asking, said)
    _, verdicts = looked(said.text, finish_of({"outcome": said.outcome, "finish": said.finish}))
    yield _line(language, workspace, asking, said) + _result(language, said, verdicts)


def _result(language: str, reply: Reply, verdicts: list[Any]) -> str:
    if not reply.text:
        return notice("warning", say(language, "prompts.no_words", reason=_why(language, reply)))
    counts = counted(verdicts)
    kept = counts.pop("kept", 0)
    share = say(language, "prompts.kept_of", kept=kept, count=len(verdicts))
    return (
        f'<p class="tri-verdict">{escape(share)}</p>'
        + tally(language, kept, dict(counts))
        + side_by_side(language, reply.text, verdicts)
    )


def _why(language: str, reply: Reply) -> str:
    said = say(language, f"outcome.{reply.outcome}")
    more = reply.reason or (reply.finish if reply.finish not in ("STOP", "") else "")
    return f"{said} ({more})" if more else said


def _line(language: str, workspace: Workspace, asking: Asking, reply: Reply) -> str:
    price = prices(workspace).of(asking.choice.kind, asking.choice.label)
    cost = None if price is None else price.of(reply.tokens_in, reply.tokens_out)
    line = say(
        language, "prompts.try_line", outcome=_why(language, reply),
        seconds=f"{reply.seconds:.1f}", tokens_in=f"{reply.tokens_in:,}",
        tokens_out=f"{reply.tokens_out:,}", money=money(language, cost),
    )  # fmt: skip
    kind = "good" if reply.outcome in ("ok", "truncated", "stopped") else "warning"
    return notice(kind, line)


def _remember(
    workspace: Workspace, chosen: Template, filled: Filled, number: int, asking: Asking,
    reply: Reply,
) -> None:  # fmt: skip
    """What was tried has been paid for, so it stands in a ledger and is kept."""
    folder = workspace.prompts / TRIES
    folder.mkdir(parents=True, exist_ok=True)
    line = {
        "hash": f"try-{time.time_ns():x}", "sequence": number, "attempt": 0,
        "model": asking.choice.label, "prompt": chosen.label, "seeds": list(filled.seeds),
        "time": time.time(), **asdict(reply),
    }  # fmt: skip
    if reply.outcome in ANSWERED:
        replies = Appended(folder / REPLIES)
        replies.write(line)
        replies.close()
    ledger = Appended(folder / LEDGER)
    ledger.write(ledger_line(line))
    ledger.close()
