"""The ``tune`` verbs of the command line: everything the Tune tab does, for scripts.

    tune start RECIPE.yaml | --preset cpu --dataset NAME --name RUN [--set steps=20] [--detach]
    tune check ...                       the same, but only says what would be learned
    tune try ...                         the same, but only says how long it would take
    tune list | show RUN | follow RUN | stop RUN | resume RUN | delete RUN --yes
    tune export RUN OUT.zip | tune merge RUN FOLDER | tune push RUN OWNER/NAME | tune card RUN

Nothing here knows how the work is done.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.console import answer, finished
from workbench.errors import BadRecipeField, WorkFailed
from workbench.events import readable
from workbench.settings import Settings
from workbench.workspace import Workspace


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add ``tune`` to the verbs."""
    group = verbs.add_parser("tune", help="train an adapter, stop and resume it, take it away")
    actions = group.add_subparsers(required=True, metavar="ACTION")

    def verb(name: str, run: Any, help: str, *places: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = actions.add_parser(name, parents=[common], help=help)
        for place in places:
            made.add_argument(place)
        made.set_defaults(run=run)
        return made

    for name, run, said in (
        ("start", start, "train, and follow until it ends"),
        ("check", check, "what would be learned, and whether it fits"),
        ("try", try_it, "a few steps that are thrown away, and how long the whole would take"),
    ):
        made = verb(name, run, said)
        made.add_argument("recipe", nargs="?", type=Path, help="a YAML file")
        made.add_argument("--preset", default="")
        made.add_argument("--dataset")
        made.add_argument("--base")
        made.add_argument("--name")
        made.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
        if name == "start":
            made.add_argument("--detach", action="store_true", help="do not follow it")
    resume_it = verb("resume", resume, "go on from the newest good checkpoint", "name")
    resume_it.add_argument("--detach", action="store_true")
    verb("list", show_list, "the runs of the workspace")
    verb("show", show, "a run's recipe and last figures", "name")
    verb("follow", follow, "a run's events until it ends", "name")
    verb("stop", stop_run, "save and stop a run", "name")
    delete = verb("delete", delete_run, "delete a run", "name")
    delete.add_argument("--yes", action="store_true", required=True)
    verb("card", show_card, "the model card of a run", "name")
    verb("export", export_adapter, "the adapter as a zip file", "name", "out")
    verb("merge", merge_run, "base and adapter as one model", "name", "out")
    push = verb("push", push_run, "the adapter to the Hub", "name", "repo")
    push.add_argument("--public", action="store_true", help="(default: private)")


def start(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune import job

    workspace = Workspace(settings.workspace)
    recipe = _recipe(options)
    job.start(recipe, settings, workspace)
    return _followed(recipe.name, options, workspace)


def resume(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune import job

    workspace = Workspace(settings.workspace)
    job.resume(options.name, settings, workspace)
    return _followed(options.name, options, workspace)


def check(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.models.estimate import available, config_of
    from workbench.models.reference import ModelReference
    from workbench.models.templates import chat_template_for
    from workbench.models.tokenizer import bring_tokenizer
    from workbench.tune.encode import Encoder, encode_rows, report
    from workbench.tune.estimate import fitting
    from workbench.tune.rows import load_rows

    recipe, stop = _recipe(options), threading.Event()
    rows = load_rows(recipe, Workspace(settings.workspace))
    reference = ModelReference.parse(recipe.base)
    tokenizer = finished(bring_tokenizer(reference, settings, stop), stop)
    template = chat_template_for(tokenizer, recipe.template)
    encoder = Encoder(tokenizer, template, recipe.max_length, recipe.answers_only)
    encoded, refused = finished(encode_rows(encoder, rows.train, rows.train_rows, stop), stop)
    found = report(encoded, tokenizer, template)
    budget = available(settings)
    memory = fitting(recipe, config_of(reference, settings), budget, found.longest)
    document = {
        **asdict(found),
        "held": len(rows.held),
        "refused": refused,
        "memory": {**asdict(memory), "total": memory.total, "available": budget},
        "recipe_sha256": recipe.sha256,
    }
    lines = [
        f"{found.rows} rows, {found.learned_tokens} of {found.tokens} tokens learned from",
        f"memory: {readable(memory.total)} of {readable(budget)}, "
        f"{memory.micro_batch} rows at once",
        *(f"warning: {one}" for one in found.warnings),
    ]
    return answer(options, document, lines)


def try_it(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune.trial import trial

    stop = threading.Event()
    found = finished(trial(_recipe(options), settings, Workspace(settings.workspace), stop), stop)
    lines = [
        f"about {found.seconds / 60:.1f} min: {found.steps} steps of {found.step_seconds:.1f} s "
        f"({found.tokens_per_second:,.0f} tokens a second), {found.evaluations} evaluations of "
        f"{found.evaluation_seconds:.0f} s; {readable(found.memory_bytes)} held"
    ]
    return answer(options, {**asdict(found), "seconds": found.seconds}, lines)


def _followed(name: str, options: argparse.Namespace, workspace: Workspace) -> int:
    """Say what the run says; the first Ctrl-C stops and saves it."""
    from workbench.tune import job

    if options.detach:
        return answer(options, {"run": name}, [f"{name} has started"])

    def interrupted(*_signal: Any) -> None:
        job.stop(name, workspace)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        for event in job.follow(name, workspace):
            if line := _line(event):
                print(line, file=sys.stderr)
    finally:
        signal.signal(signal.SIGINT, before)
    document = _figures(name, workspace)
    answer(options, document, [f"{name}: {document['status']}, step {document['step']}"])
    if document["status"] == "failed":
        print(document.get("sentence") or "It failed.", file=sys.stderr)
    return 0 if document["status"] in ("done", "stopped") else WorkFailed.exit_code


def _line(event: dict[str, Any]) -> str:
    """One event for a person at a terminal; nothing for those that say little."""
    kind = event["event"]
    if kind == "step":
        speed = event.get("tokens_per_second") or 0
        return f"step {event['step']}: loss {_number(event.get('loss'))}, {speed:.0f} tokens/s"
    if kind == "evaluation":
        bits = _number(event.get("bits_per_character"))
        kept = ", ".join(
            f"{name} {_number(value)}" for name, value in (event.get("forgetting") or {}).items()
        )
        return f"step {event['step']}: held out {bits} bits per character ({kept})"
    if kind == "sample":
        return f"  {event['prompt']} -> {' '.join(str(event['text']).split())[:100]}"
    if kind == "progress":
        return ""
    facts = {key: value for key, value in event.items() if key not in ("event", "time", "offset")}
    return f"{kind} " + ", ".join(f"{key} {value}" for key, value in list(facts.items())[:6])


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


def show_list(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune import runs

    workspace = Workspace(settings.workspace)
    found = [_figures(run.name, workspace) for run in runs.listed(workspace)]
    lines = [f"{one['run']}  {one['status']}, step {one['step']}" for one in found]
    return answer(options, {"runs": found}, lines or ["There is no run yet."])


def show(options: argparse.Namespace, settings: Settings) -> int:
    document = _figures(options.name, Workspace(settings.workspace))
    lines = [f"{key}: {value}" for key, value in document.items()]
    return answer(options, document, lines)


def follow(options: argparse.Namespace, settings: Settings) -> int:
    options.detach = False
    return _followed(options.name, options, Workspace(settings.workspace))


def stop_run(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune import job

    job.stop(options.name, Workspace(settings.workspace))
    return answer(options, {"run": options.name}, [f"{options.name} was asked to save and stop"])


def delete_run(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune import job

    job.delete(options.name, Workspace(settings.workspace))
    return answer(options, {"deleted": options.name}, [f"{options.name} is deleted"])


def show_card(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune import job
    from workbench.tune.card import card

    workspace = Workspace(settings.workspace)
    text = card(job.find(options.name, workspace), workspace)
    return answer(options, {"card": text}, [text.rstrip()])


def export_adapter(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune.export import zip_adapter

    path = zip_adapter(options.name, Workspace(settings.workspace), Path(options.out))
    return answer(options, {"file": str(path)}, [str(path)])


def merge_run(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune.export import merge

    stop = threading.Event()
    workspace = Workspace(settings.workspace)
    work = merge(options.name, workspace, Path(options.out), settings, stop)
    done = finished(work, stop)
    document = {"folder": str(done.folder), "agreement": done.agreement}
    return answer(options, document, [f"{done.folder}, agreement {done.agreement:.4f}"])


def push_run(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.tune.export import push

    workspace = Workspace(settings.workspace)
    url = push(options.name, workspace, options.repo, settings.token, not options.public)
    return answer(options, {"url": url}, [url])


def _figures(name: str, workspace: Workspace) -> dict[str, Any]:
    """A run in figures."""
    from workbench.tune import runs

    run = runs.one(name, workspace)
    return {
        "run": run.name,
        "status": run.status,
        "step": run.step,
        "steps": run.steps,
        "bits_per_character_before": run.first.get("bits_per_character"),
        "bits_per_character": run.best.get("bits_per_character"),
        "fall": run.fall,
        "forgetting_before": run.first.get("forgetting"),
        "forgetting": run.last.get("forgetting"),
        "sentence": run.sentence or None,
    }


def _recipe(options: argparse.Namespace) -> Any:
    """The recipe of a file or a preset, with what the options say.

    Raises:
        BadRecipeField, BadTuneRecipe, and whatever ``TuneRecipe`` raises.
    """
    from workbench.tune.recipe import TuneRecipe, fields_of, from_preset

    chosen = {"name": options.name, "dataset": options.dataset, "base": options.base}
    given: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    lines = []
    for one in options.set:
        field, equals, value = one.partition("=")
        if not equals:
            raise BadRecipeField(field="--set", value=one[:80], allowed="FIELD=VALUE")
        lines.append(f"{field}: {value}")
    given |= fields_of("\n".join(["trilogy_recipe: 1", *lines])) if lines else {}
    if options.recipe is not None:
        try:
            text = options.recipe.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            allowed = "a file that can be read"
            raise BadRecipeField(
                field="recipe", value=options.recipe.name, allowed=allowed
            ) from error
        return TuneRecipe.from_yaml(text, **given)
    name = given.pop("name", None) or f"{options.preset or 'cpu'}-run"
    return from_preset(options.preset or "cpu", name, given)
