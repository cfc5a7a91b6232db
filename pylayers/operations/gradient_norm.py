"""The 2-norm of all gradients together and whether any element is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pylayers import backends
from pylayers.errors import expected
from pylayers.operations import checks

Array = Any


def gradient_norm(gradients: Sequence[Array]) -> Array:
    """-> float32 (2,) on the gradients' device: their norm, and 1 if any element is inf or NaN, else 0.

    ValueError for an empty list, TypeError for arrays that are not floating or lie on several devices.
    """
    if not gradients:
        raise expected("gradient_norm", "gradients", "one array or more", "an empty list")
    for index, gradient in enumerate(gradients):
        checks.floating("gradient_norm", f"gradients[{index}]", gradient)
    return backends.of("gradient_norm", *gradients).gradient_norm(gradients)
