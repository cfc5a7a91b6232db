"""Optimizers: 100 steps against torch, program 2, groups, non-finite gradients, lists of any length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import emulated
import numpy as np
import pytest
from goldens.optimizers import OPTIMIZERS, STEPS, gradient, start

import pylayers
import pylayers.optim as optim
from pylayers import nn
from pylayers.autograd import Tensor

GOLDENS = Path(__file__).parents[1] / "support/goldens"


def run(kind: str, options: dict[str, Any], dtype: str = "float64") -> list[np.ndarray]:
    parameters = [nn.Parameter(p.astype(dtype)) for p in start()]
    optimizer = getattr(optim, kind)(parameters, **options)
    for step in range(STEPS):
        for index, p in enumerate(parameters):
            p.grad = Tensor(gradient(step, index, p.array).astype(dtype))
        optimizer.step()
    return [p.array for p in parameters]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_golden(name: str) -> None:
    """100 steps in float64 end where torch's end, to 1e-12; in float32 to 1e-5."""
    kind, options = OPTIMIZERS[name]
    with np.load(GOLDENS / "optimizers.npz") as kept:
        wanted = [kept[f"{name}/{i}"] for i in range(len(start()))]
    for dtype, bound in (("float64", 1e-12), ("float32", 1e-5)):
        for got, want, first in zip(run(kind, options, dtype), wanted, start(), strict=True):
            assert got.dtype == dtype
            assert abs(got - want).max() <= bound * max(1.0, abs(want).max())
            assert (got != first.astype(dtype)).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_golden_on_the_kernels(name: str) -> None:
    """The emulated backend in float32 ends within 1e-5 of torch's float64."""
    emulated.load()
    kind, options = OPTIMIZERS[name]
    with np.load(GOLDENS / "optimizers.npz") as kept:
        wanted = [kept[f"{name}/{i}"] for i in range(len(start()))]
    with pylayers.backend("emulated"):
        finals = run(kind, options, "float32")
    for got, want in zip(finals, wanted, strict=True):
        assert abs(got - want).max() <= 1e-5 * max(1.0, abs(want).max())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_live(name: str) -> None:
    """Every step against torch, and then the state_dict: names, order and values."""
    torch = pytest.importorskip("torch")
    kind, options = OPTIMIZERS[name]
    ours = [nn.Parameter(p) for p in start()]
    theirs = [torch.nn.Parameter(torch.tensor(p)) for p in start()]
    our, their = getattr(optim, kind)(ours, **options), getattr(torch.optim, kind)(theirs, **options)
    for step in range(STEPS):
        for index, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            if index == 1 and step % 3:
                p.grad = q.grad = None  # a parameter without a gradient takes no step
                continue
            p.grad = Tensor(gradient(step, index, q.detach().numpy()))
            q.grad = torch.tensor(gradient(step, index, q.detach().numpy()))
        our.step()
        their.step()
        for p, q in zip(ours, theirs, strict=True):
            assert abs(p.array - q.detach().numpy()).max() <= 1e-12
    got, wanted = our.state_dict(), their.state_dict()
    assert {k: list(v) for k, v in got["state"].items()} == {k: list(v) for k, v in wanted["state"].items()}
    for number, entry in wanted["state"].items():
        for key, value in entry.items():
            mine = got["state"][number][key]
            assert mine.shape == tuple(value.shape)
            assert mine.dtype.name == str(value.dtype).removeprefix("torch.")
            assert abs(mine.numpy() - value.numpy()).max() <= 1e-12
    for mine, group in zip(got["param_groups"], wanted["param_groups"], strict=True):
        assert mine["params"] == group["params"]
        for key, value in group.items():
            if key in mine:
                assert mine[key] == value, key
        assert set(mine) - set(group) <= {"bias_correction"}


