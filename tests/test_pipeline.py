from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from captioner import pipeline
from captioner.errors import ConfigError
from captioner.pipeline import Limit, abreast, in_batches

LIMIT = 60  # seconds; only what hangs for ever takes so long


def square(number: int) -> int:
    return number * number


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for whatever is on its way, however slow this machine is."""
    monkeypatch.setattr(pipeline, "_PATIENCE", LIMIT)
    monkeypatch.setattr(pipeline, "_GRACE", LIMIT)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits a moment for the rest of a batch: what comes later is tested, not how much later."""
    monkeypatch.setattr(pipeline, "_GRACE", 0.2)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("count", [0, 1, 6, 20])
def test_a_sequence_gives_full_batches_in_order(size: int, count: int) -> None:
    batches = list(in_batches(range(count), square, size, workers=3))
    assert [one for batch in batches for one in batch] == [n * n for n in range(count)]
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_an_iterable_that_is_fast_gives_full_batches(size: int) -> None:
    batches = list(in_batches(iter(range(20)), square, size, workers=3))
    assert batches == list(in_batches(range(20), square, size, workers=1))


@pytest.mark.parametrize("count", [0, 1, 5, 6, 50])
def test_what_a_source_raises_comes_behind_all_results(count: int) -> None:
    def source() -> Iterator[int]:
        yield from range(count)
        raise OSError("the pipe broke")

    done: list[int] = []
    with pytest.raises(OSError, match="the pipe broke"):  # noqa: PT012
        for batch in in_batches(source(), square, 2, workers=2):
            done += batch
    assert done == [n * n for n in range(count)]


def test_what_is_done_does_not_wait_for_what_is_still_to_come() -> None:
    asked, seen = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        for number in range(3):
            yield number
            asked.set()
            assert seen.wait(LIMIT)  # the next one comes when this one's result was seen
            seen.clear()

    results = []
    for batch in in_batches(source(), square, 32, workers=2):
        assert asked.wait(LIMIT)
        asked.clear()
        results.append(batch)
        seen.set()
    assert results == [[0], [1], [4]]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("size", [2, 3, 32])
@pytest.mark.parametrize("sequence", [True, False])
def test_what_is_done_does_not_wait_for_an_item_that_is_slow(sequence: bool, size: int) -> None:
    seen = threading.Event()

    def work(number: int) -> int:
        assert number != 2 or seen.wait(LIMIT)  # done when all before it was seen
        return number * number

    numbers = range(6)
    results: list[int] = []
    for batch in in_batches(numbers if sequence else iter(numbers), work, size, workers=2):
        assert len(batch) <= size
        results += batch
        if results == [0, 1]:
            seen.set()
    assert seen.is_set()
    assert results == [0, 1, 4, 9, 16, 25]


@pytest.mark.usefixtures("impatient")
def test_a_batch_that_was_not_full_lets_no_more_under_way() -> None:
    slow, started = threading.Event(), []

    def work(number: int) -> int:
        started.append(number)
        assert number != 1 or slow.wait(LIMIT)
        return number

    batches = in_batches(iter(range(100)), work, 4, workers=3)
    assert next(batches) == [0]
    slow.set()
    assert max(started) < 3 * 4  # the one that was handed over included
    assert [one for batch in batches for one in batch] == list(range(1, 100))


@pytest.mark.usefixtures("patient")
def test_a_sequence_is_gone_through_in_the_same_thread() -> None:
    batches = in_batches([1, 2], lambda _: threading.current_thread(), 2, workers=1)
    (one, other) = next(batches)
    assert one is other is not threading.current_thread()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_three_batches_at_most_are_under_way(size: int) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    seen = 0
    batches = in_batches(endless(), square, size, workers=2)
    for batch in itertools.islice(batches, 20):
        seen += len(batch)
        assert taken - (seen - len(batch)) <= 3 * size
    batches.close()


@pytest.mark.parametrize("sequence", [True, False])
def test_closing_ends_the_threads_and_takes_no_more(sequence: bool) -> None:
    before = set(threading.enumerate())
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    batches = in_batches(range(10**6) if sequence else endless(), square, 3, workers=5)
    next(batches)
    ours = set(threading.enumerate()) - before
    assert ours
    batches.close()
    for thread in ours:
        thread.join(LIMIT)
        assert not thread.is_alive()
    assert taken <= 10  # of which the last one was on its way


