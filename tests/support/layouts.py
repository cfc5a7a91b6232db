"""The same values in memory of different orders, signs, gaps and offsets, also one array unlike the next."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np


def _reversed(x: np.ndarray) -> np.ndarray:
    backwards = (slice(None, None, -1),) * x.ndim
    return np.ascontiguousarray(x[backwards])[backwards]


def _stepped(x: np.ndarray) -> np.ndarray:
    gaps = np.full([2 * n for n in x.shape], np.nan if x.dtype.kind == "f" else 113, x.dtype)
    view = gaps[(slice(None, None, 2),) * x.ndim]
    view[...] = x
    return view


def _offset(x: np.ndarray) -> np.ndarray:
    memory = np.full(x.size + 1, np.nan if x.dtype.kind == "f" else 113, x.dtype)
    memory[1:] = x.ravel()
    return memory[1:].reshape(x.shape)


def _parts_apart(x: np.ndarray) -> np.ndarray:
    """Parts along the first axis dense, but an element more between them: their steps are odd where the sizes are even,
    and no multiples of 16 bytes."""
    part = x[0].size if len(x) else 0
    memory = np.full((len(x), part + 1), np.nan if x.dtype.kind == "f" else 113, x.dtype)
    view = memory[:, :part].reshape(x.shape)
    view[...] = x
    return view


Layout = Callable[[np.ndarray], np.ndarray]
LAYOUTS: dict[str, Layout] = {
    "contiguous": np.ascontiguousarray,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "last_two_swapped": lambda x: np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) if x.ndim > 1 else x,
    "channels_last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if x.ndim > 1 else x,
    "reversed": _reversed,
    "stepped": _stepped,
    "offset": _offset,
    "parts_apart": lambda x: _parts_apart(x) if x.ndim else x,
}


def in_turns(first: str) -> Layout:
    """Gives each array it meets the next layout, from `first` on, so that the arrays of a call lie differently."""
    names = list(LAYOUTS)
    turn = itertools.count(names.index(first))
    return lambda x: LAYOUTS[names[next(turn) % len(names)]](x)
