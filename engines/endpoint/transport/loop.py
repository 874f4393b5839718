"""An event loop in a thread of its own, for callers that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines; answers go on coming in while the caller works on those before."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, or raise what it raises; an interrupted wait cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def as_done(
        self, works: Iterable[Callable[[], Coroutine[Any, Any, T]]], *, limit: int
    ) -> Iterator[list[T]]:
        """Yield results as they come, as many at a time as are there; at most `limit` works run together.

        The first one that raises ends all others.
        """
        done: SimpleQueue[Future[T]] = SimpleQueue()
        running: set[Future[T]] = set()
        remaining = iter(works)
        try:
            while True:
                for work in islice(remaining, limit - len(running)):
                    future = asyncio.run_coroutine_threadsafe(work(), self._loop)
                    running.add(future)
                    future.add_done_callback(done.put)
                if not running:
                    return
                finished = [done.get(), *_those_in(done)]
                running.difference_update(finished)
                yield [future.result() for future in finished]
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _those_in(done: SimpleQueue[Future[T]]) -> Iterator[Future[T]]:
    while True:
        try:
            yield done.get_nowait()
        except Empty:
            return


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
