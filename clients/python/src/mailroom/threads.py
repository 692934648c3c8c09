"""A bounded pool of daemon threads for sync handlers.

The threads of concurrent.futures are joined when Python exits. A worker whose connection has ended
must exit, although a handler still blocks.
"""

import contextvars
import queue
import threading
from collections.abc import Callable


class Threads:
    """Runs functions in at most `limit` threads, which are started when needed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()

    def submit(self, work: Callable[[], object]) -> None:
        """Run a function as soon as a thread is free. It must not raise. Only on one thread."""
        context = contextvars.copy_context()
        self._work.put(lambda: context.run(work))
        if not self._idle.acquire(blocking=False) and self._started < self._limit:
            self._started += 1
            threading.Thread(target=self._loop, name=f"mailroom-{self._started}", daemon=True).start()

    def close(self) -> None:
        """End the threads after the functions that were submitted."""
        for _ in range(self._started):
            self._work.put(None)

    def _loop(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            self._idle.release()
