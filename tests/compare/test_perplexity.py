"""Perplexity: the right number, whatever the window, the batch or the memory; nothing is lost."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.fakes import Shelf
from tests.independent import nll_of_each_token
from workbench.compare.history import History
from workbench.compare.perplexity import (
    PerplexityRequest,
    PerplexityResult,
    Scored,
    perplexities,
    score,
    window_size,
)
from workbench.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    NoPrefixToken,
    NumericalFault,
    OutOfMemory,
    Stopped,
)
from workbench.events import Failed, Progress
from workbench.models.loader import LoadedModel
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.texts import Text, sample

DOCUMENTS = (
    "佢哋今日去咗邊度食嘢呀?",
    "x",
    "The quick brown fox " * 6,
    "我唔知喎! " * 9,
    "𨋢😀\n\n  啦",
)
SOMETHING = ModelReference.parse("made/here")


def request(documents: tuple[str, ...] = (tiny.TEXT,), **more: Any) -> PerplexityRequest:
    return PerplexityRequest((SOMETHING,), Text("a text", documents), **more)


def result(loaded: LoadedModel, asked: PerplexityRequest) -> PerplexityResult:
    return tiny.finish(score(loaded, asked, tiny.never()))[1]


# The number


def test_it_agrees_with_scoring_token_by_token(any_tiny: LoadedModel) -> None:
    wanted = math.fsum(nll_of_each_token(any_tiny, tiny.TEXT))
    assert result(any_tiny, request()).nll_nats == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("context", "stride"), [(16, 8), (16, 1), (16, 15), (9, 4), (40, 3)])
def test_it_agrees_with_scoring_token_by_token_through_windows(
    by_characters: LoadedModel, context: int, stride: int
) -> None:
    found = result(by_characters, request(context=context, stride=stride))
    wanted = nll_of_each_token(by_characters, tiny.TEXT, context, stride)
    assert found.nll_nats == pytest.approx(math.fsum(wanted), rel=1e-6)
    assert found.scored_tokens == len(wanted)


def test_windows_matter_so_the_test_above_can_fail(by_characters: LoadedModel) -> None:
    whole, cut = result(by_characters, request()), result(by_characters, request(context=9))
    assert abs(whole.nll_nats - cut.nll_nats) > 0.1


def test_documents_scored_together_are_scored_as_if_alone(any_tiny: LoadedModel) -> None:
    together = result(any_tiny, request(DOCUMENTS, context=32))
    alone = [result(any_tiny, request((one,), context=32)) for one in DOCUMENTS]
    assert together.document_nll == pytest.approx([one.nll_nats for one in alone], rel=1e-5)
    assert together.nll_nats == pytest.approx(math.fsum(together.document_nll), rel=1e-12)
    assert together.scored_tokens == sum(one.scored_tokens for one in alone)


def test_a_model_used_whole_gives_the_same_number(by_characters: LoadedModel) -> None:
    class Whole(type(by_characters.model)):  # type: ignore[misc]
        def get_output_embeddings(self) -> None:
            return None

    whole = Whole(by_characters.model.config)
    whole.load_state_dict(by_characters.model.state_dict())
    loaded = tiny.in_memory(whole.eval(), by_characters.tokenizer)
    asked = request(DOCUMENTS, context=32)
    assert result(loaded, asked).document_nll == pytest.approx(
        result(by_characters, asked).document_nll, rel=1e-5
    )


def test_an_adapter_changes_the_number(
    tiny_model: Path, tiny_adapter: Path, by_characters: LoadedModel, settings: Settings
) -> None:
    tuned = tiny.load(f"file:{tiny_model}+{tiny_adapter}", "fp32", settings)
    found, plain = result(tuned, request()), result(by_characters, request())
    wanted = math.fsum(nll_of_each_token(tuned, tiny.TEXT))
    assert found.nll_nats == pytest.approx(wanted, rel=1e-6)
    assert abs(found.nll_nats - plain.nll_nats) > 1
    assert tuned.fingerprint.startswith(f"{by_characters.fingerprint}+")


@pytest.mark.real
def test_a_bundled_model_in_bf16_agrees_with_scoring_token_by_token(gemma: LoadedModel) -> None:
    text = "佢哋搭𨋢上去，食嘢呀😀"
    asked = PerplexityRequest((gemma.reference,), Text("a text", (text,)))
    wanted = math.fsum(nll_of_each_token(gemma, text))
    # bf16 has three digits, and a batch of another shape rounds otherwise
    assert result(gemma, asked).nll_nats == pytest.approx(wanted, rel=5e-3)


@pytest.mark.real
@pytest.mark.parametrize("name", ["gemma-3-270m", "smollm2-135m-instruct"])
def test_the_bundled_models_in_fp32_agree_to_five_digits(
    name: str, real_settings: Settings
) -> None:
    loaded = tiny.load(f"bundled:{name}", "fp32", real_settings)
    text = "佢哋搭𨋢上去，食嘢呀😀"
    asked = PerplexityRequest((loaded.reference,), Text("a text", (text,)), context=10, stride=4)
    wanted = math.fsum(nll_of_each_token(loaded, text, 10, 4))
    assert result(loaded, asked).nll_nats == pytest.approx(wanted, rel=1e-5)


@pytest.mark.real
def test_bits_per_character_and_token_perplexity_rank_the_bundled_models_differently(
    gemma: LoadedModel, smollm: LoadedModel
) -> None:
    few = Text("a few", sample("cantonese").documents[:4])
    first = result(gemma, PerplexityRequest((gemma.reference,), few))
    second = result(smollm, PerplexityRequest((smollm.reference,), few))
    assert first.bits_per_character < second.bits_per_character
    assert first.token_perplexity > second.token_perplexity
    assert (first.characters, first.bytes) == (second.characters, second.bytes)


# The units


def test_figures_are_of_the_text_and_not_of_the_tokenizer(
    by_characters: LoadedModel, by_bytes: LoadedModel
) -> None:
    found = [result(model, request(DOCUMENTS)) for model in (by_characters, by_bytes)]
    text = "".join(DOCUMENTS)
    for one in found:
        assert (one.characters, one.bytes) == (len(text), len(text.encode()))
        assert one.document_characters == tuple(map(len, DOCUMENTS))
        assert one.bits_per_character == pytest.approx(one.nll_nats / math.log(2) / len(text))
        assert one.bits_per_byte == pytest.approx(one.nll_nats / math.log(2) / len(text.encode()))
    assert found[0].scored_tokens == len(text)
    assert found[1].scored_tokens == len(text.encode())
    assert found[1].token_perplexity == pytest.approx(
        math.exp(found[1].nll_nats / len(text.encode()))
    )


def test_unknown_characters_are_counted(by_characters: LoadedModel) -> None:
    assert by_characters.tokenizer.unk_token_id == 0
    assert result(by_characters, request(("佢𨋢😀a",))).unknown_tokens == 2


def test_progress_counts_tokens_up_to_the_last(by_characters: LoadedModel) -> None:
    asked = request(("我唔知喎!" * 40,) * 12, context=64)
    events, found = tiny.finish(score(by_characters, asked, tiny.never()))
    counted = [event for event in events if event.stage == "score"]
    assert [event.done for event in counted] == sorted({event.done for event in counted})
    assert counted[-1].done == counted[-1].total == found.scored_tokens == 12 * 200
    assert len(counted) >= 3


def test_json_figures_have_the_promised_names(by_characters: LoadedModel) -> None:
    names = (
        "model precision nll_nats scored_tokens characters bytes bits_per_character "
        "bits_per_byte token_perplexity seconds tokens_per_second peak_memory_bytes"
    )
    found = result(by_characters, request())
    assert list(found.figures()) == names.split()
    assert found.peak_memory_bytes > 10_000_000
    assert found.tokens_per_second == pytest.approx(found.scored_tokens / found.seconds)


# What is asked


@pytest.mark.parametrize(
    "wrong",
    [
        *({"context": 7}, {"context": 0}, {"context": 64, "stride": 64}, {"stride": 0}),
        *({"stride": 1024}, {"context": 16, "stride": -1}),
    ],
)
def test_windows_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest):
        request(**wrong)


def test_at_least_one_model_is_needed() -> None:
    with pytest.raises(InvalidRequest):
        PerplexityRequest((), Text("a text", ("x",)))


def test_a_context_beyond_the_model_is_refused(by_characters: LoadedModel) -> None:
    assert window_size(by_characters, 256, None) == (256, 128)
    with pytest.raises(ContextTooLong, match=r"257 tokens.*256"):
        result(by_characters, request(context=257))


def test_without_a_wish_the_model_decides(by_characters: LoadedModel) -> None:
    assert window_size(by_characters, None, None) == (256, 128)
    assert window_size(by_characters, None, 1000) == (256, 255)


def test_a_model_without_any_special_token_cannot_start() -> None:
    tokenizer = tiny.merged_bytes()
    loaded = tiny.in_memory(tiny.network(tokenizer), tokenizer)
    with pytest.raises(NoPrefixToken):
        result(loaded, request())


def test_the_end_of_text_token_starts_where_there_is_no_other(by_pairs: LoadedModel) -> None:
    assert by_pairs.tokenizer.bos_token_id is None
    assert by_pairs.prefix_token == by_pairs.tokenizer.eos_token_id


# What goes wrong


@pytest.mark.parametrize("damage", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_traced(damage: float) -> None:
    tokenizer = tiny.characters()
    model = tiny.network(tokenizer)
    bad = tokenizer("喎")["input_ids"][-1]
    model.model.embed_tokens.weight[bad] = damage
    loaded = tiny.in_memory(model, tokenizer)
    with pytest.raises(NumericalFault) as caught:
        result(loaded, request(("abc", "abcdefghijklm喎nop"), context=8, stride=4))
    # the 14th character is read first in the third window, which scores the 12th to the 15th
    facts = caught.value.facts
    assert (facts["document"], facts["window"]) == (2, 3)
    assert 12 <= facts["token"] <= 15


@contextmanager
def memory_for(loaded: LoadedModel, tokens: int) -> Iterator[list[int]]:
    """A model whose memory runs out above so many tokens; lists the sizes it was asked for."""
    asked: list[int] = []

    def check(_module: Any, arguments: Any, options: Any) -> None:
        ids = options.get("input_ids", arguments[0] if arguments else None)
        asked.append(ids.numel())
        if ids.numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    hook = loaded.model.base_model.register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield asked
    finally:
        hook.remove()


def test_when_the_memory_runs_out_smaller_batches_give_the_same_number(
    by_characters: LoadedModel,
) -> None:
    asked = request(tuple(document * 3 for document in DOCUMENTS) * 4, context=64)
    wanted = result(by_characters, asked)
    with memory_for(by_characters, 150) as sizes:
        found = result(by_characters, asked)
    assert max(sizes) > 150
    assert found.document_nll == pytest.approx(wanted.document_nll, rel=1e-5)
    assert found.scored_tokens == wanted.scored_tokens
    assert sum(size > 150 for size in sizes) < 8


def test_when_one_window_is_too_much_it_is_told(by_characters: LoadedModel) -> None:
    with memory_for(by_characters, 20), pytest.raises(OutOfMemory):
        result(by_characters, request(context=64))
    assert result(by_characters, request(context=64)).scored_tokens


def test_even_the_first_probe_may_run_out_of_memory(by_characters: LoadedModel) -> None:
    with memory_for(by_characters, 1), pytest.raises(OutOfMemory):
        result(by_characters, request())


def test_an_error_that_is_not_about_memory_is_not_hidden(by_characters: LoadedModel) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    hook = by_characters.model.base_model.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="a bug"):
            result(by_characters, request())
    finally:
        hook.remove()


def test_stop_is_heard_between_batches(by_characters: LoadedModel) -> None:
    stop = threading.Event()
    work = score(by_characters, request(("abc " * 50,) * 40, context=64), stop)
    done = 0.0
    with pytest.raises(Stopped):
        for event in work:
            done = event.done if event.stage == "score" else done
            if done:
                stop.set()
    assert 0 < done < 40 * 200


# Several models


@pytest.fixture
def scene(
    tiny_model: Path, tiny_bytes: Path, tiny_gpt2: Path, settings: Settings
) -> tuple[tuple[ModelReference, ...], ModelPool, History]:
    references = tuple(
        ModelReference.parse(f"file:{folder}") for folder in (tiny_model, tiny_bytes, tiny_gpt2)
    )
    history = History(settings.workspace / "results.sqlite")
    return references, ModelPool(settings), history


Scene = tuple[tuple[ModelReference, ...], ModelPool, History]


def run(scene: Scene, stop: threading.Event | None = None, **more: Any) -> list[Any]:
    references, pool, history = scene
    options = {"text": Text("a text", DOCUMENTS), "precision": "fp32", **more}
    asked = PerplexityRequest(**{"models": references, **options})
    return list(perplexities(asked, pool, history, stop or tiny.never()))


def scored(events: list[Any]) -> list[Scored]:
    return [event for event in events if isinstance(event, Scored)]


def test_models_are_scored_in_order_and_remembered(scene: Scene) -> None:
    found = scored(run(scene))
    assert [one.result.model for one in found] == [str(reference) for reference in scene[0]]
    assert [one.reused for one in found] == [False] * 3
    assert [scene[2].get(one.number).model for one in found] == [one.result.model for one in found]


def test_what_is_stored_is_not_computed_again(scene: Scene) -> None:
    first = scored(run(scene))
    references, _, history = scene
    events = run((references, ModelPool(Settings(), loader=Shelf({})), history))
    again = scored(events)
    assert [one.reused for one in again] == [True] * 3
    assert [one.result for one in again] == [one.result for one in first]
    assert [one.number for one in again] == [one.number for one in first]
    assert not [event for event in events if isinstance(event, Progress)]


@pytest.mark.parametrize(
    "other", [{"context": 16}, {"stride": 3}, {"precision": "bf16"}, {"again": True}]
)
def test_another_question_is_computed(scene: Scene, other: dict[str, Any]) -> None:
    run(scene, models=scene[0][:1])
    assert [one.reused for one in scored(run(scene, models=scene[0][:1], **other))] == [False]


def test_the_same_text_under_another_name_is_the_same_text(scene: Scene) -> None:
    run(scene, models=scene[0][:1])
    again = run(scene, models=scene[0][:1], text=Text("another name", DOCUMENTS))
    assert [one.reused for one in scored(again)] == [True]


def test_a_model_that_fails_does_not_stop_the_next(scene: Scene, tmp_path: Path) -> None:
    references, pool, history = scene
    missing = ModelReference.parse(f"file:{tmp_path}/nothing")
    events = run(((references[0], missing, references[1]), pool, history))
    outcome = [event for event in events if isinstance(event, (Scored, Failed))]
    assert [type(event) for event in outcome] == [Scored, Failed, Scored]
    assert isinstance(outcome[1].error, ModelNotFound)
    assert outcome[1].model == str(missing)


@pytest.mark.parametrize("tokens", [1, 20])
def test_after_running_out_of_memory_the_next_model_is_scored(
    scene: Scene, tokens: int, by_characters: LoadedModel, by_bytes: LoadedModel
) -> None:
    references, _, history = scene
    shelf = Shelf({str(references[0]): by_characters, str(references[1]): by_bytes})
    pool = ModelPool(Settings(), loader=shelf)
    with memory_for(by_characters, tokens):
        events = run((references[:2], pool, history))
    outcome = [event for event in events if isinstance(event, (Scored, Failed))]
    assert [type(event) for event in outcome] == [Failed, Scored]
    assert isinstance(outcome[0].error, OutOfMemory)
    again = run((references[:1], pool, history))
    assert [type(event) for event in scored(again)] == [Scored]


def test_a_stop_ends_all_and_keeps_what_was_finished(scene: Scene) -> None:
    stop = threading.Event()
    references, pool, history = scene
    asked = PerplexityRequest(references, Text("a text", DOCUMENTS), "fp32")
    events = []
    for event in perplexities(asked, pool, history, stop):
        events.append(event)
        if isinstance(event, Scored):
            stop.set()
    outcome = [event for event in events if isinstance(event, (Scored, Failed))]
    assert [type(event) for event in outcome] == [Scored, Failed]
    assert isinstance(outcome[1].error, Stopped)
    assert len(history.search()) == 1
    assert len(scored(run(scene))) == 3


def test_a_closed_page_leaves_the_model_free(scene: Scene) -> None:
    references, pool, history = scene
    asked = PerplexityRequest(references[:1], Text("a text", DOCUMENTS), "fp32")
    work = perplexities(asked, pool, history, tiny.never())
    seen: Callable[[Any], bool] = lambda event: getattr(event, "stage", "") == "score"  # noqa: E731
    assert next(event for event in work if seen(event))
    work.close()  # type: ignore[attr-defined]
    pool.unload(references[0], "fp32")
    assert pool.loaded() == []
