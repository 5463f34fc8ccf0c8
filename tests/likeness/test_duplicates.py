"""Copies, near copies, their groups, what stays and how groups are split."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from workbench.errors import BadShares, OutOfRange, Stopped
from workbench.events import Progress
from workbench.likeness import candidates as proposing
from workbench.likeness.candidates import bands_for
from workbench.likeness.duplicates import (
    GRAM_SIZES,
    Pairs,
    difference,
    exact,
    exact_between,
    near,
    near_between,
    normalize,
)
from workbench.likeness.groups import group_sizes, grouped, keep_one, split
from workbench.likeness.pairs import pairs_of
from workbench.likeness.shingles import grams, jaccard

SENTENCES = [
    "今日落咁大雨，不如我哋留喺屋企煲個湯飲啦，你話好唔好呀？",
    "我琴晚喺旺角等咗你成個鐘頭，你竟然話唔記得咗約咗我食飯！",
    "佢個仔今年升中一，學校就喺隔籬街，行五分鐘就到。",
    "呢間茶餐廳嘅奶茶好滑，菠蘿油又夠熱，難怪日日都咁多人排隊。",
    "唔該你幫我睇下部電腦，開咗成十分鐘都仲未入到去。",
    "聽日朝早八點要開會，你記住帶埋份報告同埋上個月啲單。",
    "阿媽話今年中秋唔返鄉下喇，叫大家嚟佢度一齊食餐飯。",
    "架巴士塞咗喺隧道口，我睇都要遲到半個鐘先到到公司。",
]


def drain(work: Generator[Progress, None, Any]) -> tuple[Any, list[Progress]]:
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as finished:
            return finished.value, events


def listed(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def edited(text: str, changes: int, draw: random.Random) -> str:
    letters = list(text)
    for _ in range(changes):
        letters[draw.randrange(len(letters))] = draw.choice("天地人山水火風雷日月星辰")
    return "".join(letters)


def corpus(rows: int, seed: int, changes: int = 8) -> list[str]:
    """Sentences put together by chance, and one in three an edited copy of an earlier row."""
    draw = random.Random(seed)
    made: list[str] = []
    while len(made) < rows:
        if made and draw.random() < 0.33:
            made.append(edited(draw.choice(made), draw.randint(0, changes), draw))
        else:
            fresh = "".join(chr(draw.randrange(0x4E00, 0x5E00)) for _ in range(draw.randint(4, 70)))
            made.append(draw.choice(SENTENCES)[: draw.randint(3, 20)] + fresh)
    return made


def different(rows: list[str]) -> list[str]:
    """Without copies, which come back as chains and not as every pair."""
    return list(dict(zip(normalize(rows).to_pylist(), rows, strict=True)).values())


def true_jaccard(one: str, other: str, n: int) -> float:
    first, second = ({text[i : i + n] for i in range(len(text) - n + 1)} for text in (one, other))
    return len(first & second) / len(first | second)


def n_for(one: str, other: str) -> int:
    shorter = min(len(one), len(other))
    return next(n for low, n in reversed(GRAM_SIZES) if shorter >= low)


# ---- the normal form


def test_full_width_case_spaces_and_punctuation_are_set_aside() -> None:
    forms = ["Ｈｅｌｌｏ，　世界！", "hello 世界", "HELLO\n「世\u200b界」…"]
    assert len(set(normalize(forms).to_pylist())) == 1


def test_symbols_and_emoji_are_kept() -> None:
    plus, minus, emoji = normalize(["1＋1", "1 1", "🙂🙂"]).to_pylist()
    assert plus == "1+1"
    assert minus == "11"
    assert emoji == "🙂🙂"


def test_a_text_without_letters_becomes_empty_and_null_is_empty() -> None:
    assert normalize(pa.array(["！？ 。", None, "\t"])).to_pylist() == ["", "", ""]


def test_normalizing_twice_changes_nothing() -> None:
    once = normalize(corpus(50, 1))
    assert normalize(once).equals(once)


def test_chunked_arrays_and_lone_surrogates_are_read() -> None:
    chunked = pa.chunked_array([["你好"], ["你 好"]])
    assert listed(exact(chunked)) == [(0, 1)]
    assert len(normalize(["\ud83d好", "好"])) == 2


# ---- exact copies


def test_copies_are_tied_in_a_chain() -> None:
    rows = ["食咗飯未", "飲茶先", "食咗飯未？", "", "！", "食咗 飯未"]
    found = exact(rows)
    assert listed(found) == [(0, 2), (2, 5)]
    assert found.similarity.tolist() == [1, 1]


def test_empty_rows_are_nobodys_duplicate() -> None:
    rows = ["", "   ", "！！", "。"]
    assert len(exact(rows)) == 0
    assert len(drain(near(rows))[0]) == 0
    assert len(exact_between(rows, rows)) == 0


@pytest.mark.parametrize("rows", [[], ["你好"], [""]])
def test_fewer_than_two_rows_have_no_pairs(rows: list[str]) -> None:
    assert len(exact(rows)) == 0
    assert len(drain(near(rows))[0]) == 0
    assert len(drain(near_between(rows, []))[0]) == 0


def test_fifty_thousand_identical_rows_are_one_chain() -> None:
    rows = pa.array(["今日天氣好好"]).take(pa.array(np.zeros(50_000, np.int64)))
    found, _ = drain(near(rows))
    assert len(found) == 49_999
    assert (grouped(found, 50_000) == 0).all()


# ---- hashes and exact Jaccard


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_rows_hashed_together_have_the_grams_they_have_alone(n: int) -> None:
    rows = ["好", "好好", "你好呀世界", "🙂你好呀", "a", *corpus(20, 3)]
    texts = pa.array(rows, pa.large_string())
    together, offsets = grams(texts, n)
    for number, row in enumerate(rows):
        alone, _ = grams(pa.array([row], pa.large_string()), n)
        start, end = int(offsets[number]), int(offsets[number + 1])
        assert together[start:end].tolist() == alone.tolist()
        assert len(alone) == max(1, len(row) - n + 1)


def test_a_slice_of_an_array_is_hashed_as_itself() -> None:
    texts = pa.array(["甲乙丙丁", "子丑寅卯", "春夏秋冬"], pa.large_string())
    cut, _ = grams(texts.slice(1, 1), 2)
    whole, _ = grams(pa.array(["子丑寅卯"], pa.large_string()), 2)
    assert cut.tolist() == whole.tolist()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_similarity_is_that_of_python_sets(n: int) -> None:
    rows = [row for row in normalize(corpus(60, 5)).to_pylist() if len(row) >= n]
    pairs = np.array(list(itertools.combinations(range(len(rows)), 2)))
    texts, stop = pa.array(rows, pa.large_string()), threading.Event()
    measured, _ = drain(jaccard(texts, n, pairs[:, 0], pairs[:, 1], 0.0, stop))
    true = [true_jaccard(rows[one], rows[other], n) for one, other in pairs]
    assert measured == pytest.approx(np.array(true, np.float32))


# ---- near copies


@pytest.mark.parametrize("ngram", [None, 2, 3, 5])
def test_near_copies_are_those_that_looking_at_every_pair_finds(ngram: int | None) -> None:
    rows = different(corpus(400, 7, changes=4))
    normal = normalize(rows).to_pylist()
    found, _ = drain(near(rows, floor=0.5, ngram=ngram))
    similarity = dict(zip(listed(found), found.similarity.tolist(), strict=True))
    sure = missed = 0
    for one, other in itertools.combinations(range(len(rows)), 2):
        true = true_jaccard(normal[one], normal[other], ngram or n_for(normal[one], normal[other]))
        if (one, other) in similarity:
            assert similarity[one, other] == pytest.approx(true, abs=1e-6)
        elif true >= 0.6:
            missed += 1
        sure += true >= 0.6
    assert sure > 50
    assert missed <= 0.01 * sure


def test_short_chinese_sentences_with_one_letter_changed_are_found() -> None:
    rows = [
        "聽日唔使返工呀",
        "聽日唔駛返工呀",
        "琴日落大雨",
        "呢個蛋糕好好味啊真係",
        "呢個蛋糕好好食啊真係",
    ]
    found, _ = drain(near(rows, floor=0.4))
    assert listed(found) == [(0, 1), (3, 4)]


def test_texts_shorter_than_the_gram_are_alike_only_when_equal() -> None:
    found, _ = drain(near(["好", "好！", "唔", "好呀", "好 呀"], ngram=5))
    assert listed(found) == [(0, 1), (3, 4)]


def test_a_megabyte_of_text_does_not_disturb_the_others() -> None:
    draw = random.Random(2)
    long = "".join(chr(draw.randrange(0x4E00, 0x9000)) for _ in range(350_000))
    rows = [SENTENCES[0], long, SENTENCES[0][:-2], long[:-900] + "完", "🙂" * 4]
    found, _ = drain(near(rows))
    assert listed(found) == [(0, 2), (1, 3)]
    assert found.similarity[1] > 0.99


def test_pairs_below_the_floor_are_not_reported() -> None:
    found, _ = drain(near(corpus(200, 9, changes=20), floor=0.7))
    assert len(found)
    assert found.similarity.min() >= 0.7


def test_the_same_rows_give_the_same_pairs() -> None:
    rows = corpus(300, 11)
    first, second = drain(near(rows))[0], drain(near(rows))[0]
    assert listed(first) == listed(second)
    assert first.similarity.tolist() == second.similarity.tolist()


def test_crowds_stay_in_one_group_without_all_their_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposing, "CROWD", 20)
    draw = random.Random(4)
    text = "".join(SENTENCES[:4])
    rows = [edited(text, 1, draw) for _ in range(600)]
    found, _ = drain(near(rows))
    assert found.crowded > 300
    assert len(found) < 600 * 599 / 4
    assert len(set(grouped(found, 600).tolist())) == 1


def test_bands_find_nineteen_of_twenty_at_the_floor() -> None:
    for floor in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0):
        bands = bands_for(floor)
        assert bands.recall(floor) >= 0.95
        assert bands.permutations <= proposing.MOST_PERMUTATIONS


@pytest.mark.parametrize("wrong", [{"floor": 0.1}, {"floor": 1.1}, {"ngram": 0}, {"ngram": 99}])
def test_what_cannot_be_searched_for_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OutOfRange):
        drain(near(["你好"], **wrong))


# ---- between two datasets


def test_copies_across_are_found_and_copies_within_are_not() -> None:
    a = ["食咗飯未", "飲茶先", "食咗飯未", "早晨"]
    b = ["早抖", "飲茶先！", "飲茶先", "食咗飯未？", "早抖"]
    found = exact_between(a, b)
    assert listed(found) == [(0, 3), (1, 1), (1, 2), (2, 3)]


def test_near_copies_across_are_those_of_the_joined_rows() -> None:
    rows = different(corpus(240, 13))
    a, b = rows[:90], rows[90:]
    across, _ = drain(near_between(a, b))
    within, _ = drain(near(rows))
    expected = [(one, other - 90) for one, other in listed(within) if one < 90 <= other]
    assert expected
    assert listed(across) == expected


def test_every_copy_of_a_near_copy_is_tied_across() -> None:
    text = SENTENCES[1] + SENTENCES[2]
    changed = text.replace("成個鐘頭", "半個鐘頭")
    found, _ = drain(near_between([text, "早晨", text], [changed, "再見", changed]))
    assert {one for one, _ in listed(found)} == {0, 2}
    assert {other for _, other in listed(found)} == {0, 2}


def test_a_row_among_a_crowd_of_the_other_side_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposing, "CROWD", 10)
    draw = random.Random(6)
    text = "".join(SENTENCES[4:])
    crowd = [edited(text, 1, draw) for _ in range(200)]
    found, _ = drain(near_between(crowd, [edited(text, 1, draw), "唔關事嘅一句說話"]))
    assert {other for _, other in listed(found)} == {0}


# ---- progress and Stop


def test_progress_rises_to_its_total() -> None:
    _, events = drain(near(corpus(400, 15)))
    assert {event.stage for event in events} == {"hash", "compare"}
    assert all(0 <= event.done <= event.total for event in events)
    assert events[-1].done == events[-1].total


@pytest.mark.parametrize(
    "start",
    [
        lambda stop: near(corpus(200, 17), stop=stop),
        lambda stop: near_between(corpus(100, 17), corpus(100, 17), stop=stop),
    ],
)
@pytest.mark.parametrize("after", [1, 3, 5])
def test_stop_is_heard_in_the_middle(
    start: Callable[[threading.Event], Generator[Progress, None, Pairs]], after: int
) -> None:
    stop = threading.Event()
    work = start(stop)
    for _ in range(after):
        next(work)
    stop.set()
    with pytest.raises(Stopped):
        drain(work)


# ---- pairs


def test_a_threshold_and_a_histogram_of_pairs() -> None:
    pairs = pairs_of(np.array([0, 1, 2]), np.array([5, 6, 7]), np.array([0.55, 0.8, 1.0]))
    assert listed(pairs.above(0.8)) == [(1, 6), (2, 7)]
    edges, counts = pairs.histogram(10)
    assert len(edges) == 11
    assert counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1, 1]


# ---- groups


def pairs(*ends: tuple[int, int]) -> Pairs:
    both = np.array(ends, np.int64).reshape(-1, 2)
    return pairs_of(both[:, 0], both[:, 1], 1.0)


def test_what_hangs_together_is_one_group_named_after_its_first_row() -> None:
    groups = grouped(pairs((4, 6), (1, 4), (2, 3)), 8)
    assert groups.tolist() == [0, 1, 2, 2, 1, 5, 1, 7]
    assert group_sizes(groups).tolist() == [1, 3, 2, 2, 3, 1, 3, 1]
    assert grouped(pairs(), 0).tolist() == []
    assert group_sizes(grouped(pairs(), 0)).tolist() == []


def test_the_longest_row_of_a_group_stays_and_ties_go_to_the_earliest() -> None:
    groups = grouped(pairs((0, 1), (1, 2), (3, 4)), 6)
    dropped, lost_to = keep_one(groups, "longest", lengths=np.array([3, 9, 9, 5, 5, 1]))
    assert dropped.tolist() == [True, False, True, False, True, False]
    assert lost_to.tolist() == [1, -1, 1, -1, 3, -1]


def test_the_highest_score_stays_and_no_score_is_lowest() -> None:
    groups = grouped(pairs((0, 1), (1, 2), (3, 4)), 5)
    scores = np.array([np.nan, 2.5, 7.0, np.nan, np.nan])
    dropped, _ = keep_one(groups, "highest", scores=scores)
    assert dropped.tolist() == [True, True, False, False, True]


def test_the_first_row_stays() -> None:
    dropped, lost_to = keep_one(grouped(pairs((1, 3)), 4), "first")
    assert dropped.tolist() == [False, False, False, True]
    assert lost_to.tolist() == [-1, -1, -1, 1]


@pytest.mark.parametrize(("preferred", "kept"), [("b", 1), (("c", "b"), 2), ("z", 0)])
def test_the_preferred_source_stays(preferred: str | tuple[str, ...], kept: int) -> None:
    groups = grouped(pairs((0, 1), (1, 2), (2, 3)), 4)
    dropped, _ = keep_one(groups, "source", sources=[None, "b", "c", "b"], preferred=preferred)
    assert np.flatnonzero(~dropped).tolist() == [kept]


def test_exactly_one_row_of_each_group_stays() -> None:
    rows = corpus(300, 19)
    groups = grouped(drain(near(rows))[0], len(rows))
    dropped, lost_to = keep_one(groups, "longest", lengths=np.array(list(map(len, rows))))
    assert sorted(groups[~dropped]) == sorted(set(groups.tolist()))
    assert (groups[lost_to[dropped]] == groups[dropped]).all()


# ---- splits

SHARES = {"train": 0.9, "validation": 0.05, "test": 0.05}


def chance_groups(rows: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    ends = draw.integers(0, rows, (rows // 2, 2))
    return grouped(pairs_of(ends.min(axis=1), ends.max(axis=1), 1.0), rows)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_two_sides_and_sizes_are_near_the_shares(seed: int) -> None:
    groups = chance_groups(2000, seed)
    sides = split(groups, SHARES, seed)
    for label in np.unique(groups):
        assert len(set(sides[groups == label])) == 1
    for name, share in SHARES.items():
        assert abs((sides == name).sum() - share * 2000) <= 1


def test_single_rows_are_split_exactly() -> None:
    sides = split(np.arange(1000), {"a": 3, "b": 1}, 4)
    assert (sides == "a").sum() == 750


def test_the_same_seed_splits_alike_and_another_does_not() -> None:
    groups = chance_groups(500, 1)
    assert split(groups, SHARES, 3).tolist() == split(groups, SHARES, 3).tolist()
    assert split(groups, SHARES, 3).tolist() != split(groups, SHARES, 4).tolist()


def test_one_group_of_all_rows_goes_to_one_side() -> None:
    assert set(split(np.zeros(50, np.int64), SHARES, 0)) == {"train"}
    assert len(split(np.zeros(0, np.int64), SHARES, 0)) == 0


def test_a_side_without_a_share_stays_empty() -> None:
    sides = split(chance_groups(300, 2), {"train": 1, "test": 0}, 1)
    assert set(sides) == {"train"}


@pytest.mark.parametrize(
    "weights", [{}, {"": 1.0}, {"a": -1.0, "b": 2.0}, {"a": 0.0}, {"a": float("nan")}]
)
def test_shares_that_make_no_sense_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(BadShares):
        split(np.arange(4), weights, 0)


# ---- two texts side by side


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", ""),
        ("", "你好"),
        ("你好", "你好"),
        ("哈哈哈", "哈哈"),
        (SENTENCES[0], SENTENCES[1]),
        ("🙂" + SENTENCES[2], SENTENCES[2] + "🙂"),
        ("甲" * 5000 + "乙" * 4000, "甲" * 5000 + "丙" * 3000 + "丁"),
    ],
)
def test_the_pieces_make_both_texts_again(left: str, right: str) -> None:
    pieces = difference(left, right)
    assert "".join(text for side, text in pieces if side != "right") == left
    assert "".join(text for side, text in pieces if side != "left") == right
    assert all(text for _, text in pieces)


def test_one_changed_letter_is_shown_as_such() -> None:
    assert difference("我哋去行山啦", "我哋去飲茶啦") == [
        ("same", "我哋去"),
        ("left", "行山"),
        ("right", "飲茶"),
        ("same", "啦"),
    ]
