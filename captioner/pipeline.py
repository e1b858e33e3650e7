"""Items of a source worked on by threads: in order, in bounded memory, and none of them lost."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from itertools import islice, takewhile
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 3  # batches that are under way, the one that was handed over last included
_FAREWELL = 2.0  # seconds for threads to end; one that opens a large photo may need as long
_PATIENCE = 0.05  # seconds that a batch waits for the rest of it, where the source may be slow
_GRACE = 5.0  # seconds that a result waits for the rest of its batch: large photos make it full


def in_batches(
    items: Iterable[T], work: Callable[[T], R], size: int, workers: int
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

    Args:
        items: what to work on.
        work: called in the threads, once for each item.
        size: most results in a batch.
        workers: threads.
    """
    crew = _Crew(work, workers)
    try:
        yield from (_in_turn if isinstance(items, Sequence) else _as_they_come)(items, crew, size)
    finally:
        crew.dismiss()


def _in_turn(items: Iterable[T], crew: _Crew[T, R], size: int) -> Iterator[list[R]]:
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(crew.submit(item))
        if len(waiting) >= _AHEAD * size:
            yield _taken(waiting, _done(list(islice(waiting, size))))
    while waiting:
        yield _taken(waiting, _done(list(islice(waiting, size))))


def _taken(waiting: deque[Future[R]], count: int) -> list[R]:
    return [waiting.popleft().result() for _ in range(count)]


def _done(batch: Sequence[Future[R]]) -> int:
    """How many are done in order, of one or more: the first one, and what comes soon after it."""
    wait(batch[:1])
    wait(batch, _GRACE)
    return sum(1 for _ in takewhile(Future.done, batch))


def _as_they_come(items: Iterable[T], crew: _Crew[T, R], size: int) -> Iterator[list[R]]:
    feed = _Feed(iter(items), crew.submit, _AHEAD * size)
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


class _Crew(Generic[T, R]):
    """Threads that do one thing.

    Those of `concurrent.futures` are waited for when Python ends, and so would keep a stopped
    command waiting for a pipe that nobody writes to.
    """

    def __init__(self, work: Callable[[T], R], workers: int) -> None:
        self.work = work
        self.jobs: queue.SimpleQueue[tuple[Future[R], T] | None] = queue.SimpleQueue()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def submit(self, item: T) -> Future[R]:
        """Has an item worked on."""
        future: Future[R] = Future()
        self.jobs.put((future, item))
        return future

    def dismiss(self) -> None:
        """Drops what nobody works on yet, and ends the threads that are not stuck."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.jobs.get_nowait()
        for _ in self.threads:
            self.jobs.put(None)
        _end(self.threads)

    def _run(self) -> None:
        while (job := self.jobs.get()) is not None:
            future, item = job
            try:
                future.set_result(self.work(item))
            except BaseException as error:
                future.set_exception(error)
            del future, item, job  # or the last one is held until the next one comes


class _Feed(Generic[T, R]):
    """What a source gives, submitted as it comes."""

    def __init__(self, items: Iterator[T], submit: Callable[[T], Future[R]], most: int) -> None:
        self.items, self.submit = items, submit
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
                    self.waiting.append(self.submit(item))
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
        wait(first)  # meanwhile others come
        with self.changed:
            self.changed.wait_for(lambda: len(self.waiting) >= size or self.ended, _PATIENCE)
            come = list(islice(self.waiting, size))
        count = _done(come) if come else 0
        with self.changed:
            return [self.waiting.popleft() for _ in range(count)]
