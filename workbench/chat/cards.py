"""Character cards, in and out: PNG, JSON, YAML and CHARX files.

A card that was not changed goes out in the form it came in with the same bytes. What was
changed is laid over what came (see ``documents``); the pixels and the other chunks of a
picture stay. Other forms are made from the fullest document there is. This module knows
neither models nor the workspace.
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
from dataclasses import replace
from typing import Any

from workbench.chat import png
from workbench.chat.character import Character
from workbench.chat.documents import (
    FORMS,
    Document,
    Form,
    Spec,
    converted,
    dump,
    fields_of,
    laid_over,
    load,
    spec_of,
)
from workbench.chat.pictures import as_png
from workbench.chat.yaml_cards import read_yaml, write_yaml
from workbench.errors import BrokenCard, CardTooLarge, NoCard, NotACard
from workbench.events import readable

__all__ = ["FORMS", "Form", "extension", "natural_form", "read_card", "write_card"]
LARGEST_FILE = 20_000_000
LARGEST_CARD = 8_000_000
"""Bytes of the JSON in a card."""
LARGEST_YAML = 2_000_000
"""Bytes; YAML is slow to read."""
CHUNKS = {"v3": "ccv3", "v2": "chara"}
INSIDE = ("embeded://", "embedded://", "__asset:")


def read_card(raw: bytes, filename: str) -> Character:
    """A character from the bytes of a card; what it is, is told by the bytes.

    Raises:
        NotACard, NoCard, BrokenCard, CardTooLarge, and what ``Character`` raises.
    """
    if len(raw) > LARGEST_FILE:
        raise CardTooLarge(name=filename, limit=readable(LARGEST_FILE))
    if raw.startswith(png.SIGNATURE):
        return _from_png(raw, filename)
    if raw.startswith(b"PK\x03\x04"):
        return _from_charx(raw, filename)
    if len(raw) > LARGEST_CARD:
        raise CardTooLarge(name=filename, limit=readable(LARGEST_CARD))
    start = raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"{":
        return _from_documents([raw], filename)
    if b"\0" in raw[:4096] or not raw.strip():
        raise NotACard(name=filename)
    if len(raw) > LARGEST_YAML:
        raise CardTooLarge(name=filename, limit=readable(LARGEST_YAML))
    found, document = read_yaml(raw, filename)
    return _made(found, filename, {"yaml": raw, **document})


def write_card(character: Character, form: Form) -> bytes:
    """The bytes of a card.

    Raises:
        BrokenCard: the picture cannot be made a PNG.
    """
    if form == "yaml":
        document = load(_json(character, "v3"), character.name)
        return write_yaml(character, document)
    if form.startswith("json"):
        return _json(character, _spec(form), indent=2)
    picture = png.parse(as_png(character), character.name)
    there = {spec for spec, keyword in CHUNKS.items() if picture.find(keyword)}
    wanted = {"v2"} if form == "png-v2" else {"v3"}
    if not there:
        wanted.add("v2")  # programs that know only this one read the card too
    for spec in ("v2", "v3"):
        if spec in wanted | there:
            picture = _with(picture, CHUNKS[spec], _json(character, spec), character.name)
    return picture.raw


def natural_form(character: Character) -> Form:
    """The form in which the character loses nothing and changes least."""
    newest = "v2" if set(character.documents) & {"v1", "v2"} else "v3"
    if "v3" in character.documents:
        newest = "v3"
    if character.picture:
        return "png-v3" if newest == "v3" else "png-v2"
    if "yaml" in character.documents:
        return "yaml"
    return "json-v3" if newest == "v3" else "json-v2"


def extension(form: Form) -> str:
    """How the name of such a file ends."""
    return f".{form.split('-')[0]}"


def _spec(form: Form) -> Spec:
    return "v3" if form.endswith("v3") else "v2"


def _json(character: Character, spec: Spec, indent: int | None = None) -> bytes:
    """The JSON of one version: the very bytes that came, if they still say the same."""
    if spec in character.documents:
        raw = character.documents[spec]
        document = load(raw, character.name)
        new = laid_over(document, character)
        return raw if new is document else dump(new, indent)
    for other in ("v3", "v2", "v1"):
        if other in character.documents:
            document = load(character.documents[other], character.name)
            return dump(converted(document, spec, character), indent)
    return dump(converted({}, spec, character), indent)


def _with(picture: png.Picture, keyword: str, document: bytes, name: str) -> png.Picture:
    """The picture with this document; untouched if that is what it holds already."""
    chunk = picture.find(keyword)
    if chunk and _unwrapped(chunk, name) == document:
        return picture
    return picture.put(keyword, base64.b64encode(document))


def _from_png(raw: bytes, name: str) -> Character:
    picture = png.parse(raw, name)
    chunks = [chunk for keyword in CHUNKS.values() if (chunk := picture.find(keyword))]
    if not chunks:
        raise NoCard(name=name)
    return _from_documents([_unwrapped(chunk, name) for chunk in chunks], name, raw)


def _unwrapped(chunk: png.Chunk, name: str) -> bytes:
    """The JSON inside a chunk, out of its base64.

    Raises:
        BrokenCard, CardTooLarge.
    """
    wrapped = b"".join(png.text_of(chunk, name, LARGEST_CARD * 3 // 2).split()).rstrip(b"=")
    try:
        raw = base64.b64decode(wrapped + b"=" * (-len(wrapped) % 4), validate=True)
    except binascii.Error as error:
        raise BrokenCard(name=name, reason="its base64 is damaged") from error
    if len(raw) > LARGEST_CARD:
        raise CardTooLarge(name=name, limit=readable(LARGEST_CARD))
    return raw


def _from_documents(texts: list[bytes], name: str, picture: bytes = b"") -> Character:
    """A character from its documents, the fullest first."""
    loaded = [(load(text, name), text) for text in texts]
    documents: dict[str, bytes] = {}
    for document, text in loaded:
        documents.setdefault(spec_of(document), text)
    newest = max(loaded, key=lambda one: spec_of(one[0]))[0]
    return _made(fields_of(newest), name, documents, picture)


def _made(
    found: dict[str, Any], name: str, documents: dict[str, bytes], picture: bytes = b""
) -> Character:
    if not found.get("name", "").strip():
        raise NotACard(name=name)
    return Character(**found, documents=documents, picture=picture)


def _from_charx(raw: bytes, name: str) -> Character:
    """The card of a CHARX archive and its main picture; its other files stay behind."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            text = _member(archive, "card.json", name)
            if text is None:
                raise NotACard(name=name)
            character = _from_documents([text], name)
            path = _main_picture(load(text, name))
            picture = _member(archive, path, name) if path else None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError, ValueError) as error:
        raise BrokenCard(name=name, reason="the archive is damaged") from error
    except NotImplementedError as error:
        raise BrokenCard(name=name, reason="the archive is packed in an unknown way") from error
    return replace(character, picture=picture or b"")


def _member(archive: zipfile.ZipFile, path: str, name: str) -> bytes | None:
    """One file of an archive; nothing beyond the limit is unpacked.

    Raises:
        CardTooLarge.
    """
    if path not in archive.namelist():
        return None
    with archive.open(path) as file:
        found = file.read(LARGEST_CARD + 1)
    if len(found) > LARGEST_CARD:
        raise CardTooLarge(name=name, limit=readable(LARGEST_CARD))
    return found


def _main_picture(document: Document) -> str:
    """Where in the archive the card says its icon is; empty if it does not."""
    assets = document.get("data", {}).get("assets") if spec_of(document) != "v1" else None
    for one in assets if isinstance(assets, list) else []:
        uri = one.get("uri") if isinstance(one, dict) and one.get("type") == "icon" else None
        if isinstance(uri, str) and (start := next((s for s in INSIDE if uri.startswith(s)), "")):
            return uri.removeprefix(start)
    return ""
