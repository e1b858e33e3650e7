"""Items of a source worked on by threads: in order, in bounded memory, and none of them lost."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Generic, TypeVar, cast

from captioner.errors import ConfigError

T = TypeVar("T")
R = TypeVar("R")
Q = TypeVar("Q")

_AHEAD = 3  # batches that are under way, the one that was handed over last included
_FAREWELL = 2.0  # seconds for threads to end; one that opens a large photo may need as long
_PATIENCE = 0.05  # seconds that a batch waits for the rest of it, where the source may be slow
_STUCK = 16  # threads that may be stuck at once; each may hold a whole photo and keep a core busy
_GRACE = 5.0  # seconds that a result waits for the rest of its batch: large photos make it full


@dataclass(frozen=True)
class Limit(Generic[T, R]):
    """How long one item may take, and what stands for it where it takes longer."""

    seconds: float
    late: Callable[[T], R | None]  # None where an item is to be waited for, however long it takes


def share_of(items: Sequence[T], part: tuple[int, int]) -> Sequence[T]:
    """What one of several processes takes of a batch, which all of them go through.

    Where there are fewer items than processes, some items are taken by several.

    Args:
        items: of the batch, one or more.
        part: the number of the process, and how many there are.
    """
    number, count = part
    if count == 1:
        return items
    own = items[number::count]
    return own if len(own) else items[number % len(items) :][:1]


def in_batches(
    items: Iterable[T],
    work: Callable[[T], R],
    size: int,
    workers: int,
    limit: Limit[T, R] | None = None,
) -> Generator[list[R], None, None]:
    """Results of `work`, in the order of the items, in lists of `size` or fewer.

    Where the work is fast, a sequence gives full batches, the last one excepted. Any other iterable
    may be slow, endless or break: it is read in a thread of its own, so that what is done does not
    wait for what is still to come. A batch is then what has come by the time that it is asked for,
    and what the iterable raises is raised behind the results of all that came before.

    An item may be slow, too, as a pipe is that nobody writes to. Half a second after its first
    result is there, a batch is what is done before the first item that is not.

    At most three batches are under way. Closing the generator drops what nobody works on yet; a
    thread that is stuck, as in reading from a pipe, is not waited for.

    Nobody can end a thread: one whose item takes too long is left to itself, and another takes its
    place.

    Args:
        items: what to work on.
        work: called in the threads, once for each item.
        size: most results in a batch.
        workers: threads.
        limit: of the time that one item may take; left out, there is none.

    Raises:
        ConfigError: no thread can be started, or too many are stuck.
    """
    crew = _Crew(work, workers, limit)
    try:
        yield from (_in_turn if isinstance(items, Sequence) else _as_they_come)(items, crew, size)
    finally:
        crew.dismiss()


def abreast(
    items: Sequence[T],
    work: Callable[[T], R],
    size: int,
    workers: int,
    then: Callable[[list[R]], Callable[[], Q]],
    at_once: int,
    limit: Limit[T, R] | None = None,
) -> Generator[Q, None, None]:
    """What becomes of the batches of a sequence, in their order, several computed at once.

    The batches are those of `in_batches`; one more than are computed is under way, besides those
    that are opened. What is done waits for none that comes behind it.

    Args:
        items: what to work on.
        work: called in threads, once for each item.
        size: most results in a batch.
        workers: threads that work.
        then: called with one batch after the other, in one thread; tells what to compute of it.
        at_once: batches that are computed at a time, each in a thread of its own.
        limit: of the time that one item may take; left out, there is none.

    Raises:
        ConfigError: as `in_batches`.
    """
    with contextlib.ExitStack() as ended:
        feeding: _Crew[_Line[T, R, Q], None] = _Crew(_Line.run, 1)
        ended.callback(feeding.dismiss)
        computing: _Crew[Callable[[], Q], Q] = _Crew(lambda job: job(), at_once)
        ended.callback(computing.dismiss)
        opening = _Crew(work, workers, limit)
        ended.callback(opening.dismiss)
        line = _Line(items, opening, size, then, computing)
        ended.callback(line.stop)
        all_of_them = feeding.submit(line)
        while (future := line.waiting.get()) is not None:
            result = future.result()
            line.room.release()
            yield result
        all_of_them.result()  # what went wrong with the items


class _Line(Generic[T, R, Q]):
    """Batches on their way from those who open to those who compute."""

    def __init__(
        self,
        items: Sequence[T],
        opening: _Crew[T, R],
        size: int,
        then: Callable[[list[R]], Callable[[], Q]],
        computing: _Crew[Callable[[], Q], Q],
    ) -> None:
        self.items, self.opening, self.size = items, opening, size
        self.then, self.computing = then, computing
        self.room = threading.Semaphore(len(computing.threads) + 1)
        self.waiting: queue.SimpleQueue[Future[Q] | None] = queue.SimpleQueue()
        self.ended = False

    def run(self) -> None:
        """Takes the batches one by one, where there is room for one."""
        try:
            for batch in _in_turn(self.items, self.opening, self.size):
                self.room.acquire()
                if self.ended:
                    break
                self.waiting.put(self.computing.submit(self.then(batch)))
        finally:
            self.waiting.put(None)

    def stop(self) -> None:
        """Takes no more."""
        self.ended = True
        self.room.release()


def _in_turn(items: Iterable[T], crew: _Crew[T, R], size: int) -> Iterator[list[R]]:
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(crew.submit(item))
        if len(waiting) >= _AHEAD * size:
            yield _taken(waiting, crew.done(list(islice(waiting, size))))
    while waiting:
        yield _taken(waiting, crew.done(list(islice(waiting, size))))


def _taken(waiting: deque[Future[R]], count: int) -> list[R]:
    return [waiting.popleft().result() for _ in range(count)]


def _as_they_come(items: Iterable[T], crew: _Crew[T, R], size: int) -> Iterator[list[R]]:
    feed = _Feed(iter(items), crew, _AHEAD * size)
    reader = threading.Thread(target=feed.run, daemon=True)
    reader.start()
    try:
        while batch := feed.batch(size):
            yield [future.result() for future in batch]
            for _ in batch:
                feed.room.release()
    finally:
        feed.stop()
        _end([reader])
    if feed.error is not None:
        raise feed.error


def _end(threads: Sequence[threading.Thread]) -> None:
    """Waits for threads that were told to end, but not for one that is stuck.

    A thread that wakes up while Python itself ends takes the process down with it: it is made to
    leave in the midst of what it does, and C++ ends a program where that happens to it.
    """
    latest = time.monotonic() + _FAREWELL
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(0.0, latest - time.monotonic()))


class _Job(Generic[T, R]):
    """An item, and what comes of it."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.future: Future[R] = Future()
        self.began = math.inf  # when a thread took it, in seconds of the monotonic clock

    def settle(self, result: R | None = None, error: BaseException | None = None) -> None:
        """Says what came of it; whoever comes first is right."""
        with contextlib.suppress(InvalidStateError):
            if error is not None:
                self.future.set_exception(error)
            else:
                self.future.set_result(cast(R, result))


