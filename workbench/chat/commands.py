"""The ``chat`` verbs of the command line: what the Chat tab does, for scripts.

    chat --model REF+ADAPTER [--model REF] --message TEXT [--character FILE|NAME]
    chat score ...                           did it stay in character?
    chat characters | card | bring | forget  the cards
    chat standings                           who wins the blind votes
    chat votes OUT.jsonl                     the votes as preference pairs
    chat characters | chat card ... | chat bring FILE | chat forget NAME --yes
    chat list | chat export CONVERSATION OUT --as html|markdown|jsonl

Nothing here knows how the work is done.
"""

from __future__ import annotations

import argparse
import json
import threading
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.chat.character_commands import add_characters
from workbench.chat.score_commands import add_score
from workbench.console import answer, stoppable
from workbench.models.device import PRECISIONS
from workbench.settings import Settings
from workbench.workspace import Workspace, write_atomically

if TYPE_CHECKING:
    from workbench.chat.duo import Answered

FORMS = ("html", "markdown", "jsonl")


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add ``chat`` to the verbs."""
    from workbench.models.sampling import PRESETS, SamplingOptions

    talk = verbs.add_parser("chat", parents=[common], help="let models answer, side by side")
    talk.add_argument("--model", action="append", default=[], metavar="REF[+ADAPTER]")
    talk.add_argument("--message", default="", metavar="TEXT")
    talk.add_argument("--character", default="", help="a card, or a name from the workspace")
    talk.add_argument("--system", default="", help="system prompt")
    talk.add_argument("--user", default="", help="what you are called")
    talk.add_argument("--mode", choices=("chat", "text"), default="chat")
    talk.add_argument("--strength", type=float, default=1.0, help="of the adapters, 0 to 1")
    talk.add_argument("--context", type=int, default=4096, help="tokens (default: 4096)")
    talk.add_argument("--precision", choices=PRECISIONS)
    start = PRESETS["gentle"]
    for field in fields(SamplingOptions):
        if field.name != "samples":
            default = getattr(start, field.name)
            option = f"--{field.name.replace('_', '-')}"
            talk.add_argument(option, type=type(default), default=default)
    talk.set_defaults(run=say)
    actions = talk.add_subparsers(metavar="ACTION")
    add_score(actions, common)
    add_characters(actions, common)
    actions.add_parser("standings", parents=[common], help="who wins the blind votes").set_defaults(
        run=show_standings
    )
    votes = actions.add_parser("votes", parents=[common], help="votes as preference pairs")
    votes.add_argument("out", type=Path)
    votes.set_defaults(run=export_votes)
    actions.add_parser("list", parents=[common], help="conversations").set_defaults(run=show_list)
    export = actions.add_parser("export", parents=[common], help="a conversation as a file")
    export.add_argument("name")
    export.add_argument("out", type=Path)
    export.add_argument("--as", dest="form", choices=FORMS, default="html")
    export.set_defaults(run=export_talk)


def say(options: argparse.Namespace, settings: Settings) -> int:
    """One message to every model."""
    from workbench.chat.duo import Answered, ChatRequest, Voice, chat
    from workbench.chat.frame import opening
    from workbench.chat.messages import Message
    from workbench.chat.scored import known_character
    from workbench.events import Failed
    from workbench.models.pool import ModelPool
    from workbench.models.reference import ModelReference
    from workbench.models.sampling import SamplingOptions

    workspace = Workspace(settings.workspace)
    names = list(dict.fromkeys(options.model))
    voices = tuple(Voice(ModelReference.parse(name), options.strength) for name in names)
    character = known_character(options.character, workspace) if options.character else None
    greeting = opening(character, options.user) if character else ""
    begun = (Message("assistant", greeting),) if greeting else ()
    wanted = [one.name for one in fields(SamplingOptions) if one.name != "samples"]
    request = ChatRequest(
        voices=voices,
        talks=((*begun, Message("user", options.message)),) * len(voices),
        options=SamplingOptions(**{name: getattr(options, name) for name in wanted}),
        system=options.system,
        character=character,
        user=options.user,
        mode=options.mode,
        context=options.context,
        precision=options.precision,
    )
    stop = threading.Event()
    answered, failed = [], []
    for event in stoppable(chat(request, ModelPool(settings), stop), stop):
        if isinstance(event, Answered):
            answered.append(event)
        elif isinstance(event, Failed):
            failed.append(event)
    rows = [_figures(one) for one in sorted(answered, key=lambda one: one.voice)]
    document: dict[str, Any] = {"message": options.message, "answers": rows}
    if failed:
        document["failures"] = [{"model": one.model, "error": str(one.error)} for one in failed]
    lines = [f"[{row['model']}] {row['text']}" for row in rows]
    lines += [str(one.error) for one in failed] if not options.json else []
    answer(options, document, lines)
    return max((one.error.exit_code for one in failed), default=0)


def _figures(one: Answered) -> dict[str, Any]:
    return {
        "model": one.who.name,
        "tuned": one.who.tuned,
        "fingerprint": one.who.fingerprint,
        "precision": one.who.precision,
        "strength": one.who.strength,
        "text": one.text,
        "register": one.register,
        "tokens": one.tokens,
        "first_seconds": one.first_seconds,
        "tokens_per_second": one.tokens_per_second,
        "stopped": one.stopped,
        "received": asdict(one.received),
    }


def show_standings(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.arena import Votes
    from workbench.chat.standings import standings

    found = standings(Votes(Workspace(settings.workspace).results).all())
    share, low, high = found.first_share
    document = {
        **asdict(found),
        "enough": found.enough,
        "clear": found.clear,
        "first_share": {"value": share, "low": low, "high": high},
    }
    lines = [
        f"{place.name}: {place.points:+.0f} ({place.low:+.0f} to {place.high:+.0f}), "
        f"wins {place.win_rate:.0%} of {place.votes}"
        for place in found.places
    ]
    if not found.enough:
        lines.append("Not enough votes yet.")
    return answer(options, document, lines)


def export_votes(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.arena import Votes, as_preferences

    rows = as_preferences(Votes(Workspace(settings.workspace).results).all())
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(options.out, "".join(lines))
    return answer(options, {"pairs": len(rows), "file": str(options.out)}, [f"{len(rows)} pairs"])


def show_list(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.shelf import listed

    found = [asdict(one) for one in listed(Workspace(settings.workspace))]
    lines = [f"{one['name']}  {one['title']}, {one['turns']} turns" for one in found]
    return answer(options, {"conversations": found}, lines or ["There is no conversation yet."])


def export_talk(options: argparse.Namespace, settings: Settings) -> int:
    from workbench.chat.export import exported
    from workbench.chat.shelf import read

    talk = read(options.name, Workspace(settings.workspace))
    write_atomically(options.out, exported(talk, options.form))
    return answer(options, {"file": str(options.out)}, [f"{talk.title}: {options.out}"])
