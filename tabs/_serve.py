"""Serving the page to others: refused without an owner, and the links that let people in."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import gradio as gr
from gradio import networking

from tabs._door import OWNER_PATH
from tabs._shared import House, on_space
from workbench import logs
from workbench.errors import BadSettings
from workbench.settings import Settings

LONGEST_QUEUE = 400
"""Events that wait; the next is told that the queue is full."""
log = logs.get("share")


def check(settings: Settings) -> None:
    """Refuse to give everybody the owner's rights.

    Raises:
        BadSettings: others could reach the page, and nothing would tell them from the owner;
            or agents are to be served, and what that needs is not installed.
    """
    if settings.mcp and find_spec("mcp") is None:
        raise BadSettings(reason="--mcp needs one more package: pip install 'gradio[mcp]'")
    host = settings.host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    if settings.share or on_space() or _only_here(host):
        return
    raise BadSettings(
        reason=f"on {host} everybody who can reach it would have the owner's rights; "
        "add --share, which prints one link for guests and one for you"
    )


def line_up(page: gr.Blocks) -> None:
    """Events wait their turn; none can be called past the line by its address."""
    page.queue(default_concurrency_limit=8, max_size=LONGEST_QUEUE, api_open=False)


def lighten(page: gr.Blocks) -> None:
    """Keep no copy of the whole page's configuration for each visitor.

    Gradio makes one for every session, for its deep links: with this page 1.4 MB and a tenth of
    a second of the server's only loop, for each call of the API too, and it is never let go. Ours
    are plain addresses, so a session starts without it.
    """
    holder = page.app.state_holder
    holder.blocks = SimpleNamespace(default_config=page.default_config, blocks={})  # type: ignore[assignment]


def let_in(page: gr.Blocks, house: House) -> None:
    """Print the links; with a tunnel, if it can be had, those of a public address."""
    local = str(page.local_url).rstrip("/")
    house.addresses.append(_reachable(local))
    if house.mode != "share":
        return
    if house.settings.tunnel:
        public = _tunnel(page)
        if public:
            house.addresses.append(public)
        else:
            _print("Gradio's tunnel cannot be reached, so the page is served on this machine only.")
    address = house.addresses[-1]
    _print(f"Guests:  {address}")
    _print(
        f"Owner:   {address}{OWNER_PATH}#{house.keys.issue()}   (works once; keep it to yourself)"
    )


def _tunnel(page: gr.Blocks) -> str | None:
    """A public address that leads here; None if there is none to be had."""
    try:
        address = networking.setup_tunnel(
            local_host=page.server_name,
            local_port=page.server_port,
            share_token=page.share_token,
            share_server_address=os.environ.get("GRADIO_SHARE_SERVER_ADDRESS"),
            share_server_tls_certificate=None,
        )
    except Exception as error:  # it has many, and none of them is ours
        log.info("no tunnel", reason=str(error))
        return None
    return str(address).replace("http://", "https://", 1)


def _only_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reachable(local: str) -> str:
    """The address others on the same network can use, if the page listens to them."""
    if "0.0.0.0" not in local:  # noqa: S104
        return local
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # sends nothing, but chooses our own address
            return local.replace("0.0.0.0", asking.getsockname()[0])  # noqa: S104
        except OSError:
            return local


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
