"""Vectors, who is nearest to whom, and the embedders that can be had without a network."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.errors import ModelNotFound, OutOfRange, PickleWeights, Stopped
from workbench.events import Progress
from workbench.likeness import meaning as searching
from workbench.likeness.embedders import LONGEST, excerpt, nano, sentence_transformer
from workbench.likeness.meaning import (
    embeddings,
    meaning,
    meaning_between,
    similar,
    similar_between,
    unit,
)
from workbench.likeness.pairs import Pairs


def drain(work: Generator[Progress, None, Any]) -> tuple[Any, list[Progress]]:
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as finished:
            return finished.value, events


def listed(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def by_letters(texts: list[str]) -> np.ndarray:
    """A real, if simple, embedder: how often each letter comes, in 512 buckets."""
    made = np.zeros((len(texts), 512), np.float32)
    for row, text in enumerate(texts):
        for letter in text:
            made[row, ord(letter) % 512] += 1
    return made


def cloud(rows: int, seed: int, doubled: int = 20) -> np.ndarray:
    """Vectors at random; the last ones lie close to the first ones."""
    draw = np.random.default_rng(seed)
    vectors = draw.standard_normal((rows, 48))
    vectors[rows - doubled :] = vectors[:doubled] + 0.05 * draw.standard_normal((doubled, 48))
    return unit(vectors.astype(np.float32))


# ---- embeddings


def test_vectors_have_length_one_and_rows_without_letters_none() -> None:
    vectors, _ = drain(embeddings(["你好", "", "！！", "早晨"], by_letters))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 0, 1])
    assert vectors.dtype == np.float32


def test_copies_are_embedded_once() -> None:
    seen: list[str] = []

    def counting(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return by_letters(texts)

    vectors, _ = drain(embeddings(["早晨", "早晨！", "早抖", "早晨"], counting))
    assert seen == ["早晨", "早抖"]
    assert (vectors[0] == vectors[3]).all()


def test_vectors_that_are_not_numbers_are_like_nothing() -> None:
    def broken(texts: list[str]) -> np.ndarray:
        made = by_letters(texts)
        made[[text.startswith("壞") for text in texts]] = np.nan
        return made

    rows = ["好嘢好嘢", "壞嘢壞嘢", "好嘢好嘢呀", "壞嘢壞嘢呀"]
    found, _ = drain(meaning(rows, broken, floor=0.5))
    assert listed(found) == [(0, 2)]


@pytest.mark.parametrize("rows", [[], [""], ["", "！"], ["你好"]])
def test_fewer_than_two_texts_have_no_pairs(rows: list[str]) -> None:
    assert len(drain(meaning(rows, by_letters))[0]) == 0
    assert len(drain(meaning_between(rows, [], by_letters))[0]) == 0
    vectors, _ = drain(embeddings(rows, by_letters))
    assert len(vectors) == len(rows)


def test_fifty_thousand_identical_rows_are_one_chain() -> None:
    found, _ = drain(meaning(["今日天氣好好"] * 50_000, by_letters))
    assert len(found) == 49_999


def test_equal_vectors_are_one_chain() -> None:
    found, _ = drain(similar(np.repeat(cloud(2, 1, 0), 500, axis=0), neighbours=3))
    assert len(found) == 998


# ---- neighbours


def test_pairs_are_those_that_all_cosines_show() -> None:
    vectors = cloud(400, 3)
    found, _ = drain(similar(vectors, floor=0.8, neighbours=10))
    cosines = vectors @ vectors.T
    above = np.argwhere(np.triu(cosines >= 0.8, 1))
    assert len(above) >= 20
    assert listed(found) == [tuple(pair) for pair in above.tolist()]
    assert found.similarity == pytest.approx(cosines[found.left, found.right], abs=1e-5)


def test_the_index_finds_what_looking_at_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = cloud(1500, 5, doubled=60)
    looked, _ = drain(similar(vectors, floor=0.8))
    monkeypatch.setattr(searching, "MOST_EXACT", 0)
    indexed, events = drain(similar(vectors, floor=0.8))
    again, _ = drain(similar(vectors, floor=0.8))
    assert "index" in {event.stage for event in events}
    shared = set(listed(indexed)) & set(listed(looked))
    assert len(shared) >= 0.95 * len(looked)
    assert set(listed(indexed)) <= set(listed(looked))
    assert listed(indexed) == listed(again)


def test_between_two_datasets_left_is_the_first_and_right_the_second() -> None:
    vectors = cloud(300, 7)
    found, _ = drain(similar_between(vectors[:200], vectors[200:], floor=0.8))
    assert listed(found) == [(row, row + 80) for row in range(20)]


def test_the_same_text_on_both_sides_is_a_pair() -> None:
    found, _ = drain(meaning_between(["早晨", "唔該"], ["再見", "唔該！"], by_letters, floor=0.9))
    assert listed(found) == [(1, 1)]


def test_no_row_has_more_neighbours_than_asked_for() -> None:
    draw = np.random.default_rng(9)
    vectors = unit((1 + 0.1 * draw.standard_normal((50, 16))).astype(np.float32))
    found, _ = drain(similar(vectors, floor=0.5, neighbours=2))
    assert 0 < len(found) <= 100


@pytest.mark.parametrize("wrong", [{"floor": 1.5}, {"neighbours": 0}])
def test_what_cannot_be_searched_for_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OutOfRange):
        drain(meaning(["你好"], by_letters, **wrong))


# ---- progress and Stop


def test_progress_rises_to_its_total() -> None:
    rows = [f"第{number}句說話" for number in range(100)]
    _, events = drain(meaning(rows, by_letters))
    embedded = [event for event in events if event.stage == "embed"]
    assert [event.done for event in embedded] == [0, 32, 64, 96, 100]
    assert all(0 <= event.done <= event.total for event in events)
    assert events[-1].done == events[-1].total


@pytest.mark.parametrize("after", [1, 2, 4])
def test_stop_is_heard_in_the_middle(after: int) -> None:
    stop = threading.Event()
    rows = [f"第{number}句說話" for number in range(100)]
    work = meaning(rows, by_letters, stop=stop)
    for _ in range(after):
        next(work)
    stop.set()
    with pytest.raises(Stopped):
        drain(work)


# ---- embedders


def test_a_long_text_is_read_at_its_beginning_middle_and_end() -> None:
    text = "頭" * 10_000 + "中" * 10_000 + "尾" * 10_000
    cut = excerpt(text)
    assert len(cut) <= LONGEST
    assert {cut[0], cut[len(cut) // 2], cut[-1]} == {"頭", "中", "尾"}
    assert excerpt("短句") == "短句"


def test_the_bundled_embedder_puts_like_with_like() -> None:
    rows = ["邊度有得食雲吞麵？", "想食雲吞麵可以去邊？", "部電腦開唔到機點算好", "", "圖\0書" * 9]
    vectors, _ = drain(embeddings(rows, nano()))
    assert vectors.shape == (5, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 0, 1], abs=1e-4)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_the_bundled_embedder_reads_a_megabyte() -> None:
    vectors = nano()(["好" * 350_000, "好" * 3000])
    assert np.isfinite(vectors).all()
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-3)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model of a few thousand random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    place = tmp_path_factory.mktemp("tiny") / "bert"
    place.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"你好早晨唔該再見食飯飲茶"]
    (place / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(place / "vocab.txt")).save_pretrained(place)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(words), num_hidden_layers=1, **sizes)
    BertModel(config).save_pretrained(place)
    reader = Transformer(str(place))
    whole = SentenceTransformer(modules=[reader, Pooling(16)], device="cpu")
    whole.save(str(place.parent / "model"))
    return place.parent / "model"


def test_a_sentence_transformers_folder_is_an_embedder(tiny_model: Path) -> None:
    embed = sentence_transformer(str(tiny_model), device="cpu")
    vectors, _ = drain(embeddings(["你好", "飲茶", "你好！"], embed))
    assert vectors.shape == (3, 16)
    assert (vectors[0] == vectors[2]).all()
    assert (vectors[0] != vectors[1]).any()


def test_a_prefix_changes_what_is_read(tiny_model: Path) -> None:
    plain = sentence_transformer(str(tiny_model), device="cpu")(["早晨"])
    led = sentence_transformer(str(tiny_model), device="cpu", prefix="食飯")(["早晨"])
    assert (plain != led).any()


def test_a_model_that_is_not_on_the_hub_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        sentence_transformer("nobody/nothing")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(PickleWeights):
        sentence_transformer(str(tmp_path))
