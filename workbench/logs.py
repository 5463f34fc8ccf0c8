"""Structured logs: one JSON document (or one readable line) an event.

Secrets are taken out before anything is written: values of keys that sound like
a secret, and anything in a string that looks like a Hub or Google key. This
module does not know what is logged, only what must never be.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

SECRET_KEY = re.compile(r"token$|api_?key|secret|password|authorization|cookie", re.IGNORECASE)
SECRET_VALUE = re.compile(r"hf_[A-Za-z0-9]{8,}|AIza[A-Za-z0-9_-]{20,}|(?i:bearer)\s+\S+")
HIDDEN = "[hidden]"


def hide_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor that replaces secrets by ``[hidden]``, at any depth."""
    return {key: _hide(key, value) for key, value in event.items()}


def _hide(key: str, value: Any) -> Any:
    if SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, str):
        return SECRET_VALUE.sub(HIDDEN, value)
    if isinstance(value, dict):
        return {_hide("", inner): _hide(str(inner), content) for inner, content in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_hide(key, item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return SECRET_VALUE.sub(HIDDEN, str(value))  # paths, errors: the renderer would spell them


def configure(level: str = "INFO", style: Literal["json", "text"] = "text") -> None:
    """Send every log line of the workbench to standard error."""
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            hide_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> Any:
    """A logger whose lines carry the name of the part that wrote them.

    It asks for the configuration at each line, so a module may keep one from its import.
    """
    return structlog.get_logger(part=name)
