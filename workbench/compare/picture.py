"""A scorecard as SVG: one small picture a column, one dot a model, its interval as a line.

No script, no library, no style sheet needed, so that a saved report keeps its pictures. Knows
numbers and names; not what a column means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#1c6f53", "#c8701c", "#3d63b5", "#a8322a", "#7a4fa3", "#857b6d")
WIDTH, ROW, TOP, BOTTOM = 320, 34, 6, 22
LEFT, RIGHT = 10, 10
MOST_LETTERS = 34
"""Of a model's name above its line."""


@dataclass(frozen=True)
class Dot:
    """One model's figure; ``low`` and ``high`` are None where it has no interval."""

    name: str
    value: float
    low: float | None
    high: float | None
    colour: int


def dots(
    title: str, drawn: Sequence[Dot], low: float, high: float, shown: Callable[[float], str]
) -> str:
    """One picture: a line a model on a scale from ``low`` to ``high``; nothing of no dots.

    Args:
        shown: a value as it is written beside a dot and at the ends of the scale.
    """
    if not drawn:
        return ""
    height = TOP + ROW * len(drawn) + BOTTOM
    scale = _Scale(low, high if high > low else low + 1)
    rows = "".join(_row(dot, number, scale, shown) for number, dot in enumerate(drawn))
    return (
        f'<svg class="tri-dots" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="inherit" font-size="12" fill="currentColor">'
        f"{rows}{_ends(scale, height, shown)}</svg>"
    )


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    def x(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def _row(dot: Dot, number: int, scale: _Scale, shown: Callable[[float], str]) -> str:
    y = TOP + ROW * number + 24
    colour = COLOURS[dot.colour % len(COLOURS)]
    whisker = ""
    if dot.low is not None and dot.high is not None:
        whisker = (
            f'<line x1="{scale.x(dot.low):.1f}" x2="{scale.x(dot.high):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{colour}" stroke-width="3" stroke-linecap="round" opacity="0.55"/>'
        )
    name = dot.name if len(dot.name) <= MOST_LETTERS else dot.name[: MOST_LETTERS - 1] + "…"
    return (
        f'<text x="{LEFT}" y="{y - 9}">{escape(name)}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{y - 9}" text-anchor="end" font-weight="600">'
        f"{escape(shown(dot.value))}</text>"
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="currentColor" '
        f'opacity="0.18"/>{whisker}<circle cx="{scale.x(dot.value):.1f}" cy="{y}" r="5.5" '
        f'fill="{colour}"/>'
    )


def _ends(scale: _Scale, height: int, shown: Callable[[float], str]) -> str:
    return (
        f'<g opacity="0.6" font-size="10.5"><text x="{LEFT}" y="{height - 6}">'
        f'{escape(shown(scale.low))}</text><text x="{WIDTH - RIGHT}" y="{height - 6}" '
        f'text-anchor="end">{escape(shown(scale.high))}</text></g>'
    )
