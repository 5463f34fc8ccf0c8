"""Charts: finite points only, round ticks, names that cannot break the page."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tabs._charts import HEIGHT, MOST_POINTS, WIDTH, Line, chart, thinned, ticks


def svg(html: str) -> ElementTree.Element:
    found = re.search(r"<svg.*</svg>", html, re.DOTALL)
    assert found
    return ElementTree.fromstring(found.group())


def test_every_point_lies_inside_the_picture() -> None:
    html = chart(
        "loss", [Line("train", range(50), [5 - n / 10 for n in range(50)])], "step", "bits"
    )
    points = svg(html).find("polyline").get("points").split()  # type: ignore[union-attr]
    assert len(points) == 50
    for point in points:
        x, y = map(float, point.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_what_is_not_a_number_is_left_out_and_nothing_is_drawn_of_nothing() -> None:
    assert chart("t", [Line("a", [0, 1], [math.nan, math.inf])], "x", "y") == ""
    assert chart("t", [], "x", "y") == ""
    assert list(thinned(Line("a", [0, 1, 2], [1, math.nan, 3])).xs) == [0, 2]


def test_one_point_and_a_flat_line_are_drawn() -> None:
    assert svg(chart("t", [Line("a", [3], [2])], "x", "y")) is not None
    assert svg(chart("t", [Line("a", [0, 1], [0, 0])], "x", "y")) is not None


def test_a_long_line_is_thinned_and_keeps_its_end() -> None:
    line = thinned(Line("a", range(10_001), range(10_001)))
    assert len(line.xs) <= MOST_POINTS + 1
    assert line.xs[-1] == 10_000


def test_a_hostile_name_stays_a_name() -> None:
    html = chart("<b>", [Line('"><script>', [0, 1], [0, 1])], "x", "y")
    assert "<script>" not in html
    assert svg(html) is not None


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3.2, 3.9), (-5, 1200), (1e-5, 2e-4)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert all(low - 1e-9 <= one <= high + 1e-9 for one in found)
