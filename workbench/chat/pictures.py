"""Pictures of characters: small copies for the page, and a PNG where there is none.

Pillow decodes; a picture with more pixels than ``MOST_PIXELS`` is never decoded. Knows
nothing of cards.
"""

from __future__ import annotations

import base64
import hashlib
import io
import warnings

from PIL import Image, ImageDraw

from workbench.chat.character import Character
from workbench.chat.png import SIGNATURE
from workbench.errors import BrokenCard, CardTooLarge
from workbench.events import readable

MOST_PIXELS = 20_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
LARGEST = 10_000_000
"""Bytes of a picture that somebody gives to a character."""
THUMB = 256


def as_png(character: Character) -> bytes:
    """The character's picture as a PNG file: as it came, converted, or drawn.

    Raises:
        BrokenCard: the picture cannot be read.
    """
    if character.picture.startswith(SIGNATURE):
        return character.picture
    if not character.picture:
        return drawn(character.name)
    opened = _opened(character.picture)
    if opened is None:
        raise BrokenCard(name=character.name, reason="its picture cannot be read")
    return _saved(opened.convert("RGBA"), "PNG")


def thumbnail(raw: bytes, name: str, side: int = THUMB) -> str:
    """A small copy of a picture as a ``data:`` address.

    Args:
        raw: the file of the picture; if it cannot be read, one is drawn for the name.
    """
    picture = _opened(raw) if raw else None
    if picture is None:
        picture = Image.open(io.BytesIO(drawn(name)))
    small = picture.convert("RGB")
    small.thumbnail((side, side * 2))
    return "data:image/jpeg;base64," + base64.b64encode(_saved(small, "JPEG")).decode()


def check_picture(raw: bytes, name: str) -> bytes:
    """The same bytes, if they are a picture that can be read.

    Raises:
        CardTooLarge, BrokenCard.
    """
    if len(raw) > LARGEST:
        raise CardTooLarge(name=name, limit=readable(LARGEST))
    if _opened(raw) is None:
        raise BrokenCard(name=name, reason="its picture cannot be read")
    return raw


def drawn(name: str, side: int = 256) -> bytes:
    """Head and shoulders on a colour that belongs to the name."""
    hue = int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:2], "big") % 360
    image = Image.new("RGB", (side, side), f"hsl({hue}, 32%, 78%)")
    pen = ImageDraw.Draw(image)
    dark = f"hsl({hue}, 38%, 36%)"
    pen.ellipse((side * 0.32, side * 0.2, side * 0.68, side * 0.56), fill=dark)
    pen.ellipse((side * 0.16, side * 0.62, side * 0.84, side * 1.4), fill=dark)
    return _saved(image, "PNG")


def _opened(raw: bytes) -> Image.Image | None:
    """The decoded picture; None if it is broken or too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(raw), formats=FORMATS)
            if image.width * image.height > MOST_PIXELS:
                return None
            image.load()
    except Exception:
        # Pillow raises whatever its decoders do: OSError, SyntaxError, struct.error ...
        return None
    return image


def _saved(image: Image.Image, form: str) -> bytes:
    out = io.BytesIO()
    image.save(out, form)
    return out.getvalue()
