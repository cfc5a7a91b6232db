"""The masks of dropout: repeated by a seed, the same in backward, of random words that no other call uses."""

from __future__ import annotations

import emulated
import numpy as np
import pytest

import pylayers
import pylayers.nn.functional as F
from pylayers.autograd import Tensor


def test_dropout_masks() -> None:
    """The backward mask is the forward mask; the next call has another; a seed repeats them; the rate is right."""
    x = Tensor(np.ones((64, 65)), requires_grad=True)
    pylayers.manual_seed(3)
    y, other = F.dropout(x, 0.3), F.dropout(x, 0.3)
    dy = np.random.default_rng(0).normal(size=y.shape)
    y.backward(Tensor(dy))
    values = y.detach().numpy()
    assert set(np.unique(values)) == {0.0, 1 / 0.7}
    assert abs(x.grad.numpy() - dy * values).max() <= 1e-14
    kept = (values != 0).mean()
    assert abs(kept - 0.7) <= 5 * np.sqrt(0.21 / values.size)
    assert (values != other.detach().numpy()).any()
    pylayers.manual_seed(3)
    assert (F.dropout(x, 0.3).detach().numpy() == values).all()


@pytest.mark.parametrize("backend", ["reference", "emulated"])
def test_dropout_calls_share_no_random_word(backend: str) -> None:
    """Calls of any sizes draw, four elements to a counter, what one call over all their counters draws."""
    if backend == "emulated":
        emulated.load()
    sizes = (5, 3, 8, 1, 4, 7, 2, 1001, 6)
    with pylayers.backend(backend):
        pylayers.manual_seed(11)
        masks = [F.dropout(np.ones(size, np.float32), 0.5).numpy() for size in sizes]
        pylayers.manual_seed(11)
        counters = [-(-size // 4) for size in sizes]
        whole = F.dropout(np.ones(4 * sum(counters), np.float32), 0.5).numpy()
    starts = 4 * np.cumsum([0, *counters[:-1]])
    for mask, start in zip(masks, starts, strict=True):
        np.testing.assert_array_equal(mask, whole[start : start + mask.size])
