"""How well a person and a teacher agree, as a picture. Knows HTML, not how ratings are kept."""

from __future__ import annotations

from html import escape

from tabs._shared import notice
from tabs._words import say
from workbench.prompts import judging
from workbench.workspace import Workspace


def picture(language: str, name: str, workspace: Workspace) -> str:
    """Agreement over the rows that both have seen; until then, how many are missing."""
    given = judging.ratings(name, workspace)
    scores = judging.scores(name, workspace)
    both = [(given[row], scores[row]["score"]) for row in given if row in scores]
    if not scores:
        return notice("info", say(language, "judge.no_scores"))
    if not both:
        return notice("info", say(language, "judge.rate_first"))
    return matrix(language, both)


def matrix(language: str, both: list[tuple[int, float]]) -> str:
    """The person's ratings against the teacher's scores, as a table of counts."""
    marks = range(judging.LOWEST, judging.HIGHEST + 1)
    counts = {(mine, theirs): 0 for mine in marks for theirs in marks}
    for mine, theirs in both:
        nearest = min(max(round(theirs), judging.LOWEST), judging.HIGHEST)
        counts[(mine, nearest)] += 1
    most = max(counts.values()) or 1
    head = "".join(f"<th>{mark}</th>" for mark in marks)
    body = "".join(
        f"<tr><th>{mine}</th>"
        + "".join(
            f'<td style="--share:{counts[(mine, theirs)] / most:.2f}"'
            f' class="{"same" if mine == theirs else ""}">{counts[(mine, theirs)] or ""}</td>'
            for theirs in marks
        )
        + "</tr>"
        for mine in marks
    )
    caption = escape(say(language, "judge.matrix"))
    return (
        f'<table class="tri-matrix"><caption>{caption}</caption><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )
