"""Every event has a rule: who may call it, checked before it runs, by page or by raw HTTP.

    @rule("train")
    def begin(request: gr.Request, ...): ...

``enforce`` wraps all events of a page at once. An event without a rule is the
owner's alone, and a test fails for it. Does not know what an event does.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr

from tabs._words import LANGUAGES, explain
from workbench.errors import AccessRefused
from workbench.rights import ACTIONS, COUNTED, Action, Visitor

if TYPE_CHECKING:
    from tabs._shared import House

Handler = TypeVar("Handler", bound=Callable[..., Any])
MARK = "workbench_rule"
UNKNOWN: Action = "load_any_model"
"""What an event without a rule asks for: nobody but the owner may."""


def rule(action: Action | None) -> Callable[[Handler], Handler]:
    """Mark a handler with the action that a caller must be allowed.

    None is for ``rule(rule_of(inner))``, which hands on what the inner one has.
    """
    if action is not None and action not in ACTIONS:
        raise ValueError(f"no such action: {action}")

    def mark(handler: Handler) -> Handler:
        setattr(handler, MARK, action)
        return handler

    return mark


def rule_of(handler: Callable[..., Any]) -> Action | None:
    """The action a handler was marked with; None if it was not.

    Signing in is Gradio's own, and everybody's.
    """
    if getattr(handler, "__module__", "") == "gradio.components.login_button":
        return "look"
    return getattr(handler, MARK, None)


def enforce(page: gr.Blocks, house: House) -> None:
    """Check the rule of every event of the page before it runs, and count what it uses."""
    for event in page.fns.values():
        if event.fn is not None:
            event.fn = _checked(event.fn, house)


def spoken(values: tuple[Any, ...]) -> str:
    """The language of the page, which most events are given; English if this one is not."""
    return next((one for one in values if isinstance(one, str) and one in LANGUAGES), "en")


def _checked(handler: Callable[..., Any], house: House) -> Callable[..., Any]:
    """The handler, which now refuses those who may not; seconds are taken from their quota."""
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(f"{handler.__qualname__}: events are plain functions or generators")
    action = rule_of(handler)

    def admit(values: tuple[Any, ...]) -> Visitor:
        visitor = house.who()
        try:
            visitor.must(action or UNKNOWN)
            if action in COUNTED:
                house.quotas.ask(visitor)
        except AccessRefused as error:
            said = explain(spoken(values), error)
            raise gr.Error(said, duration=8, print_exception=False) from None
        return visitor

    if inspect.isgeneratorfunction(handler):

        @wraps(handler)
        def streamed(*values: Any, **more: Any) -> Iterator[Any]:
            visitor, started = admit(values), time.monotonic()
            try:
                yield from handler(*values, **more)
            finally:
                _spend(house, visitor, action, started)

        return streamed

    @wraps(handler)
    def called(*values: Any, **more: Any) -> Any:
        visitor, started = admit(values), time.monotonic()
        try:
            return handler(*values, **more)
        finally:
            _spend(house, visitor, action, started)

    return called


def _spend(house: House, visitor: Visitor, action: Action | None, started: float) -> None:
    if action in COUNTED:
        house.quotas.spend(visitor, "seconds", time.monotonic() - started)
