"""The generator that all random numbers come from, its seed, and its state, which a checkpoint can hold."""

from __future__ import annotations

import secrets
import struct
import threading
from typing import Any

import numpy as np

from pylayers.autograd import Tensor
from pylayers.errors import expected
from pylayers.operations import checks

# seed, offset, the two 128-bit numbers of PCG64 in halves, whether it holds half a draw, and that half.
STATE = struct.Struct("<QQ QQQQ II")
WORD = 2**64


class Generator:
    """A stream of random numbers: `rng` for values, and positions in the Philox streams of dropout."""

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self.manual_seed(secrets.randbits(63) if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream anew; negative seeds count from 2^64 down, as in torch."""
        self.seed = int(seed) % 2**64
        self.rng = np.random.Generator(np.random.PCG64(self.seed))
        self.offset = 0
        return self

    def initial_seed(self) -> int:
        """The seed it was started with."""
        return self.seed

    def get_state(self) -> Tensor:
        """Where the stream is, as uint8 (56,): it can be saved with a model's weights."""
        with self._lock:
            inner: Any = self.rng.bit_generator.state
            halves = [half for n in (inner["state"]["state"], inner["state"]["inc"]) for half in divmod(n, WORD)]
            packed = STATE.pack(self.seed, self.offset, *halves, inner["has_uint32"], inner["uinteger"])
        return Tensor(np.frombuffer(packed, np.uint8).copy())

    def set_state(self, new_state: Any) -> Generator:
        """Continues where `get_state` was taken; TypeError for other dtypes, ValueError for another size."""
        state = new_state.detach().cpu().numpy() if isinstance(new_state, Tensor) else np.asarray(new_state)
        if state.dtype != np.uint8:
            raise expected("set_state", "new_state", "a uint8 tensor", f"dtype {state.dtype}", error=TypeError)
        if state.shape != (STATE.size,):
            raise expected("set_state", "new_state", f"shape ({STATE.size},)", state.shape)
        seed, offset, *halves, has_uint32, uinteger = STATE.unpack(state.tobytes())
        value, inc = halves[0] * WORD + halves[1], halves[2] * WORD + halves[3]
        with self._lock:
            self.seed, self.offset = seed, offset
            self.rng.bit_generator.state = {
                "bit_generator": "PCG64",
                "state": {"state": value, "inc": inc},
                "has_uint32": has_uint32,
                "uinteger": uinteger,
            }
        return self

    def philox(self, words: int) -> tuple[int, int]:
        """(seed, offset) for a kernel that uses `words` counters; the next call's counters follow after them."""
        with self._lock:
            offset = self.offset
            self.offset += words
            return self.seed, offset


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Makes everything random from here on a function of `seed`: random tensors, initial weights, dropout."""
    return default_generator.manual_seed(checks.whole("manual_seed", "seed", seed, -(2**63)))


def philox(words: int) -> tuple[int, int]:
    """(seed, offset) from the default generator, which moves on by `words` counters."""
    return default_generator.philox(words)


def get_rng_state() -> Tensor:
    """Where the default generator is, as uint8 (56,): random tensors, initial weights, shuffling and dropout."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Continues where `get_rng_state` was taken. TypeError or ValueError for what is no such state."""
    default_generator.set_state(new_state)
