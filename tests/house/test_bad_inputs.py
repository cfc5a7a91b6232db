"""Every input of bad_inputs.py is refused with its type and words, and a good call afterwards works."""

from __future__ import annotations

import re

import numpy as np
import pytest
from bad_inputs import BAD_INPUTS, Bad

import pylayers.nn as nn
import pylayers.optim as optim


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.name.replace(" ", "-"))
def test_bad_input(bad: Bad) -> None:
    with pytest.raises(bad.error) as raised:
        bad.call()
    assert type(raised.value) is bad.error or bad.error is RuntimeError, type(raised.value)
    assert re.search(bad.match, str(raised.value)), str(raised.value)
    good_step()


def test_names_are_unique() -> None:
    assert len({bad.name for bad in BAD_INPUTS}) == len(BAD_INPUTS)


def test_torch_tensor_with_history() -> None:
    """Never a silent detach: a TypeError that names pylayers.torch."""
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="requires grad; detach it, or use pylayers.torch"):
        nn.Linear(2, 3)(torch.ones(1, 2, requires_grad=True))
    assert nn.Linear(2, 3)(torch.ones(1, 2)).shape == (1, 3)


def good_step() -> None:
    """Forward, backward and update of a layer, with the numbers that are due."""
    layer = nn.Linear(2, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = optim.SGD(layer.parameters(), lr=0.5)
    loss = nn.MSELoss()(layer(np.array([[1, 2]], np.float32)), np.array([[2]], np.float32))
    loss.backward()
    optimizer.step()
    assert loss.item() == 1
    assert layer.weight.array.tolist() == [[0, -1]]
    assert layer.bias.array.tolist() == [-1]
