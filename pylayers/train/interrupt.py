"""Ctrl-C and SIGTERM in a training: the step is finished and the run ends in order; a second one ends it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], signal.Signals | None]]:
    """In this block a first signal is only noted; what is yielded tells which, None for none.

    Signals that were ignored before stay ignored. Outside the main thread, which alone gets signals, nothing is done.
    """
    caught: list[signal.Signals] = []
    former = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number in chosen:
            signal.signal(number, former[number])

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(signal.Signals(number))
        restore()

    main = threading.current_thread() is threading.main_thread()
    chosen = [number for number in SIGNALS if main and former[number] not in (signal.SIG_IGN, None)]
    for number in chosen:
        signal.signal(number, note)
    try:
        yield lambda: caught[0] if caught else None
    finally:
        restore()
