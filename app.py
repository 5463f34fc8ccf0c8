"""Trilogy 三步曲: options -> settings -> the five tabs -> launch; nothing else."""

from __future__ import annotations

import sys
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from tabs import chat, compare, data, prompts, tune
from tabs._frame import FAVICON, EarlyHead, header, theme
from tabs._shared import QUICK, House
from tabs._words import LANGUAGES, label, say, translations
from workbench import logs
from workbench.errors import WorkbenchError
from workbench.settings import Settings, from_options


def build(settings: Settings) -> gr.Blocks:
    """The page with its five tabs."""
    house = House.build(settings)
    with gr.Blocks(title="Trilogy 三步曲", analytics_enabled=False) as page:
        language = gr.Textbox(visible=False)
        gr.HTML(header({tag: say(tag, "app.tagline") for tag in LANGUAGES}))
        with gr.Tabs(elem_classes="tri-tabs"):
            with gr.Tab(label("compare.name"), id="compare"):
                greetings = compare.build(house, language)
            with gr.Tab(label("prompts.name"), id="prompts") as asking:
                greetings += prompts.build(house, language, asking)
            with gr.Tab(label("data.name"), id="data"):
                greetings += data.build(house, language)
            with gr.Tab(label("tune.name"), id="tune") as tuning:
                greetings += tune.build(house, language, tuning)
            with gr.Tab(label("chat.name"), id="chat"):
                chat.build()
        # Gradio picks the labels' language by itself; the server is told here.
        told = page.load(None, None, language, js="() => window.trilogyLanguage", **QUICK)
        for handler, inputs, outputs in greetings:
            told.then(handler, inputs, outputs, **QUICK)
        page.unload(house.leave)
    return page


def launch_options(settings: Settings) -> dict[str, Any]:
    """How the page is served; every choice that differs from Gradio's default is deliberate."""
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "theme": theme(),
        "favicon_path": FAVICON,
        "i18n": translations(),
        "app_kwargs": {"middleware": [Middleware(EarlyHead)]},
        "run_history": False,  # it would write inputs, keys included, to the browser's storage
        "enable_monitoring": False,
        "strict_cors": True,
        "ssr_mode": False,
        "footer_links": [],
        "max_file_size": "1gb",
        "show_error": False,
        "mcp_server": False,
    }


def main() -> None:
    """Start the workbench and serve it until it is stopped."""
    try:
        settings = from_options()
    except WorkbenchError as error:
        sys.exit(str(error))
    logs.configure(settings.log_level, settings.log_style)
    page = build(settings)
    page.queue(default_concurrency_limit=8)
    page.launch(**launch_options(settings))


if __name__ == "__main__":
    main()
