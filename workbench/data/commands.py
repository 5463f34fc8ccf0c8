"""The ``data`` verbs of the command line: everything the Data tab does, for scripts.

    data list | delete NAME --yes
    data info TARGET                     a file: its format and first rows; a dataset: figures
    data import FILE --name NAME         also hub:OWNER/NAME, corpus:hkcancor, corpus:identity
    data convert FILE OUT --to FORM      from any format to any other, without a dataset
    data clean | dedup | overlap | filter | label | fill | split NAME ...    one step each
    data steps | undo NAME               the log, and back
    data mix NAME --from A --from B:0.3  a new dataset of several; data save NAME AS of one
    data export NAME OUT --to FORM       what is kept; data push NAME OWNER/NAME to the Hub
    data replay RECIPE --input FILE --name NAME

Nothing here knows how the work is done.
"""

from __future__ import annotations

import argparse
import shlex
import threading
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.console import answer, finished
from workbench.data import recipe as steps
from workbench.errors import BadStep
from workbench.settings import Settings
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset

FORMATS = (
    "alpaca", "seeds", "sharegpt", "messages", "prompt", "preference", "tools", "qa", "text",
)  # fmt: skip
FORMS = (*FORMATS, "text-jsonl", "csv", "parquet")


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add ``data`` to the verbs."""
    group = verbs.add_parser("data", help="datasets: import, clean, mix, split, export")
    actions = group.add_subparsers(required=True, metavar="ACTION")

    def verb(name: str, run: Any, help: str, *places: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = actions.add_parser(name, parents=[common], help=help)
        for place in places:
            made.add_argument(place)
        made.set_defaults(run=run)
        return made

    verb("list", show_list, "the datasets of the workspace")
    verb("info", info, "what a file or a dataset is", "target")
    bring = verb("import", bring_in, "a file, hub:… or corpus:… into the workspace", "origin")
    bring.add_argument("--name", required=True)
    _reading_options(bring)
    bring.add_argument("--config", default="", help="of a Hub dataset")
    bring.add_argument("--split", default="train", help="of a Hub dataset")
    bring.add_argument("--rows", type=int, default=0, help="at most so many of a Hub dataset")
    bring.add_argument("--form", default="", help="of a corpus: utterances, dialogues, exchanges")
    bring.add_argument("--value", action="append", default=[], metavar="NAME=TEXT")
    convert = verb("convert", convert_file, "a file into another format", "origin", "out")
    convert.add_argument("--to", choices=FORMS, required=True)
    _reading_options(convert)
    _add_steps(verb)
    _add_outs(verb)


def _reading_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--format", choices=FORMATS, help="if it is not detected as it should be")
    verb.add_argument("--field", action="append", default=[], metavar="PART=FIELD")
    verb.add_argument("--skip-bad", action="store_true", help="leave bad rows out")


def _add_steps(verb: Any) -> None:
    clean = verb("clean", do_clean, "tag rows by checks", "name")
    clean.add_argument("--check", action="append", help="one of them (default: all)")
    clean.add_argument("--drop", action="append", help="leaves its rows out (default: the usual)")
    clean.add_argument("--expect", action="append", default=[], help="register of the answers")
    clean.add_argument("--min", type=int, help="characters of an answer")
    clean.add_argument("--max", type=int, help="characters of a row")
    _likeness(verb("dedup", do_dedup, "keep one row of each group", "name")).add_argument(
        "--rule", choices=steps.RULES, default="longest"
    )
    overlap = _likeness(verb("overlap", do_overlap, "leave out what another has", "name"))
    overlap.add_argument("--with", dest="other", required=True, metavar="DATASET")
    sieve = verb("filter", do_filter, "keep the rows that fulfil a condition", "name")
    sieve.add_argument("--where", default="", metavar="SQL")
    sieve.add_argument("--search", default="", metavar="WORDS")
    label = verb("label", do_label, "rate a row, or label registers", "name")
    label.add_argument("--registers", action="store_true", help="add the column register")
    label.add_argument("--row", type=int)
    label.add_argument("--rating", type=int)
    label.add_argument("--task")
    label.add_argument("--answer", action="append", default=[], help="a better one; at most three")
    label.add_argument("--annotator", default="")
    decide = verb("decide", do_decide, "keep or drop rows by hand", "name")
    decide.add_argument("decision", choices=("keep", "drop", "clear"))
    decide.add_argument("--row", type=int, action="append", default=[])
    decide.add_argument("--where", default="", metavar="SQL")
    fill = verb("fill", do_fill, "fill {{placeholders}}", "name")
    fill.add_argument("--value", action="append", default=[], metavar="NAME=TEXT")
    split = verb("split", do_split, "divide into train, validation and test", "name")
    split.add_argument("--part-of", action="append", metavar="NAME=SHARE", dest="shares")
    split.add_argument("--seed", type=int, default=0)
    split.add_argument("--threshold", type=float, default=0.7)
    switch = verb("switch", do_switch, "switch a step off or on", "name")
    switch.add_argument("step", type=int)
    switch.add_argument("state", choices=("on", "off"))
    switch.add_argument("--check", default="")
    verb("steps", show_steps, "what was done to a dataset", "name")
    verb("undo", undo, "take the last step back", "name")


def _likeness(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.add_argument("--method", choices=steps.METHODS, default="near")
    verb.add_argument("--part", choices=steps.PARTS, default="whole")
    verb.add_argument("--threshold", type=float, default=0.8)
    verb.add_argument(
        "--embedder", default="", metavar="REPO", help="Hub model for --method meaning"
    )
    return verb


def _add_outs(verb: Any) -> None:
    mix = verb("mix", do_mix, "a new dataset out of several", "name")
    mix.add_argument(
        "--from", action="append", required=True, dest="parts", metavar="DATASET[:WEIGHT]"
    )
    mix.add_argument("--count", action="append", default=[], metavar="DATASET=ROWS")
    mix.add_argument("--total", type=int, default=0)
    mix.add_argument("--seed", type=int, default=0)
    save = verb("save", do_save, "what is kept, as a new dataset", "name", "to")
    save.add_argument(
        "--answers", choices=("original", "improved", "preference"), default="original"
    )
    out = verb("export", do_export, "what is kept, as a file", "name", "out")
    out.add_argument("--to", choices=FORMS, default="messages")
    out.add_argument("--split", default="", help="only this part of the split")
    push = verb("push", do_push, "what is kept, to the Hub with a card", "name", "repo")
    push.add_argument("--public", action="store_true", help="(default: private)")
    push.add_argument("--licence", default="")
    delete = verb("delete", do_delete, "delete a dataset", "name")
    delete.add_argument("--yes", action="store_true", required=True)
    again = verb("replay", do_replay, "do a whole recipe again", "recipe")
    again.add_argument("--input", action="append", type=Path, default=[], metavar="FILE")
    again.add_argument("--name", required=True)


# In


def show_list(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.dataset import listed

    found = [asdict(one) for one in listed(Workspace(settings.workspace))]
    lines = [f"{one['name']}  {one['kept']} of {one['rows']} rows kept" for one in found]
    return answer(options, {"datasets": found}, lines or ["There is no dataset yet."])


def info(options: argparse.Namespace, settings: Settings) -> int:
    path = Path(options.target)
    if path.exists():
        return _file_info(path, options, settings)
    dataset = _open(options.target, settings)
    state = dataset.state
    figures = {
        **dataset.recipe.to_json(),
        "kept": int(state.kept.sum()),
        "columns": state.query.names,
        "sources": dict(state.query.values("SELECT source, count(*) FROM rows GROUP BY 1")),
        "tags": [
            {"step": number, "check": check, "rows": rows}
            for number, check, rows in state.tallies()
        ],
    }
    lines = [
        f"{dataset.name}: {figures['kept']} of {state.count} rows kept, "
        f"{len(dataset.recipe.steps)} steps, from {dataset.recipe.source.kind}",
        *(f"  step {one['step']} {one['check']}: {one['rows']} rows" for one in figures["tags"]),
    ]
    return answer(options, figures, lines)


def _file_info(path: Path, options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.importing import look

    files = [
        {
            "file": one.file.name,
            "kind": one.file.kind,
            "encoding": one.file.encoding,
            "bytes": one.file.size,
            "format": one.mapping.format if one.mapping else None,
            "fields": list(one.fields),
            "mapping": one.mapping.to_json() if one.mapping else None,
            "first": list(one.values),
        }
        for one in look(path, settings)
    ]
    lines = [
        f"{one['file']}: {one['kind']}, {one['format'] or 'no known format'} "
        f"({', '.join(map(str, one['fields']))})"  # type: ignore[arg-type]
        for one in files
    ]
    return answer(options, {"files": files}, lines)


def bring_in(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data import importing, shipped

    workspace, stop = Workspace(settings.workspace), threading.Event()
    kind, _, rest = options.origin.partition(":")
    if kind == "corpus":
        form = options.form or next(iter(shipped.FORMS.get(rest, ())), "")
        source = steps.CorpusSource(rest, form, _pairs(options.value))
        recipe = finished(importing.bring_corpus(source, workspace, options.name, stop), stop)
        return answer(options, recipe.to_json(), [f"{recipe.name}: {recipe.rows} rows"])
    if kind == "hub":
        from workbench.data.hub import HubRequest, bring_request

        asked = HubRequest(rest, options.config, options.split, options.rows, options.format or "")
        recipe = finished(bring_request(asked, workspace, options.name, settings, stop), stop)
        return answer(options, recipe.to_json(), [f"{recipe.name}: {recipe.rows} rows"])
    imported = _imported(Path(options.origin), options.name, workspace, options, settings)
    bad = [{"file": file, "line": one.line, "reason": one.reason} for file, one in imported.bad]
    lines = [f"{imported.recipe.name}: {imported.recipe.rows} rows", *_bad_lines(imported)]
    return answer(options, {**imported.recipe.to_json(), "bad": bad}, lines)


def _imported(
    path: Path, name: str, workspace: Workspace, options: argparse.Namespace, settings: Settings
) -> Any:
    from workbench.data.importing import ImportRequest, import_file, look, remapped

    mappings = {}
    if options.format or options.field:
        for one in look(path, settings):
            fields = _pairs(options.field)
            mappings[one.file.name] = remapped(one.mapping, options.format, fields)
    request = ImportRequest(path, name, path.name, mappings, options.skip_bad)
    stop = threading.Event()
    return finished(import_file(request, workspace, settings, stop), stop)


def _bad_lines(imported: Any) -> list[str]:
    if not imported.bad_count:
        return []
    shown = [f"  {file}, line {one.line}: {one.reason}" for file, one in imported.bad[:20]]
    return [f"{imported.bad_count} bad rows left out:", *shown]


def convert_file(options: argparse.Namespace, settings: Settings) -> int:
    import tempfile

    from workbench.data.dataset import Dataset

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        _imported(Path(options.origin), "converted", workspace, options, settings)
        return _write(Dataset(workspace, "converted"), options, "")


# Steps


def do_clean(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.checks.run import CHECKS

    chosen = tuple(options.check or CHECKS)
    drops = (
        tuple(options.drop) if options.drop else tuple(one for one in chosen if one in steps.DROPS)
    )
    given = {
        "expected": tuple(options.expect),
        "min_characters": options.min,
        "max_characters": options.max,
    }
    choice = {key: value for key, value in given.items() if value not in (None, ())}
    return _step(options, settings, steps.Check(chosen, drops, choice))


def do_dedup(options: argparse.Namespace, settings: Settings) -> int:
    step = steps.Duplicates(
        options.method, options.part, options.threshold, options.rule, model=options.embedder
    )
    return _step(options, settings, step)


def do_overlap(options: argparse.Namespace, settings: Settings) -> int:
    step = steps.Overlap(
        options.other, "", options.method, options.part, options.threshold, options.embedder
    )
    return _step(options, settings, step)


def do_filter(options: argparse.Namespace, settings: Settings) -> int:
    return _step(options, settings, steps.Filter(options.where, options.search))


def do_label(options: argparse.Namespace, settings: Settings) -> int:
    if options.registers:
        return _step(options, settings, steps.Registers())
    if options.row is None:
        raise BadStep(reason="no row is named; give --row or --registers")
    step = steps.Label(
        options.row, options.rating, options.task, tuple(options.answer), options.annotator
    )
    return _step(options, settings, step)


def do_decide(options: argparse.Namespace, settings: Settings) -> int:
    if not options.row and not options.where:
        raise BadStep(reason="no row is named; give --row or --where")
    where = (options.where,) if options.where else ()
    return _step(options, settings, steps.Decide(options.decision, tuple(options.row), where))


def do_fill(options: argparse.Namespace, settings: Settings) -> int:
    return _step(options, settings, steps.Fill(_pairs(options.value)))


def do_split(options: argparse.Namespace, settings: Settings) -> int:
    given = options.shares or ["train=0.9", "validation=0.05", "test=0.05"]
    try:
        weights = {name: float(share) for name, share in _pairs(given).items()}
    except ValueError as error:
        raise BadStep(reason="a share is not a number") from error
    step = steps.Split(weights, options.seed, threshold=options.threshold)
    return _step(options, settings, step)


def do_switch(options: argparse.Namespace, settings: Settings) -> int:
    return _step(
        options, settings, steps.Switch(options.step, options.state == "on", options.check)
    )


def _step(options: argparse.Namespace, settings: Settings, step: steps.Step) -> int:
    from workbench.data.steps import do

    dataset, stop = _open(options.name, settings), threading.Event()
    done = finished(do(dataset, step, settings, stop), stop)
    number = len(dataset.recipe.steps)
    tags = {check: rows for at, check, rows in dataset.state.tallies() if at == number}
    document = {
        "step": number,
        "kind": step.kind,
        "touched": done.touched,
        "kept": done.kept,
        "tags": tags,
    }
    split = dataset.state.columns.get("split")
    if isinstance(step, steps.Split) and split is not None:
        counts = Counter(name for name in split.to_pylist() if name)
        document["split"] = dict(counts)
    lines = [
        f"step {number}, {step.kind}: {done.touched} rows touched, {done.kept} kept",
        *(f"  {check}: {rows}" for check, rows in tags.items()),
        *(f"  {name}: {rows}" for name, rows in document.get("split", {}).items()),  # type: ignore[attr-defined]
    ]
    return answer(options, document, lines)


def show_steps(options: argparse.Namespace, settings: Settings) -> int:
    document = _open(options.name, settings).recipe.to_json()
    lines = []
    for number, step in enumerate(document["steps"], 1):
        rest = {key: value for key, value in step.items() if key not in ("kind", "touched", "kept")}
        said = " ".join(f"{key}={shlex.quote(str(value))}" for key, value in rest.items())
        lines.append(f"{number} {step['kind']} {said}: {step['touched']} rows, {step['kept']} kept")
    return answer(options, document, lines or ["No step has been done yet."])


def undo(options: argparse.Namespace, settings: Settings) -> int:
    dataset = _open(options.name, settings)
    last = dataset.undo()
    kept = int(dataset.state.kept.sum())
    document = {"undone": last.step.kind, "kept": kept}
    return answer(options, document, [f"{last.step.kind} undone, {kept} rows kept"])


# Out


def do_mix(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.mixing import MixRequest, Share

    counts = _pairs(options.count)
    shares = []
    for part in options.parts:
        name, _, weight = part.partition(":")
        try:
            shares.append(Share(name, float(weight or 0), int(counts.get(name, 0))))
        except ValueError as error:
            raise BadStep(reason=f"{part} has no number for its share") from error
    strange = counts.keys() - {share.dataset for share in shares}
    if strange:
        raise BadStep(reason=f"--count names {min(strange)}, which is not among --from")
    request = MixRequest(options.name, tuple(shares), options.total, options.seed)
    return _mixed(request, options, settings)


def do_save(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.mixing import saved

    return _mixed(saved(options.name, options.to, options.answers), options, settings)


def _mixed(request: Any, options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.mixing import mix

    parts, stop = [_open(share.dataset, settings) for share in request.shares], threading.Event()
    recipe = finished(mix(parts, request, stop), stop)
    return answer(options, recipe.to_json(), [f"{recipe.name}: {recipe.rows} rows"])


def do_export(options: argparse.Namespace, settings: Settings) -> int:
    return _write(_open(options.name, settings), options, options.split)


def _write(dataset: Dataset, options: argparse.Namespace, split: str) -> int:
    from workbench.data.going_out import export_dataset

    stop = threading.Event()
    work = export_dataset(dataset, Path(options.out), options.to, split, stop)
    report = finished(work, stop)
    lines = [f"{options.out}: {report.rows} rows, sha256 {report.sha256}"]
    figures = {**asdict(report), "path": str(report.path)}
    return answer(options, figures, lines)


def do_push(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.going_out import push_dataset

    dataset, stop = _open(options.name, settings), threading.Event()
    work = push_dataset(
        dataset, options.repo, settings.token, not options.public, options.licence, stop
    )
    url = finished(work, stop)
    return answer(options, {"url": url}, [url])


def do_delete(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.dataset import delete

    delete(Workspace(settings.workspace), options.name)
    return answer(options, {"deleted": options.name}, [f"{options.name} is deleted"])


def do_replay(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.data.dataset import read_recipe
    from workbench.data.replay import replay

    given = Path(options.recipe)
    recipe = read_recipe(given / "dataset.json" if given.is_dir() else given)
    workspace, stop = Workspace(settings.workspace), threading.Event()
    again = finished(replay(recipe, options.input, workspace, options.name, settings, stop), stop)
    document = {"same": again.same, "sha256": again.recipe.sha256, "rows": again.recipe.rows}
    verdict = "the same bytes" if again.same else "DIFFERENT rows"
    line = f"{options.name}: {again.recipe.rows} rows, {verdict} (sha256 {again.recipe.sha256})"
    answer(options, document, [line])
    return 0 if again.same else 1


def _open(name: str, settings: Settings) -> Dataset:
    from workbench.data.dataset import Dataset

    return Dataset(Workspace(settings.workspace), name)


def _pairs(given: list[str]) -> dict[str, str]:
    """NAME=TEXT, several times.

    Raises:
        BadStep.
    """
    pairs = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise BadStep(reason=f"“{one}” is not NAME=VALUE")
        pairs[name] = value
    return pairs
