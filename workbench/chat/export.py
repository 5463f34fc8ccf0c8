"""A conversation to take away: training rows, Markdown, or one page for a phone.

The page is one file without scripts that asks nothing of any other host, and it names every
model by what made its words. Knows conversations; not how they came about.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Literal, get_args

from workbench.chat.conversation import Answer, Conversation

Form = Literal["jsonl", "markdown", "html"]
FORMS: tuple[Form, ...] = get_args(Form)
ENDINGS: dict[Form, str] = {"jsonl": "jsonl", "markdown": "md", "html": "html"}
STYLE = """\
:root{color-scheme:light dark;--ink:#221f1c;--paper:#faf8f4;--card:#fff;--line:#e7e0d5;
--soft:#655d52;--green:#1c6f53;--mine:#d5ece1}
@media(prefers-color-scheme:dark){:root{--ink:#f3efe8;--paper:#151311;--card:#221f1c;--line:#4c463e;
--soft:#aea393;--green:#4ba683;--mine:#154838}}
*{box-sizing:border-box}
body{margin:0;overflow-wrap:anywhere;background:var(--paper);color:var(--ink);
font:16px/1.65 system-ui,-apple-system,
"Noto Sans HK","PingFang HK","Microsoft JhengHei",sans-serif}
main{max-width:880px;margin:0 auto;padding:20px 14px 40px}
h1{font-size:1.3rem;line-height:1.3;margin:0 0 4px}
p{margin:0;white-space:pre-wrap}
small,footer,dl{color:var(--soft);font-size:.8rem}
section{display:grid;grid-template-columns:minmax(0,1fr);gap:10px;margin:18px 0}
.said{justify-self:end;max-width:88%;background:var(--mine);border-radius:14px 14px 4px 14px;
padding:9px 13px}
.answers{display:grid;gap:10px;grid-template-columns:repeat(auto-fit,minmax(min(270px,100%),1fr))}
article{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:10px 13px;
min-width:0}
article header{font-size:.8rem;color:var(--soft);margin-bottom:4px}
b{color:var(--ink)}
.tuned{color:var(--green);font-weight:600}
dl{display:grid;grid-template-columns:minmax(0,max-content) minmax(0,1fr);gap:2px 12px;
margin:26px 0 0;border-top:1px solid var(--line);padding-top:12px}
dd{margin:0}
"""


def exported(talk: Conversation, form: Form) -> str:
    """The open branch of a conversation as a text."""
    return {"jsonl": as_rows, "markdown": as_markdown, "html": as_page}[form](talk)


def as_rows(talk: Conversation) -> str:
    """One row of messages for each voice, as the Data room and trainers read them."""
    rows = []
    for voice in voices_of(talk):
        said = [{"role": "system", "content": talk.system}] if talk.system else []
        said += [message.as_dict() for message in talk.messages(voice)]
        row = {"messages": said, "model": voice, "conversation": talk.name}
        rows.append({**row, "character": talk.character} if talk.character else row)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_markdown(talk: Conversation) -> str:
    """Headings for what was said, and every answer under its model."""
    parts = [f"# {_line(talk.title)}"]
    if talk.character:
        parts.append(f"_{_line(talk.character)}_")
    if talk.system:
        parts.append(f"System: {_line(talk.system)}")
    if talk.greeting:
        parts.append(_quoted(talk.greeting))
    for turn in talk.path():
        parts.append(f"## {_line(turn.said)}")
        for answer in turn.answers:
            kind = "tuned" if answer.adapter else "base"
            parts.append(f"**{_line(answer.name)}** ({kind}, `{_short(answer)}`)")
            parts.append(_quoted(answer.text))
    return "\n\n".join(parts) + "\n"


def as_page(talk: Conversation) -> str:
    """One HTML file."""
    head = [f"<h1>{escape(talk.title)}</h1>"]
    about = " · ".join(part for part in (talk.character, talk.changed[:10]) if part)
    head.append(f"<small>{escape(about)}</small>")
    if talk.greeting:
        head.append(f"<section><article><p>{escape(talk.greeting)}</p></article></section>")
    turns = "".join(
        f'<section><p class="said">{escape(turn.said)}</p><div class="answers">'
        + "".join(map(_card, turn.answers))
        + "</div></section>"
        for turn in talk.path()
    )
    return (
        '<!doctype html><html><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(talk.title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(head)}{turns}{_names(talk)}</main></body></html>\n"
    )


def voices_of(talk: Conversation) -> list[str]:
    """Who answered on the open branch, in the order they came."""
    return list(dict.fromkeys(one.voice for turn in talk.path() for one in turn.answers))


def _card(answer: Answer) -> str:
    kind = "tuned" if answer.adapter else "base"
    speed = f"{answer.tokens} tokens, {answer.tokens_per_second:.1f}/s"
    stopped = ", stopped" if answer.stopped else ""
    return (
        f'<article><header><span class="{kind}">{kind}</span> <b>{escape(answer.name)}</b></header>'
        f"<p>{escape(answer.text)}</p><footer>{speed}{stopped} · {escape(_short(answer))}</footer>"
        "</article>"
    )


def _names(talk: Conversation) -> str:
    """Every contestant once, with the whole fingerprint of its weights."""
    answers = {(one.name, one.fingerprint): one for turn in talk.path() for one in turn.answers}
    lines = "".join(
        f"<dt>{escape(one.name)}{_strength(one)}</dt><dd>{escape(one.precision)} "
        f"sha256 {escape(one.fingerprint)}</dd>"
        for one in answers.values()
    )
    return f"<dl>{lines}</dl>"


def _short(answer: Answer) -> str:
    parts: Sequence[str] = answer.fingerprint.split("+")
    return "#" + "+".join(part[:8] for part in parts) + _strength(answer)


def _strength(answer: Answer) -> str:
    return f" × {answer.strength:g}" if answer.adapter and answer.strength != 1 else ""


def _line(text: str) -> str:
    """On one line, and without what would begin something else in Markdown or HTML."""
    flat = " ".join(text.split())
    for character in "\\`*_<>[]!#|":
        flat = flat.replace(character, f"\\{character}")
    return flat


def _quoted(text: str) -> str:
    """Words as they are: in a fence longer than any in them."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
