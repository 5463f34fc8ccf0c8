"""Line charts as SVG: a few series over the steps of a run, readable on a phone.

No script and no library: the page stays light and a saved page keeps its charts. Knows
nothing of what the lines mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 30
COLOURS = ("#1c6f53", "#c8701c", "#3d63b5", "#a8322a", "#7a4fa3", "#857b6d")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
MOST_POINTS = 400
"""Of one line; more are thinned evenly, the last always stays."""


@dataclass(frozen=True)
class Line:
    """One series: a name, where, and what."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: int = 0
    dash: int = 0


def chart(title: str, lines: Sequence[Line], x_name: str, y_name: str) -> str:
    """A chart with a legend; nothing if no line has a finite point."""
    drawn = [thinned(line) for line in lines]
    drawn = [line for line in drawn if line.xs]
    if not drawn:
        return ""
    low_x, high_x = _range([x for line in drawn for x in line.xs], pad=0)
    low_y, high_y = _range([y for line in drawn for y in line.ys], pad=0.06)
    scale = _Scale(low_x, high_x, low_y, high_y)
    body = _grid(scale, low_y, high_y, low_x, high_x) + "".join(
        _path(line, scale) for line in drawn
    )
    axes = " / ".join(name for name in (y_name, x_name) if name)
    legend = "".join(
        f'<li><i style="border-top:3px {"dashed" if line.dash else "solid"} '
        f'{COLOURS[line.colour % len(COLOURS)]}"></i>{escape(line.name)} '
        f"<b>{_short(line.ys[-1])}</b></li>"
        for line in drawn
    )
    return (
        f'<figure class="tri-chart"><figcaption>{escape(title)} <small>{escape(axes)}</small>'
        f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{body}</svg><ul>{legend}</ul></figure>"
    )


def thinned(line: Line) -> Line:
    """The finite points, at most ``MOST_POINTS`` of them, the last one among them."""
    points = [
        (float(x), float(y))
        for x, y in zip(line.xs, line.ys, strict=True)
        if y is not None and math.isfinite(x) and math.isfinite(y)
    ]
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    kept = points[::step]
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return Line(line.name, [x for x, _ in kept], [y for _, y in kept], line.colour, line.dash)


@dataclass(frozen=True)
class _Scale:
    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        share = (value - self.low_x) / (self.high_x - self.low_x)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low_y) / (self.high_y - self.low_y)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _range(values: list[float], pad: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        return low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
    return low - (high - low) * pad, high + (high - low) * pad


def _grid(scale: _Scale, low_y: float, high_y: float, low_x: float, high_x: float) -> str:
    lines = ""
    for value in ticks(low_y, high_y):
        y = scale.y(value)
        lines += (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>'
        )
    for value in ticks(low_x, high_x):
        x = scale.x(value)
        lines += f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{_short(value)}</text>'
    return f'<g class="tri-grid">{lines}</g>'


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers inside a range: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _path(line: Line, scale: _Scale) -> str:
    colour = COLOURS[line.colour % len(COLOURS)]
    dash = DASHES[line.dash % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    points = " ".join(
        f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in zip(line.xs, line.ys, strict=True)
    )
    dots = "".join(
        f'<circle cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3" fill="{colour}" '
        f'data-tip="{escape(line.name)}: {_short(y)} ({_short(x)})"/>'
        for x, y in zip(line.xs, line.ys, strict=True)
        if len(line.xs) <= 60
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}"{dashed}/>{dots}'


def _short(value: float) -> str:
    if value == 0 or 0.001 <= abs(value) < 100_000:
        return f"{value:,.4g}"
    return f"{value:.1e}"
