"""Threads for what a link does beside its caller: reading, and the calls that it serves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Task = Callable[[], None]


class Workers:
    """Daemon threads, made when needed and kept, and places for at most `limit` calls on them.

    concurrent.futures would queue what its threads cannot take at once, behind calls that may
    themselves be waiting for it, and would keep a program from exiting while a function runs.
    """

    def __init__(self, limit: int, name: str) -> None:
        if limit < 1:
            raise ValueError(f"workers={limit}: a link serves with one thread at least")
        self._limit = limit
        self._name = name
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0  # threads that wait, less the tasks on their way to them
        self._serving = 0
        self._closed = False

    def claim(self) -> bool:
        """Take the place of one call, to be given back with `done`; False if there is none."""
        with self._lock:
            if self._closed or self._serving >= self._limit:
                return False
            self._serving += 1
            return True

    def done(self) -> None:
        """Give a place back."""
        with self._lock:
            self._serving -= 1

    def run(self, task: Task) -> bool:
        """Run a task at once, on a thread of its own; False if the system has no more threads."""
        with self._lock:
            if self._closed:
                return False
            if self._free:
                self._free -= 1
            elif not self._start():
                return False
            self._tasks.put(task)
            return True

    def close(self) -> None:
        """Take no more tasks; threads end with the task they have."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._tasks.put(None)

    def _start(self) -> bool:
        name = f"{self._name}-{self._threads + 1}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:
            return False
        self._threads += 1
        return True

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            del task  # it holds the call's arguments, and the next one may be long in coming
            with self._lock:
                self._free += 1
