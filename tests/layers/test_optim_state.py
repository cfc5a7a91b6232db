"""The state of optimizers: into torch's layout and back, through a file, and refused where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from goldens.optimizers import gradient, start

import pylayers
import pylayers.optim as optim
from pylayers import nn
from pylayers.autograd import Tensor


def test_torch_state_continues_here() -> None:
    """Ten steps in torch and ten here, from torch's weights and state_dict, are twenty steps in torch."""
    torch = pytest.importorskip("torch")
    for kind, options in (("SGD", {"lr": 0.02, "momentum": 0.9}), ("AdamW", {"lr": 0.02})):
        theirs = [torch.nn.Parameter(torch.tensor(p)) for p in start()]
        their = getattr(torch.optim, kind)(theirs, **options)
        ours: list[nn.Parameter] = []
        for step in range(20):
            if step == 10:
                ours = [nn.Parameter(q.detach().numpy().copy()) for q in theirs]
                our = getattr(optim, kind)(ours)
                our.load_state_dict(their.state_dict())
            for index, q in enumerate(theirs):
                q.grad = torch.tensor(gradient(step, index, q.detach().numpy()))
                if step >= 10:
                    ours[index].grad = Tensor(q.grad.numpy().copy())
            their.step()
            if step >= 10:
                our.step()
        for p, q in zip(ours, theirs, strict=True):
            assert abs(p.array - q.detach().numpy()).max() <= 1e-12


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_resume(kind: str, tmp_path: Path) -> None:
    """20 steps, saved and loaded into a new optimizer, and 20 more are 40 steps, bit for bit."""
    options = {"lr": 0.02, "momentum": 0.9, "dampening": 0.5} if kind == "SGD" else {"lr": 0.02}

    def steps(parameters: list[nn.Parameter], optimizer: Any, first: int, last: int) -> None:
        for step in range(first, last):
            for index, p in enumerate(parameters):
                p.grad = Tensor(gradient(step, index, p.array).astype(np.float32))
            optimizer.step()

    whole = [nn.Parameter(p.astype(np.float32)) for p in start()]
    steps(whole, getattr(optim, kind)(whole, **options), 0, 40)
    half = [nn.Parameter(p.astype(np.float32)) for p in start()]
    optimizer = getattr(optim, kind)(half, **options)
    steps(half, optimizer, 0, 20)
    pylayers.save(optimizer.state_dict(), tmp_path / "optimizer.safetensors")
    again = [nn.Parameter(p.array.copy()) for p in half]
    resumed = getattr(optim, kind)(again, lr=9.0)
    resumed.load_state_dict(pylayers.load(tmp_path / "optimizer.safetensors"))
    assert resumed.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    steps(again, resumed, 20, 40)
    for p, q in zip(whole, again, strict=True):
        assert (p.array == q.array).all()


def test_a_training_with_dropout_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Weights, optimizer and random state through one file: 6 steps, and 6 after loading, are 12 steps."""

    def made() -> tuple[nn.Module, Any]:
        net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4))
        return net, optim.AdamW(net.parameters(), lr=0.01)

    def steps(net: nn.Module, optimizer: Any) -> None:
        for _ in range(6):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(pylayers.randn(10, 8)), pylayers.randint(0, 4, (10,))).backward()
            optimizer.step()

    pylayers.manual_seed(3)
    net, optimizer = made()
    steps(net, optimizer)
    state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "rng": pylayers.get_rng_state()}
    pylayers.save(state, tmp_path / "state")
    steps(net, optimizer)
    again, other = made()  # draws its weights, so that the generator stands elsewhere
    state = pylayers.load(tmp_path / "state")
    again.load_state_dict(state["net"])
    other.load_state_dict(state["optimizer"])
    pylayers.set_rng_state(state["rng"])
    steps(again, other)
    assert all((p.array == q.array).all() for p, q in zip(net.parameters(), again.parameters(), strict=True))


def test_state_that_does_not_fit() -> None:
    """All or nothing: a state of other groups or shapes changes neither options nor moments."""
    p = nn.Parameter(np.ones(3))
    optimizer = optim.Adam([p], lr=0.1)
    p.grad = Tensor(np.ones(3))
    optimizer.step()
    good = optimizer.state_dict()
    with pytest.raises(pylayers.CheckpointError, match=r"groups of \[1\] parameters, got groups of \[2\]"):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]})
    wrong = {"state": {0: {"step": 1, "exp_avg": np.ones(2)}}, "param_groups": [{"params": [0], "lr": 0.5}]}
    with pytest.raises(pylayers.CheckpointError, match=r"'exp_avg': expected shape \(3,\), got \(2,\)"):
        optimizer.load_state_dict(wrong)
    foreign = {"state": {0: {"momentum_buffer": np.ones(3)}}, "param_groups": [{"params": [0]}]}
    with pytest.raises(pylayers.CheckpointError, match="state 0: expected 'exp_avg', got momentum_buffer"):
        optimizer.load_state_dict(foreign)
    for bad in (np.full(3, 1j), np.array([None] * 3), np.array(["1", "2", "3"]), "abc"):
        wrong = {
            "state": {0: {"step": 1, "exp_avg": np.zeros(3), "exp_avg_sq": bad}},
            "param_groups": [{"params": [0]}],
        }
        with pytest.raises(pylayers.CheckpointError, match="'exp_avg_sq': expected an array of real numbers, got"):
            optimizer.load_state_dict(wrong)
    with pytest.raises(pylayers.CheckpointError, match="expected {'state': ..., 'param_groups': ...}"):
        optimizer.load_state_dict({"weight": 1})
    with pytest.raises(ValueError, match="Adam: argument 'lr': expected a finite number >= 0, got -1.0"):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"params": [0], "lr": -1}]})
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert (optimizer.state_dict()["state"][0]["exp_avg"].numpy() == good["state"][0]["exp_avg"].numpy()).all()


def test_no_state_before_the_first_step() -> None:
    assert optim.Adam([nn.Parameter(np.ones(3))]).state_dict()["state"] == {}
