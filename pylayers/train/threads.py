"""How many threads BLAS gets in a run on the CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

SMALL_IMAGE = 16 * 16  # pixels


def one_for_small_images(height: int, width: int) -> AbstractContextManager[object]:
    """One BLAS thread in the block if images are small; otherwise, and without threadpoolctl, as BLAS chooses.

    The products of a small network are over before a second thread has been of use. On a busy machine BLAS's threads
    wait for each other besides: a step of the digits' network was seen to take ten to forty times as long.
    """
    if height * width > SMALL_IMAGE:
        return nullcontext()
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        return nullcontext()
    limits: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return limits
