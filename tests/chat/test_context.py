"""What is cut when a conversation is too long, and what never is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests import tiny
from workbench.chat.context import OPENING, as_text, exchanges, in_template
from workbench.chat.frame import Frame
from workbench.chat.messages import Message
from workbench.errors import BadTemplate, MessageTooLong
from workbench.models.templates import PLAIN

FRAME = Frame("SYSTEM", (Message("user", "e1"), Message("assistant", "e2")), "AFTER", ())
NO_SYSTEM = """\
{%- if messages[0]['role'] == 'system' -%}{{- raise_exception('no system') -}}{%- endif -%}
{%- for message in messages -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('must alternate') -}}{%- endif -%}
{{- '<' + message['role'] + '>' + message['content'] -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<assistant>' -}}{%- endif -%}
"""


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny.single_bytes()


def talk(exchanges: int) -> list[Message]:
    turns = [Message("assistant", "greeting")]
    for number in range(exchanges):
        turns += [Message("user", f"q{number}."), Message("assistant", f"a{number}.")]
    return [*turns, Message("user", "LAST")]


def prompt(tokenizer: Any, turns: list[Message], room: int, **more: Any) -> Any:
    given = {"template": PLAIN, "frame": FRAME, "begun": "", **more}
    return in_template(tokenizer, turns=turns, room=room, model="m", **given)


def test_what_fits_is_not_touched(tokenizer: Any) -> None:
    made = prompt(tokenizer, talk(3), 10_000)
    assert not made.received.was_cut
    order = ["SYSTEM", "e1", "e2", "greeting", "q0", "a0", "q2", "a2", "LAST", "AFTER"]
    places = [made.received.text.index(part) for part in order]
    assert places == sorted(places)
    assert made.received.tokens == len(made.ids)
    assert tokenizer.decode(made.ids) == made.received.text


def test_examples_go_first_then_the_oldest_exchanges_whole(tokenizer: Any) -> None:
    turns, seen = talk(6), []
    full = prompt(tokenizer, turns, 10_000).received.tokens
    for room in range(full, 0, -1):
        try:
            made = prompt(tokenizer, turns, room)
        except MessageTooLong as error:
            assert str(room) in str(error)
            break
        got = made.received
        assert got.tokens <= room
        assert all(part in got.text for part in ("SYSTEM", "LAST", "AFTER"))
        assert ("e1" in got.text) == (got.examples_left_out == 0)
        assert got.turns_left_out == 0 or got.examples_left_out == 2
        kept = [number for number in range(6) if f"q{number}." in got.text]
        assert kept == list(range(6 - len(kept), 6))
        assert all(f"a{number}." in got.text for number in kept)
        seen.append((got.examples_left_out, got.turns_left_out))
    else:
        pytest.fail("nothing is too long")
    assert list(dict.fromkeys(seen)) == [(0, 0), (2, 0), *((2, left) for left in range(1, 14, 2))]


def test_as_much_as_fits_is_kept(tokenizer: Any) -> None:
    turns = talk(40)
    room = prompt(tokenizer, turns, 10_000).received.tokens // 2
    left = prompt(tokenizer, turns, room).received.turns_left_out
    more = prompt(tokenizer, turns[left - 2 :], 10_000, frame=Frame("SYSTEM", (), "AFTER", ()))
    assert more.received.tokens > room


def test_an_exchange_begins_where_the_user_speaks_after_an_answer() -> None:
    roles = "auuaua"
    turns = [Message("assistant" if one == "a" else "user", "x") for one in roles]
    assert exchanges(turns) == [0, 1, 4]


def test_a_template_without_a_system_text_gets_it_from_the_user(tokenizer: Any) -> None:
    made = prompt(tokenizer, talk(0)[1:], 10_000, template=NO_SYSTEM,
                  frame=Frame("SYSTEM", (), "", ()))  # fmt: skip
    assert made.received.text == "<user>SYSTEM\n\nLAST<assistant>"


def test_a_template_where_the_user_must_begin_gets_a_user(tokenizer: Any) -> None:
    for system, first in (("SYSTEM", "SYSTEM"), ("", OPENING)):
        frame = Frame(system, (), "", ())
        made = prompt(tokenizer, talk(0), 10_000, template=NO_SYSTEM, frame=frame)
        assert made.received.text.startswith(f"<user>{first}<assistant>greeting<user>LAST")


@pytest.mark.parametrize("wrong", ["{{ raise_exception('never') }}", "{% for x in %}"])
def test_a_template_that_refuses_is_one_sentence(tokenizer: Any, wrong: str) -> None:
    with pytest.raises(BadTemplate):
        prompt(tokenizer, talk(1), 10_000, template=wrong)


def test_going_on_ends_with_what_is_there(tokenizer: Any) -> None:
    made = prompt(tokenizer, talk(1), 10_000, begun="half an ans")
    assert made.received.text.endswith("Assistant:\nhalf an ans")


def test_the_text_of_a_base_is_everything_said(tokenizer: Any) -> None:
    made = as_text(tokenizer, "", [Message("user", "a"), Message("assistant", "b"),
                                   Message("user", "c")], "d", 100, "m")  # fmt: skip
    assert made.received.text == "a\nb\ncd"
    with pytest.raises(MessageTooLong):
        as_text(tokenizer, "", [Message("user", "a" * 101)], "", 100, "m")


def test_a_long_message_is_refused_quickly(tokenizer: Any) -> None:
    turns = [*talk(50)[:-1], Message("user", "字" * 100_000)]
    started = time.monotonic()
    with pytest.raises(MessageTooLong):
        prompt(tokenizer, turns, 4096)
    assert time.monotonic() - started < 15
