"""Cards in the shapes that are found in the world, written by us."""

from __future__ import annotations

import base64
import io
import json
import zipfile
import zlib
from typing import Any

from PIL import Image

from workbench.chat import png

# As SillyTavern writes a version 2 card: the fields of version 1 stand beside ``data``, and
# there are keys of its own everywhere.
DESCRIPTION = '[阿芬性格= "細心", "嘴刁"]\r\n<START>\r\n{{user}}: 你好\r\n{{char}}: 食咗飯未？'
TAVERN: dict[str, Any] = {
    "name": "阿芬",
    "description": DESCRIPTION,
    "personality": "",
    "first_mes": "*佢放低個餸籃* 「返嚟啦？」",
    "avatar": "none",
    "chat": "阿芬 - 2024-1-2 @03h 04m 05s 6ms",
    "mes_example": "",
    "scenario": "",
    "create_date": "2024-1-2 @03h 04m 05s 7ms",
    "talkativeness": "0.5",
    "fav": False,
    "creatorcomment": "自己整嚟試",
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "data": {
        "name": "阿芬",
        "description": DESCRIPTION,
        "personality": "",
        "scenario": "",
        "first_mes": "*佢放低個餸籃* 「返嚟啦？」",
        "mes_example": "",
        "creator_notes": "自己整嚟試",
        "system_prompt": "",
        "post_history_instructions": "",
        "tags": ["街坊", "煮飯"],
        "creator": "",
        "character_version": "",
        "alternate_greetings": [],
        "extensions": {
            "talkativeness": "0.5",
            "fav": False,
            "world": "街市",
            "depth_prompt": {"prompt": "", "depth": 4, "big": 12345678901234567890, "f": 0.1},
            "unknown/部件": [None, True, {"z": 1, "a": 2}],
        },
        "x_future": {"second": 2, "first": 1},
        "character_book": {
            "name": "街市",
            "x_book": "留低",
            "entries": [
                {
                    "id": 7,
                    "keys": ["街市", "買餸"],
                    "secondary_keys": [],
                    "comment": "街市",
                    "content": "阿芬淨係幫襯明記魚檔。",
                    "constant": False,
                    "selective": True,
                    "insertion_order": 100,
                    "enabled": True,
                    "position": "before_char",
                    "extensions": {"position": 0, "display_index": 0, "probability": 100},
                }
            ],
        },
    },
}  # fmt: skip

OOBA = b"""name: Ah Fan
greeting: |-
  *Ah Fan puts down her basket*
  Home at last?
context: |-
  Ah Fan cooks for the whole staircase.

  {{user}}: What is for dinner?
  {{char}}: Whatever the fish stall had.
x_unknown: 2024-01-02
nested:
  z: 1
  a: [1, two, null]
"""


def picture(side: int = 12) -> bytes:
    """A small PNG with chunks that nobody asked for."""
    image = Image.new("RGBA", (side, side), (28, 111, 83, 200))
    out = io.BytesIO()
    image.save(out, "PNG")
    made = png.parse(out.getvalue(), "made")
    before, end = made.chunks[:-1], made.chunks[-1]
    extra = (
        png.Chunk(b"tEXt", b"Software\0Trilogy test"),
        png.Chunk(b"prVt", bytes(range(256))),
    )
    return png.Picture((*before, *extra, end), b"after the end").raw


def v3(document: dict[str, Any] = TAVERN) -> dict[str, Any]:
    """The same as version 3, with what only version 3 has."""
    data = {
        **document["data"],
        "nickname": "芬姐",
        "group_only_greetings": ["大家好"],
        "assets": [{"type": "icon", "name": "main", "uri": "ccdefault:", "ext": "png"}],
        "creation_date": 1700000000,
    }
    return {"spec": "chara_card_v3", "spec_version": "3.0", "data": data, "x_top": [1, 2]}


def as_json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def in_png(kind: bytes = b"tEXt", **documents: bytes) -> bytes:
    """A picture with documents by the keyword of their chunk."""
    made = png.parse(picture(), "made")
    for keyword, document in documents.items():
        wrapped = base64.b64encode(document)
        made = made.put(keyword, wrapped)
        if kind != b"tEXt":
            packed = zlib.compress(wrapped)
            heads = {b"zTXt": b"\0", b"iTXt": b"\1\0yue\0\0"}
            new = png.Chunk(kind, keyword.encode() + b"\0" + heads[kind] + packed)
            chunks = tuple(new if one.keyword == keyword else one for one in made.chunks)
            made = png.Picture(chunks, made.tail)
    return made.raw


def charx(document: dict[str, Any], icon: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", as_json(document))
        if icon:
            archive.writestr("assets/icon/images/main.png", icon)
    return out.getvalue()
