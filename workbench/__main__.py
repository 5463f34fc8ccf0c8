"""The command line: every capability of the page, for scripts and headless boxes.

    python -m workbench models list | fetch REF | estimate REF --precision P
    python -m workbench perplexity --model REF [--model REF] --text FILE
    python -m workbench generate --model REF --prompt TEXT
    python -m workbench probe --model REF --set NAME|FILE
    python -m workbench tokens --model REF --text TEXT
    python -m workbench scorecard --model REF [--model REF] --out FILE.html
    python -m workbench data info | import | clean | dedup | filter | mix | split | export | ...
    python -m workbench prompts list | generate RECIPE | resume | replay | judge | save | ...
    python -m workbench chat --model REF+ADAPTER --message TEXT | score | standings | ...
    python -m workbench tune start | list | stop | resume | export | ...

``--json`` prints one JSON document on standard output; progress goes to standard
error. Exit 0: done; 2: the request was wrong (one line says what); 1: it failed.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import __version__, logs
from workbench.chat import commands as chat
from workbench.compare import commands as compare
from workbench.compare.commands import say_terms
from workbench.console import answer, finished
from workbench.data import commands as data
from workbench.errors import Stopped, WorkbenchError
from workbench.events import Progress, readable
from workbench.models.device import PRECISIONS
from workbench.models.reference import ModelReference
from workbench.prompts import commands as prompts
from workbench.settings import Settings, load
from workbench.tune import commands as tune
from workbench.workspace import Workspace

if TYPE_CHECKING:
    pass


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
    compare.add(verbs, common)
    data.add(verbs, common)
    prompts.add(verbs, common, bring_rows)
    tune.add(verbs, common)
    chat.add(verbs, common)
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
    say_terms([reference], settings)
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


if __name__ == "__main__":
    sys.exit(main())
