"""The chunks of a PNG file: read with their checksums, and texts in them replaced.

Pixels are never decoded, so every byte that is not asked to change stays. This module
does not know what the texts say. After the PNG specification, third edition, sections
5 and 11.3.3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from workbench.errors import BrokenCard, CardTooLarge
from workbench.events import readable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")


@dataclass(frozen=True)
class Chunk:
    """One chunk: its four letters and its bytes."""

    kind: bytes
    data: bytes

    @property
    def raw(self) -> bytes:
        """The chunk as it stands in a file, length and checksum included."""
        checksum = zlib.crc32(self.data, zlib.crc32(self.kind))
        return (
            struct.pack(">I", len(self.data)) + self.kind + self.data + struct.pack(">I", checksum)
        )

    @property
    def keyword(self) -> str:
        """What a text chunk is about; empty for any other."""
        if self.kind not in TEXTS:
            return ""
        return self.data.split(b"\0", 1)[0][:80].decode("latin-1").lower()


@dataclass(frozen=True)
class Picture:
    """A PNG file as its chunks, and whatever stands after the last."""

    chunks: tuple[Chunk, ...]
    tail: bytes = b""

    @property
    def raw(self) -> bytes:
        return SIGNATURE + b"".join(chunk.raw for chunk in self.chunks) + self.tail

    def find(self, keyword: str) -> Chunk | None:
        """The first text chunk with this keyword, in any case."""
        return next((chunk for chunk in self.chunks if chunk.keyword == keyword), None)

    def put(self, keyword: str, text: bytes) -> Picture:
        """The same picture with this text; others with the keyword are taken out.

        It stands where the first of them stood, or right before the end.
        """
        new = Chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text)
        there = [at for at, chunk in enumerate(self.chunks) if chunk.keyword == keyword]
        at = there[0] if there else len(self.chunks) - 1
        before = [chunk for chunk in self.chunks[:at] if chunk.keyword != keyword]
        after = [chunk for chunk in self.chunks[at:] if chunk.keyword != keyword]
        return Picture((*before, new, *after), self.tail)


def parse(raw: bytes, name: str) -> Picture:
    """Take a PNG file apart.

    Raises:
        BrokenCard: it is cut short, or a checksum is wrong.
    """
    found: list[Chunk] = []
    at = len(SIGNATURE)
    while not found or found[-1].kind != b"IEND":
        head = raw[at : at + 8]
        size = int.from_bytes(head[:4], "big")
        end = at + 12 + size
        if len(head) < 8 or end > len(raw):
            raise BrokenCard(name=name, reason="the picture is cut short")
        chunk = Chunk(head[4:], raw[at + 8 : end - 4])
        if chunk.raw[-4:] != raw[end - 4 : end]:
            raise BrokenCard(name=name, reason="a checksum in the picture is wrong")
        found.append(chunk)
        at = end
    if found[0].kind != b"IHDR":
        raise BrokenCard(name=name, reason="the picture has no header")
    return Picture(tuple(found), raw[at:])


def text_of(chunk: Chunk, name: str, limit: int) -> bytes:
    """The text of a text chunk, unpacked if need be.

    Args:
        limit: bytes; nothing beyond is unpacked.

    Raises:
        CardTooLarge, BrokenCard.
    """
    _, _, rest = chunk.data.partition(b"\0")
    packed = chunk.kind == b"zTXt"
    if packed:
        rest = rest[1:]
    elif chunk.kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, limit + 1)
        except zlib.error as error:
            raise BrokenCard(name=name, reason="the packed text is damaged") from error
    if len(rest) > limit:
        raise CardTooLarge(name=name, limit=readable(limit))
    return rest
