"""Characters on the command line: what the Characters part of the Chat tab does, for scripts.

    chat characters                          those of the house and of the workspace
    chat card NAME|FILE [--form F --out F]   what a card says, or the card in another form
    chat bring FILE [--name NAME]            a card into the workspace
    chat forget NAME --yes                   out of the workspace

Nothing here knows how the work is done.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.chat.documents import FORMS
from workbench.console import answer
from workbench.settings import Settings
from workbench.workspace import Workspace


def add_characters(actions: Any, common: argparse.ArgumentParser) -> None:
    """Add the verbs on characters to the actions of ``chat``."""

    def verb(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = actions.add_parser(name, parents=[common], help=help)
        made.set_defaults(run=run)
        return made

    verb("characters", show_list, "the characters of the house and of the workspace")
    card = verb("card", show_card, "what a card says, or the card in another form")
    card.add_argument("name", help="shipped, of the workspace, or a card file")
    card.add_argument("--form", choices=FORMS, default="png-v3")
    card.add_argument("--out", type=Path)
    bring = verb("bring", bring_in, "a card into the workspace")
    bring.add_argument("file", type=Path)
    bring.add_argument("--name", default="")
    forget = verb("forget", forget_it, "a card out of the workspace")
    forget.add_argument("name")
    forget.add_argument("--yes", action="store_true", required=True)


def show_list(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.shipped import ORDER, shipped
    from workbench.chat.store import listed

    ours: list[dict[str, Any]] = [
        {"name": key, "character": one.name} for key, one in zip(ORDER, shipped(), strict=True)
    ]
    own: list[dict[str, Any]] = [
        {"name": one.name, "character": one.character.name if one.character else None,
         "error": str(one.error) if one.error else None}
        for one in listed(Workspace(settings.workspace))
    ]  # fmt: skip
    lines = [f"{one['name']}  {one['character'] or one.get('error')}" for one in [*ours, *own]]
    return answer(options, {"shipped": ours, "workspace": own}, lines)


def show_card(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.cards import write_card
    from workbench.chat.scored import known_character
    from workbench.workspace import write_atomically

    character = known_character(options.name, Workspace(settings.workspace))
    if options.out:
        write_atomically(options.out, write_card(character, options.form))
        return answer(options, {"file": str(options.out)}, [str(options.out)])
    document = {
        "name": character.name,
        "description": character.description,
        "personality": character.personality,
        "scenario": character.scenario,
        "greetings": list(character.greetings),
        "examples": character.examples,
        "entries": len(character.lorebook.entries) if character.lorebook else 0,
        "tags": list(character.tags),
        "documents": sorted(character.documents),
    }
    return answer(options, document, [f"{key}: {value}" for key, value in document.items()])


def bring_in(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.store import read_file, save

    character = read_file(options.file)
    name = save(character, Workspace(settings.workspace), options.name)
    document = {"name": name, "character": character.name}
    return answer(options, document, [f"{character.name} is kept as {name}"])


def forget_it(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.store import delete

    delete(options.name, Workspace(settings.workspace))
    return answer(options, {"deleted": options.name}, [f"{options.name} is deleted"])
