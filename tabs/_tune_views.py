"""What a run looks like: the mask before it, curves and answers while it runs, runs compared.

Turns events and figures into HTML; knows nothing of processes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from html import escape
from typing import Any

from tabs._charts import Line, chart
from tabs._shared import notice
from tabs._words import say, words
from workbench.events import readable
from workbench.tune.encode import Encoded

FORGET_ALARM = 0.25
"""Rise of bits per character on a text that is not trained on, as a share, that is an alarm."""
LONGEST_CHARACTER = 8
"""Tokens that one character is cut into at most, emoji with their joiners included."""
SPACE = {"\n": "⏎\n", "\t": "⇥\t"}
WORK: dict[str, Any] = {
    "api_visibility": "private",
    "concurrency_id": "tune",
    "show_progress": "hidden",
}
"""Events of the tab that take a while stand in one line of their own."""


def coloured(language: str, encoded: Encoded, pieces: Sequence[str]) -> str:
    """A row, token by token: learned, read only, and the token that ends a turn."""
    spans = []
    for piece, learned, kind in zip(pieces, encoded.labels_mask, encoded.kinds, strict=True):
        shown = "".join(SPACE.get(character, character) for character in piece)
        classes = f"tri-token {'learned' if learned else ''} {kind}"
        spans.append(f'<span class="{classes}">{escape(shown)}</span>')
    figures = say(
        language, "tune.row_figures",
        row=encoded.row, learned=encoded.learned, tokens=len(encoded.ids),
    )  # fmt: skip
    return (
        f'<article class="tri-card"><header>{escape(figures)}</header>'
        f'<p class="tri-mask">{"".join(spans)}</p></article>'
    )


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """What each token says; a character of several tokens stands with the first of them."""
    said: list[str] = []
    at = 0
    while at < len(ids):
        end = at + 1
        text = tokenizer.decode(ids[at:end])
        while "\ufffd" in text and end < len(ids) and end - at < LONGEST_CHARACTER:
            end += 1
            text = tokenizer.decode(ids[at:end])
        said += [text, *[""] * (end - at - 1)]
        at = end
    return said


def mask_legend(language: str) -> str:
    keys = ("learned", "read", "end")
    items = "".join(
        f'<span class="tri-token {"learned" if key != "read" else ""} '
        f'{"end" if key == "end" else "text"}">{escape(say(language, f"tune.legend_{key}"))}</span>'
        for key in keys
    )
    return f'<p class="tri-mask tri-legend">{items}</p>'


def live(language: str, name: str, status: str, said: list[dict[str, Any]]) -> str:
    """A run as it stands: status, figures, curves, forgetting and answers."""
    if not said and not status:
        return notice("info", say(language, "tune.none"))
    parts = [
        f'<h4 class="tri-run">{escape(name)} '
        f'<span class="tri-status {escape(status)}">{escape(say(language, f"status.{status}"))}'
        "</span></h4>",
        _end(language, said),
        _figures(language, said),
        forgetting_alarm(language, said),
        f'<div class="tri-charts">{loss_chart(language, {name: said})}',
        f"{_bits_chart(language, said)}</div>",
        f'<div class="tri-columns">{_small_charts(language, said)}</div>',
        answers(language, said),
    ]
    return "".join(parts)


def _end(language: str, said: list[dict[str, Any]]) -> str:
    lines = ""
    for one in said:
        if one["event"] == "notice":
            key = f"tune.notice_{one.get('key')}"
            if key in words()["en"]:
                lines += notice("warning", say(language, key, **_notice_facts(one)))
    last = said[-1] if said else {}
    if last.get("event") == "failed":
        key = f"error.{last.get('error')}"
        text = str(last.get("sentence") or "")
        if key in words()[language if language in words() else "en"]:
            with contextlib.suppress(KeyError, IndexError):
                text = say(language, key, **(last.get("facts") or {}))
        lines += notice("error", text or say(language, "error.Unexpected"))
    if last.get("event") == "progress":
        stage = f"stage.{last.get('stage')}"
        if stage in words()["en"]:
            total = f" / {last['total']:,.0f}" if last.get("total") else ""
            done = f"{last['done']:,.0f}{total}" if last.get("done") or total else ""
            lines += f'<p class="tri-quiet">{escape(say(language, stage))} {done}</p>'
    if last.get("event") == "queued" and last.get("before"):
        lines += notice("info", say(language, "tune.before", count=last["before"]))
    return lines


def _notice_facts(one: dict[str, Any]) -> dict[str, Any]:
    """What a notice tells; refused rows come as reasons with how many each."""
    facts = dict(one.get("facts") or {})
    if one.get("key") == "rows_refused":
        return {"count": sum(count for count in facts.values() if isinstance(count, int))}
    return facts


def _figures(language: str, said: list[dict[str, Any]]) -> str:
    ready = next((one for one in reversed(said) if one["event"] == "ready"), None)
    steps = [one for one in said if one["event"] == "step"]
    if ready is None:
        return ""
    lines = [
        say(
            language, "tune.ready",
            rows=f"{ready.get('rows', 0):,}", held=f"{ready.get('held_rows', 0):,}",
            tokens=f"{ready.get('learned_tokens', 0):,}", cut=ready.get("cut", 0),
            masked=ready.get("masked", 0), micro=ready.get("micro_batch", "?"),
        )
    ]  # fmt: skip
    bar = ""
    if steps:
        last = steps[-1]
        total = ready.get("steps") or 0
        share = min(1.0, last["step"] / total) if total else 0
        bar = f'<div class="tri-track"><i style="width:{share * 100:.1f}%"></i></div>'
        left = last.get("seconds_left")
        lines.append(
            say(
                language, "tune.step",
                step=last["step"], steps=total or "?",
                speed=f"{last.get('tokens_per_second') or 0:,.0f}",
                memory=readable(last.get("memory_bytes") or 0),
                left=duration(left) if left is not None else "–",
            )
        )  # fmt: skip
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<div class="tri-going">{bar}{text}</div>'


def loss_chart(language: str, runs: dict[str, list[dict[str, Any]]]) -> str:
    """Training and held-out loss of one or several runs."""
    lines = []
    for number, (name, said) in enumerate(runs.items()):
        steps = [one for one in said if one["event"] == "step" and one.get("loss") is not None]
        held = [one for one in said if one["event"] == "evaluation"]
        before = f"{name}: " if len(runs) > 1 else ""
        lines.append(
            Line(
                before + say(language, "tune.line_train"),
                [one["step"] for one in steps], _values(steps, "loss"), number, 0,
            )
        )  # fmt: skip
        lines.append(
            Line(
                before + say(language, "tune.line_held"),
                [one["step"] for one in held], _values(held, "loss"),
                number if len(runs) > 1 else 1, 1 if len(runs) > 1 else 0,
            )
        )  # fmt: skip
    return chart(
        say(language, "tune.chart_loss"), lines, say(language, "tune.axis_step"),
        say(language, "tune.axis_nats"),
    )  # fmt: skip


def _bits_chart(language: str, said: list[dict[str, Any]]) -> str:
    held = [one for one in said if one["event"] == "evaluation"]
    xs = [one["step"] for one in held]
    lines = [Line(say(language, "tune.line_held"), xs, _values(held, "bits_per_character"), 1)]
    names = sorted({name for one in held for name in one.get("forgetting") or {}})
    for number, name in enumerate(names):
        ys = [(one.get("forgetting") or {}).get(name, float("nan")) for one in held]
        lines.append(Line(say(language, f"tune.forget_{name}"), xs, ys, number + 2, 1))
    return chart(
        say(language, "tune.chart_bits"), lines, say(language, "tune.axis_step"),
        say(language, "tune.axis_bits"),
    )  # fmt: skip


def _small_charts(language: str, said: list[dict[str, Any]]) -> str:
    steps = [one for one in said if one["event"] == "step"]
    xs = [one["step"] for one in steps]
    html = ""
    for number, name in enumerate(("learning_rate", "grad_norm", "tokens_per_second")):
        title = say(language, f"tune.chart_{name}")
        line = Line(title, xs, _values(steps, name), number)
        html += chart(title, [line], say(language, "tune.axis_step"), "")
    return html


def forgetting_alarm(language: str, said: list[dict[str, Any]]) -> str:
    """A warning when texts that are not trained on got much harder."""
    held = [one for one in said if one["event"] == "evaluation" and one.get("forgetting")]
    if len(held) < 2:
        return ""
    first, last = held[0]["forgetting"], held[-1]["forgetting"]
    worse = [
        f"{say(language, f'tune.forget_{name}')} {first[name]:.2f} → {last[name]:.2f}"
        for name in first
        if name in last and first[name] > 0 and last[name] / first[name] - 1 > FORGET_ALARM
    ]
    if not worse:
        return ""
    return notice("warning", say(language, "tune.forgets", what=", ".join(worse)))


def answers(language: str, said: list[dict[str, Any]]) -> str:
    """The same prompts answered before training and now, side by side."""
    found = [one for one in said if one["event"] == "sample"]
    if not found:
        return ""
    first: dict[str, dict[str, Any]] = {}
    for one in found:
        first.setdefault(one["prompt"], one)
    last = {one["prompt"]: one for one in found}
    blocks = "".join(
        f'<section class="tri-prompt"><h5>{escape(prompt)}</h5><div class="tri-columns">'
        f"{_answer(language, first[prompt])}"
        f"{_answer(language, last[prompt]) if last[prompt] is not first[prompt] else ''}"
        "</div></section>"
        for prompt in first
    )
    return f"<h4>{escape(say(language, 'tune.answers'))}</h4>{blocks}"


def _answer(language: str, one: dict[str, Any]) -> str:
    register = one.get("register") or "other"
    known = register if f"register.{register}" in words()["en"] else "other"
    step = say(language, "tune.at_step", step=one["step"])
    return (
        f'<article class="tri-sample"><p>{escape(one.get("text") or "–")}</p><footer>'
        f"<span>{escape(step)}</span>"
        f'<span class="tri-register {known}">{escape(say(language, f"register.{known}"))}</span>'
        "</footer></article>"
    )


def duration(seconds: float) -> str:
    """95 as 1:35, an hour and more as 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def since(moment: float) -> str:
    """A moment in local time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _values(events: list[dict[str, Any]], name: str) -> list[float]:
    return [float("nan") if one.get(name) is None else float(one[name]) for one in events]