class _Crew(Generic[T, R]):
    """Threads that do one thing.

    Those of `concurrent.futures` are waited for when Python ends, and so would keep a stopped
    command waiting for a pipe that nobody writes to.
    """

    def __init__(
        self, work: Callable[[T], R], workers: int, limit: Limit[T, R] | None = None
    ) -> None:
        self.work, self.limit = work, limit
        self.jobs: queue.SimpleQueue[_Job[T, R] | None] = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.busy: dict[threading.Thread, _Job[T, R]] = {}
        self.stuck: set[threading.Thread] = set()
        self._start(workers)

    def _start(self, count: int) -> None:
        """Starts threads, as many as the system gives, one at least.

        Raises:
            ConfigError: it gives none.
        """
        for _ in range(count):
            thread = threading.Thread(target=self._run, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not self.threads:
                    raise ConfigError(
                        "the system starts no more threads; end other programs, or allow more "
                        "(ulimit -u)"
                    ) from error
                return
            self.threads.append(thread)

    def submit(self, item: T) -> Future[R]:
        """Has an item worked on."""
        job: _Job[T, R] = _Job(item)
        self.jobs.put(job)
        return job.future

    def wait(self, futures: Sequence[Future[R]], seconds: float = math.inf) -> None:
        """Waits until all are done, or so long; what takes too long is given up."""
        latest = time.monotonic() + seconds
        step = math.inf if self.limit is None else min(1.0, self.limit.seconds / 4)
        while True:
            left = min(step, latest - time.monotonic())
            _, open_ones = wait(futures, None if left == math.inf else max(0.0, left))
            if not open_ones or time.monotonic() >= latest:
                return
            self.give_up()

    def done(self, batch: Sequence[Future[R]]) -> int:
        """How many are done in order, of one or more: the first one, and what comes soon after."""
        self.wait(batch[:1])
        self.wait(batch, _GRACE)
        return sum(1 for _ in takewhile(Future.done, batch))

    def give_up(self) -> None:
        """Puts others in the place of threads that have been at one item for too long.

        Raises:
            ConfigError: there are too many of them.
        """
        if self.limit is None:
            return
        latest = time.monotonic() - self.limit.seconds
        for thread, job in list(self.busy.items()):
            if thread in self.stuck or job.began > latest:
                continue
            result = self.limit.late(job.item)
            if result is None:
                continue
            self.stuck.add(thread)
            job.settle(result)
            self._start(1)
        self.stuck = {thread for thread in self.stuck if thread.is_alive()}
        if len(self.stuck) > _STUCK:
            raise ConfigError(
                f"{len(self.stuck)} items at once have taken longer than {self.limit.seconds:g} s "
                "each, so that nothing goes on; see whether the disk or the network still answers"
            )

    def dismiss(self) -> None:
        """Drops what nobody works on yet, and ends the threads that are not stuck."""
        dropped = RuntimeError("it was given up: nobody asks for it any more")
        with contextlib.suppress(queue.Empty):
            while (job := self.jobs.get_nowait()) is not None:
                job.settle(error=dropped)  # for whoever waits for it
        for _ in self.threads:
            self.jobs.put(None)
        _end([thread for thread in self.threads if thread not in self.stuck])
        for job in list(self.busy.values()):
            job.settle(error=dropped)

    def _run(self) -> None:
        me = threading.current_thread()
        while me not in self.stuck and (job := self.jobs.get()) is not None:
            job.began = time.monotonic()
            self.busy[me] = job
            try:
                job.settle(self.work(job.item))
            except BaseException as error:
                job.settle(error=error)
            del self.busy[me], job  # or the last one is held until the next one comes


class _Feed(Generic[T, R]):
    """What a source gives, submitted as it comes."""

    def __init__(self, items: Iterator[T], crew: _Crew[T, R], most: int) -> None:
        self.items, self.crew = items, crew
        self.room = threading.Semaphore(most)
        self.waiting: deque[Future[R]] = deque()
        self.changed = threading.Condition()
        self.ended = False
        self.error: BaseException | None = None

    def run(self) -> None:
        """Takes the items one by one, where there is room for one."""
        try:
            while self.room.acquire() and not self.ended:
                try:
                    item = next(self.items)
                except StopIteration:
                    break
                with self.changed:
                    self.waiting.append(self.crew.submit(item))
                    self.changed.notify()
        except BaseException as error:  # whatever it is, it belongs to whoever asks for results
            self.error = error
        finally:
            self.stop()

    def stop(self) -> None:
        """Takes no more."""
        with self.changed:
            self.ended = True
            self.changed.notify()
        self.room.release()

    def batch(self, size: int) -> list[Future[R]]:
        """What has come and is done, in order, `size` at most; nothing at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.ended)
            first = list(islice(self.waiting, 1))
        self.crew.wait(first)  # meanwhile others come
        with self.changed:
            self.changed.wait_for(lambda: len(self.waiting) >= size or self.ended, _PATIENCE)
            come = list(islice(self.waiting, size))
        count = self.crew.done(come) if come else 0
        with self.changed:
            return [self.waiting.popleft() for _ in range(count)]
