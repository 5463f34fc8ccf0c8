"""The characters of the Chat tab: look, choose, bring in, write, delete, take out.

Yields who is chosen; does not know what is talked about.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._chat_character_form import build_fields, character_of, values_of
from tabs._chat_character_views import character_view
from tabs._links import wish_of
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice
from tabs._words import label, say
from workbench.chat import store
from workbench.chat.cards import FORMS, Form, extension, natural_form, write_card
from workbench.chat.character import Character
from workbench.chat.shipped import shipped
from workbench.errors import NoSuchCharacter

NOBODY = ""
SHIPPED = "shipped:"
OWN = "own:"


@dataclass(frozen=True)
class Characters:
    """What the rest of the tab needs: who is chosen."""

    house: House
    chosen: gr.Radio
    """The key of the chosen character, ``NOBODY`` for none."""
    greet: tuple[Any, Any, Any]
    """What must be shown once the page knows its language: handler, inputs, outputs."""

    def find(self, request: gr.Request, key: str | None) -> Character | None:
        """The character with this key, of those shipped and those of the visitor.

        Raises:
            NoSuchCharacter, InvalidName, and what ``read_card`` raises.
        """
        return find(self.house, request, key)


def find(house: House, request: gr.Request, key: str | None) -> Character | None:
    """See ``Characters.find``."""
    if not key:
        return None
    if key.startswith(OWN):
        return store.load(key.removeprefix(OWN), house.workspace(request))
    for one in shipped():
        if key == shipped_key(one):
            return one
    raise NoSuchCharacter(name=key.partition(":")[2][:80])


def shipped_key(character: Character) -> str:
    return f"{SHIPPED}{character.name}"


def build_characters(house: House, language: gr.Textbox, tab: gr.Tab) -> Characters:
    """Draw the part and wire it."""
    chosen = gr.Radio(
        _choices([]), value=NOBODY, label=label("character.choose"),
        elem_id="character-choose", elem_classes="tri-people",
    )  # fmt: skip
    card = gr.HTML(elem_id="character-view")
    said = gr.HTML(elem_id="character-said")
    with gr.Accordion(label("character.cards"), open=False, elem_id="character-cards"):
        _build_moving(house, language, chosen, said)
    with gr.Accordion(label("character.write"), open=False, elem_id="character-write"):
        _build_form(house, language, chosen, said, card)

    @rule("look")
    def refresh(request: gr.Request, key: str | None) -> Any:
        return _listing(house, request, key)

    @rule("look")
    def look(request: gr.Request, language: str, key: str | None) -> str:
        try:
            return character_view(language, find(house, request, key))
        except Exception as error:
            return failed(language, error)

    tab.select(refresh, chosen, chosen, **QUICK)
    chosen.change(look, [language, chosen], card, **FOLLOW)

    @rule("look")
    def greet(request: gr.Request, language: str, key: str | None) -> tuple[Any, Any]:
        """The character that the link names, if there is such a one."""
        wished = f"{SHIPPED}{wish_of(request).character}"
        key = wished if wished in (shipped_key(one) for one in shipped()) else key
        return refresh(request, key), look(request, language, key)

    return Characters(house, chosen, (greet, [language, chosen], [chosen, card]))


def _build_moving(house: House, language: gr.Textbox, chosen: gr.Radio, said: gr.HTML) -> None:
    """Bringing cards in, taking them out, and deleting them."""
    gr.Markdown(label("character.cards_info"))
    with gr.Row(elem_classes="tri-actions"):
        card = gr.File(label=label("character.bring"), height=120, elem_id="character-bring")
        with gr.Column():
            form = gr.Dropdown(
                [(label(f"character.form_{one.replace('-', '_')}"), one) for one in FORMS],
                value="png-v3", label=label("character.form"), elem_id="character-form",
            )  # fmt: skip
            out = gr.Button(label("character.out"), elem_id="character-out")
            file = gr.File(label=label("out.file"), visible=False, elem_id="character-file")
    with gr.Row(elem_classes="tri-actions"):
        sure = gr.Checkbox(False, label=label("character.sure"), elem_id="character-sure")
        remove = gr.Button(label("character.delete"), variant="stop", elem_id="character-delete")

    @rule("import_file")
    def bring(request: gr.Request, language: str, path: str | None) -> tuple[Any, ...]:
        if not path:
            return gr.skip(), gr.skip(), gr.skip()
        try:
            character = store.read_file(Path(path))
            name = store.save(character, house.workspace(request))
        except Exception as error:
            return failed(language, error), gr.skip(), gr.skip()
        entries = len(character.lorebook.entries) if character.lorebook else 0
        facts = {"name": character.name, "greetings": len(character.greetings)}
        text = say(language, "character.brought", entries=entries, **facts)
        return notice("good", text), _listing(house, request, f"{OWN}{name}"), None

    @rule("own")
    def take_out(
        request: gr.Request, language: str, key: str | None, form: Form
    ) -> tuple[Any, Any]:
        try:
            character = find(house, request, key)
            if character is None:
                return notice("info", say(language, "character.nobody_info")), gr.skip()
            path = Path(tempfile.mkdtemp()) / (store.file_name(character.name) + extension(form))
            path.write_bytes(write_card(character, form))
            return "", gr.update(value=str(path), visible=True)
        except Exception as error:
            return failed(language, error), gr.skip()

    @rule("own")
    def delete(
        request: gr.Request, language: str, key: str | None, sure: bool
    ) -> tuple[Any, Any, bool]:
        try:
            if not (key or "").startswith(OWN):
                return notice("info", say(language, "character.not_own")), gr.skip(), False
            if not sure:
                return notice("info", say(language, "character.tick")), gr.skip(), False
            name = (key or "").removeprefix(OWN)
            store.delete(name, house.workspace(request))
        except Exception as error:
            return failed(language, error), gr.skip(), False
        text = notice("good", say(language, "character.deleted", name=name))
        return text, _listing(house, request, None), False

    @rule("look")
    def natural(request: gr.Request, key: str | None) -> Any:
        """The form in which the chosen card came."""
        try:
            character = find(house, request, key)
        except Exception:
            return gr.skip()
        return natural_form(character) if character else gr.skip()

    @rule("look")
    def away() -> Any:
        return gr.update(visible=False)

    card.upload(bring, [language, card], [said, chosen, card], **QUICK)
    chosen.change(natural, chosen, form, **FOLLOW)
    chosen.change(away, None, file, **FOLLOW)
    out.click(take_out, [language, chosen, form], [said, file], **QUICK)
    remove.click(delete, [language, chosen, sure], [said, chosen, sure], **QUICK)


def _build_form(
    house: House, language: gr.Textbox, chosen: gr.Radio, said: gr.HTML, card: gr.HTML
) -> None:
    """Writing a character, or changing the chosen one."""
    gr.Markdown(label("character.write_info"))
    with gr.Row(elem_classes="tri-actions"):
        fill = gr.Button(label("character.fill"), elem_id="character-fill")
        clear = gr.Button(label("character.clear"), elem_id="character-clear")
    source = gr.State(NOBODY)
    whose = gr.HTML(elem_id="character-whose")
    fields = build_fields()
    save = gr.Button(label("character.save"), variant="primary", elem_id="character-save")

    @rule("look")
    def take(request: gr.Request, language: str, key: str | None) -> tuple[Any, ...]:
        try:
            character = find(house, request, key)
        except Exception as error:
            return failed(language, error), gr.skip(), *[gr.skip()] * len(fields)
        if character is None:
            return _whose(language, None, ""), NOBODY, *values_of(None)
        return _whose(language, character, key or ""), key, *values_of(character)

    @rule("look")
    def empty(language: str) -> tuple[Any, ...]:
        return _whose(language, None, ""), NOBODY, *values_of(None)

    @rule("own")
    def keep(request: gr.Request, language: str, key: str, *values: Any) -> tuple[Any, ...]:
        try:
            before = find(house, request, key)
            character = character_of(values, before)
            workspace = house.workspace(request)
            own = key.removeprefix(OWN) if key.startswith(OWN) else ""
            name = store.save(character, workspace, own, replace=bool(own))
            if own and before and before.name != character.name:
                new = store.free_name(character.name, workspace)
                name = store.rename(own, new, workspace)
        except Exception as error:
            return failed(language, error), *[gr.skip()] * 4
        text = notice("good", say(language, "character.saved", name=character.name))
        key = f"{OWN}{name}"
        listing = _listing(house, request, key)
        drawn = character_view(language, character)
        return text, listing, key, _whose(language, character, key), drawn

    fill.click(take, [language, chosen], [whose, source, *fields], **QUICK)
    clear.click(empty, language, [whose, source, *fields], **QUICK)
    shown = [said, chosen, source, whose, card]
    save.click(keep, [language, source, *fields], shown, **QUICK)


def _whose(language: str, character: Character | None, key: str) -> str:
    """One line: who stands in the form, and what saving will do."""
    if character is None:
        return notice("info", say(language, "character.new_one"))
    kind = "character.change_own" if key.startswith(OWN) else "character.change_copy"
    return notice("info", say(language, kind, name=character.name))


def _listing(house: House, request: gr.Request, key: str | None) -> Any:
    """The choices as they are now; a key that is gone becomes nobody."""
    saved = store.listed(house.workspace(request))
    choices = _choices(saved)
    keys = [one for _, one in choices]
    value = key if key in keys else NOBODY
    return gr.update(choices=choices, value=value)


def _choices(saved: list[store.Saved]) -> list[tuple[Any, str]]:
    """Nobody, the shipped characters, and the visitor's own."""
    names = [one.character.name if one.character else one.name for one in saved]
    own = [
        (name if names.count(name) == 1 else f"{name} ({one.name})", f"{OWN}{one.name}")
        for name, one in zip(names, saved, strict=True)
    ]
    ours = [(one.name, shipped_key(one)) for one in shipped()]
    return [(label("character.nobody"), NOBODY), *ours, *own]