def test_a_thread_that_is_stuck_keeps_nobody() -> None:
    code = """
import threading
from captioner.pipeline import in_batches
never = threading.Event()
batches = in_batches(iter([1, 2]), lambda n: n if n == 1 else never.wait(), 1, workers=1)
print(next(batches))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT
    )
    assert ran.stdout == "[1]\n"


def test_an_item_that_takes_too_long_is_given_up_and_the_others_go_on() -> None:
    never = threading.Event()

    def work(number: int) -> int:
        assert number % 4 != 1 or never.wait(LIMIT)
        return number

    limit = Limit(0.1, lambda number: -number)
    try:
        for items in (range(12), iter(range(12))):
            found = [r for b in in_batches(items, work, 3, workers=2, limit=limit) for r in b]
            assert found == [-n if n % 4 == 1 else n for n in range(12)]
    finally:
        never.set()


def test_an_item_that_is_to_be_waited_for_is_waited_for() -> None:
    slow = threading.Event()

    def late(number: int) -> int | None:
        slow.set()
        return None

    def work(number: int) -> int:
        assert slow.wait(LIMIT)
        return number

    assert list(in_batches([1], work, 1, workers=1, limit=Limit(0.05, late))) == [[1]]


def test_where_nothing_goes_on_the_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_STUCK", 2)
    never = threading.Event()
    limit = Limit(0.05, lambda number: -number)
    batches = in_batches(range(9), lambda _: never.wait(LIMIT), 1, workers=1, limit=limit)
    try:
        with pytest.raises(ConfigError, match="3 items at once have taken longer than"):
            list(batches)
    finally:
        never.set()


def test_a_system_without_threads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    started, room = threading.Thread.start, [1]

    def start(self: threading.Thread) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise RuntimeError("can't start new thread")
        started(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert list(in_batches([1, 2], square, 2, workers=4)) == [[1, 4]]  # with the one that it gives
    with pytest.raises(ConfigError, match="the system starts no more threads; end other programs"):
        list(in_batches([1, 2], square, 2, workers=4))


def _twice(batch: list[int]) -> Callable[[], list[int]]:
    return lambda: [2 * number for number in batch]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_batches_computed_at_once_come_in_order(size: int, at_once: int) -> None:
    computed = list(abreast(range(20), square, size, 3, _twice, at_once))
    assert [one for batch in computed for one in batch] == [2 * n * n for n in range(20)]
    assert [len(batch) for batch in computed[:-1]] == [size] * (len(computed) - 1)
    assert list(abreast([], square, size, 3, _twice, at_once)) == []


@pytest.mark.usefixtures("patient")
def test_several_batches_are_computed_at_once_and_few_are_ahead() -> None:
    both, planned = threading.Barrier(2), 0

    def then(batch: list[int]) -> Callable[[], object]:
        nonlocal planned
        planned += 1
        return lambda: both.wait(LIMIT)  # only two together come through

    computed = abreast(range(40), square, 1, 2, then, at_once=2)
    for seen, _ in enumerate(computed):
        assert planned <= seen + 1 + 2 + 1 + 1  # seen, computed, waiting, and one that is planned
    assert planned == 40


@pytest.mark.usefixtures("impatient")
def test_what_is_computed_does_not_wait_for_an_item_that_is_slow() -> None:
    seen = threading.Event()

    def work(number: int) -> int:
        assert number != 2 or seen.wait(LIMIT)
        return number

    results: list[int] = []
    for batch in abreast(range(4), work, 2, 2, _twice, 2):
        results += batch
        if len(results) == 2:
            seen.set()
    assert results == [0, 2, 4, 6]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("where", ["items", "then", "computing"])
def test_what_goes_wrong_comes_behind_what_is_computed(where: str) -> None:
    class Broken(Sequence[int]):
        def __len__(self) -> int:
            return 9

        def __getitem__(self, place: int) -> int:  # type: ignore[override]
            if place == 4 and where == "items":
                raise OSError("it broke")
            if place == 9:
                raise IndexError
            return place

    def then(batch: list[int]) -> Callable[[], list[int]]:
        if 4 in batch and where == "then":
            raise OSError("it broke")

        def compute() -> list[int]:
            if 4 in batch and where == "computing":
                raise OSError("it broke")
            return batch

        return compute

    before, done = set(threading.enumerate()), []
    with pytest.raises(OSError, match="it broke"):  # noqa: PT012
        for batch in abreast(Broken(), lambda number: number, 1, 1, then, 2):
            done += batch
    expected = [0, 1] if where == "items" else [0, 1, 2, 3]  # three are opened before one is seen
    assert done == expected
    for thread in set(threading.enumerate()) - before:
        thread.join(LIMIT)
        assert not thread.is_alive()


@pytest.mark.usefixtures("patient")
def test_closing_what_is_computed_at_once_ends_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_FAREWELL", 0.2)
    before, never = set(threading.enumerate()), threading.Event()

    def work(number: int) -> int:
        assert number != 4 or never.wait(LIMIT)  # nobody waits for it
        return number

    computed = abreast(range(10**6), work, 1, 1, _twice, 2)
    assert next(computed) == [0]
    computed.close()
    never.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(LIMIT)
        assert not thread.is_alive()
