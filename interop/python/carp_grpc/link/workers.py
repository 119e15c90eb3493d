"""Threads for the calls that a link serves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Task = Callable[[], None]


class Workers:
    """At most `limit` daemon threads, made when needed and kept.

    concurrent.futures would queue what its threads cannot take at once, behind calls that may
    themselves be waiting for it, and would keep a program from exiting while a function runs.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0  # threads that wait, less the tasks on their way to them
        self._closed = False

    def submit(self, task: Task) -> bool:
        """Run the task at once on a thread of its own; False if all threads are busy."""
        with self._lock:
            if self._closed:
                return False
            if self._free:
                self._free -= 1
            elif self._threads < self._limit:
                self._threads += 1
                name = f"{self._name}-{self._threads}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
            else:
                return False
            self._tasks.put(task)
            return True

    def close(self) -> None:
        """Take no more tasks; threads end with the task they have."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            del task  # it holds the call's arguments, and the next one may be long in coming
            with self._lock:
                self._free += 1
