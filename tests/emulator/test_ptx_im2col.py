"""TMA's im2col loads against the convolution that they serve: NumPy's pad and slices, and torch's unfold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from instructions import Machine, box_of, numbers, run, tensor_of

__all__ = ["run"]  # a fixture


class Convolution:
    """Lists with an entry for each spatial dimension, width last."""

    def __init__(self, rng: np.random.Generator, spatial: int) -> None:
        self.images, self.channels = int(rng.integers(1, 4)), int(rng.integers(1, 4)) * 8
        draw = lambda low, high: [int(n) for n in rng.integers(low, high, spatial)]  # noqa: E731
        self.filter, self.stride, self.dilation = draw(1, 4), draw(1, 4), draw(1, 3)
        self.before, self.after = draw(0, 3), draw(0, 3)
        reach = [(f - 1) * d + 1 for f, d in zip(self.filter, self.dilation)]
        self.sizes = [int(rng.integers(max(1, r - a - b), r + 6)) for r, a, b in zip(reach, self.before, self.after)]
        self.x = numbers((self.images, *self.sizes, self.channels), np.float16, int(rng.integers(1000)))
        self.upper = [a - (r - 1) for a, r in zip(self.after, reach)]

    def columns(self, tap: list[int]) -> np.ndarray:
        """(images x output pixels, channels): what this tap of the filter sees at each of them."""
        padded = np.pad(self.x, [(0, 0), *zip(self.before, self.after), (0, 0)])
        window = tuple(
            slice(t * d, size + before + after - (f - 1 - t) * d, stride)
            for t, d, size, before, after, f, stride in zip(
                tap, self.dilation, self.sizes, self.before, self.after, self.filter, self.stride
            )
        )
        return padded[(slice(None), *window)].reshape(-1, self.channels)

    def outputs(self) -> list[int]:
        """How many output pixels there are along each dimension."""
        reach = [(f - 1) * d for f, d in zip(self.filter, self.dilation)]
        sizes = zip(self.sizes, self.before, self.after, reach, self.stride)
        return [(size + before + after - r - 1) // stride + 1 for size, before, after, r, stride in sizes]


def test_im2col_is_what_a_convolution_sees(run: Machine) -> None:
    rng = np.random.default_rng(0)
    for turn in range(60):
        spatial = turn % 3 + 1
        c = Convolution(rng, spatial)
        pixels, channels = int(rng.integers(1, 30)), int(rng.integers(1, 3)) * 8
        tap = [int(rng.integers(0, f)) for f in c.filter]
        columns = c.columns(tap)
        outputs = c.outputs()
        first = int(rng.integers(0, len(columns)))
        image, *position = np.unravel_index(first, (c.images, *outputs))
        base = [int(p) * s - b for p, s, b in zip(position, c.stride, c.before)]
        channel = int(rng.integers(-4, c.channels))
        at = [channel, *reversed(base), int(image)]
        tensor = tensor_of(
            c.x,
            [channels, pixels],
            im2col=True,
            lower=[-b for b in reversed(c.before)],
            upper=list(reversed(c.upper)),
            element_strides=[1, *reversed(c.stride), 1],
        )
        offsets = [t * d for t, d in zip(tap, c.dilation)]
        want = box_of(columns, [channel, first], [channels, pixels], [1, 1])
        arguments = [want.nbytes, *at, *[0] * (5 - len(at)), *reversed(offsets)]
        got = run(f"tma_load_im2col_{spatial + 2}", [c.x], np.ones(want.shape, np.float16), arguments, tensor)
        np.testing.assert_array_equal(got, want, str((c.__dict__, tap, first)))


def test_im2col_is_torch_unfold(run: Machine) -> None:
    torch = pytest.importorskip("torch")
    x = numbers((2, 9, 11, 16), np.float32)
    image = torch.from_numpy(x).permute(0, 3, 1, 2)
    unfolded = torch.nn.functional.unfold(image, (3, 2), dilation=(2, 1), padding=(1, 2), stride=(2, 3))
    unfolded = unfolded.reshape(2, 16, 3, 2, -1).permute(2, 3, 0, 4, 1).numpy()  # tap, tap, image, pixel, channel
    pixels = unfolded.shape[2] * unfolded.shape[3]
    lower, upper = [-2, -1], [2 - 1, 1 - 4]
    tensor = tensor_of(x, [16, pixels], im2col=True, lower=lower, upper=upper, element_strides=[1, 3, 2, 1])
    for r, s in itertools.product(range(3), range(2)):
        arguments = [pixels * 64, 0, *lower, 0, 0, s, 2 * r]
        got = run("tma_load_im2col_4", [x], np.ones((pixels, 16), np.float32), arguments, tensor)
        np.testing.assert_array_equal(got, unfolded[r, s].reshape(pixels, 16))
