"""What several ask for at once is done once, and each gets what is its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from fhir_server.storage.together import Together


class Slow:
    """Doubles numbers; the first time, it goes on until it is let go."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.began, self.may_go = threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.asked.append(list(numbers))
        self.began.set()
        self.may_go.wait(30)
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


def _asking(together: Together[int, int], numbers: Sequence[int], answers: dict[int, object]) -> list[threading.Thread]:
    def ask(number: int) -> None:
        try:
            answers[number] = together.ask(number)
        except ValueError as error:
            answers[number] = error

    threads = [threading.Thread(target=ask, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    return threads


def test_those_who_come_meanwhile_go_together() -> None:
    """One goes at once; three who come while it is under way go in one go after it, each with its own answer."""
    slow, answers = Slow(), dict[int, object]()
    together = Together[int, int](slow)
    threads = _asking(together, [1], answers)
    assert slow.began.wait(30)
    threads += _asking(together, [2, 3, 4], answers)
    while len(together._waiting) < 3:  # all three stand in the queue
        threading.Event().wait(0.001)
    slow.may_go.set()
    for thread in threads:
        thread.join(30)
    assert answers == {1: 2, 2: 4, 3: 6, 4: 8}
    assert [sorted(one) for one in slow.asked] == [[1], [2, 3, 4]]


def test_what_fails_fails_for_all_that_went_along_and_for_nobody_else() -> None:
    """A failure is raised by each whose request was part of it; whoever comes afterwards is answered."""
    slow, answers = Slow(), dict[int, object]()
    together = Together[int, int](slow)
    slow.may_go.set()
    for thread in _asking(together, [13], answers):
        thread.join(30)
    assert isinstance(answers[13], ValueError)
    assert together.ask(5) == 10


def test_whoever_goes_first_waits_for_those_who_are_expected() -> None:
    """The first waits for the second, who is expected, and not a moment longer."""
    slow, answers = Slow(), dict[int, object]()
    slow.may_go.set()
    together = Together[int, int](slow, patience=30)
    together.expect(2)
    threads = _asking(together, [1, 2], answers)
    for thread in threads:
        thread.join(20)
    assert answers == {1: 2, 2: 4}
    assert [sorted(one) for one in slow.asked] == [[1, 2]]
    together.expect(-2)
    with pytest.raises(ValueError, match="13"):
        together.ask(13)
