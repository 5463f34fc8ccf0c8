"""The page served for a test, and callers who use no browser but raw HTTP."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import httpx

from app import build, launch_options
from tabs._serve import lighten, line_up
from tabs._shared import House
from workbench.settings import Settings


@dataclass
class Served:
    """A running page."""

    page: gr.Blocks
    house: House

    @property
    def url(self) -> str:
        return str(self.page.local_url).rstrip("/")

    def guest(self) -> Caller:
        """Somebody who opened the front page."""
        caller = Caller(self.url)
        caller.client.get("/").raise_for_status()
        return caller

    def owner(self) -> Caller:
        """Somebody who followed the owner's link."""
        caller = Caller(self.url)
        answer = caller.client.post("/owner", content=self.house.keys.issue())
        assert answer.status_code == 204
        return caller


@dataclass
class Caller:
    """Calls events by raw HTTP, as anybody can who reads the page's configuration."""

    url: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def call(self, number: int, data: list[Any], session: str = "") -> Heard:
        """One event of the page through the queue, by its number."""
        session = session or secrets.token_hex(6)
        body = {"fn_index": number, "data": data, "session_hash": session}
        answer = self.client.post("/gradio_api/queue/join", json=body)
        if answer.status_code != 200:
            return Heard(False, answer.text)
        lines = []
        with self.client.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": session}
        ) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                lines.append(line[5:])
                if message["msg"] == "process_completed":
                    return Heard(bool(message["success"]), "\n".join(lines))
        return Heard(False, "\n".join(lines))


@dataclass(frozen=True)
class Heard:
    """What came back."""

    went_well: bool
    text: str
    """Every message, as JSON."""


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """The page on a free port of this machine until the block ends."""
    house = House.build(settings)
    page = build(settings, house)
    line_up(page)
    page.launch(**{**launch_options(settings, house), "server_port": None, "quiet": True},
                prevent_thread_lock=True)  # fmt: skip
    lighten(page)
    try:
        yield Served(page, house)
    finally:
        page.close(verbose=False)
