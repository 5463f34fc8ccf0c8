"""The verbs of the Compare tab: everything it does, for scripts.

    perplexity --model REF [--model REF] --text FILE
    generate --model REF --prompt TEXT
    tokens --model REF [--model REF] --text TEXT
    probe --model REF [--model REF] --set NAME|FILE [--limit N] [--skip-bad] [--seen]
    scorecard --model REF [--model REF] [--text FILE] [--out FILE.html] [--json]

Nothing here knows how the work is done.
"""

from __future__ import annotations

import argparse
import sys
import threading
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.console import answer, stoppable
from workbench.events import Failed
from workbench.models.device import PRECISIONS
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.workspace import Workspace, write_atomically

if TYPE_CHECKING:
    from workbench.compare.columns import Column
    from workbench.compare.scorecard import Scorecard
    from workbench.texts import Text


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add everything that the Compare tab does to the verbs."""
    _add_perplexity(verbs, common)
    _add_generate(verbs, common)
    _add_tokens(verbs, common)
    _add_probe(verbs, common)
    _add_scorecard(verbs, common)


def _add_perplexity(verbs: Any, common: argparse.ArgumentParser) -> None:
    verb = verbs.add_parser("perplexity", parents=[common], help="score a text under models")
    _model_options(verb)
    verb.add_argument("--text", type=Path, required=True, metavar="FILE")
    verb.add_argument("--column", default="text", help="text column of jsonl, csv or parquet")
    verb.add_argument("--context", type=int, metavar="N", help="tokens of a window")
    verb.add_argument("--stride", type=int, metavar="N", help="tokens a window moves on by")
    verb.set_defaults(run=score_text)


def _add_generate(verbs: Any, common: argparse.ArgumentParser) -> None:
    from workbench.models.sampling import SamplingOptions

    verb = verbs.add_parser("generate", parents=[common], help="let models go on with a text")
    _model_options(verb)
    verb.add_argument("--prompt", action="append", required=True, metavar="TEXT")
    defaults = SamplingOptions()
    for field in fields(SamplingOptions):
        default = getattr(defaults, field.name)
        option = f"--{field.name.replace('_', '-')}"
        verb.add_argument(option, type=type(default), default=default, help=f"(default: {default})")
    verb.set_defaults(run=generate)


def _model_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--model", action="append", required=True, metavar="REF")
    verb.add_argument("--precision", choices=PRECISIONS)
    verb.add_argument("--again", action="store_true", help="compute even what is stored")


def _add_tokens(verbs: Any, common: argparse.ArgumentParser) -> None:
    verb = verbs.add_parser("tokens", parents=[common], help="cut a text with each tokenizer")
    verb.add_argument("--model", action="append", required=True, metavar="REF")
    verb.add_argument("--text", required=True)
    verb.set_defaults(run=cut_text)


def _add_probe(verbs: Any, common: argparse.ArgumentParser) -> None:
    verb = verbs.add_parser("probe", parents=[common], help="put sets of questions to models")
    _model_options(verb)
    verb.add_argument("--set", action="append", required=True, metavar="NAME|FILE", dest="sets")
    verb.add_argument("--limit", type=int, metavar="N", help="the first N questions of each set")
    verb.add_argument("--tries", type=int, default=4, help="of a short question (default: 4)")
    verb.add_argument("--no-writing", action="store_true", help="choices by likelihood only")
    verb.add_argument("--seen", action="store_true", help="ask whether the questions are known")
    verb.add_argument("--skip-bad", action="store_true", help="leave rows out that are no use")
    verb.set_defaults(run=ask_models)


def _add_scorecard(verbs: Any, common: argparse.ArgumentParser) -> None:
    verb = verbs.add_parser("scorecard", parents=[common], help="all that tells bases apart")
    _model_options(verb)
    verb.add_argument("--text", type=Path, metavar="FILE", help="for fluency (default: Cantonese)")
    verb.add_argument("--column", default="text", help="text column of jsonl, csv or parquet")
    verb.add_argument("--limit", type=int, metavar="N", help="questions of each set, and prompts")
    verb.add_argument("--out", type=_report_path, metavar="FILE", help=".html, .md or .json")
    verb.add_argument("--language", default="en", choices=("en", "zh-TW", "zh-CN"))
    verb.set_defaults(run=make_card)


def score_text(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.compare.history import History
    from workbench.compare.perplexity import PerplexityRequest, Scored, perplexities
    from workbench.models.pool import ModelPool
    from workbench.texts import from_file

    text = from_file(options.text, settings.max_text_bytes, options.column)
    request = PerplexityRequest(
        models=references(options, settings),
        text=text,
        precision=options.precision,
        context=options.context,
        stride=options.stride,
        again=options.again,
    )
    stop = threading.Event()
    history = History(Workspace(settings.workspace).results)
    events = perplexities(request, ModelPool(settings), history, stop)
    scored, failed = [], []
    for event in stoppable(events, stop):
        if isinstance(event, Scored):
            scored.append(event.result)
        elif isinstance(event, Failed):
            failed.append(event)
    document = {
        "text": _text_figures(text),
        "results": [result.figures() for result in scored],
        **failures(failed),
    }
    lines = [
        f"{result.model} ({result.precision}): {result.bits_per_character:.4f} bits per character, "
        f"{result.bits_per_byte:.4f} bits per byte, token perplexity {result.token_perplexity:.2f}"
        for result in scored
    ]
    answer(options, document, lines)
    return max((event.error.exit_code for event in failed), default=0)


def generate(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.compare.continuation import ContinuationRequest, Written, continuations
    from workbench.compare.history import History
    from workbench.models.pool import ModelPool
    from workbench.models.sampling import SamplingOptions

    sampling = SamplingOptions(
        **{field.name: getattr(options, field.name) for field in fields(SamplingOptions)}
    )
    request = ContinuationRequest(
        models=references(options, settings),
        prompts=tuple(options.prompt),
        options=sampling,
        precision=options.precision,
        again=options.again,
    )
    stop = threading.Event()
    history = History(Workspace(settings.workspace).results)
    events = continuations(request, ModelPool(settings), history, stop)
    written, failed = [], []
    for event in stoppable(events, stop):
        if isinstance(event, Written):
            written.append(event)
        elif isinstance(event, Failed):
            failed.append(event)
    rows = [
        {
            "model": sample.place.model,
            "prompt": options.prompt[sample.place.prompt],
            "sample": sample.place.sample,
            "text": sample.text,
            "tokens": sample.tokens,
            "tokens_per_second": sample.tokens_per_second,
            "register": sample.register,
            "stopped": sample.stopped,
        }
        for sample in written
    ]
    document = {"options": asdict(sampling), "results": rows, **failures(failed)}
    answer(options, document, [f"[{row['model']}] {row['prompt']}{row['text']}" for row in rows])
    return max((event.error.exit_code for event in failed), default=0)


def cut_text(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.compare.tokenizers import Cut, TokenizerRequest, cuts

    request = TokenizerRequest(references(options, settings), options.text)
    stop = threading.Event()
    found: list[Cut] = []
    failed: list[Failed] = []
    for event in stoppable(cuts(request, settings, stop), stop):
        if isinstance(event, Cut):
            found.append(event)
        elif isinstance(event, Failed):
            failed.append(event)
    lines = [f"{one.model}: {'|'.join(piece.text for piece in one.pieces)}" for one in found]
    document = {"text": options.text, "models": [one.figures() for one in found]}
    answer(options, {**document, **failures(failed)}, lines)
    return max((event.error.exit_code for event in failed), default=0)


def ask_models(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.compare.history import History
    from workbench.compare.probes.ask import ProbeRequest, probe
    from workbench.compare.probes.reading import open_probe
    from workbench.compare.probes.results import Probed
    from workbench.errors import OutOfRange
    from workbench.models.pool import ModelPool

    if options.limit is not None and options.limit < 1:
        raise OutOfRange(field="limit", value=options.limit, low=1, high=10_000)
    whole = [open_probe(one, settings.max_text_bytes, options.skip_bad) for one in options.sets]
    sets = tuple(one.first(options.limit) for one in whole)
    if options.seen:
        sets = tuple(one.suspects() for one in sets)
    for one in sets:
        for row in (*one.bad, *one.warnings):
            print(f"{one.name}, row {row.row}: {row.reason}", file=sys.stderr)
    request = ProbeRequest(
        models=references(options, settings),
        probes=sets,
        precision=options.precision,
        tries=options.tries,
        writes=not options.no_writing,
        again=options.again,
    )
    stop = threading.Event()
    history = History(Workspace(settings.workspace).results)
    done: list[Probed] = []
    failed: list[Failed] = []
    for event in stoppable(probe(request, ModelPool(settings), history, stop), stop):
        if isinstance(event, Probed):
            done.append(event)
        elif isinstance(event, Failed):
            failed.append(event)
    document = {
        "sets": [
            {"name": one.name, "kind": one.kind, "items": len(one.items), "left_out": len(one.bad)}
            for one in sets
        ],
        "results": [event.result.figures() for event in done],
        **failures(failed),
    }
    answer(options, document, [line for event in done for line in event.result.lines(event.probe)])
    return max((event.error.exit_code for event in failed), default=0)


def make_card(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.compare import report
    from workbench.compare.history import History
    from workbench.compare.scorecard import Made, Scorecard, ScorecardRequest, scorecard
    from workbench.models.pool import ModelPool
    from workbench.texts import from_file, sample

    limit = settings.max_text_bytes
    text = from_file(options.text, limit, options.column) if options.text else sample("cantonese")
    request = ScorecardRequest(
        models=references(options, settings),
        text=text,
        limit=options.limit,
        precision=options.precision,
        again=options.again,
    )
    stop = threading.Event()
    history = History(Workspace(settings.workspace).results)
    events = scorecard(request, ModelPool(settings), history, stop)
    made = Scorecard(request, ())
    failed: list[Failed] = []
    for event in stoppable(events, stop):
        if isinstance(event, Made):
            made = event.card
        elif isinstance(event, Failed):
            failed.append(event)
    if options.out:
        form = options.out.suffix.removeprefix(".")
        write_atomically(options.out, report.report(made, form, options.language))
    document = {**report.document(made), **failures(failed)}
    lines = [_said(column, made) for column in made.columns]
    answer(options, document, lines)
    return max((event.error.exit_code for event in failed), default=0)


def references(options: argparse.Namespace, settings: Settings) -> tuple[ModelReference, ...]:
    references = tuple(dict.fromkeys(map(ModelReference.parse, options.model)))
    say_terms(references, settings)
    return references


def say_terms(
    references: tuple[ModelReference, ...] | list[ModelReference], settings: Settings
) -> None:
    """The terms of a bundled model are shown before its first download."""
    from workbench.models.bundled import bundled
    from workbench.models.fetch import is_here

    for reference in references:
        if reference.kind == "bundled" and not is_here(reference.base, settings):
            model = bundled(reference.name)
            print(
                f"{model.title} is provided under the {model.licence}: {model.terms} "
                "Downloading it means accepting them.",
                file=sys.stderr,
            )


def _text_figures(text: Text) -> dict[str, int]:
    return {
        "documents": len(text.documents),
        "characters": text.characters,
        "bytes": text.bytes,
    }


def failures(failed: list[Failed]) -> dict[str, Any]:
    for event in failed:
        print(event.error, file=sys.stderr)
    rows = [{"model": event.model, "error": str(event.error)} for event in failed]
    return {"failures": rows} if rows else {}


def _said(column: Column, card: Scorecard) -> str:
    """One column in one line."""
    from workbench.compare import report

    figures = ", ".join(
        f"{cell.model} {report.shown(column.name, cell.value)}" for cell in column.cells
    )
    return f"{column.name}: {figures} ({report.verdict(column, card, report.words('en'))})"


def _report_path(text: str) -> Path:
    """A file whose ending says what kind of report it is."""
    path = Path(text)
    if path.suffix.removeprefix(".") not in ("html", "md", "json"):
        raise argparse.ArgumentTypeError("a report ends in .html, .md or .json")
    return path
