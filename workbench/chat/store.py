"""The characters of a workspace: one card a file, as other programs read them.

A file's name, without its ending, is the name in the list; the name of the character is
inside. This module does not know what a card holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workbench.chat.cards import LARGEST_FILE, extension, natural_form, read_card, write_card
from workbench.chat.character import Character
from workbench.errors import (
    CardTooLarge,
    CharacterExists,
    InvalidName,
    NoSuchCharacter,
    WorkbenchError,
)
from workbench.events import readable
from workbench.workspace import Workspace, check_name, write_atomically

ENDINGS = (".png", ".json", ".yaml", ".yml", ".charx")


@dataclass(frozen=True)
class Saved:
    """One card of the workspace: its name in the list, and who it is or why it cannot be read."""

    name: str
    character: Character | None
    error: WorkbenchError | None = None


def listed(workspace: Workspace) -> list[Saved]:
    """Every card, by name; one that cannot be read is listed with its error."""
    found = []
    for path in _files(workspace):
        try:
            found.append(Saved(path.stem, read_file(path)))
        except WorkbenchError as error:
            found.append(Saved(path.stem, None, error))
    return found


def read_file(path: Path) -> Character:
    """A character from a file; one that is too large is not read at all.

    Raises:
        NoSuchCharacter, and what ``read_card`` raises.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise CardTooLarge(name=path.name, limit=readable(LARGEST_FILE))
        return read_card(path.read_bytes(), path.name)
    except OSError as error:
        raise NoSuchCharacter(name=path.stem) from error


def load(name: str, workspace: Workspace) -> Character:
    """The character of this name.

    Raises:
        NoSuchCharacter, InvalidName, and what ``read_card`` raises.
    """
    return read_file(_find(name, workspace))


def save(character: Character, workspace: Workspace, name: str = "", replace: bool = False) -> str:
    """Write a card, in the form that loses nothing.

    Args:
        name: what to call it in the list; without one, the character's own name, with a
            number if that is taken.
        replace: a card of this name may be written over.

    Returns:
        The name in the list.

    Raises:
        CharacterExists, InvalidName.
    """
    if not name:
        name = free_name(character.name, workspace)
    elif check_name(name).lower() in _taken(workspace) and not replace:
        raise CharacterExists(name=name)
    name = check_name(name)
    form = natural_form(character)
    path = workspace.characters / f"{name}{extension(form)}"
    raw = write_card(character, form)
    others = [one for one in _files(workspace) if one.stem == name and one != path]
    write_atomically(path, raw)
    for one in others:
        one.unlink(missing_ok=True)
    return name


def rename(name: str, new: str, workspace: Workspace) -> str:
    """Call a card something else in the list.

    Raises:
        NoSuchCharacter, CharacterExists, InvalidName.
    """
    path, new = _find(name, workspace), check_name(new)
    if new != path.stem:
        if any(one.stem.lower() == new.lower() and one != path for one in _files(workspace)):
            raise CharacterExists(name=new)
        path.rename(path.with_name(f"{new}{path.suffix}"))
    return new


def delete(name: str, workspace: Workspace) -> None:
    """Take a card away.

    Raises:
        NoSuchCharacter, InvalidName.
    """
    _find(name, workspace).unlink(missing_ok=True)


def file_name(text: str) -> str:
    """A text as a name that a file may have."""
    plain = re.sub(r"[^\w.\-]+", "-", text).strip("-.")[:60].strip("-.")
    try:
        return check_name(plain)
    except InvalidName:
        return "character"


def free_name(text: str, workspace: Workspace) -> str:
    """A text as a name that no card has yet."""
    taken, start, at = _taken(workspace), file_name(text), 1
    name = start
    while name.lower() in taken:
        at += 1
        name = f"{start}-{at}"
    return name


def _files(workspace: Workspace) -> list[Path]:
    if not workspace.characters.is_dir():
        return []
    found = (
        path
        for path in workspace.characters.iterdir()
        if path.suffix in ENDINGS and not path.name.startswith(".") and path.is_file()
    )
    return sorted(found, key=lambda path: (path.stem, path.suffix))


def _find(name: str, workspace: Workspace) -> Path:
    plain = check_name(name)
    for path in _files(workspace):
        if path.stem == plain:
            return path
    raise NoSuchCharacter(name=plain)


def _taken(workspace: Workspace) -> set[str]:
    return {path.stem.lower() for path in _files(workspace)}
