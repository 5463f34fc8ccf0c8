"""``chat score``: did it stay in character? For conversations in files, and for scripts.

    chat score CONVERSATION [--character NAME]
    chat score --character NAME --script FILE|NAME --model REF [--model REF+ADAPTER]

Nothing here knows how the work is done.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.console import answer, stoppable
from workbench.errors import NoModel, NoScript, NotATalk, WorkbenchError
from workbench.settings import Settings
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.chat.scored import Judged
    from workbench.chat.scripts import Script

ALL_SHOWN = 3


def add_score(actions: Any, common: argparse.ArgumentParser) -> None:
    """Add ``score`` to the actions of ``chat``."""
    made = actions.add_parser(
        "score", parents=[common], help="how well a character was kept, rule by rule"
    )
    made.add_argument("conversation", nargs="?", type=Path, help="a saved one, or JSONL rows")
    made.add_argument("--character", default="", help="shipped, of the workspace, or a card file")
    made.add_argument("--script", default="", help="a YAML file, or the name of a shipped one")
    made.add_argument("--model", action="append", default=[], metavar="REF[+ADAPTER]")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--max-new-tokens", type=int)
    made.add_argument("--temperature", type=float)
    made.add_argument("--repetition-penalty", type=float)
    made.add_argument("--out", type=Path, help="write the same JSON document here")
    made.set_defaults(run=score)


def score(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.scored import judged, known_character, read_talks

    workspace = Workspace(settings.workspace)
    if options.conversation is not None:
        raw = _bytes(options.conversation, NotATalk)
        talks, told = read_talks(raw, options.conversation.name)
        character = known_character(options.character or told, workspace)
        found, script = judged(character, talks), ""
    else:
        character, script, found = _scripted(options, settings)
    document = {
        "character": character.name,
        "script": script,
        "voices": [one.document() for one in found],
    }
    if options.out:
        import json

        from workbench.workspace import write_atomically

        write_atomically(options.out, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    return answer(options, document, _lines(found))


def _scripted(options: argparse.Namespace, settings: Settings) -> tuple[Any, str, Any]:
    """Follow a script, saying every turn on standard error."""
    from dataclasses import replace

    from workbench.chat.duo import Voice
    from workbench.chat.scored import ScoreRequest, known_character, run
    from workbench.models.pool import ModelPool
    from workbench.models.reference import ModelReference

    if not options.model:
        raise NoModel
    script = _script(options.script or options.character.lower())
    character = known_character(
        options.character or script.character, Workspace(settings.workspace)
    )
    voices = tuple(Voice(ModelReference.parse(one)) for one in dict.fromkeys(options.model))
    request = ScoreRequest(script, character, voices)
    dials = ("seed", "max_new_tokens", "temperature", "repetition_penalty")
    told = {name: getattr(options, name) for name in dials}
    wanted = {name: value for name, value in told.items() if value is not None}
    request = replace(request, options=replace(request.options, **wanted))
    stop = threading.Event()
    found = _followed(run(request, ModelPool(settings), stop), options.model, stop)
    return character, script.name, found


def _followed(work: Generator[Any, None, Any], names: list[str], stop: threading.Event) -> Any:
    from workbench.chat.scripts import Said

    value: list[Any] = []

    def events() -> Iterator[Any]:
        value.append((yield from work))

    for event in stoppable(events(), stop):
        if isinstance(event, Said):
            print(f"{event.turn}/{event.turns} {event.asked}", file=sys.stderr)
            for name, text in zip(names, event.answers, strict=False):
                print(f"   {name}: {' '.join(text.split())[:160]}", file=sys.stderr)
    return value[0]


def _script(name: str) -> Script:
    from workbench.chat.scripts import read_script, shipped_scripts

    shipped = shipped_scripts()
    if name in shipped:
        return shipped[name]
    for one in shipped.values():
        if one.character.lower() == name:
            return one
    path = Path(name)
    if not name or not path.is_file():
        raise NoScript(name=name or "–", reason=f"there are {', '.join(shipped)}, or a YAML file")
    return read_script(_bytes(path, NoScript), path.name)


def _bytes(path: Path, missing: type[WorkbenchError]) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise missing(name=path.name, reason="it cannot be opened") from error


def _lines(found: tuple[Judged, ...]) -> list[str]:
    """Rules down, voices across, then the sentences that cost something."""
    width = max(12, *(len(one.voice) for one in found))
    heads = "".join(f"  {one.voice:>{width}}" for one in found)
    lines = [f"{'':12}{heads}"]
    for rules in zip(*(one.score.rules for one in found), strict=True):
        cells = "".join(f"  {_number(rule.score):>{width}}" for rule in rules)
        lines.append(f"{rules[0].name:12}{cells}")
    totals = "".join(f"  {_number(one.score.total):>{width}}" for one in found)
    lines.append(f"{'total':12}{totals}")
    for one in found:
        for rule in one.score.rules:
            against = [reason for reason in rule.evidence if not reason.held]
            for reason in against[:ALL_SHOWN]:
                said = f"{rule.name}, answer {reason.answer} ({reason.why})"
                lines.append(f"{one.voice}: {said}: {reason.sentence}")
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
