"""Thread pools that sleep soon after their work: those of one library, waiting for more, slow the next one down."""

from __future__ import annotations

import os
import sys

# GNU's OpenMP, which torch uses, counts turns of its loop, OpenBLAS the power of two of clocks: both wait some 100 us
# for more work, which calls one after another do not exceed. By default it is tens of milliseconds, and a thread that
# has to share a core with one that only waits was seen to hold up a product of 1.6 ms for 16.
WAITS = {"GOMP_SPINCOUNT": "2000", "OPENBLAS_THREAD_TIMEOUT": "18"}


def short_waits() -> None:
    """Starts this command anew with such pools, unless the environment speaks of them: they are set up on import."""
    if not all(name in os.environ for name in WAITS):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**WAITS, **os.environ})