def program_2(rate: float = 0.01, steps: int = 1000) -> dict[str, np.ndarray]:
    """Gradient descent and Adam by hand on the sum of squares: no bias correction, epsilon outside the root."""
    iterates = {}
    theta = np.random.default_rng(0).normal(size=100)
    for name in ("SGD", "Adam"):
        x, m, v, path = theta.copy(), np.zeros(100), np.zeros(100), []
        for _ in range(steps):
            g = 2 * x
            if name == "SGD":
                x = x - rate * g
            else:
                m = 0.9 * m + 0.1 * g
                v = 0.999 * v + 0.001 * g**2
                x = x - rate * m / (np.sqrt(v) + 1e-8)
            path.append(x)
        iterates[name] = np.array(path)
    return iterates


@pytest.mark.parametrize(("name", "options"), [("SGD", {}), ("Adam", {"bias_correction": False})])
def test_program_2(name: str, options: dict[str, Any]) -> None:
    """Every iterate of the hand-written program, to 1e-12, through the tape."""
    theta = nn.Parameter(np.random.default_rng(0).normal(size=100))
    optimizer = getattr(optim, name)([theta], lr=0.01, **options)
    for wanted in program_2()[name]:
        optimizer.zero_grad()
        (theta**2).sum().backward()
        optimizer.step()
        assert abs(theta.array - wanted).max() <= 1e-12


@pytest.mark.parametrize(("name", "options"), [("SGD", {}), ("Adam", {"bias_correction": False})])
def test_program_2_on_the_kernels(name: str, options: dict[str, Any]) -> None:
    """Every iterate in float32 stays within 1e-6 of the float64 one: four units in the last place of its start, < 3."""
    emulated.load()
    theta = nn.Parameter(np.random.default_rng(0).normal(size=100).astype(np.float32))
    optimizer = getattr(optim, name)([theta], lr=0.01, **options)
    with pylayers.backend("emulated"):
        for wanted in program_2()[name]:
            optimizer.zero_grad()
            (theta**2).sum().backward()
            optimizer.step()
            assert abs(theta.array - wanted).max() <= 1e-6


def test_groups() -> None:
    """Options of a group win over the defaults; one kernel call for each group that has gradients."""
    a, b, c = (nn.Parameter(np.ones(2)) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "momentum": 0.9})
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5, 0.1]
    for p in (a, b):
        p.grad = Tensor(np.ones(2))
    optimizer.step()
    assert (a.array == 0.9).all()
    assert (b.array == 0.5).all()
    assert (c.array == 1).all()
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.step()
    assert abs(a.array - 0.7).max() <= 1e-15
    assert "Parameter Group 2" in repr(optimizer)
    named = optim.SGD(nn.Linear(2, 2).named_parameters(), lr=0.1)
    assert len(named.param_groups[0]["params"]) == 2


def test_zero_grad_and_closure() -> None:
    p = nn.Parameter(np.array([2.0]))
    optimizer = optim.SGD([p], lr=0.25)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    with pylayers.no_grad():
        assert optimizer.step(closure).item() == 4
    assert p.array == 1
    grad = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert grad is not None
    assert (p.grad.numpy() == 0).all()
    optimizer.zero_grad()
    assert p.grad is None


