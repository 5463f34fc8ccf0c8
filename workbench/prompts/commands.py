"""The ``prompts`` verbs of the command line: everything the Prompts tab does, for scripts.

    prompts list                         the prompts of the library, and the runs
    prompts show PROMPT [--seeds S]      a prompt, and how it looks filled
    prompts models --kind gemini         what a teacher offers
    prompts generate RECIPE.yaml | --prompt NAME --name RUN [--teacher KIND:MODEL] [--rows N] ...
    prompts resume RUN [--rows N]        go on; nothing that was paid for is asked again
    prompts follow | stop | delete RUN
    prompts replay RUN [--set RULE=V]    read the saved replies under other rules; nobody is paid
    prompts judge RUN [--prompt NAME]    score the kept rows with a teacher
    prompts compare RUN RUN              two versions on the same seeds
    prompts save RUN DATASET             the kept rows as a dataset of the workspace

A key comes from the environment only (GEMINI_API_KEY, GOOGLE_API_KEY, OPENAI_API_KEY): an option
would stand in the list of processes. Nothing here knows how the work is done.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from workbench.console import answer, finished, stoppable
from workbench.errors import BadPromptRecipe, WorkFailed
from workbench.events import Progress
from workbench.settings import Settings
from workbench.workspace import Workspace

Bring = Callable[[Path, str, Settings, threading.Event], Generator[Progress, None, Any]]
"""Reads a file of messages into a new dataset; handed in, since rooms do not know one another."""


def add(verbs: Any, common: argparse.ArgumentParser, bring: Bring) -> None:
    """Add ``prompts`` to the verbs."""
    group = verbs.add_parser("prompts", help="generate rows with a teacher, and know what it cost")
    actions = group.add_subparsers(required=True, metavar="ACTION")

    def verb(name: str, run: Any, help: str, *places: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = actions.add_parser(name, parents=[common], help=help)
        for place in places:
            made.add_argument(place)
        made.set_defaults(run=run)
        return made

    verb("list", show_list, "the prompts, and the runs of the workspace")
    shown = verb("show", show_prompt, "a prompt, filled with seeds", "prompt")
    shown.add_argument("--seeds", default="cantonese")
    models = verb("models", show_models, "what a teacher offers")
    models.add_argument("--kind", choices=("gemini", "openai"), default="gemini")
    models.add_argument("--base-url", default="")
    _add_generate(verb)
    resumed = verb("resume", resume, "go on with a run", "run_name")
    resumed.add_argument("--rows", type=int, help="a new target")
    resumed.add_argument("--detach", action="store_true")
    verb("follow", follow, "what a run says, until it ends", "run_name")
    verb("stop", stop_run, "end a run; what is on its way is let in", "run_name")
    verb("delete", delete_run, "delete a run", "run_name").add_argument(
        "--yes", action="store_true", required=True
    )
    again = verb("replay", replay_run, "read the saved replies under other rules", "run_name")
    again.add_argument("--set", action="append", default=[], metavar="RULE=VALUE")
    again.add_argument("--keep", action="store_true", help="make these rows the run's own")
    verb("compare", compare, "two runs of two versions", "run_name", "other")
    saved = verb("save", save, "the kept rows as a dataset", "run_name", "dataset")
    saved.set_defaults(bring=bring)


def _add_generate(verb: Any) -> None:
    made = verb("generate", generate, "start a run and follow it")
    made.add_argument("recipe", nargs="?", type=Path, help="a YAML file")
    made.add_argument("--prompt", help="NAME or NAME@VERSION")
    made.add_argument("--seeds")
    judge = verb("judge", judge_run, "score the kept rows of a run", "run_name")
    judge.add_argument("--prompt", default="", help="a prompt that scores")
    judge.add_argument("--order", action="store_true", help="does the order sway the teacher?")
    judge.add_argument("--threshold", type=float, help="tag rows below it when they are saved")
    for one in (made, judge):
        one.add_argument("--name")
        one.add_argument("--teacher", metavar="KIND:MODEL", help="local:REF, gemini:…, openai:…")
        one.add_argument("--base-url", default="", help="of the teacher's server")
        one.add_argument("--rows", type=int)
        one.add_argument("--requests", type=int, help="budget")
        one.add_argument("--tokens", type=int, help="budget")
        one.add_argument("--money", type=float, help="budget in dollars")
        one.add_argument("--concurrency", type=int)
        one.add_argument("--per-minute", type=int)
        one.add_argument("--set", action="append", default=[], metavar="GROUP.FIELD=VALUE")
        one.add_argument("--detach", action="store_true", help="do not follow it")


def show_list(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts import runs, seeds, template

    workspace = Workspace(settings.workspace)
    prompts = [
        {"prompt": one.label, "task": one.task, "shape": one.shape, "title": one.called("en")}
        for one in template.listed(workspace)
    ]
    found = [one.figures() for one in runs.listed(workspace)]
    lines = [f"{one['prompt']}  {one['task']}, {one['shape']}: {one['title']}" for one in prompts]
    lines += [f"run {one['run']}  {one['status']}, {one['kept']} rows" for one in found]
    document = {"prompts": prompts, "seeds": seeds.shipped(), "runs": found}
    return answer(options, document, lines)


def show_prompt(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts import seeds, template

    workspace = Workspace(settings.workspace)
    found = template.find(options.prompt, workspace)
    filled = template.fill(found, seeds.load(options.seeds, workspace).seeds, 0)
    document = {"prompt": found.label, "seeds": list(filled.seeds), "text": filled.text}
    return answer(options, document, [filled.text])


def show_models(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    from workbench.prompts.teachers import TeacherChoice, environment_key, made

    choice = TeacherChoice(options.kind, "", options.base_url)
    names = made(choice, environment_key(choice, anywhere=True)).models()
    return answer(options, {"models": names}, names or ["It offers no model."])


def generate(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts import job
    from workbench.prompts.recipe import GenerateRecipe
    from workbench.prompts.teachers import environment_key

    workspace = Workspace(settings.workspace)
    said = _recipe_file(options.recipe) if options.recipe else {}
    said |= _chosen(options, said)
    if options.prompt:
        said["prompt"] = options.prompt
    if options.seeds:
        said["seeds"] = options.seeds
    said["name"] = options.name or said.get("name") or "first-run"
    text = yaml.safe_dump(said, allow_unicode=True)
    recipe = GenerateRecipe.from_yaml(text, workspace)
    job.start(recipe, settings, workspace, environment_key(recipe.teacher, anywhere=True))
    return _followed(recipe.name, options, workspace)


def judge_run(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts import job, judging, template
    from workbench.prompts.recipe import GenerateRecipe
    from workbench.prompts.teachers import environment_key

    workspace = Workspace(settings.workspace)
    if options.threshold is not None:
        judging.choose_threshold(options.run_name, options.threshold, workspace)
        document = {"run": options.run_name, "threshold": options.threshold}
        return answer(options, document, [f"rows below {options.threshold:g} are tagged"])
    if options.order:
        return _ask_order(options, settings)
    label = options.prompt or judging.SCORER
    made = judging.recipe_for(options.run_name, template.find(label, workspace), workspace)
    said = yaml.safe_load(made.to_yaml())
    changed = said | _chosen(options, said) | {"rows": 0}
    recipe = GenerateRecipe.from_yaml(yaml.safe_dump(changed, allow_unicode=True), workspace)
    if options.name:
        recipe = replace(recipe, name=options.name)
    job.start(recipe, settings, workspace, environment_key(recipe.teacher, anywhere=True))
    return _followed(recipe.name, options, workspace)


def _ask_order(options: argparse.Namespace, settings: Settings) -> int:
    """Pairs of rows scored in both orders; what was asked before is not asked again."""
    from workbench.models.pool import ModelPool
    from workbench.prompts import order
    from workbench.prompts.teachers import Teacher, TeacherChoice, environment_key, made
    from workbench.prompts.teachers.local import Local

    workspace = Workspace(settings.workspace)
    said = _chosen(options, {"teacher": {}}).get("teacher", {})
    choice = TeacherChoice(**said)
    stop = threading.Event()
    teacher: Teacher = (
        Local(choice, ModelPool(settings), stop)
        if choice.kind == "local"
        else made(choice, environment_key(choice, anywhere=True))
    )
    work = order.ask(options.run_name, workspace, teacher, stop, options.per_minute or 0)
    for _ in stoppable(work, stop):
        pass
    found = order.found(options.run_name, workspace)
    if found is None:
        return answer(options, {"run": options.run_name, "pairs": 0}, ["no pair could be read"])
    document = {"run": options.run_name, **asdict(found), "enough": found.enough}
    lines = [f"{found.pairs} pairs; first gains {found.first.value:+.2f}, {found.flipped:.0%} flip"]
    return answer(options, document, lines)


def resume(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts import job
    from workbench.prompts.teachers import environment_key

    workspace = Workspace(settings.workspace)
    recipe = job.recipe_of(job.find(options.run_name, workspace), workspace)
    key = environment_key(recipe.teacher, anywhere=True)
    job.resume(options.run_name, settings, workspace, key, options.rows)
    return _followed(options.run_name, options, workspace)


def follow(options: argparse.Namespace, settings: Settings) -> int:
    options.detach = False
    return _followed(options.run_name, options, Workspace(settings.workspace))


def stop_run(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts import job

    job.stop(options.run_name, Workspace(settings.workspace))
    return answer(
        options, {"run": options.run_name}, [f"{options.run_name} was asked to save and stop"]
    )


def delete_run(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts import job

    job.delete(options.run_name, Workspace(settings.workspace))
    return answer(options, {"deleted": options.run_name}, [f"{options.run_name} is deleted"])


def replay_run(options: argparse.Namespace, settings: Settings) -> int:
    from dataclasses import asdict

    from workbench.prompts import job
    from workbench.prompts.replay import keep, replay
    from workbench.prompts.rules import Rules
    from workbench.prompts.work import embedder

    workspace = Workspace(settings.workspace)
    recipe = job.recipe_of(job.find(options.run_name, workspace), workspace)
    rules = Rules.of(asdict(recipe.rules), _pairs(options.set))
    stop = threading.Event()
    before = finished(replay(options.run_name, workspace, stop=stop), stop)
    work = replay(options.run_name, workspace, rules, embedder(rules), stop)
    after = finished(work, stop)
    if options.keep:
        keep(options.run_name, workspace, rules, after)
    document = {
        "run": options.run_name,
        "rules": asdict(rules),
        "before": before.figures(),
        "after": after.figures(),
        "saved": bool(options.keep),
    }
    lines = [f"{before.kept} rows before, {after.kept} under these rules"]
    lines += [f"  {count} {rule}" for rule, count in after.dropped.most_common()]
    return answer(options, document, lines)


def compare(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts.versus import compare as compared

    made = compared(options.run_name, options.other, Workspace(settings.workspace))
    lines = [
        f"{side.prompt}: {side.kept} of {side.items} kept "
        f"({side.kept_interval[0]:.0%} to {side.kept_interval[1]:.0%}), {side.requests} requests"
        for side in (made.one, made.other)
    ]
    if not made.enough:
        lines.append(f"not enough yet: {made.pairs} pairs of requests")
    elif made.kept.low is not None and made.kept.high is not None:
        lines.append(
            f"kept: {made.kept.value:+.1%} ({made.kept.low:+.1%} to {made.kept.high:+.1%})"
        )
    return answer(options, _plain(made.figures()), lines)


def save(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.prompts import runs

    workspace, stop = Workspace(settings.workspace), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{options.run_name}.jsonl"
        count = runs.write_rows(options.run_name, workspace, path)
        finished(options.bring(path, options.dataset, settings, stop), stop)
    document = {"run": options.run_name, "dataset": options.dataset, "rows": count}
    return answer(options, document, [f"{options.dataset}: {count} rows"])


def _followed(name: str, options: argparse.Namespace, workspace: Workspace) -> int:
    """Say what the run says; the first Ctrl-C stops it and keeps everything."""
    from workbench.prompts import job, runs

    if options.detach:
        return answer(options, {"run": name}, [f"{name} has started"])

    def interrupted(*_signal: Any) -> None:
        job.stop(name, workspace)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, interrupted)
    # what earlier processes said of this run has been told already
    offset = job.events_of(job.find(name, workspace))[1] if _resumed(name, workspace) else 0
    try:
        for event in job.follow(name, workspace, offset):
            if line := _line(event):
                print(line, file=sys.stderr)
    finally:
        signal.signal(signal.SIGINT, before)
    run = runs.one(name, workspace)
    answer(options, run.figures(), [_summary(run)])
    if run.status == "failed":
        print(run.sentence or "It failed.", file=sys.stderr)
    return 0 if run.status in ("done", "stopped") else WorkFailed.exit_code


def _resumed(name: str, workspace: Workspace) -> bool:
    from workbench import eventlog
    from workbench.prompts import job

    said = job.events_of(job.find(name, workspace))[0]
    return any(event["event"] in eventlog.ENDS for event in said)


def _summary(run: Any) -> str:
    meter = run.meter
    money = "price not known" if meter.money is None else f"${meter.money:.4f}"
    dropped = ", ".join(f"{count} {rule}" for rule, count in meter.dropped.most_common())
    return (
        f"{run.name}: {run.status}{f' ({run.why})' if run.why else ''}, {meter.kept} rows, "
        f"{meter.paid} requests paid, {meter.tokens} tokens, {money}"
        + (f"; dropped: {dropped}" if dropped else "")
    )


def _line(event: dict[str, Any]) -> str:
    """One event for a person at a terminal."""
    kind = event["event"]
    if kind == "reply":
        meter = event["meter"]
        tally = ", ".join(f"{count} {rule}" for rule, count in event["tally"].items())
        said = f"request {event['sequence']}: {event['outcome']} ({tally or 'nothing in it'})"
        return f"{said}; {meter['kept']} rows so far"
    if kind == "weather":
        wait = f", waiting {event['wait']:.0f} s" if event.get("wait") else ""
        return f"request {event['sequence']}: {event['outcome']}{wait}"
    return (
        "" if kind in ("progress", "begun", "failed") else f"{kind} {event.get('why', '')}".strip()
    )


def _recipe_file(path: Path) -> dict[str, Any]:
    try:
        said = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = f"{path.name} cannot be read: {' '.join(str(error).split())[:120]}"
        raise BadPromptRecipe(reason=reason) from None
    if not isinstance(said, dict):
        raise BadPromptRecipe(reason=f"{path.name} is not a list of fields")
    return said


def _chosen(options: argparse.Namespace, said: dict[str, Any]) -> dict[str, Any]:
    """What the options say, over what the file says."""
    made: dict[str, Any] = {}
    teacher = dict(said.get("teacher") or {})
    if options.teacher:
        kind, _, model = options.teacher.partition(":")
        teacher |= {"kind": kind, "model": model}
    if options.base_url:
        teacher["base_url"] = options.base_url
    if teacher:
        made["teacher"] = teacher
    for name in ("rows", "concurrency", "per_minute"):
        if getattr(options, name) is not None:
            made[name] = getattr(options, name)
    budget = dict(said.get("budget") or {})
    budget |= {
        name: getattr(options, name)
        for name in ("requests", "tokens", "money")
        if getattr(options, name) is not None
    }
    if budget:
        made["budget"] = budget
    for key, value in _pairs(options.set).items():
        group, dot, field = key.partition(".")
        if not dot:
            made[key] = value
        else:
            made[group] = {**(made.get(group) or said.get(group) or {}), field: value}
    return made


def _pairs(listed: list[str]) -> dict[str, Any]:
    """FIELD=VALUE, the value as YAML reads it."""
    found = {}
    for one in listed:
        field, equals, value = one.partition("=")
        if not equals:
            raise BadPromptRecipe(reason=f"{one[:80]} is not FIELD=VALUE")
        found[field.strip()] = yaml.safe_load(value)
    return found


def _plain(value: Any) -> Any:
    """NaN is no JSON."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and value != value else value
