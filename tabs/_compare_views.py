"""Results of the Compare tab as HTML: pure functions, a language and results in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tabs._shared import notice
from tabs._words import say
from workbench.compare.continuation import Token, Written
from workbench.compare.heatmap import Cell, Contrast, Guess, Surprise
from workbench.compare.perplexity import PerplexityResult
from workbench.intervals import ENOUGH_DOCUMENTS, Difference, difference
from workbench.models.reference import ModelReference

# Bits per character at which the colour is full.
HOTTEST = 14.0
WIDEST_DIFFERENCE = 8.0


def perplexity_view(language: str, results: Sequence[PerplexityResult], reused: set[str]) -> str:
    """Verdict, bars, table and what to beware of."""
    if not results:
        return ""
    ranked = sorted(results, key=lambda result: result.bits_per_character)
    best = ranked[0]
    apart = {
        result.model: difference(result.document_nll, best.document_nll, result.document_characters)
        for result in ranked[1:]
        if result.document_characters == best.document_characters
    }
    return (
        _verdict(language, ranked, apart)
        + _bars(language, ranked)
        + _table(language, ranked, apart, reused)
        + _cautions(language, ranked)
    )


def _verdict(
    language: str, ranked: Sequence[PerplexityResult], apart: dict[str, Difference]
) -> str:
    best = ranked[0]
    if len(ranked) == 1:
        text = say(language, "ppl.one", model=best.label, bits=f"{best.bits_per_character:.2f}")
        return f'<p class="tri-verdict">{escape(text)}</p>'
    second = ranked[1]
    gap = apart.get(second.model)
    sure = "ppl.clear" if gap and gap.is_clear else "ppl.unclear"
    if gap and gap.low is None:
        sure = "ppl.unknown"
    text = say(
        language,
        sure,
        model=best.label,
        other=second.label,
        bits=f"{best.bits_per_character:.2f}",
        other_bits=f"{second.bits_per_character:.2f}",
    )
    return f'<p class="tri-verdict">{escape(text)}</p>'


def _bars(language: str, ranked: Sequence[PerplexityResult]) -> str:
    most = max(result.bits_per_character for result in ranked)
    rows = "".join(
        f'<div class="tri-bar"><span class="tri-bar-name">{escape(result.label)}</span>'
        f'<span class="tri-bar-track"><i class="{"best" if place == 0 else ""}" '
        f'style="width:{100 * result.bits_per_character / most:.1f}%"></i></span>'
        f"<b>{result.bits_per_character:.2f}</b></div>"
        for place, result in enumerate(ranked)
    )
    title = escape(say(language, "ppl.chart"))
    return (
        f'<figure class="tri-bars" role="img" aria-label="{title}">{rows}'
        f"<figcaption>{title}</figcaption></figure>"
    )


COLUMNS = (
    "model", "bits_per_character", "difference", "bits_per_byte", "token_perplexity",
    "tokens", "characters_per_token", "tokens_per_second", "memory",
)  # fmt: skip


def _table(
    language: str,
    ranked: Sequence[PerplexityResult],
    apart: dict[str, Difference],
    reused: set[str],
) -> str:
    names = [escape(say(language, f"column.{column}")) for column in COLUMNS]
    mark = " ⚠" if _tokenizers_differ(ranked) else ""
    head = "".join(
        f'<th scope="col" title="{escape(say(language, f"tip.{column}"))}">{name}'
        f"{mark if column == 'token_perplexity' else ''}</th>"
        for column, name in zip(COLUMNS, names, strict=True)
    )
    body = ""
    for place, result in enumerate(ranked):
        gap = _gap(language, apart.get(result.model), place == 0)
        cells = "".join(
            f'<td data-label="{name}" data-column="{column}">{cell}</td>'
            for column, name, cell in zip(
                COLUMNS, names, _cells(language, result, gap, reused), strict=True
            )
        )
        kind = "best" if place == 0 else ""
        body += f'<tr data-model="{escape(result.model)}" class="{kind}">{cells}</tr>'
    return (
        '<div class="tri-scroll"><table class="tri-table" id="perplexity-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(language: str, result: PerplexityResult, gap: str, reused: set[str]) -> list[str]:
    origin = escape(ModelReference.parse(result.model).kind)
    again = f" · {escape(say(language, 'ppl.reused'))}" if result.model in reused else ""
    return [
        f"<b>{escape(result.label)}</b><small>{origin} · {result.precision}{again}</small>",
        f"<b>{result.bits_per_character:.3f}</b>",
        gap,
        f"{result.bits_per_byte:.3f}",
        f"{result.token_perplexity:,.1f}",
        f"{result.scored_tokens:,}",
        f"{result.characters_per_token:.2f}",
        f"{result.tokens_per_second:,.0f}",
        f"{result.peak_memory_bytes / 1e9:.2f} GB",
    ]


def _gap(language: str, gap: Difference | None, is_best: bool) -> str:
    if is_best:
        return f"<small>{escape(say(language, 'ppl.best'))}</small>"
    if gap is None:
        return "–"
    if gap.low is None or gap.high is None:
        return f"+{gap.value:.2f}<small>{escape(say(language, 'ppl.no_interval'))}</small>"
    return f"+{gap.value:.2f}<small>95%: {gap.low:+.2f} … {gap.high:+.2f}</small>"


def _cautions(language: str, ranked: Sequence[PerplexityResult]) -> str:
    notes = []
    if _tokenizers_differ(ranked):
        by_perplexity = min(ranked, key=lambda result: result.token_perplexity)
        key = "ppl.tokenizers" if by_perplexity is ranked[0] else "ppl.tokenizers_mislead"
        facts = {
            "model": by_perplexity.label,
            "best": ranked[0].label,
            "perplexity": f"{by_perplexity.token_perplexity:,.1f}",
            "best_perplexity": f"{ranked[0].token_perplexity:,.1f}",
            "per_token": f"{by_perplexity.characters_per_token:.2f}",
            "best_per_token": f"{ranked[0].characters_per_token:.2f}",
        }
        notes.append(notice("warning", say(language, key, **facts)))
    documents = len(ranked[0].document_characters)
    if len(ranked) > 1 and documents < ENOUGH_DOCUMENTS:
        words = say(language, "ppl.few", documents=documents, enough=ENOUGH_DOCUMENTS)
        notes.append(notice("info", words))
    for result in ranked:
        if result.unknown_tokens:
            words = say(
                language, "ppl.unknown_tokens", model=result.label, count=result.unknown_tokens
            )
            notes.append(notice("warning", words))
    return "".join(notes)


def _tokenizers_differ(ranked: Sequence[PerplexityResult]) -> bool:
    return len({result.scored_tokens for result in ranked}) > 1


def heatmap_view(
    language: str, text: str, maps: Sequence[Surprise], apart: Sequence[Contrast]
) -> str:
    """One coloured text a model, and one for the difference."""
    parts = [_surprise_block(language, text, surprise) for surprise in maps]
    if len(maps) == 2:
        parts.append(_contrast_block(language, text, maps[0], maps[1], apart))
    return "".join(parts)


def _surprise_block(language: str, text: str, surprise: Surprise) -> str:
    cells = "".join(
        _span(
            text[cell.start : cell.end],
            f"--heat:{min(1.0, cell.bits_per_character / HOTTEST):.3f}",
            "tri-heat",
            _cell_tip(language, cell),
        )
        for cell in surprise.cells
    )
    average = surprise.bits / max(1, len(text))
    title = say(language, "map.title", model=surprise.label, bits=f"{average:.2f}")
    scale = _scale("tri-heat", say(language, "map.expected"), say(language, "map.surprised"))
    return _map(surprise.model, title, scale, cells)


def _contrast_block(
    language: str, text: str, first: Surprise, second: Surprise, apart: Sequence[Contrast]
) -> str:
    cells = ""
    for span in apart:
        share = max(-1.0, min(1.0, span.per_character / WIDEST_DIFFERENCE))
        side = "second" if share > 0 else "first"
        tip = (
            f"{first.label}: {span.first:.1f} {say(language, 'map.bits')}\n"
            f"{second.label}: {span.second:.1f} {say(language, 'map.bits')}"
        )
        shown = text[span.start : span.end]
        cells += _span(shown, f"--heat:{abs(share):.3f}", f"tri-apart {side}", tip)
    words = (
        say(language, "map.better", model=first.label),
        say(language, "map.better", model=second.label),
    )
    scale = (
        f'<div class="tri-scale"><span>{escape(words[0])}</span><i class="tri-apart first"></i>'
        f'<i class="tri-apart second"></i><span>{escape(words[1])}</span></div>'
    )
    return _map("difference", say(language, "map.difference"), scale, cells)


def _map(model: str, title: str, scale: str, cells: str) -> str:
    return (
        f'<section class="tri-map" data-model="{escape(model)}"><h4>{escape(title)}</h4>'
        f"{scale}<p>{cells}</p></section>"
    )


def _scale(kind: str, low: str, high: str) -> str:
    steps = "".join(f'<i class="{kind}" style="--heat:{step / 6:.2f}"></i>' for step in range(7))
    ends = [f"<span>{escape(words)}</span>" for words in (low, high)]
    return f'<div class="tri-scale">{ends[0]}{steps}{ends[1]}</div>'


def _span(text: str, style: str, kind: str, tip: str) -> str:
    """A coloured piece of text; its tip shows on hover, on focus and on a tap."""
    shown = escape(text).replace("\n", "⏎<br>")
    return (
        f'<span class="{kind}" style="{style}" tabindex="0" data-tip="{escape(tip)}">{shown}</span>'
    )


def _cell_tip(language: str, cell: Cell) -> str:
    lines = [f"{cell.bits:.1f} {say(language, 'map.bits')}"]
    lines += [_guess(guess) for guess in cell.tokens]
    lines.append(say(language, "map.instead"))
    lines += [f"  {_guess(guess)}" for guess in cell.expected]
    return "\n".join(lines)


def _guess(guess: Guess) -> str:
    token = guess.token.replace("\n", "⏎")
    percent = guess.probability * 100
    return f"「{token}」 {percent:.2g}%" if percent >= 0.01 else f"「{token}」 <0.01%"


def writing_view(
    language: str,
    prompts: Sequence[str],
    models: Sequence[str],
    samples: dict[tuple[str, int, int], Token | Written],
) -> str:
    """Prompts down, models across; each sample with its label and speed."""
    return "".join(
        f'<section class="tri-prompt"><h4>{escape(prompt)}</h4><div class="tri-columns">'
        + "".join(_column(language, prompt, model, number, samples) for model in models)
        + "</div></section>"
        for number, prompt in enumerate(prompts)
    )


def _column(
    language: str,
    prompt: str,
    model: str,
    number: int,
    samples: dict[tuple[str, int, int], Token | Written],
) -> str:
    mine = [samples[key] for key in sorted(samples) if key[0] == model and key[1] == number]
    name = escape(ModelReference.parse(model).label)
    cards = "".join(_sample(language, prompt, sample) for sample in mine)
    return f'<div class="tri-column" data-model="{escape(model)}"><h5>{name}</h5>{cards}</div>'


def _sample(language: str, prompt: str, sample: Token | Written) -> str:
    text = escape(sample.text).replace("\n", "<br>")
    start = escape(prompt).replace("\n", "<br>")
    if isinstance(sample, Token):
        return f'<article class="tri-sample writing"><p><i>{start}</i>{text}</p></article>'
    kind = escape(say(language, f"register.{sample.register}"))
    speed = escape(say(language, "unit.tokens_a_second"))
    facts = [
        f'<span class="tri-register {sample.register}">{kind}</span>',
        f"<span>{sample.tokens_per_second:.1f} {speed}</span>",
        f"<span>{sample.tokens} {escape(say(language, 'unit.tokens'))}</span>",
        f'<span title="{escape(sample.fingerprint)}">#{escape(sample.fingerprint[:8])}</span>',
    ]
    if sample.stopped:
        facts.append(f"<span>{escape(say(language, 'write.stopped'))}</span>")
    if sample.reused:
        facts.append(f"<span>{escape(say(language, 'ppl.reused'))}</span>")
    return (
        f'<article class="tri-sample"><p><i>{start}</i>{text}</p>'
        f"<footer>{''.join(facts)}</footer></article>"
    )
