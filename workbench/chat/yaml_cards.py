"""Cards of text-generation-webui: YAML with ``name``, ``greeting`` and ``context``.

What YAML of that program has no place for lies under ``card``, as a version 3 document,
which the program ignores. Knows neither pictures nor the workspace.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import yaml

from workbench.chat.character import Character
from workbench.chat.documents import DEEPEST, Document, dump, fields_of
from workbench.errors import BrokenCard, NotACard

NAMES = ("name", "bot", "<|bot|>", "char_name")
GREETINGS = ("greeting", "char_greeting")
CONTEXTS = ("context", "char_persona")
WHOLE = "card"
KEPT = "oobabooga"
"""Where in ``extensions`` the other keys of a YAML card are kept."""

ODD_BREAKS = re.compile("[\r\x85\u2028\u2029]")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without dates: what looks like one is a text."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
    for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: long texts line by line, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML folds odd line breaks in its plainer styles, and reads a space back.
    style = '"' if ODD_BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def read_yaml(raw: bytes, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The fields of a character, and the version 3 document inside, if there is one.

    Raises:
        NotACard, BrokenCard.
    """
    tree = _load(raw, name)
    said = {
        ours: str(tree.get(_key(tree, keys)) or "")
        for ours, keys in (
            ("name", NAMES), ("greeting", GREETINGS), ("description", CONTEXTS),
        )
    }  # fmt: skip
    inner = tree.get(WHOLE)
    if not isinstance(inner, dict) or not isinstance(inner.get("data"), dict):
        others = _others(tree)
        return said | ({"extensions": {KEPT: others}} if others else {}), {}
    found = fields_of(inner)
    if said["description"] != context_of(found):
        # Somebody wrote in the context, which holds these too.
        found |= {"description": said["description"], "personality": "", "scenario": ""}
        found["examples"] = ""
    found |= {"name": said["name"], "greeting": said["greeting"]}
    return found, {"v3": dump(inner)}


def write_yaml(character: Character, document: Document) -> bytes:
    """A YAML card: the very bytes that came, if they still say the same.

    Args:
        document: the character as a version 3 document.
    """
    raw = character.documents.get("yaml", b"")
    kept = character.extensions.get(KEPT)
    tree = _load(raw, character.name) if raw else dict(kept if isinstance(kept, dict) else {})
    if raw and _same(read_yaml(raw, character.name)[0], character):
        return raw
    new = copy.deepcopy(tree)
    said = fields_of(document)
    new[_key(new, NAMES)] = character.name
    new[_key(new, GREETINGS)] = character.greeting
    new[_key(new, CONTEXTS)] = context_of(said)
    if not _says_all(new, character):
        new[WHOLE] = document
    text = yaml.dump(new, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text.encode("utf-8", "replace")


def context_of(said: dict[str, Any]) -> str:
    """All that YAML calls context, in the order that program itself uses."""
    parts = [
        said["description"],
        f"Personality: {said['personality']}" if said.get("personality") else "",
        f"Scenario: {said['scenario']}" if said.get("scenario") else "",
        said.get("examples", ""),
    ]
    return "\n\n".join(part for part in parts if part)


def _load(raw: bytes, name: str) -> Document:
    """The mapping in some YAML text.

    Raises:
        NotACard, BrokenCard.
    """
    try:
        text = raw.decode("utf-8-sig")
        _check(text, name)
        tree = yaml.load(text, _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BrokenCard(name=name, reason="it is not whole YAML in UTF-8") from error
    if not isinstance(tree, dict):
        raise NotACard(name=name)
    return tree


def _check(text: str, name: str) -> None:
    """Refuse what would harm whoever loads it.

    A few lines of aliases can stand for gigabytes, and the C loader dies of deep nesting.

    Raises:
        BrokenCard.
    """
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise BrokenCard(name=name, reason="it holds YAML aliases")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise BrokenCard(name=name, reason="it is nested too deeply")


def _key(tree: Document, keys: tuple[str, ...]) -> str:
    return next((key for key in keys if key in tree), keys[0])


def _others(tree: Document) -> Document:
    """The keys that are not ours."""
    return {
        str(key): value
        for key, value in tree.items()
        if key not in (*NAMES, *GREETINGS, *CONTEXTS, WHOLE)
    }


def _same(said: dict[str, Any], character: Character) -> bool:
    """True if the YAML says everything that the character is."""
    if any(getattr(character, ours) != value for ours, value in said.items()):
        return False
    return "tags" in said or (
        _plain(character) and ("extensions" in said or not character.extensions)
    )


def _plain(character: Character) -> bool:
    """True if the character has nothing that YAML has no place for."""
    return not (
        character.personality or character.scenario or character.examples
        or character.alternate_greetings or character.system_prompt or character.post_history
        or character.lorebook or character.nickname or character.tags or character.creator
        or character.creator_notes or character.version
    )  # fmt: skip


def _says_all(tree: Document, character: Character) -> bool:
    """True if a reader of the YAML alone would find the whole character."""
    others = _others(tree)
    extensions = {KEPT: others} if others else {}
    return WHOLE not in tree and _plain(character) and character.extensions == extensions
