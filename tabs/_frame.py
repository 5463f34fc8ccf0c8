"""What is around the five tabs: theme, header, and the choice of language.

The browser's language decides, or the one picked in the header; a script that runs
before Gradio's own tells it (Gradio alone would show English to a browser set to
zh-HK). This module does not know what is in the tabs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._words import LANGUAGES

ASSETS = Path(__file__).resolve().parents[1] / "assets"
CSS = ASSETS / "theme.css"
FAVICON = ASSETS / "mark.svg"
SCRIPT = ASSETS / "page.js"
LANGUAGE_NAMES = {"en": "English", "zh-TW": "粵語", "zh-CN": "简体"}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class EarlyHead:
    """ASGI middleware that puts our script and styles first in the head of every page.

    Gradio would add them only after its own start, and rewrite the selectors.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        script, style = SCRIPT.read_bytes(), CSS.read_bytes()
        self._head = b"<script>" + script + b"</script><style>" + style + b"</style>"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def inserting(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_html(message):
                held.append(message)
                return
            if not held:
                await send(message)
                return
            held.append(message)
            if not message.get("more_body"):
                for changed in self._changed(held):
                    await send(changed)
                held.clear()

        await self._app(scope, receive, inserting)

    def _changed(self, held: list[Message]) -> list[Message]:
        start, *rest = held
        body = b"".join(message.get("body", b"") for message in rest)
        body = body.replace(b"<head>", b"<head>" + self._head, 1)
        kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        return [
            {**start, "headers": [*kept, length]},
            {"type": "http.response.body", "body": body},
        ]


def _is_html(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/html")
        for name, value in message["headers"]
    )


def theme() -> gr.themes.Base:
    """Tram green on warm paper; system fonts, so that nothing is fetched."""
    green = gr.themes.Color(
        "#edf7f2", "#d5ece1", "#addbc6", "#7dc3a5", "#4ba683", "#2c8a68",
        "#1c6f53", "#175945", "#154838", "#123b2f", "#09211b",
    )  # fmt: skip
    sand = gr.themes.Color(
        "#faf8f4", "#f3efe8", "#e7e0d5", "#d4cabb", "#aea393", "#857b6d",
        "#655d52", "#4c463e", "#332f2a", "#221f1c", "#151311",
    )  # fmt: skip
    fonts = ["system-ui", "-apple-system", "Noto Sans HK", "Noto Sans CJK HK", "PingFang HK",
             "Microsoft JhengHei", "sans-serif"]  # fmt: skip
    return gr.themes.Base(
        primary_hue=green,
        secondary_hue=green,
        neutral_hue=sand,
        radius_size=gr.themes.sizes.radius_md,
        font=fonts,
        font_mono=["ui-monospace", "SF Mono", "Noto Sans Mono", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        block_border_width="1px",
        block_shadow="none",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_cancel_background_fill="transparent",
        button_cancel_border_color="*neutral_300",
        button_cancel_text_color="#a8322a",
        button_cancel_background_fill_dark="transparent",
        button_cancel_text_color_dark="#f0958c",
        block_label_background_fill="transparent",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_border_color="*neutral_300",
        checkbox_label_background_fill="white",
        checkbox_label_border_color="*neutral_300",
        checkbox_label_border_width="1px",
    )


def header(tagline: dict[str, str]) -> str:
    """The name, one line of what it is for, and the three languages."""
    links = "".join(
        f'<button type="button" lang="{tag}" data-language="{tag}" '
        f"onclick=\"trilogySpeak('{tag}')\">{LANGUAGE_NAMES[tag]}</button>"
        for tag in LANGUAGES
    )
    lines = "".join(
        f'<span class="only-{tag}" lang="{tag}">{escape(text)}</span>'
        for tag, text in tagline.items()
    )
    mark = FAVICON.read_text(encoding="utf-8")
    return (
        f'<header class="tri-header"><div class="tri-mark" aria-hidden="true">{mark}</div>'
        f'<div class="tri-name"><h1>Trilogy <span lang="zh-TW">三步曲</span></h1>'
        f'<p class="tri-tagline">{lines}</p></div>'
        f'<nav class="tri-languages" aria-label="Language">{links}</nav></header>'
    )
