"""The command line: every capability of the page, for scripts and headless boxes.

    python -m workbench models list | fetch REF | estimate REF --precision P
    python -m workbench perplexity --model REF [--model REF] --text FILE
    python -m workbench generate --model REF --prompt TEXT
    python -m workbench data info | import | clean | dedup | filter | mix | split | export | ...
    python -m workbench prompts list | generate RECIPE | resume | replay | judge | save | ...
    python -m workbench tune start | list | stop | resume | export | ...

``--json`` prints one JSON document on standard output; progress goes to standard
error. Exit 0: done; 2: the request was wrong (one line says what); 1: it failed.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Generator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import __version__, logs
from workbench.console import answer, finished, stoppable
from workbench.data import commands as data
from workbench.errors import Stopped, WorkbenchError
from workbench.events import Failed, Progress, readable
from workbench.models.device import PRECISIONS
from workbench.models.reference import ModelReference
from workbench.prompts import commands as prompts
from workbench.settings import Settings, load
from workbench.tune import commands as tune
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.texts import Text


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    chosen = {"workspace": options.workspace} if options.workspace else {}
    try:
        settings = load(**chosen)
        logs.configure("ERROR" if options.json else settings.log_level, settings.log_style)
        return int(options.run(options, settings))
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(Stopped(), file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workbench", description=_first_line())
    parser.add_argument("--version", action="version", version=__version__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document")
    common.add_argument("--workspace", type=Path, help="folder for results (default: workspace)")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_models(verbs, common)
    _add_perplexity(verbs, common)
    _add_generate(verbs, common)
    data.add(verbs, common)
    prompts.add(verbs, common, bring_rows)
    tune.add(verbs, common)
    return parser


def bring_rows(
    path: Path, name: str, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Any]:
    """Rows that one room wrote, as a dataset of another."""
    from workbench.data.importing import ImportRequest, bring_file

    request = ImportRequest(path, name)
    return (yield from bring_file(request, Workspace(settings.workspace), settings, stop))


def _first_line() -> str:
    return (__doc__ or "").splitlines()[0]


def _add_models(verbs: Any, common: argparse.ArgumentParser) -> None:
    models = verbs.add_parser("models", help="list, fetch or estimate models")
    actions = models.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", parents=[common]).set_defaults(run=list_models)
    fetch = actions.add_parser("fetch", parents=[common], help="download and convert")
    fetch.add_argument("reference", metavar="REF")
    fetch.set_defaults(run=fetch_model)
    estimate = actions.add_parser("estimate", parents=[common], help="memory before loading")
    estimate.add_argument("reference", metavar="REF")
    estimate.add_argument("--precision", choices=PRECISIONS)
    estimate.add_argument("--context", type=int, default=1024)
    estimate.set_defaults(run=estimate_model)


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


def list_models(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.models.bundled import BUNDLED
    from workbench.models.fetch import is_here

    rows = [
        {
            "model": f"bundled:{model.name}",
            "title": model.title,
            "licence": model.licence,
            "terms": model.terms,
            "download_bytes": model.download_bytes,
            "fetched": is_here(ModelReference("bundled", model.name), settings),
        }
        for model in BUNDLED.values()
    ]
    lines = [
        f"{row['model']}  {row['title']}, {row['licence']}, "
        + ("here" if row["fetched"] else f"{readable(float(str(row['download_bytes'])))} to fetch")
        for row in rows
    ]
    return answer(options, {"models": rows}, lines)


def fetch_model(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.models.fetch import fetch

    reference = ModelReference.parse(options.reference)
    _say_terms([reference], settings)
    fetched = finished(fetch(reference, settings, threading.Event()))
    document = {
        "model": str(reference),
        "folder": str(fetched.folder),
        "fingerprint": fetched.fingerprint,
    }
    return answer(options, document, [f"{reference} is in {fetched.folder}"])


def estimate_model(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.models.device import default_precision
    from workbench.models.estimate import available, config_of, estimate

    reference = ModelReference.parse(options.reference)
    precision = options.precision or default_precision()
    memory = estimate(config_of(reference, settings), precision, options.context)
    budget = available(settings)
    fits = memory.total <= budget
    document = {
        "model": str(reference),
        "precision": precision,
        "context": options.context,
        **{f"{name}_bytes": value for name, value in asdict(memory).items()},
        "total_bytes": memory.total,
        "available_bytes": budget,
        "fits": fits,
    }
    verdict = "fits" if fits else "does not fit"
    line = (
        f"{reference} in {precision}: {readable(memory.total)} (weights "
        f"{readable(memory.weights)}, cache {readable(memory.cache)}, workspace "
        f"{readable(memory.workspace)}); {readable(budget)} can be used: {verdict}"
    )
    return answer(options, document, [line])


def score_text(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.compare.history import History
    from workbench.compare.perplexity import PerplexityRequest, Scored, perplexities
    from workbench.models.pool import ModelPool
    from workbench.texts import from_file

    text = from_file(options.text, settings.max_text_bytes, options.column)
    request = PerplexityRequest(
        models=_references(options, settings),
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
        **_failures(failed),
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
        models=_references(options, settings),
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
    document = {"options": asdict(sampling), "results": rows, **_failures(failed)}
    answer(options, document, [f"[{row['model']}] {row['prompt']}{row['text']}" for row in rows])
    return max((event.error.exit_code for event in failed), default=0)


def _references(options: argparse.Namespace, settings: Settings) -> tuple[ModelReference, ...]:
    references = tuple(dict.fromkeys(map(ModelReference.parse, options.model)))
    _say_terms(references, settings)
    return references


def _say_terms(
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


def _failures(failed: list[Failed]) -> dict[str, Any]:
    for event in failed:
        print(event.error, file=sys.stderr)
    rows = [{"model": event.model, "error": str(event.error)} for event in failed]
    return {"failures": rows} if rows else {}


if __name__ == "__main__":
    sys.exit(main())
