"""Rows as Hypothesis makes them up: what each format can hold, with words that are nasty."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from workbench.data.rows import Example, Message, dumps

NASTY = (
    *("", " ", "食咗飯未呀？", "{input}", "{instruction}", "{instruction}\n\n{input}", "\n\n"),
    *("=1+1", "+852", "-1", "@A1", "＝SUM(A1)", "'=1", "\t", "\r\n", '"quoted", with comma', "'"),
    *(
        "👩‍👩‍👧‍👦",
        "零\u200b寬",
        "\ufeff",
        "\u2028",
        "\x00",
        "# 標題",
        "[]",
        "null",
        "{}",
        '{"a":1}',
    ),
)
texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.lists(st.sampled_from(NASTY), min_size=2, max_size=3).map("".join),
)
filled = texts.filter(bool)
names = st.sampled_from(["topic", "difficulty", "source_", "source__", "分類", "score"])
scalars = st.one_of(
    texts,
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
nested = st.recursive(
    scalars | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
columns = st.dictionaries(names, scalars | nested.filter(lambda one: one is not None), max_size=3)
tools = st.none() | filled | nested.filter(bool).map(dumps).filter(bool)


def turns(role: str, content: st.SearchStrategy[str] = texts) -> st.SearchStrategy[Message]:
    return content.map(lambda said: Message(role, said))


@st.composite
def rounds(draw: st.DrawFn, least: int = 0) -> list[Message]:
    """Questions with answers, in alternation."""
    count = draw(st.integers(least, 2))
    return [draw(turns(role)) for _ in range(count) for role in ("user", "assistant")]


def example(draw: st.DrawFn, messages: list[Message], **more: Any) -> Example:
    return Example(
        tuple(messages),
        id=draw(st.none() | filled),
        tools=draw(tools),
        source=draw(st.sampled_from([None, "從前.jsonl"])),
        columns=draw(columns),
        **more,
    )


@st.composite
def alpaca(draw: st.DrawFn, history: bool = True, system: bool = True) -> Example:
    """An instruction with perhaps an input, a system text and earlier turns."""
    earlier = draw(rounds()) if history else []
    before = draw(st.lists(turns("system", filled), max_size=1)) if system else []
    instruction, given = draw(texts), draw(st.none() | filled)
    asked = given if given and not instruction else instruction
    asked = f"{instruction}\n\n{given}" if instruction and given else asked
    reply = draw(turns("assistant"))
    return example(draw, [*before, *earlier, Message("user", asked), reply], input=given)


@st.composite
def asked(draw: st.DrawFn) -> Example:
    """One question and its answer."""
    return example(draw, [draw(turns("user")), draw(turns("assistant"))])


calls = st.builds(
    lambda name, text, more: dumps(
        [{"function": {"arguments": text, "name": name}, "type": "function", **more}]
    ),
    texts,
    st.one_of(texts, st.just('{"city": "香港"}'), st.just("{}")),
    st.sampled_from([{}, {"id": "call_1"}]),
)
called = calls.map(lambda text: Message("assistant", "", tool_calls=text))
any_turn = st.one_of(*(turns(role) for role in ("system", "user", "assistant", "tool")), called)


@st.composite
def conversation(draw: st.DrawFn) -> Example:
    """Turns of any role in any order, tool calls among them."""
    return example(draw, draw(st.lists(any_turn, min_size=1, max_size=5)))


full_turns = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool", "text"]),
    texts,
    name=st.none() | filled,
    tool_calls=st.none() | calls | filled,
    weight=st.none() | st.floats(0, 2),
)
talks = st.lists(full_turns, min_size=1, max_size=4)


@st.composite
def anything(draw: st.DrawFn) -> Example:
    """All that a row can have at once."""
    more: dict[str, Any] = {"input": draw(st.none() | filled)}
    if draw(st.booleans()):
        more |= {name: tuple(draw(talks)) for name in ("chosen", "rejected")}
    return example(draw, draw(talks), **more)


@st.composite
def plain_text(draw: st.DrawFn) -> Example:
    return example(draw, [draw(turns("text"))])


@st.composite
def preference(draw: st.DrawFn) -> Example:
    """A conversation, and two ways it goes on."""
    two = {name: tuple(draw(talks)) for name in ("chosen", "rejected")}
    return example(draw, draw(talks), **two)


@st.composite
def two_answers(draw: st.DrawFn, history: bool = True) -> Example:
    """A question with perhaps an input, and one turn for each answer."""
    base = draw(alpaca(history, history))
    two = {name: (draw(turns("assistant")),) for name in ("chosen", "rejected")}
    return Example(
        base.messages[:-1],
        id=base.id,
        input=base.input,
        tools=base.tools,
        source=base.source,
        columns=base.columns,
        **two,
    )
