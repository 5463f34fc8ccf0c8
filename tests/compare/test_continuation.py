"""What models write: the same for the same seed, side by side, and stopped when told."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.fakes import Shelf
from workbench.compare.continuation import (
    ContinuationRequest,
    Place,
    Token,
    Written,
    continuations,
)
from workbench.compare.history import History
from workbench.errors import (
    ContextTooLong,
    EmptyText,
    InvalidRequest,
    LoadFailed,
    OutOfMemory,
    Stopped,
)
from workbench.events import Failed
from workbench.language import REGISTERS
from workbench.models.decoding import encode
from workbench.models.loader import LoadedModel
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.models.sampling import PRESETS, SamplingOptions, processors
from workbench.settings import Settings

CHARACTERS, BYTES, PAIRS = map(
    ModelReference.parse, ["made/characters", "made/bytes", "made/pairs"]
)
SHORT = SamplingOptions(max_new_tokens=24)


class Scene:
    """Three tiny models on a shelf, and a history."""

    def __init__(self, models: dict[ModelReference, LoadedModel], folder: Path) -> None:
        self.shelf = Shelf({str(reference): model for reference, model in models.items()})
        self.pool = _Unmeasured(Settings(), loader=self.shelf)
        self.history = History(folder / "results.sqlite")

    def start(
        self,
        *models: ModelReference,
        prompts: tuple[str, ...] = ("佢話",),
        options: SamplingOptions = SHORT,
        stop: threading.Event | None = None,
        **more: Any,
    ) -> Iterator[Any]:
        request = ContinuationRequest(models, prompts, options, "fp32", **more)
        return continuations(request, self.pool, self.history, stop or tiny.never())

    def written(self, *models: ModelReference, **more: Any) -> list[Written]:
        return [event for event in self.start(*models, **more) if isinstance(event, Written)]

    def texts(self, *models: ModelReference, **more: Any) -> list[str]:
        return [one.text for one in self.written(*models, **more)]


class _Unmeasured(ModelPool):
    """The models have no files to estimate from."""

    def _make_room(self, *_: Any) -> None:
        return None


@pytest.fixture
def scene(
    by_characters: LoadedModel, by_bytes: LoadedModel, by_pairs: LoadedModel, tmp_path: Path
) -> Scene:
    named = {}
    for reference, model in ((CHARACTERS, by_characters), (BYTES, by_bytes), (PAIRS, by_pairs)):
        named[reference] = tiny.in_memory(model.model, model.tokenizer, str(reference))
    return Scene(named, tmp_path)


# The same seed


def test_the_same_seed_gives_the_same_text(scene: Scene) -> None:
    first = scene.texts(CHARACTERS, options=SamplingOptions(24, samples=3))
    second = scene.texts(CHARACTERS, options=SamplingOptions(24, samples=3), again=True)
    assert first == second
    assert len(set(first)) == 3


def test_another_seed_gives_another_text(scene: Scene) -> None:
    texts = {
        scene.texts(CHARACTERS, options=SamplingOptions(24, seed=seed))[0] for seed in range(4)
    }
    assert len(texts) == 4


def test_a_sample_does_not_depend_on_who_else_is_in_the_batch(scene: Scene) -> None:
    many = scene.texts(BYTES, options=SamplingOptions(24, seed=5, samples=4))
    alone = [scene.texts(BYTES, options=SamplingOptions(24, seed=5 + at))[0] for at in range(4)]
    assert many == alone


def test_a_text_does_not_depend_on_what_else_is_written(scene: Scene) -> None:
    alone = scene.texts(CHARACTERS)
    beside = scene.written(CHARACTERS, BYTES, prompts=("x", "佢話"), again=True)
    place = Place(str(CHARACTERS), 1, 0)
    assert [one.text for one in beside if one.place == place] == alone


def test_the_global_seed_is_neither_used_nor_changed(scene: Scene) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    first = scene.texts(CHARACTERS)
    assert torch.equal(torch.rand(3), expected)
    assert scene.texts(CHARACTERS, again=True) == first


# What is drawn


@pytest.mark.parametrize("reference", [CHARACTERS, BYTES, PAIRS])
def test_greedy_is_what_generate_gives(reference: ModelReference, scene: Scene) -> None:
    loaded = scene.shelf.models[str(reference)]
    ids = loaded.tokenizer("佢話", return_tensors="pt")["input_ids"]
    whole = loaded.model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
    kept = [token for token in whole.tolist() if token not in loaded.tokenizer.all_special_ids]
    wanted = loaded.tokenizer.decode(kept).rstrip("\ufffd")
    options = SamplingOptions(24, temperature=0, top_k=0, top_p=1, repetition_penalty=1)
    assert scene.texts(reference, options=options) == [wanted]


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0, 0.5]])
    options = SamplingOptions(temperature=1, top_k=0, top_p=1, repetition_penalty=1)
    chain, draws = processors(options), 4000
    drawn = [int(chain(torch.zeros(1, 1, dtype=torch.long), logits).argmax()) for _ in range(draws)]
    found = torch.bincount(torch.tensor(drawn), minlength=5) / draws
    assert torch.allclose(found, torch.softmax(logits[0], 0), atol=0.03)


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        ({"top_k": 2}, {0, 3}),
        ({"top_p": 0.7}, {0, 3}),
        ({"min_p": 0.3}, {0, 3}),
        ({"temperature": 0}, {3}),
        ({"temperature": 0.01}, {3}),
        ({"repetition_penalty": 3.0}, {0, 1, 2, 3, 4}),
    ],
)
def test_options_cut_the_distribution(options: dict[str, Any], possible: set[int]) -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0, -0.5]])
    none = {"temperature": 1, "top_k": 0, "top_p": 1, "repetition_penalty": 1}
    chain = processors(SamplingOptions(**{**none, **options}))
    before = torch.zeros(1, 1, dtype=torch.long)
    assert {int(chain(before, logits.clone()).argmax()) for _ in range(400)} == possible


def test_repetition_is_penalized() -> None:
    logits = torch.tensor([[2.0, 1.9, -1.0]])
    chain = processors(SamplingOptions(temperature=0, repetition_penalty=1.2))
    assert int(chain(torch.tensor([[0]]), logits).argmax()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        *({"max_new_tokens": 0}, {"temperature": -0.1}, {"temperature": 6}, {"top_k": -1}),
        *({"top_p": 0}, {"top_p": 1.1}, {"min_p": 1}, {"repetition_penalty": 0}, {"seed": -1}),
        *({"samples": 0}, {"samples": 9}, {"seed": 2**32}, {"temperature": float("nan")}),
    ],
)
def test_options_outside_their_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        SamplingOptions(**wrong)


def test_the_series_preset_is_the_series() -> None:
    series = PRESETS["series"]
    assert (series.temperature, series.top_k, series.top_p) == (0.9, 50, 0.95)
    assert series.repetition_penalty == 1.2


# What comes out


def test_special_tokens_never_appear(scene: Scene) -> None:
    options = SamplingOptions(60, temperature=5, top_k=0, top_p=1, samples=8)
    for reference in (CHARACTERS, BYTES, PAIRS):
        tokenizer = scene.shelf.models[str(reference)].tokenizer
        for text in scene.texts(reference, options=options):
            assert not [token for token in tokenizer.all_special_tokens if token in text]


def test_a_text_ends_where_the_model_ends_it(scene: Scene) -> None:
    loaded = scene.shelf.models[str(CHARACTERS)]
    eos = loaded.tokenizer.eos_token_id
    bias = torch.zeros(len(loaded.tokenizer))
    bias[eos] = 6.0
    hook = loaded.model.lm_head.register_forward_hook(lambda _module, _input, out: out + bias)
    try:
        written = scene.written(CHARACTERS, options=SamplingOptions(60, samples=4))
    finally:
        hook.remove()
    assert min(one.tokens for one in written) < 60
    assert all(one.tokens == len(one.text) and not one.stopped for one in written)


def test_tokens_arrive_before_the_end_and_grow_to_the_text(scene: Scene) -> None:
    events = list(scene.start(BYTES, options=SamplingOptions(40, samples=2)))
    for written in (event for event in events if isinstance(event, Written)):
        grown = [
            event.text
            for event in events
            if isinstance(event, Token) and event.place == written.place
        ]
        assert grown[-1] == written.text
        assert len(grown) == written.tokens
        assert not any(text.endswith("\ufffd") for text in grown)


def test_each_sample_carries_its_register_and_its_weights(scene: Scene) -> None:
    for one in scene.written(CHARACTERS, BYTES):
        assert one.register in REGISTERS
        assert one.fingerprint == one.place.model
        assert one.tokens_per_second > 0


def test_two_models_stream_side_by_side(scene: Scene) -> None:
    order = [
        event.place.model
        for event in scene.start(CHARACTERS, BYTES, options=SamplingOptions(30))
        if isinstance(event, Token)
    ]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    fewer = min(order.count(str(CHARACTERS)), order.count(str(BYTES)))
    assert fewer > 4
    assert changes >= fewer  # taking turns would be twice as many, one after the other is one


def test_every_prompt_goes_to_every_model(scene: Scene) -> None:
    written = scene.written(CHARACTERS, PAIRS, prompts=("a", "佢"), options=SamplingOptions(4))
    wanted = [(str(model), prompt, 0) for model in (CHARACTERS, PAIRS) for prompt in (0, 1)]
    places = [(one.place.model, one.place.prompt, one.place.sample) for one in written]
    assert sorted(places) == sorted(wanted)


def test_the_same_model_asked_for_twice_writes_once(scene: Scene) -> None:
    assert len(scene.written(CHARACTERS, CHARACTERS)) == 1


# Stop


class Endless(threading.Thread):
    """Runs a generator and notes when each event came."""

    def __init__(self, events: Iterator[Any]) -> None:
        super().__init__(daemon=True)
        self.events, self.seen, self.ended = events, [], 0.0
        self.start()

    def run(self) -> None:
        for event in self.events:
            self.seen.append(event)
        self.ended = time.monotonic()


def slowed(loaded: LoadedModel, seconds: float = 0.02) -> Any:
    return loaded.model.register_forward_pre_hook(lambda *_: time.sleep(seconds))


def test_stop_stops_within_a_second_and_keeps_what_was_written(scene: Scene) -> None:
    hooks = [slowed(scene.shelf.models[str(one)]) for one in (CHARACTERS, BYTES)]
    stop = threading.Event()
    options = SamplingOptions(200)
    work = Endless(scene.start(CHARACTERS, BYTES, prompts=("a", "b"), options=options, stop=stop))
    while sum(isinstance(event, Token) for event in work.seen) < 10:
        time.sleep(0.01)
    pressed = time.monotonic()
    stop.set()
    work.join(20)
    for hook in hooks:
        hook.remove()
    assert work.ended - pressed < 1
    written = [event for event in work.seen if isinstance(event, Written)]
    assert [one.stopped for one in written] == [True, True]
    assert all(one.text and one.tokens < 200 for one in written)
    assert isinstance(work.seen[-1], Failed)
    assert isinstance(work.seen[-1].error, Stopped)
    assert scene.history.search() == []


def test_a_closed_page_ends_the_writing_and_frees_the_models(scene: Scene) -> None:
    before = set(threading.enumerate())
    work = scene.start(CHARACTERS, BYTES, options=SamplingOptions(200))
    next(event for event in work if isinstance(event, Token))
    assert set(threading.enumerate()) - before
    work.close()  # type: ignore[attr-defined]
    assert not set(threading.enumerate()) - before
    for reference in (CHARACTERS, BYTES):
        scene.pool.unload(reference, "fp32")
    assert scene.pool.loaded() == []


def test_two_visitors_with_the_models_in_another_order_both_come_to_an_end(scene: Scene) -> None:
    hooks = [slowed(scene.shelf.models[str(one)], 0.002) for one in (CHARACTERS, BYTES)]
    work = [
        Endless(scene.start(*models, prompts=(f"a{turn}",), options=SamplingOptions(8)))
        for turn in range(6)
        for models in ((CHARACTERS, BYTES), (BYTES, CHARACTERS))
    ]
    for one in work:
        one.join(60)
    for hook in hooks:
        hook.remove()
    assert not [one for one in work if one.is_alive()]
    for one in work:
        assert sum(isinstance(event, Written) for event in one.seen) == 2


# What goes wrong


def test_what_is_asked_is_checked() -> None:
    with pytest.raises(InvalidRequest):
        ContinuationRequest((), ("a",))
    for prompts in ((), ("",), ("a", " ")):
        with pytest.raises(EmptyText):
            ContinuationRequest((CHARACTERS,), prompts)
    with pytest.raises(InvalidRequest):
        ContinuationRequest((CHARACTERS,), ("a",) * 51)


def test_prompt_and_answer_must_fit_the_model(scene: Scene) -> None:
    loaded = scene.shelf.models[str(CHARACTERS)]
    assert len(encode(loaded, "a" * 250, 6)) == 250
    with pytest.raises(ContextTooLong):
        encode(loaded, "a" * 250, 7)


def test_a_prompt_that_is_too_long_fails_for_one_model_only(scene: Scene) -> None:
    events = list(scene.start(BYTES, CHARACTERS, prompts=("喎" * 80,)))
    failed = [event for event in events if isinstance(event, Failed)]
    assert [(event.model, type(event.error)) for event in failed] == [(str(BYTES), ContextTooLong)]
    assert [one.place.model for one in events if isinstance(one, Written)] == [str(CHARACTERS)]


def test_a_model_that_does_not_load_leaves_the_others_writing(scene: Scene) -> None:
    missing = ModelReference.parse("made/nowhere")
    events = list(scene.start(missing, CHARACTERS))
    failed = next(event for event in events if isinstance(event, Failed))
    assert isinstance(failed.error, LoadFailed)
    assert [one.place.model for one in events if isinstance(one, Written)] == [str(CHARACTERS)]


def test_running_out_of_memory_is_one_sentence_and_the_next_request_works(scene: Scene) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    hook = scene.shelf.models[str(CHARACTERS)].model.register_forward_pre_hook(fail)
    events = list(scene.start(CHARACTERS, BYTES))
    hook.remove()
    failed = [event.error for event in events if isinstance(event, Failed)]
    assert [type(error) for error in failed] == [OutOfMemory]
    assert len(scene.texts(CHARACTERS)) == 1


# History


@pytest.fixture
def on_disk(tiny_model: Path, tmp_path: Path) -> tuple[ModelReference, History]:
    return ModelReference.parse(f"file:{tiny_model}"), History(tmp_path / "results.sqlite")


def write(who: tuple[ModelReference, History], pool: ModelPool, **more: Any) -> list[Written]:
    asked = {"prompts": ("佢話", "我"), "options": SamplingOptions(12, samples=2), **more}
    request = ContinuationRequest(models=(who[0],), precision="fp32", **asked)
    events = continuations(request, pool, who[1], tiny.never())
    return [event for event in events if isinstance(event, Written)]


def test_what_was_written_is_shown_again_without_the_model(
    on_disk: tuple[ModelReference, History], settings: Settings
) -> None:
    first = write(on_disk, ModelPool(settings))
    again = write(on_disk, ModelPool(settings, loader=Shelf({})))
    assert [one.reused for one in first] == [False] * 4
    assert [one.reused for one in again] == [True] * 4
    key = lambda one: (one.place.prompt, one.place.sample)  # noqa: E731
    assert [one.text for one in sorted(again, key=key)] == [
        one.text for one in sorted(first, key=key)
    ]


@pytest.mark.parametrize(
    "other",
    [{"options": SamplingOptions(12, seed=2, samples=2)}, {"prompts": ("我哋",)}, {"again": True}],
)
def test_another_request_is_written_anew(
    on_disk: tuple[ModelReference, History], settings: Settings, other: dict[str, Any]
) -> None:
    write(on_disk, ModelPool(settings))
    assert not any(one.reused for one in write(on_disk, ModelPool(settings), **other))


@pytest.mark.real
def test_the_bundled_models_write_side_by_side(
    gemma: LoadedModel, smollm: LoadedModel, tmp_path: Path
) -> None:
    scene = Scene({model.reference: model for model in (gemma, smollm)}, tmp_path)
    references = (gemma.reference, smollm.reference)
    prompt = ("今日香港天氣好熱，我哋不如",)
    first = scene.written(*references, prompts=prompt, options=SamplingOptions(12), again=True)
    second = scene.written(*references, prompts=prompt, options=SamplingOptions(12), again=True)
    by_model = lambda written: {one.place.model: one.text for one in written}  # noqa: E731
    assert by_model(first) == by_model(second)
    assert set(by_model(first)) == {gemma.name, smollm.name}
    assert all(text.strip() for text in by_model(first).values())