def test_the_tape_sees_the_step() -> None:
    layer = nn.Linear(2, 2)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    y = layer(Tensor(np.ones((1, 2), np.float32), requires_grad=True))
    for p in layer.parameters():
        p.grad = Tensor(np.ones(p.shape, np.float32))
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward(Tensor(np.ones((1, 2), np.float32)))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_a_gradient_that_is_not_finite_changes_nothing(kind: str, where: int, bad: float) -> None:
    """Parameters, moments and steps stay bit for bit; the next finite step is as if there had been none."""
    options = {"lr": 0.1, "momentum": 0.9} if kind == "SGD" else {"lr": 0.1}
    shapes = ((3, 5), (4097,), (2,))

    def fresh() -> tuple[list[nn.Parameter], Any]:
        rng = np.random.default_rng(0)
        parameters = [nn.Parameter(rng.normal(size=s)) for s in shapes]
        return parameters, getattr(optim, kind)(parameters, **options)

    def step(parameters: list[nn.Parameter], optimizer: Any, seed: int, spoiled: bool) -> None:
        rng = np.random.default_rng(seed)
        for index, p in enumerate(parameters):
            p.grad = Tensor(rng.normal(size=p.shape))
            if spoiled and index == where:
                p.grad.array.reshape(-1)[-1] = bad
        optimizer.step(norm=optim.gradient_norm(parameters))

    one, other = fresh(), fresh()
    step(*one, 1, False)
    step(*other, 1, False)
    step(*other, 2, True)
    step(*one, 3, False)
    step(*other, 3, False)
    for p, q in zip(one[0], other[0], strict=True):
        assert (p.array == q.array).all()
    a, b = one[1].state_dict()["state"], other[1].state_dict()["state"]
    assert all((a[i][k].numpy() == b[i][k].numpy()).all() for i in a for k in a[i])


def test_gradient_norm() -> None:
    rng = np.random.default_rng(0)
    parameters = [nn.Parameter(np.zeros(s, np.float32)) for s in ((3, 4), (), (0,), (4097,))]
    for p in parameters:
        p.grad = Tensor(np.asarray(rng.normal(size=p.shape), np.float32))
    norm = optim.gradient_norm(parameters)
    truth = np.sqrt(sum((p.grad.numpy().astype(np.float64) ** 2).sum() for p in parameters))
    assert norm.dtype == np.float32
    assert norm.shape == (2,)
    assert abs(norm.numpy()[0] - truth) <= 1e-6 * truth
    assert norm.numpy()[1] == 0


@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_clip_grad_norm(max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s).astype(np.float32) for s in ((3, 4), (7,))]
    ours, theirs = [nn.Parameter(a.copy()) for a in arrays], [torch.nn.Parameter(torch.tensor(a)) for a in arrays]
    for p, q, a in zip(ours, theirs, arrays, strict=True):
        p.grad, q.grad = Tensor(2 * a), torch.tensor(2 * a)
    got = nn.utils.clip_grad_norm_(ours, max_norm)
    wanted = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    assert abs(got.item() - wanted.item()) <= 1e-5 * wanted.item()
    for p, q in zip(ours, theirs, strict=True):
        assert abs(p.grad.numpy() - q.grad.numpy()).max() <= 1e-6


def test_clipping_without_gradients_returns_zero() -> None:
    """As in torch; an empty list too, and a parameter that never was in a loss does not disturb the others."""
    torch = pytest.importorskip("torch")
    p, q = nn.Parameter(np.ones(2, np.float32)), torch.nn.Parameter(torch.ones(2))
    for ours, theirs in (([p], [q]), ([], []), (p, q)):
        got, wanted = nn.utils.clip_grad_norm_(ours, 1.0), torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        assert got.item() == wanted.item() == 0
        assert (got.shape, got.dtype) == (tuple(wanted.shape), np.float32)


@pytest.mark.parametrize("sizes", [(1,), (0,), (3, 0), (0, 3), (1, 0, 3, 4095, 4097), (2,) * 300])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_every_parameter_of_any_list_changes(kind: str, sizes: tuple[int, ...]) -> None:
    """Empty tensors at any place, lists of 1 to 300, float32 and float64 mixed, one element off alignment."""
    parameters = []
    for index, size in enumerate(sizes):
        home = np.ones(size + 1, np.float64 if index % 2 else np.float32)
        parameters.append(nn.Parameter(home[1:]))
        parameters[-1].grad = Tensor(np.ones_like(home)[1:])
    getattr(optim, kind)(parameters, lr=0.25).step()
    for p in parameters:
        assert abs(p.array - 0.75).max(initial=0) <= 1e-6
        assert p.array.base is None or (p.array.base[:1] == 1).all()
