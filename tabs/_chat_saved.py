"""Conversations that were kept: search, open, rename, delete, take away.

Does not know how one is made.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._chat_panel import Panel, shown
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice
from tabs._words import label, say
from workbench.chat import shelf
from workbench.chat.export import ENDINGS, FORMS, exported
from workbench.errors import NoSuchConversation


def build_saved(house: House, language: gr.Textbox, tab: gr.Tab, panel: Panel) -> None:
    """Draw the list and wire it."""
    gr.Markdown(label("chat.keep.intro"))
    said = gr.HTML(elem_id="keep-said")
    with gr.Row():
        search = gr.Textbox(
            label=label("chat.keep.search"), max_lines=1, elem_id="keep-search", min_width=160
        )
        chosen = gr.Dropdown([], label=label("chat.keep.list"), elem_id="keep-list", scale=4,
                             min_width=300)  # fmt: skip
        opener = gr.Button(label("chat.keep.open"), variant="primary", elem_id="keep-open",
                           min_width=110)  # fmt: skip
    with gr.Row(elem_classes="tri-actions"):
        form = gr.Dropdown(
            [(label(f"chat.keep.format_{one}"), one) for one in reversed(FORMS)], value="html",
            label=label("chat.keep.format"), elem_id="keep-format", min_width=220,
        )  # fmt: skip
        out = gr.Button(label("chat.keep.export"), elem_id="keep-export")
    file = gr.File(label=label("chat.keep.file"), visible=False, elem_id="keep-file")
    with gr.Row(elem_classes="tri-actions"):
        title = gr.Textbox(label=label("chat.keep.title"), max_lines=1, elem_id="keep-title",
                           scale=2, min_width=200)  # fmt: skip
        rename = gr.Button(label("chat.keep.rename"), elem_id="keep-rename")
    with gr.Row(elem_classes="tri-actions"):
        sure = gr.Checkbox(False, label=label("chat.keep.sure"), elem_id="keep-sure")
        remove = gr.Button(label("chat.keep.delete"), variant="stop", elem_id="keep-delete")

    @rule("look")
    def show(request: gr.Request, language: str, words: str) -> tuple[Any, str]:
        found = shelf.listed(house.workspace(request), words or "")
        choices = [
            (say(language, "chat.keep.count", title=one.title or "…", turns=one.turns,
                 changed=one.changed[:16].replace("T", " ")), one.name)
            for one in found
        ]  # fmt: skip
        empty = "" if found else notice("info", say(language, "chat.keep.none"))
        return gr.update(choices=choices, value=choices[0][1] if choices else None), empty

    @rule("own")
    def open_it(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
        try:
            return "", *shown(language, shelf.read(_named(name), house.workspace(request)))
        except Exception as error:
            return failed(language, error), *[gr.skip()] * len(panel.outputs)

    @rule("own")
    def export(request: gr.Request, language: str, name: str | None, form: Any) -> tuple[Any, Any]:
        try:
            talk = shelf.read(_named(name), house.workspace(request))
            path = Path(tempfile.mkdtemp()) / f"conversation-{talk.name}.{ENDINGS[form]}"
            path.write_text(exported(talk, form), "utf-8")
        except Exception as error:
            return failed(language, error), gr.skip()
        return "", gr.update(value=str(path), visible=True)

    @rule("own")
    def rename_it(request: gr.Request, language: str, name: str | None, title: str) -> str:
        try:
            workspace = house.workspace(request)
            shelf.save(shelf.read(_named(name), workspace).renamed(title or ""), workspace)
        except Exception as error:
            return failed(language, error)
        return notice("good", say(language, "chat.keep.renamed"))

    @rule("own")
    def delete(request: gr.Request, language: str, name: str | None, sure: bool) -> tuple[Any, Any]:
        if not sure:
            return notice("info", say(language, "chat.keep.not_sure")), False
        try:
            shelf.delete(_named(name), house.workspace(request))
        except Exception as error:
            return failed(language, error), False
        return notice("good", say(language, "chat.keep.deleted")), False

    @rule("look")
    def again(request: gr.Request, language: str, words: str) -> Any:
        return show(request, language, words)[0]

    listing = [language, search]
    tab.select(show, listing, [chosen, said], **FOLLOW)
    search.input(show, listing, [chosen, said], **FOLLOW)
    opener.click(open_it, [language, chosen], [said, *panel.outputs], **QUICK)
    out.click(export, [language, chosen, form], [said, file], **QUICK)
    rename.click(rename_it, [language, chosen, title], said, **QUICK).then(
        again, listing, chosen, **FOLLOW
    )
    remove.click(delete, [language, chosen, sure], [said, sure], **QUICK).then(
        again, listing, chosen, **FOLLOW
    )


def _named(name: str | None) -> str:
    if not name:
        raise NoSuchConversation(name="–")
    return name
