"""Sleeping until a lane has work: who sleeps, who is woken, and what was rung while nobody listened."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class Bells:
    """One bell per lane. A ring is never lost: whoever looked at the count before it does not sleep after it.

    `on_change` is called, outside the lock, when a lane gets its first sleeper, so that the supervisor can tell the
    server. Safe between threads.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._condition = threading.Condition()
        self._rings: Counter[str] = Counter()
        self._asleep: Counter[str] = Counter()

    def count(self, lanes: Sequence[str]) -> int:
        """Return how often these lanes have been rung; take it before the look that may find nothing."""
        with self._condition:
            return sum(self._rings[lane] for lane in lanes)

    def ring(self, lanes: Sequence[str]) -> None:
        """Wake everybody who sleeps on one of the lanes."""
        with self._condition:
            self._rings.update(lanes)
            self._condition.notify_all()

    def wait(self, lanes: Sequence[str], count: int, seconds: float) -> bool:
        """Wait until the lanes have been rung more than `count` times or the time is over; say whether they were."""
        deadline = time.monotonic() + seconds
        with self._condition:
            while sum(self._rings[lane] for lane in lanes) == count:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
        return True

    @contextmanager
    def sleeping(self, lanes: Sequence[str]) -> Iterator[None]:
        """Count the caller among the sleepers of these lanes for the length of the block."""
        with self._condition:
            is_first = any(self._asleep[lane] == 0 for lane in lanes)
            self._asleep.update(lanes)
        if is_first:
            self._on_change()
        try:
            yield
        finally:
            with self._condition:
                self._asleep.subtract(lanes)

    def asleep(self) -> frozenset[str]:
        """Return the lanes on which somebody sleeps."""
        with self._condition:
            return frozenset(lane for lane, sleepers in self._asleep.items() if sleepers > 0)

    def sleepers(self) -> int:
        """Return how many places are asleep, a sleeper of two lanes counting twice."""
        with self._condition:
            return self._asleep.total()
