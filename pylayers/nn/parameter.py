"""Parameter: a tensor that a module finds and an optimizer changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pylayers.autograd import Tensor


class Parameter(Tensor):
    """A leaf tensor with `requires_grad`; assigned to a module it becomes one of its parameters.

    `data` is a Tensor or an array, not copied; without it the parameter is empty.
    """

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        if data is None:
            data = np.empty(0, np.float32)
        super().__init__(data.array if isinstance(data, Tensor) else data, requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
