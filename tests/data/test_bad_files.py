"""No file brings the reader down: each gives one clear sentence, or its good rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.data.bad_files import CASES, Case, without_file
from workbench.data.reading.files import Bad, Record, Unfit, arrow_batches, opened, records, sample
from workbench.errors import WorkbenchError

MOST_GROWTH = 300_000_000
LONGEST_SENTENCE = 400


class Watch:
    """The most memory this process has while something runs, over what it had before."""

    def __enter__(self) -> Watch:
        self._process = psutil.Process(os.getpid())
        self._before = self.most = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self.most = max(self.most, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self.most - self._before


def is_clear(sentence: str) -> bool:
    return (
        0 < len(sentence) < LONGEST_SENTENCE
        and sentence.isprintable()
        and "Traceback" not in sentence
    )


def outcome(path: Path, limit: int) -> tuple[int, list[Bad], str]:
    """Good rows, bad lines, and the sentence if there is one."""
    good, bad = 0, []
    try:
        with opened(path, limit) as files:
            for one in (one for file in files for one in records(file)):
                if isinstance(one, Record):
                    good += 1
                else:
                    bad.append(one)
    except WorkbenchError as error:
        return good, bad, str(error)
    return good, bad, ""


@pytest.fixture
def quiet_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of its own, emptied at once: some of the files are big."""
    yield tmp_path
    for path in tmp_path.iterdir():
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.name))
def test_each_bad_file_gives_what_it_can_and_says_the_rest(case: Case, quiet_folder: Path) -> None:
    path = case.make(quiet_folder)
    with Watch() as watch:
        good, bad, sentence = outcome(path, case.limit)
    if case.error:
        assert is_clear(sentence), sentence
        assert case.says in sentence
    else:
        assert (good, tuple(one.line for one in bad), sentence) == (case.good, case.bad, "")
        assert all(is_clear(one.reason) and not one.reason.endswith(".") for one in bad)
        assert not case.says or case.says in bad[0].reason
    assert watch.growth < MOST_GROWTH


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.error], ids=lambda case: ascii(case.name)
)
def test_each_refusal_is_the_right_one(case: Case, quiet_folder: Path) -> None:
    with pytest.raises(case.error):
        with opened(case.make(quiet_folder), case.limit) as files:
            for file in files:
                list(records(file))


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if not case.error and not case.big],
    ids=lambda case: ascii(case.name),
)
def test_the_fast_way_gives_the_same_rows_or_none(case: Case, quiet_folder: Path) -> None:
    with opened(case.make(quiet_folder), case.limit) as files:
        found = arrow_batches(files[0])
        if found is None:
            return
        try:
            rows = sum(batch.num_rows for batch in found)
        except Unfit:
            return
        assert not case.bad
        assert rows == case.good


def test_places_that_are_no_files_are_told(tmp_path: Path) -> None:
    for path, error in without_file(tmp_path).values():
        with pytest.raises(error) as caught, opened(path, 1000):
            pass
        assert is_clear(str(caught.value))


def test_there_are_enough_bad_files_and_each_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_sample_of_a_bad_file_is_its_good_rows(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "one bad.jsonl")
    with opened(case.make(tmp_path), case.limit) as files:
        assert [sorted(row) for row in sample(files[0])] == [["instruction", "output"]] * 2


def test_nothing_is_left_behind_after_a_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    case = next(case for case in CASES if case.name == "bomb.zip")
    with pytest.raises(WorkbenchError), opened(case.make(tmp_path), case.limit):
        pass
    assert list(spare.iterdir()) == []
