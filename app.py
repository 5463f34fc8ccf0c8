"""Trilogy 三步曲: options -> settings -> the five tabs -> launch; nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from tabs import _serve, chat, compare, data, prompts, tune
from tabs._api import build_api
from tabs._door import Door
from tabs._frame import FAVICON, EarlyHead, header, theme
from tabs._front import FrontPage
from tabs._guests import build_guests
from tabs._links import wish_of
from tabs._rules import enforce, rule
from tabs._shared import QUICK, House
from tabs._words import LANGUAGES, label, say, translations
from workbench import logs
from workbench.errors import WorkbenchError
from workbench.settings import Settings, from_options

Greetings = list[tuple[Any, ...]]
Build = Callable[[House, gr.Textbox, gr.Tab], Greetings | None]
ROOMS: dict[str, Build] = {
    "compare": lambda house, language, _: compare.build(house, language),
    "prompts": prompts.build,
    "data": lambda house, language, _: data.build(house, language),
    "tune": tune.build,
    "chat": chat.build,
}

SESSIONS = 4000
"""Visitors whose page is remembered; Gradio lets none go before there are more."""
KEPT = (3600, 86_400)
"""Every hour, uploads and files handed out that are older than a day are deleted."""


def build(settings: Settings, house: House | None = None) -> gr.Blocks:
    """The page with its five tabs, or those the owner chose to show."""
    house = house or House.build(settings)
    shown = settings.shown_tabs
    with gr.Blocks(title="Trilogy 三步曲", analytics_enabled=False, delete_cache=KEPT) as page:
        language = gr.Textbox(visible=False)
        gr.HTML(header({tag: say(tag, "app.tagline") for tag in LANGUAGES}))
        greetings = build_guests(house, language)
        with gr.Tabs(elem_classes="tri-tabs") as tabs:
            for name in shown:
                with gr.Tab(label(f"{name}.name"), id=name) as tab:
                    greetings += ROOMS[name](house, language, tab) or []

        @rule("look")
        def arrive(request: gr.Request) -> Any:
            tab = wish_of(request).tab
            return gr.Tabs(selected=tab) if tab in shown else gr.skip()

        # Gradio picks the labels' language by itself; the server is told here.
        told = page.load(None, None, language, js="() => window.trilogyLanguage", **QUICK)
        for handler, inputs, outputs in [(arrive, None, tabs), *greetings]:
            told.then(handler, inputs, outputs, **QUICK)
        page.unload(house.leave)
        build_api(house)
    enforce(page, house)
    return page


def around(house: House) -> list[Middleware]:
    """What every request passes, the outermost first."""
    return [
        Middleware(Door, house=house),
        Middleware(FrontPage),
        Middleware(GZipMiddleware, compresslevel=5),  # a megabyte of page to a phone
        Middleware(EarlyHead),
    ]


def launch_options(settings: Settings, house: House | None = None) -> dict[str, Any]:
    """How the page is served; every choice that differs from Gradio's default is deliberate."""
    house = house or House.build(settings)
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "theme": theme(),
        "favicon_path": FAVICON,
        "i18n": translations(),
        "app_kwargs": {"middleware": around(house)},
        "share": False,  # Gradio's own way would serve the page's parts from another host
        "run_history": False,  # it would write inputs, keys included, to the browser's storage
        "enable_monitoring": False,
        "strict_cors": True,
        "ssr_mode": False,
        "footer_links": [],
        "max_file_size": settings.max_data_bytes,
        "state_session_capacity": SESSIONS,
        "show_error": False,
        "mcp_server": settings.mcp,
        "quiet": settings.share,  # the links are said by ourselves
    }


def main() -> None:
    """Start the workbench and serve it until it is stopped."""
    try:
        settings = from_options()
        _serve.check(settings)
    except WorkbenchError as error:
        sys.exit(str(error))
    logs.configure(settings.log_level, settings.log_style)
    house = House.build(settings)
    page = build(settings, house)
    _serve.line_up(page)
    page.launch(**launch_options(settings, house), prevent_thread_lock=True)
    _serve.lighten(page)
    _serve.let_in(page, house)
    page.block_thread()


if __name__ == "__main__":
    main()
