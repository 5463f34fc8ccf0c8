"""Threads that take turns: one at a time, nobody twice in a row, nobody forgotten."""

from __future__ import annotations

import threading
import time

import pytest

from workbench.models.turns import Turns


def run(turns: Turns, steps: dict[str, int], pause: float = 0.001) -> list[str]:
    """Each name works so many steps; returns who worked, in order."""
    worked: list[str] = []
    inside = threading.Lock()
    together = threading.Barrier(len(steps))
    trouble: list[str] = []

    def work(name: str) -> None:
        together.wait(10)
        with turns.joined():
            for _ in range(steps[name]):
                if not inside.acquire(blocking=False):
                    trouble.append(name)
                    return
                worked.append(name)
                time.sleep(pause)
                inside.release()
                turns.step()

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not [thread for thread in threads if thread.is_alive()]
    assert trouble == []
    return worked


@pytest.mark.parametrize("names", ["a", "ab", "abcd"])
def test_everybody_works_all_steps_and_never_two_at_once(names: str) -> None:
    worked = run(Turns(), dict.fromkeys(names, 20))
    assert {name: worked.count(name) for name in names} == dict.fromkeys(names, 20)


def test_turns_are_fair_once_all_are_in_line() -> None:
    worked = run(Turns(), {"a": 40, "b": 40, "c": 40}, pause=0.003)
    middle = worked[30:90]
    rounds = [set(middle[at : at + 3]) for at in range(0, len(middle), 3)]
    assert all(round_ == {"a", "b", "c"} for round_ in rounds)


def test_who_is_done_early_does_not_hold_up_the_others() -> None:
    worked = run(Turns(), {"a": 2, "b": 30})
    assert worked.count("b") == 30


def test_who_fails_leaves_the_line() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.joined():
        raise ZeroDivisionError
    assert run(turns, {"a": 3, "b": 3}).count("a") == 3


def test_alone_a_step_is_nothing_to_wait_for() -> None:
    turns = Turns()
    with turns.joined():
        for _ in range(1000):
            turns.step()


def test_nobody_begins_before_all_who_are_expected_have_come() -> None:
    turns, begun = Turns(expected=2), threading.Event()

    def work() -> None:
        with turns.joined():
            begun.set()

    first, second = (threading.Thread(target=work, daemon=True) for _ in range(2))
    first.start()
    assert not begun.wait(0.3)
    second.start()
    assert begun.wait(5)
