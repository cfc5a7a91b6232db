"""Devices: a str that knows its type and number, made, compared and printed as torch's."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import pylayers


@pytest.mark.parametrize("args", [("cpu",), ("cuda",), ("cuda:1",), ("cuda", 0), ("cuda", 12)])
def test_against_torch(args: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    mine, its = pylayers.device(*args), torch.device(*args)
    assert (mine.type, mine.index, str(mine), repr(mine), f"{mine}") == (
        its.type,
        its.index,
        str(its),
        repr(its),
        f"{its}",
    )
    assert (
        pylayers.device(3) == "cuda:3"
        and pylayers.device(mine) == mine == copy.deepcopy(mine)
        and hash(mine) == hash(str(its))
    )


def test_of_a_tensor() -> None:
    x = pylayers.ones(2)
    assert x.device == pylayers.device("cpu") == "cpu" and x.device.type == "cpu" and x.device.index is None
    assert x.to(pylayers.device("cpu")) is x and x.to(x.device) is x
    assert pylayers.zeros(2, device=pylayers.device("cpu")).device == x.device
    assert {x.device: 1}["cpu"] == 1 and type(str(x.device)) is str


@pytest.mark.parametrize("args", [("gpu",), ("cuda:x",), ("cuda:",), ("",), ("cuda", -1), ("cpu", "x")])
def test_what_is_no_device(args: tuple[Any, ...]) -> None:
    words = "device: argument 'device': expected 'cpu', 'cuda' or 'cuda:<number>', got '" + ":".join(map(str, args))
    with pytest.raises(ValueError, match=words):
        pylayers.device(*args)
