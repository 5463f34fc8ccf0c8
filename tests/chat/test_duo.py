"""Is it true? The label of an answer belongs to the weights that made its tokens."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from workbench.chat.character import Character, Entry, Lorebook
from workbench.chat.duo import Answered, Asked, ChatRequest, Token, Voice, chat
from workbench.chat.messages import Message
from workbench.errors import (
    BadAdapter,
    MessageTooLong,
    NoModel,
    NothingSaid,
    OutOfMemory,
    OutOfRange,
    Stopped,
    TooManyVoices,
)
from workbench.events import Failed, Progress
from workbench.models.decoding import decode
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions
from workbench.models.templates import chat_template_for, stop_tokens, with_template
from workbench.settings import Settings

GREEDY = SamplingOptions(8, temperature=0, repetition_penalty=1)
ASKED = (Message("user", "佢哋今日去咗邊度"),)


class House:
    """Two tiny bases, adapters on the first, and what each must say when it speaks alone."""

    def __init__(
        self, base: Path, other: Path, tuned: Path, further: Path, odd: Path, settings: Settings
    ) -> None:
        self.settings = settings
        self.pool = ModelPool(settings)
        self.base, self.other = f"file:{base}", f"file:{other}"
        self.tuned, self.further, self.odd = (f"{self.base}+{one}" for one in (tuned, further, odd))
        self._alone: dict[tuple[str, tuple[Message, ...]], tuple[str, str]] = {}

    def alone(self, name: str, talk: tuple[Message, ...] = ASKED) -> tuple[str, str]:
        """The text and the fingerprint of a model loaded by itself, adapter inside."""
        if (name, talk) not in self._alone:
            loaded = tiny.load(name, "fp32", self.settings)
            template = chat_template_for(loaded.tokenizer)
            text = with_template(loaded.tokenizer, template).apply_chat_template(
                [one.as_dict() for one in talk], tokenize=False, add_generation_prompt=True
            )
            ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
            stops = stop_tokens(loaded.tokenizer, template)
            rows, _ = decode(loaded, [ids], GREEDY, tiny.never(), stops=stops)
            self._alone[name, talk] = rows[0].text, loaded.fingerprint
        return self._alone[name, talk]

    def ask(self, *names: str, stop: threading.Event | None = None, **more: Any) -> Iterator[Any]:
        strengths = more.pop("strengths", [1.0] * len(names))
        given: dict[str, Any] = {"options": GREEDY, "precision": "fp32", **more}
        given.setdefault("talks", (ASKED,) * len(names))
        voices = tuple(
            Voice(ModelReference.parse(name), strength)
            for name, strength in zip(names, strengths, strict=True)
        )
        return chat(ChatRequest(voices, **given), self.pool, stop or tiny.never())

    def answers(self, *names: str, **more: Any) -> list[Answered]:
        found = [event for event in self.ask(*names, **more) if isinstance(event, Answered)]
        return sorted(found, key=lambda one: one.voice)

    def is_true(self, name: str, answer: Answered) -> None:
        """The words, the label and the fingerprint are those of this model alone."""
        text, fingerprint = self.alone(name)
        assert (answer.text, answer.who.fingerprint) == (text, fingerprint)
        assert answer.who.name == name
        assert answer.who.tuned is ("+" in name)


@pytest.fixture(scope="module")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("made")
    tokenizer = tiny.characters()
    return {
        "other": tiny.save(home / "other", tiny.network(tokenizer, seed=21), tokenizer),
        "further": tiny.save_adapter(home / "further", tiny_model, seed=12),
        "odd": tiny.save_adapter(home / "odd", tiny_model, seed=13, use_dora=True),
    }


@pytest.fixture
def house(tiny_model: Path, tiny_adapter: Path, made: dict[str, Path], settings: Settings) -> House:
    return House(tiny_model, made["other"], tiny_adapter, made["further"], made["odd"], settings)


def test_the_adapters_change_the_first_token(house: House) -> None:
    """Without this nothing below would prove anything."""
    names = (house.base, house.tuned, house.further, house.odd, house.other)
    firsts = [house.alone(name)[0][:1] for name in names]
    assert firsts[0] not in firsts[1:3]
    assert len({house.alone(name)[0] for name in names}) == len(names)
    assert len({house.alone(name)[1] for name in names}) == len(names)


@pytest.mark.parametrize("together", [True, False])
def test_in_every_order_and_mode_the_label_is_true(house: House, together: bool) -> None:
    for names in itertools.permutations((house.base, house.tuned, house.further)):
        for name, answer in zip(names, house.answers(*names, together=together), strict=True):
            house.is_true(name, answer)
    assert len(house.pool.loaded()) == 1


def test_one_batch_makes_base_and_tuned(house: House) -> None:
    list(house.ask(house.base))
    (loaded,) = house.pool.loaded()
    sizes: list[int] = []
    loaded.model.register_forward_pre_hook(
        lambda _module, _args, given: sizes.append(given["input_ids"].shape[0]), with_kwargs=True
    )
    list(house.ask(house.base, house.tuned, house.further))
    assert set(sizes) == {3}
    sizes.clear()
    list(house.ask(house.base, house.tuned, together=False))
    assert set(sizes) == {1}


def test_one_that_cannot_mix_speaks_in_a_pass_of_its_own(house: House) -> None:
    names = (house.odd, house.base, house.tuned)
    for name, answer in zip(names, house.answers(*names), strict=True):
        house.is_true(name, answer)
    assert len(house.pool.loaded()) == 1


def test_other_bases_speak_at_the_same_time(house: House) -> None:
    names = (house.other, house.tuned, house.base)
    events = list(house.ask(*names))
    for answer in (event for event in events if isinstance(event, Answered)):
        house.is_true(names[answer.voice], answer)
    order = [event.who.model for event in events if isinstance(event, Token)]
    assert sum(a != b for a, b in itertools.pairwise(order)) > 4


def test_every_token_carries_the_weights_of_its_answer(house: House) -> None:
    names = (house.tuned, house.base)
    for event in house.ask(*names):
        if isinstance(event, Asked | Token | Answered):
            assert event.who.fingerprint == house.alone(names[event.voice])[1]
        if isinstance(event, Token):
            assert house.alone(names[event.voice])[0].startswith(event.text)


def test_after_a_switch_the_label_is_true(house: House) -> None:
    for name in (house.base, house.tuned, house.base, house.further, house.other, house.tuned):
        house.is_true(name, *house.answers(name))


def test_after_an_eviction_the_label_is_true(house: House) -> None:
    house.is_true(house.tuned, *house.answers(house.tuned))
    house.pool.unload(ModelReference.parse(house.base), "fp32")
    assert house.pool.loaded() == []
    for name in (house.base, house.tuned):
        house.is_true(name, *house.answers(name))


def test_an_adapter_trained_again_under_its_name_is_another(
    house: House, tiny_model: Path, tmp_path: Path
) -> None:
    name = f"{house.base}+{tmp_path / 'run'}"
    seen = set()
    for seed in (31, 32):
        tiny.save_adapter(tmp_path / "run", tiny_model, seed=seed)
        house._alone.pop((name, ASKED), None)
        (answer,) = house.answers(name)
        house.is_true(name, answer)
        seen.add(answer.who.fingerprint)
    assert len(seen) == 2


def together(work: list[Any]) -> None:
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()]


def test_twenty_visitors_at_once_all_hear_the_truth(house: House) -> None:
    orders = list(itertools.permutations((house.base, house.tuned, house.further, house.other), 2))
    heard: list[int] = []
    trouble: list[BaseException] = []

    def visit(names: tuple[str, str]) -> None:
        try:
            for name, answer in zip(names, house.answers(*names), strict=True):
                house.is_true(name, answer)
            heard.append(1)
        except BaseException as error:
            trouble.append(error)

    for names in orders:
        for name in names:
            house.alone(name)
    together([functools.partial(visit, orders[at % len(orders)]) for at in range(20)])
    assert trouble == []
    assert len(heard) == 20
    assert len(house.pool.loaded()) == 2


def test_who_else_uses_the_base_gets_the_base(house: House) -> None:
    """Perplexity and continuations take the same model from the pool."""
    list(house.ask(house.base, house.tuned))
    reference = ModelReference.parse(house.base)
    loaded = tiny.finish(house.pool.open(reference, "fp32", tiny.never()))[1]
    fresh = tiny.load(house.base, "fp32", house.settings)
    ids = torch.tensor([loaded.tokenizer("佢哋今日")["input_ids"]])
    assert loaded.attached
    assert torch.equal(loaded.model(ids).logits, fresh.model(ids).logits)


# Strength and seed


def test_strength_zero_is_the_base_and_says_so(house: House) -> None:
    base, tuned = house.answers(house.base, house.tuned, strengths=[1, 0.0])
    assert base.text == tuned.text
    assert tuned.who.strength == 0
    assert tuned.who.tuned


def test_one_adapter_at_two_strengths_is_two_answers(house: House) -> None:
    answers = house.answers(house.tuned, house.base, house.tuned, strengths=[1, 1, 0.0])
    assert [one.who.strength for one in answers] == [1, 1, 0]
    house.is_true(house.tuned, answers[0])
    assert answers[2].text == answers[1].text == house.alone(house.base)[0]


def test_all_draw_with_the_same_seed(house: House) -> None:
    options = SamplingOptions(8, seed=9)
    first, second = house.answers(house.base, house.tuned, strengths=[1, 0.0], options=options)
    assert first.text == second.text
    (alone,) = house.answers(house.tuned, strengths=[0.0], options=options)
    assert alone.text == first.text


def test_each_turn_draws_anew(house: House) -> None:
    later = (*ASKED, Message("assistant", "我唔知"), Message("user", "聽日"))
    voices = (Voice(ModelReference.parse(house.base)),) * 2
    asked = ChatRequest(voices, (ASKED, later), SamplingOptions(8, seed=9))
    assert (asked.seed_of(0), asked.seed_of(1)) == (9, 11)
    assert asked.models == (voices[0].reference,) * 2


# Conversations


def test_going_on_continues_the_answer(house: House) -> None:
    whole = house.alone(house.tuned)[0]
    (answer,) = house.answers(house.tuned, begun=(whole[:3],), options=SamplingOptions(
        5, temperature=0, repetition_penalty=1))  # fmt: skip
    assert answer.text == whole
    assert answer.received.text.endswith(whole[:3])


def test_a_base_goes_on_with_the_text(house: House) -> None:
    (answer,) = house.answers(house.base, mode="text", system="我唔知喎")
    assert answer.received.text == "我唔知喎\n佢哋今日去咗邊度"
    assert "Assistant" not in answer.received.text


def test_each_voice_reads_its_own_conversation(house: House) -> None:
    def talk(own: str) -> tuple[Message, ...]:
        return (*ASKED, Message("assistant", own), Message("user", "聽日"))

    talks = (talk("一"), talk("二"))
    for own, answer in zip(
        "一二", house.answers(house.base, house.tuned, talks=talks), strict=True
    ):
        assert own in answer.received.text


def test_a_character_stands_around_the_conversation(house: House) -> None:
    book = Lorebook((Entry(keys=("今日",), content="LORE"), Entry(keys=("never",), content="NO")))
    character = Character("Karen", "WHO", post_history="AFTER", lorebook=book)
    (answer,) = house.answers(house.base, character=character, system="SYSTEM", user="阿明")
    text = answer.received.text
    assert [text.index(part) for part in ("SYSTEM", "WHO", "LORE", ASKED[0].content, "AFTER")]
    assert "NO" not in text
    assert [(one.name, one.tokens > 0) for one in answer.received.fired] == [("今日", True)]


# Stop


def slowed(house: House, seconds: float) -> Any:
    list(house.ask(house.base, house.tuned))
    (loaded,) = house.pool.loaded()
    return loaded.model.register_forward_pre_hook(lambda *_: time.sleep(seconds))


LONG = SamplingOptions(120, temperature=2, top_k=0, top_p=1)


def test_stop_stops_within_a_second_and_keeps_what_was_said(house: House) -> None:
    slowed(house, 0.05)
    stop = threading.Event()
    events, pressed = [], 0.0
    for event in house.ask(house.base, house.tuned, options=LONG, stop=stop):
        events.append(event)
        if isinstance(event, Token) and not pressed:
            pressed = time.monotonic()
            stop.set()
    assert time.monotonic() - pressed < 1
    answers = [event for event in events if isinstance(event, Answered)]
    assert [one.stopped for one in answers] == [True, True]
    assert all(one.text for one in answers)


def test_a_closed_page_ends_the_pass_within_a_second_and_frees_the_base(house: House) -> None:
    slowed(house, 0.05)
    before = set(threading.enumerate())
    work = house.ask(house.base, house.tuned, options=LONG)
    next(event for event in work if isinstance(event, Token))
    closed = time.monotonic()
    work.close()  # type: ignore[attr-defined]
    assert time.monotonic() - closed < 1
    assert not set(threading.enumerate()) - before
    house.pool.unload(ModelReference.parse(house.base), "fp32")


def test_who_waits_hears_of_it_and_can_stop(house: House) -> None:
    list(house.ask(house.base))
    (loaded,) = house.pool.loaded()
    stop = threading.Event()
    with loaded.lock:
        seen = []
        for event in house.ask(house.base, stop=stop):
            seen.append(event)
            if isinstance(event, Progress) and event.stage == "wait":
                stop.set()
    assert isinstance(seen[-1], Failed)
    assert isinstance(seen[-1].error, Stopped)
    assert len(house.answers(house.base)) == 1


# What goes wrong


def test_what_is_asked_is_checked(house: House) -> None:
    with pytest.raises(NoModel):
        list(house.ask())
    with pytest.raises(TooManyVoices):
        list(house.ask(*[house.base] * 5))
    for talk in ((), (Message("user", " "),), (Message("assistant", "a"),)):
        with pytest.raises(NothingSaid):
            list(house.ask(house.base, talks=(talk,)))
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(OutOfRange):
            Voice(ModelReference.parse(house.base), strength)
    with pytest.raises(OutOfRange):
        list(house.ask(house.base, context=1))


def errors(events: Iterator[Any]) -> list[Any]:
    return [event.error for event in events if isinstance(event, Failed)]


def test_an_adapter_for_another_base_fails_alone(house: House, tmp_path: Path) -> None:
    tokenizer = tiny.characters()
    wide = tiny.save(tmp_path / "wide", tiny.network(tokenizer, hidden_size=64), tokenizer)
    adapter = tiny.save_adapter(tmp_path / "adapter", wide)
    events = list(house.ask(f"{house.base}+{adapter}", house.tuned, house.base))
    assert [type(error) for error in errors(iter(events))] == [BadAdapter]
    answers = {event.voice: event for event in events if isinstance(event, Answered)}
    house.is_true(house.tuned, answers[1])
    house.is_true(house.base, answers[2])


def test_a_message_of_100_000_characters_is_one_sentence(house: House) -> None:
    talk = (Message("user", "佢" * 100_000),)
    events = list(house.ask(house.base, house.tuned, talks=(talk, ASKED)))
    (error,) = errors(iter(events))
    assert isinstance(error, MessageTooLong)
    assert "100," in str(error)
    assert [event.voice for event in events if isinstance(event, Answered)] == [1]


def test_running_out_of_memory_is_one_sentence_and_the_next_request_works(house: House) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    list(house.ask(house.base))
    hook = house.pool.loaded()[0].model.register_forward_pre_hook(fail)
    assert [type(error) for error in errors(house.ask(house.base, house.tuned))] == [OutOfMemory]
    hook.remove()
    house.is_true(house.tuned, *house.answers(house.tuned))
