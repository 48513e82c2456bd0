"""A worker as a process of its own: signals, the parent's death, and the exit code."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pgdurable_core.worker.options import WorkerOptions
from pgdurable_core.worker.supervisor import Worker

PARENT_EVERY = 0.25
STILL_ALIVE = 0.5
SECOND_SIGNAL = "a second Ctrl-C or SIGTERM stops them at once"


def run_worker(options: WorkerOptions) -> int:
    """Run a worker until it is told to end, and return 0.

    The first SIGTERM or SIGINT drains, the second stops at once. With `die_with_parent` the worker stops when its
    parent is gone; the kernel's own signal for that (PR_SET_PDEATHSIG) also comes when only the parent's thread has
    ended, so the parent is watched instead. Raises what the database refused when it cannot be served, and a fault of
    ours that ended the worker. Must be called in the main thread.
    """
    worker = Worker(options)
    with _signals(worker):
        worker.start()
        over = threading.Event()
        watcher = _watch_parent(options, worker.stop, over)
        try:
            while not worker.wait(STILL_ALIVE):
                pass
        finally:
            over.set()
            if watcher is not None:
                watcher.join()
    return 0


@contextmanager
def _signals(worker: Worker) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        # In a thread: a handler interrupts code that may hold the very locks that drain and stop take.
        received.append(1)
        threading.Thread(target=drain if len(received) == 1 else worker.stop).start()

    def drain() -> None:
        worker.drain(note=SECOND_SIGNAL)

    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch_parent(options: WorkerOptions, stop: Callable[[], None], over: threading.Event) -> threading.Thread | None:
    if not options.die_with_parent and options.parent_pipe is None:
        return None
    parent, pipe = os.getppid(), options.parent_pipe

    def watch() -> None:
        while not over.is_set():
            if pipe is None:
                over.wait(PARENT_EVERY)
            else:
                ready, _, _ = select.select([pipe], [], [], PARENT_EVERY)
                with suppress(OSError):
                    if ready and not os.read(pipe, 64):
                        stop()
                        return
            if options.die_with_parent and os.getppid() != parent:
                stop()
                return

    thread = threading.Thread(target=watch, name="pgdurable-parent", daemon=True)
    thread.start()
    return thread
