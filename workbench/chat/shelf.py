"""Conversations on disk: saved, found again, renamed, deleted; one JSON file each.

Does not know what is in them beyond titles and words to search.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from workbench.chat.conversation import Conversation
from workbench.errors import NoSuchConversation, WorkbenchError
from workbench.workspace import Workspace, write_atomically

MOST_LISTED = 200


@dataclass(frozen=True)
class Listed:
    """One line of the list."""

    name: str
    title: str
    changed: str
    turns: int


def save(conversation: Conversation, workspace: Workspace) -> None:
    """Write the whole conversation, or leave the old file."""
    text = json.dumps(conversation.document(), ensure_ascii=False)
    # lone surrogates, which a browser can send, have no bytes
    raw = text.encode("utf-8", "replace")
    write_atomically(workspace.conversation(conversation.name), raw)


def read(name: str, workspace: Workspace) -> Conversation:
    """Raises NoSuchConversation: it is not there, or it is not a conversation any more."""
    try:
        document = json.loads(workspace.conversation(name).read_text("utf-8"))
        return Conversation.of(document)
    except (OSError, ValueError, KeyError, TypeError, WorkbenchError) as error:
        raise NoSuchConversation(name=name[:80]) from error


def delete(name: str, workspace: Workspace) -> None:
    """Raises NoSuchConversation."""
    try:
        workspace.conversation(name).unlink()
    except (OSError, WorkbenchError) as error:
        raise NoSuchConversation(name=name[:80]) from error


def listed(workspace: Workspace, search: str = "") -> list[Listed]:
    """The newest first; ``search`` is looked for in titles, characters and everything said."""
    wanted = search.strip().casefold()
    found = []
    for path in workspace.conversations.glob("*.json"):
        try:
            text = path.read_text("utf-8")
            if wanted and wanted not in _words(json.loads(text)).casefold():
                continue
            one = Conversation.of(json.loads(text))
        except (OSError, ValueError, KeyError, TypeError, WorkbenchError):
            continue  # not ours
        found.append(Listed(one.name, one.title, one.changed, len(one.path())))
    return sorted(found, key=lambda one: one.changed, reverse=True)[:MOST_LISTED]


def _words(document: dict[str, object]) -> str:
    turns = document.get("turns")
    parts = [str(document.get("title")), str(document.get("character"))]
    for turn in turns if isinstance(turns, list) else ():
        parts += [turn["said"], *(answer["text"] for answer in turn["answers"])]
    return "\n".join(parts)
