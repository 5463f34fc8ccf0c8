"""Earlier results of the Compare tab: search, open, delete, take away."""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._compare_views import perplexity_view, writing_view
from tabs._rules import rule
from tabs._shared import QUICK, House, failed, notice
from tabs._words import label, say
from workbench.compare.continuation import KIND as CONTINUATION
from workbench.compare.continuation import Place, Token, Written
from workbench.compare.history import Stored, export
from workbench.compare.perplexity import KIND as PERPLEXITY
from workbench.compare.perplexity import PerplexityResult
from workbench.errors import WorkbenchError

COLUMNS = ("number", "created", "kind", "model", "precision", "text", "figure")


def build_history(house: House, language: gr.Textbox, tab: gr.Tab) -> None:
    """The list, what is opened from it, and the ways out of it."""
    gr.Markdown(label("history.intro"))
    with gr.Row():
        words = gr.Textbox(
            label=label("history.search"), scale=4, max_lines=1, elem_id="history-search"
        )
        refresh = gr.Button(label("history.refresh"), scale=1, elem_id="history-refresh")
    table = gr.Dataframe(
        headers=list(COLUMNS),
        type="array",
        interactive=False,
        wrap=True,
        elem_id="history-table",
        max_height=360,
    )
    said = gr.HTML()
    opened = gr.State(0)
    detail = gr.HTML(elem_id="history-detail")
    with gr.Row(elem_classes="tri-actions"):
        delete = gr.Button(label("history.delete"), variant="stop", visible=False, scale=1)
        form = gr.Dropdown(
            ["csv", "json", "md"], value="csv", label=label("history.format"), scale=1
        )
        take = gr.Button(label("history.export"), scale=1, elem_id="history-export")
    file = gr.File(label=label("history.file"), visible=False, elem_id="history-file")

    @rule("look")
    def find(language: str, text: str) -> Any:
        rows = house.history.search(text or "")
        headers = [say(language, f"history.column.{column}") for column in COLUMNS]
        values = [_row(language, stored) for stored in rows]
        note = "" if rows else notice("info", say(language, "history.none"))
        return gr.Dataframe(value=values, headers=headers), note

    @rule("look")
    def show(language: str, rows: list[list[Any]], event: gr.SelectData) -> tuple[Any, ...]:
        number = int(rows[event.index[0]][0])
        try:
            stored = house.history.get(number)
        except WorkbenchError as error:
            return 0, failed(language, error), gr.update(visible=False)
        return number, _detail(language, stored), gr.update(visible=True)

    @rule("own")
    def remove(language: str, text: str, number: int) -> tuple[Any, ...]:
        house.history.delete([number])
        listed, _ = find(language, text)
        gone = notice("good", say(language, "history.deleted", number=number))
        return listed, gone, 0, "", gr.update(visible=False)

    @rule("own")
    def take_away(text: str, form: str) -> Any:
        folder = Path(tempfile.mkdtemp())
        path = folder / f"trilogy-results.{form}"
        path.write_text(export(house.history.search(text or ""), form), encoding="utf-8")  # type: ignore[arg-type]
        return gr.File(value=str(path), visible=True)

    listed = [table, said]
    gr.on([tab.select, refresh.click, words.submit], find, [language, words], listed, **QUICK)
    words.change(find, [language, words], listed, trigger_mode="always_last", **QUICK)
    table.select(show, [language, table], [opened, detail, delete], **QUICK)
    delete.click(remove, [language, words, opened], [*listed, opened, detail, delete], **QUICK)
    take.click(take_away, [words, form], file, **QUICK)


def _row(language: str, stored: Stored) -> list[Any]:
    who = stored.identity
    return [
        stored.number,
        _when(stored),
        say(language, f"history.kind.{who.kind}"),
        stored.model,
        who.precision,
        who.text_name,
        _figure(stored),
    ]


def _when(stored: Stored) -> str:
    return stored.created.replace("T", " ").split("+")[0]


def _figure(stored: Stored) -> str:
    if stored.identity.kind == PERPLEXITY:
        return f"{PerplexityResult.from_stored(stored.result).bits_per_character:.3f}"
    return str(stored.result["samples"][0]["text"])[:40]


def _detail(language: str, stored: Stored) -> str:
    """The result as it looked, and everything needed to repeat it."""
    who = stored.identity
    body = ""
    if who.kind == PERPLEXITY:
        body = perplexity_view(language, [PerplexityResult.from_stored(stored.result)], set())
    elif who.kind == CONTINUATION:
        samples: dict[tuple[str, int, int], Token | Written] = {}
        for row in stored.result["samples"]:
            place = Place(stored.model, 0, row["place"]["sample"])
            samples[stored.model, 0, place.sample] = Written(**{**row, "place": place})
        body = writing_view(language, [stored.result["prompt"]], [stored.model], samples)
    facts = {
        "model": stored.model,
        "fingerprint": who.fingerprint,
        "precision": f"{who.precision} · {who.device}",
        "text": f"{who.text_name} · sha256 {who.text_sha256[:16]}",
        "options": ", ".join(f"{key}={value}" for key, value in who.options.items()),
        "versions": ", ".join(f"{key} {value}" for key, value in stored.versions.items()),
    }
    lines = "".join(
        f"<dt>{escape(say(language, f'history.fact.{key}'))}</dt><dd>{escape(value)}</dd>"
        for key, value in facts.items()
    )
    title = escape(say(language, "history.opened", number=stored.number, created=_when(stored)))
    return f'<section class="tri-detail"><h4>{title}</h4>{body}<dl>{lines}</dl></section>'
