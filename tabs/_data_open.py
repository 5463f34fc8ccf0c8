"""Bringing rows in: a file, a Hub dataset or a shipped corpus, looked at before it is kept.

Knows nothing of what is done to rows afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._data_desk import WORK, Desk, say_heads, stamp, summary
from tabs._data_rows import conversation
from tabs._rules import rule
from tabs._shared import QUICK, failed, notice, showing
from tabs._words import label, say
from workbench.data.formats.mapping import DEFAULTS, TEMPLATES, Mapping, Template
from workbench.data.shipped import FORMS
from workbench.errors import NoFile
from workbench.events import readable

CUTS = ("paragraph", "line", "length", "file")
SHOWN = 3


def build_open(desk: Desk) -> None:
    """Draw the part and wire it."""
    gr.Markdown(label("open.intro"))
    kind = gr.Radio(
        [(label(f"open.{one}"), one) for one in ("corpus", "file", "hub")],
        value="corpus",
        label=label("open.from"),
        elem_id="open-kind",
    )
    with gr.Row() as corpus_row:
        corpus = gr.Dropdown(
            [(label(f"open.corpus_{name}"), name) for name in FORMS],
            value="hkcancor",
            label=label("open.corpus_name"),
            elem_id="open-corpus",
        )
        form = gr.Dropdown(
            [(label(f"open.form_{form}"), form) for form in FORMS["hkcancor"]],
            value="exchanges",
            label=label("open.corpus_form"),
            elem_id="open-form",
        )
        bot = gr.Textbox("", label=label("open.bot"), visible=False, elem_id="open-bot")
        author = gr.Textbox("", label=label("open.author"), visible=False)
    with gr.Column(visible=False) as file_row:
        file = gr.File(label=label("open.file_label"), elem_id="open-file", height=120)
        skip_bad = gr.Checkbox(False, label=label("open.skip_bad"), elem_id="open-skip")
    with gr.Row(visible=False) as hub_row:
        repo = gr.Textbox(label=label("open.repo"), placeholder="OWNER/NAME", elem_id="open-repo")
        config = gr.Textbox(label=label("source.config"))
        split = gr.Textbox("train", label=label("source.split"))
        rows = gr.Number(1000, precision=0, minimum=0, label=label("open.rows"))
        look_hub = gr.Button(label("open.look"), elem_id="open-look")
    with gr.Accordion(label("open.mapping"), open=False, visible=False) as mapping_box:
        gr.Markdown(label("open.mapping_info"))
        with gr.Row():
            shape = gr.Dropdown(
                [(label(f"format.{one}"), one) for one in DEFAULTS],
                label=label("open.format"),
                elem_id="open-format",
            )
            template = gr.Dropdown(
                [(label(f"template.{one.replace('-', '_')}"), one) for one in TEMPLATES],
                value="plain",
                label=label("open.template"),
            )
            cut = gr.Dropdown(
                [(label(f"cut.{one}"), one) for one in CUTS],
                value="paragraph",
                label=label("open.cut"),
            )
            length = gr.Number(2000, precision=0, minimum=1, label=label("open.length"))
        fields = gr.Dataframe(
            headers=["part", "field"],
            type="array",
            interactive=True,
            column_count=2,
            label=label("open.fields"),
            elem_id="open-fields",
        )
        say_heads(desk, fields, "open.head_part", "open.head_field")
        again = gr.Button(label("open.preview"), elem_id="open-again")
    preview = gr.HTML(elem_id="open-preview")
    with gr.Row(elem_classes="tri-actions"):
        name = gr.Textbox("hkcancor", label=label("open.name"), scale=3, elem_id="open-name")
        run = gr.Button(label("open.run"), variant="primary", scale=2, elem_id="open-run")
        stop = gr.Button(label("action.stop"), variant="stop", scale=1)
    mapping_inputs = [shape, template, cut, length, fields]
    mapping_outputs = [mapping_box, *mapping_inputs, preview, name]

    @rule("look")
    def show_kind(kind: str) -> list[Any]:
        return [gr.update(visible=kind == one) for one in ("corpus", "file", "hub")] + [
            gr.update(visible=False), ""
        ]  # fmt: skip

    @rule("look")
    def show_corpus(corpus: str) -> tuple[Any, ...]:
        choices = [(label(f"open.form_{form}"), form) for form in FORMS[corpus]]
        mine = corpus == "identity"
        return (
            gr.update(choices=choices, value=FORMS[corpus][0]),
            gr.update(visible=mine),
            gr.update(visible=mine),
            corpus,
        )

    @rule("import_file")
    def look_at(language: str, path: str | None, *said: Any) -> tuple[Any, ...]:
        """What the file seems to be; with ``said``, as the person says it is."""
        if not path:
            return gr.update(visible=False), *[gr.skip()] * 5, "", gr.skip()
        try:
            return _looked(desk, language, Path(path), said)
        except Exception as error:
            return gr.update(visible=False), *[gr.skip()] * 5, failed(language, error), gr.skip()

    @rule("import_from_hub")
    def look_at_repo(language: str, repo: str, config: str, split: str) -> tuple[Any, ...]:
        try:
            return _hub_looked(desk, language, repo, config, split)
        except Exception as error:
            return *[gr.skip()] * 6, failed(language, error), gr.skip()

    @rule("import_file")
    def bring(
        request: gr.Request, language: str, kind: str, name: str, *values: Any
    ) -> Iterator[Any]:
        try:
            work = _work(desk, request, language, kind, name, values)
            recipe, bad = yield from showing(language, work, 4)
            dataset = desk.open(request, recipe.name)
            text = say(language, "open.done", name=recipe.name, rows=f"{recipe.rows:,}")
            said = notice("good", text) + bad
            choice = gr.update(choices=desk.names(request), value=recipe.name)
            yield said, summary(language, dataset), stamp(dataset), choice
        except Exception as error:
            yield failed(language, error), gr.skip(), gr.skip(), gr.skip()

    kind.change(show_kind, kind, [corpus_row, file_row, hub_row, mapping_box, preview], **QUICK)
    corpus.change(show_corpus, corpus, [form, bot, author, name], **QUICK)
    file.change(look_at, [desk.language, file], mapping_outputs, **QUICK)
    again.click(look_at, [desk.language, file, *mapping_inputs], mapping_outputs, **QUICK)
    hub_inputs = [desk.language, repo, config, split]
    look_hub.click(look_at_repo, hub_inputs, mapping_outputs, **QUICK)
    values = [corpus, form, bot, author, file, skip_bad, repo, config, split, rows, *mapping_inputs]
    run.click(
        bring,
        [desk.language, kind, name, *values],
        [desk.said, desk.status, desk.changed, desk.chosen],
        **WORK,
    )
    stop.click(desk.house.stopper("data"), None, None, **QUICK)


def _work(
    desk: Desk, request: gr.Request, language: str, kind: str, name: str, values: tuple[Any, ...]
) -> Any:
    """The import as a generator that returns the recipe and what was bad."""
    from workbench.data import hub, importing
    from workbench.data.recipe import CorpusSource

    corpus, form, bot, author, file, skip_bad, repo, config, split, rows, *mapped = values
    settings, workspace = desk.house.settings_for(request), desk.house.workspace(request)
    stop = desk.house.stops.start(request, "data")
    if kind == "corpus":
        given = {"name": bot, "author": author} if corpus == "identity" else {}
        source = CorpusSource(corpus, form, {key: text for key, text in given.items() if text})
        return (yield from importing.bring_corpus(source, workspace, name, stop)), ""
    if kind == "hub":
        desk.house.may(request, "import_from_hub")
        asked = hub.HubRequest(repo.strip(), config or "", split or "train", int(rows or 0))
        recipe = yield from hub.bring_request(asked, workspace, name, settings, stop)
        return recipe, ""
    if not file:
        raise NoFile
    path = Path(file)
    looks = importing.look(path, settings, count=1)
    mappings = {one.file.name: said_mapping(one.mapping, mapped) for one in looks}
    chosen = {key: one for key, one in mappings.items() if one is not None}
    asked_file = importing.ImportRequest(path, name, path.name, chosen, bool(skip_bad))
    done = yield from importing.import_file(asked_file, workspace, settings, stop)
    return done.recipe, _bad(language, done)


def said_mapping(found: Mapping | None, mapped: list[Any]) -> Mapping | None:
    """The detected mapping with what the person changed; None if nothing is known.

    Raises:
        BadMapping.
    """
    shape, template, cut, length, fields = mapped
    if found is None and not shape:
        return None
    same = found is not None and (not shape or shape == found.format)
    base = found if same and found is not None else DEFAULTS[shape]
    said = {str(part): str(name) for part, name in fields or [] if part and name} if same else {}
    return replace(
        base,
        fields={**base.fields, **said},
        template=TEMPLATES.get(template, Template()),
        cut=cut or base.cut,
        length=int(length or base.length),
    )


def _looked(desk: Desk, language: str, path: Path, said: tuple[Any, ...]) -> tuple[Any, ...]:
    from workbench.data.formats.convert import to_examples
    from workbench.data.formats.mapping import Unfit
    from workbench.data.importing import look

    found = look(path, desk.house.settings, count=SHOWN)
    first = found[0]
    mapping = said_mapping(first.mapping, list(said)) if said else first.mapping
    lines = [
        say(
            language, "open.is",
            file=one.file.name, kind=one.file.kind, encoding=one.file.encoding,
            size=readable(one.file.size), format=_format_name(language, one.mapping),
        )
        for one in found
    ]  # fmt: skip
    lines += [say(language, "open.left_out", what=one) for one in first.left_out]
    examples = list(first.examples)
    problem = ""
    if mapping is not None and said:
        examples = []
        for value in first.values:
            try:
                examples += to_examples(value, mapping, first.file.name)
            except Unfit as error:
                problem = notice("warning", say(language, "open.unfit", reason=str(error)))
    if mapping is None:
        text = say(language, "open.unknown", fields=", ".join(first.fields) or "–")
        problem = notice("warning", text)
    html = _preview(language, lines, examples[:SHOWN], problem)
    return (*_shown_mapping(mapping), html, plain_name(path.name))


def _hub_looked(desk: Desk, language: str, repo: str, config: str, split: str) -> tuple[Any, ...]:
    from workbench.data.hub import HubRequest, look_at_hub

    settings = desk.house.settings_for()
    found = look_at_hub(HubRequest(repo.strip(), config, split or "train"), settings, SHOWN)
    lines = [
        say(
            language, "open.hub_is",
            format=_format_name(language, found.mapping), configs=", ".join(found.configs) or "–",
            splits=", ".join(found.splits) or "–", licence=found.licence or "?",
        )
    ]  # fmt: skip
    html = _preview(language, lines, list(found.examples), "")
    return (*_shown_mapping(found.mapping), html, plain_name(repo.split("/")[-1]))


def _shown_mapping(mapping: Mapping | None) -> tuple[Any, ...]:
    if mapping is None:
        return gr.update(visible=True, open=True), None, *[gr.skip()] * 3, []
    named = next((n for n, one in TEMPLATES.items() if one == mapping.template), "plain")
    fields = [[part, name] for part, name in mapping.fields.items()]
    return gr.update(visible=True), mapping.format, named, mapping.cut, mapping.length, fields


def _format_name(language: str, mapping: Mapping | None) -> str:
    return say(language, f"format.{mapping.format}" if mapping else "format.unknown")


def _preview(language: str, lines: list[str], examples: list[Any], problem: str) -> str:
    heads = "".join(f"<li>{escape(line)}</li>" for line in lines[:12])
    shown = "".join(
        f'<article class="tri-card">{conversation(language, example, [], 700)}</article>'
        for example in examples
    )
    title = escape(say(language, "open.first_rows"))
    return f'<ul class="tri-quiet">{heads}</ul>{problem}<h5>{title}</h5>{shown}'


def _bad(language: str, done: Any) -> str:
    if not done.bad_count:
        return ""
    lines = "".join(
        f"<li>{escape(f'{file}, {one.line}: {one.reason}')}</li>" for file, one in done.bad[:20]
    )
    text = escape(say(language, "open.bad", count=f"{done.bad_count:,}"))
    return f'<div class="tri-notice tri-warning">{text}<ul>{lines}</ul></div>'


def plain_name(name: str) -> str:
    """A dataset's name out of a file's."""
    stem = name.split(".")[0] or "dataset"
    return re.sub(r"[^\w\-]+", "-", stem).strip("-")[:60] or "dataset"
