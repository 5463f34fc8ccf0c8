"""Every token is scored exactly once, with all the context that there is room for."""

from __future__ import annotations

import random

import pytest

from workbench.compare.windows import Window, batches, windows

LENGTHS = (0, 1, 2, 6, 7, 8, 9, 15, 16, 17, 63, 64, 65, 200, 1023, 1024, 2500)
SHAPES = [
    (context, stride)
    for context in (2, 3, 8, 9, 64, 1024)
    for stride in sorted({1, 2, context // 2, context - 1})
    if 1 <= stride < context
]
each_shape = pytest.mark.parametrize(("context", "stride"), SHAPES)


@each_shape
def test_every_token_is_scored_once_and_in_order(context: int, stride: int) -> None:
    for tokens in LENGTHS:
        cut = windows(tokens, context, stride)
        scored = [at for window in cut for at in range(window.score_from, window.end)]
        assert scored == list(range(tokens))


@each_shape
def test_no_window_is_longer_than_the_context(context: int, stride: int) -> None:
    for tokens in LENGTHS:
        assert all(window.length <= context for window in windows(tokens, context, stride))


@each_shape
def test_later_windows_read_as_much_as_there_is_room_for(context: int, stride: int) -> None:
    for tokens in LENGTHS[1:]:
        first, *later = windows(tokens, context, stride)
        assert (first.start, first.score_from) == (0, 0)
        for window in later:
            assert window.length == context
            assert 1 <= window.scored <= stride
            assert window.score_from - window.start >= context - 1 - stride


@each_shape
def test_windows_are_counted_and_know_their_document(context: int, stride: int) -> None:
    for tokens in LENGTHS[1:]:
        cut = list(windows(tokens, context, stride, document=3))
        assert [window.number for window in cut] == list(range(len(cut)))
        assert {window.document for window in cut} == {3}


def test_the_cut_is_the_one_drawn_on_paper() -> None:
    assert list(windows(10, 5, 3)) == [
        Window(0, 0, start=0, score_from=0, end=4),
        Window(0, 1, start=3, score_from=4, end=7),
        Window(0, 2, start=6, score_from=7, end=10),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_batches_hold_every_window_once_and_keep_to_the_limit(seed: int) -> None:
    draw = random.Random(seed)
    planned = [
        window
        for document in range(draw.randrange(1, 30))
        for window in windows(draw.randrange(0, 300), 64, draw.randrange(1, 64), document)
    ]
    most = draw.choice([1, 40, 64, 200, 1000])
    grouped = list(batches(planned, most))
    assert sorted(map(hash, planned)) == sorted(hash(one) for batch in grouped for one in batch)
    for batch in grouped:
        assert len(batch) == 1 or len(batch) * max(window.length for window in batch) <= most


@pytest.mark.parametrize("seed", range(5))
def test_the_longest_window_of_a_batch_comes_first(seed: int) -> None:
    draw = random.Random(seed)
    planned = [next(windows(draw.randrange(1, 60), 64, 8, at)) for at in range(40)]
    for batch in batches(planned, 256):
        assert batch[0].length == max(window.length for window in batch)


def test_small_windows_share_a_batch() -> None:
    planned = [next(windows(9, 64, 8, at)) for at in range(10)]
    assert [len(batch) for batch in batches(planned, 50)] == [5, 5]
