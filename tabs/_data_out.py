"""Taking rows away: a file of any format, the Hub, and what a model will really see.

How a format is written is decided in ``workbench.data.export``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from tabs._data_desk import WORK, Desk
from tabs._models import DEFAULT_MODELS
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, failed, notice, showing
from tabs._words import label, say
from workbench.data.export import Form
from workbench.data.going_out import dataset_card, ending, export_dataset, push_dataset, splits
from workbench.data.rows import Example
from workbench.errors import WorkbenchError

SEEN = 3


def build_out(desk: Desk, tab: gr.Tab) -> None:
    """Draw the part and wire it."""
    gr.Markdown(label("out.intro"))
    with gr.Row(elem_classes="tri-actions"):
        form = gr.Dropdown(
            [(label(f"form.{one.replace('-', '_')}"), one) for one in get_args(Form)],
            value="messages", label=label("out.form"), elem_id="out-form",
        )  # fmt: skip
        split = gr.Dropdown([("–", "")], value="", label=label("out.split"))
        run = gr.Button(label("out.run"), variant="primary", elem_id="out-run")
        stop = gr.Button(label("action.stop"), variant="stop")
    file = gr.File(label=label("out.file"), visible=False, elem_id="out-file")
    with gr.Accordion(label("out.see"), open=False, elem_id="out-see"):
        gr.Markdown(label("out.see_info"))
        with gr.Row(elem_classes="tri-actions"):
            model = gr.Dropdown(
                DEFAULT_MODELS[::-1], value=DEFAULT_MODELS[-1], allow_custom_value=True,
                label=label("out.model"), elem_id="out-model",
            )  # fmt: skip
            see = gr.Button(label("out.see_run"), elem_id="out-see-run")
        seen = gr.HTML(elem_id="out-seen")
    with gr.Accordion(label("out.hub"), open=False):
        with gr.Row(elem_classes="tri-actions"):
            repo = gr.Textbox(label=label("out.repo"), placeholder="OWNER/NAME", max_lines=1)
            licence = gr.Textbox(label=label("out.licence"), placeholder="cc-by-4.0", max_lines=1)
            private = gr.Checkbox(True, label=label("out.private"))
            push = gr.Button(label("out.push"))
        card = gr.Textbox(label=label("out.card"), lines=8, max_lines=20, interactive=False)
    on_desk = [desk.language, desk.chosen]

    @rule("look")
    def parts(request: gr.Request, name: str) -> tuple[Any, Any]:
        try:
            dataset = desk.open(request, name)
        except WorkbenchError:
            return gr.skip(), ""
        names = [(label("out.all"), ""), *((one, one) for one in splits(dataset))]
        return gr.update(choices=names, value=""), dataset_card(dataset)

    @rule("work")
    def export(
        request: gr.Request, language: str, name: str, form: str, split: str
    ) -> Iterator[Any]:
        try:
            dataset = desk.open(request, name)
            tail = f"-{split}" if split else ""
            path = Path(tempfile.mkdtemp()) / f"{dataset.name}{tail}{ending(form)}"
            stop = desk.house.stops.start(request, "data")
            work = export_dataset(dataset, path, form, split or "", stop)  # type: ignore[arg-type]
            written = yield from showing(language, work, 2)
            text = say(language, "out.done", rows=f"{written.rows:,}", sha=written.sha256[:16])
            yield notice("good", text), gr.update(value=str(path), visible=True)
        except Exception as error:
            yield failed(language, error), gr.skip()

    @rule("work")
    def look(request: gr.Request, language: str, name: str, model: str) -> Iterator[Any]:
        try:
            dataset = desk.open(request, name)
            reference = desk.house.references([model])[0]
            stop = desk.house.stops.start(request, "data")
            rows = dataset.state.kept_rows()[:SEEN]
            from workbench.models.tokenizer import bring_tokenizer

            work = bring_tokenizer(reference, desk.house.settings, stop)
            tokenizer = yield from showing(language, work, 2)
            yield "", _as_model_sees(language, tokenizer, dataset.state.examples(rows))
        except Exception as error:
            yield failed(language, error), gr.skip()

    @rule("export")
    def to_hub(
        request: gr.Request, language: str, name: str, repo: str, private: bool, licence: str
    ) -> Iterator[Any]:
        try:
            dataset, token = desk.open(request, name), desk.house.settings.token
            stop = desk.house.stops.start(request, "data")
            work = push_dataset(dataset, (repo or "").strip(), token, private, licence or "", stop)
            url = yield from showing(language, work, 2)
            yield notice("good", say(language, "out.pushed", url=url)), gr.skip()
        except Exception as error:
            yield failed(language, error), gr.skip()

    gr.on([tab.select, desk.chosen.input], parts, desk.chosen, [split, card], **FOLLOW)
    run.click(export, [*on_desk, form, split], [desk.said, file], **WORK)
    see.click(look, [*on_desk, model], [desk.said, seen], **WORK)
    push.click(to_hub, [*on_desk, repo, private, licence], [desk.said, card], **WORK)
    stop.click(desk.house.stopper("data"), None, None, **QUICK)


def _as_model_sees(language: str, tokenizer: Any, examples: list[Example]) -> str:
    """Real rows through the model's own template, and cut into its tokens."""
    from workbench.models.tokenizer import rendered, token_counts

    if not tokenizer.chat_template:
        return notice("warning", say(language, "out.no_template"))
    lines = []
    for example in examples:
        turns = [*example.messages, *(example.chosen or ())]
        if any(turn.role == "text" for turn in turns):
            text = example.text
        else:
            said = [{"role": turn.role, "content": turn.content} for turn in turns]
            text = rendered(tokenizer, said)
        tokens = token_counts(tokenizer, [text])[0]
        count = say(language, "out.tokens", tokens=f"{tokens:,}", characters=f"{len(text):,}")
        lines.append(f'<pre class="tri-raw">{escape(text)}</pre><p class="tri-quiet">{count}</p>')
    return "".join(lines)
