"""What a step is told between steps and what it refuses: options, frozen parameters, late momenta, aliases."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import emulated
import numpy as np
import pytest
from bounds import reference
from goldens.optimizers import gradient, start
from subject import Subject

import pylayers
import pylayers.optim as optim
from pylayers import nn, ops
from pylayers.autograd import Tensor
from pylayers.backends.contract import AdamRates, SgdRates
from pylayers.operations import tensor_lists

BAD_OPTIONS = [
    *(("SGD", "lr", x) for x in (math.nan, -1.0, math.inf, "0.1", None)),
    *(("SGD", "momentum", x) for x in (math.nan, -0.1, math.inf)),
    *(("SGD", "dampening", x) for x in (math.nan, "1")),
    *(("SGD", "weight_decay", x) for x in (math.nan, -1.0, math.inf)),
    ("SGD", "nesterov", True),
    *(("Adam", "lr", x) for x in (math.nan, -1.0, math.inf)),
    *(("Adam", "betas", x) for x in ((1.0, 0.9), (0.9, 1.0), (0.9, math.nan), (-0.1, 0.9), (0.9,), (0.9, "x"))),
    *(("AdamW", "eps", x) for x in (math.nan, -1e-8, math.inf)),
    *(("AdamW", "weight_decay", x) for x in (math.nan, -1.0)),
    ("Adam", "amsgrad", True),
]


@pytest.mark.parametrize(("kind", "option", "value"), BAD_OPTIONS)
def test_an_option_that_became_bad_is_refused_before_anything_changes(kind: str, option: str, value: Any) -> None:
    """Written into the second group after a good step: no parameter of the first has moved, nor has its state."""
    a, b = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))
    optimizer = getattr(optim, kind)([{"params": [a]}, {"params": [b]}], lr=0.1)
    for p in (a, b):
        p.grad = Tensor(np.ones(p.shape))
    optimizer.step()
    before = a.array.copy(), b.array.copy()
    good = optimizer.param_groups[1][option]
    optimizer.param_groups[1][option] = value
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=f"{kind}|Nesterov"):
        optimizer.step()
    assert (a.array == before[0]).all()
    assert (b.array == before[1]).all()
    optimizer.param_groups[1][option] = good
    optimizer.step()
    assert (a.array != before[0]).all()


CHANGES: dict[str, tuple[str, dict[str, Any], list[tuple[int, dict[str, Any]]]]] = {
    "rate": ("SGD", {"lr": 0.1}, [(3, {"lr": 0.01}), (6, {"lr": 0.05, "weight_decay": 0.1})]),
    "momentum on": ("SGD", {"lr": 0.05}, [(3, {"momentum": 0.9, "dampening": 0.5})]),
    "momentum on, off, on": (
        "SGD", {"lr": 0.05, "dampening": 0.3},
        [(2, {"momentum": 0.9}), (5, {"momentum": 0.0}), (8, {"momentum": 0.8})],
    ),
    "nesterov": ("SGD", {"lr": 0.05}, [(4, {"momentum": 0.9, "nesterov": True}), (7, {"maximize": True})]),
    "adam": ("Adam", {"lr": 0.05}, [(3, {"betas": (0.5, 0.9)}), (5, {"eps": 0.1}), (7, {"weight_decay": 0.2})]),
    "adamw": ("AdamW", {"lr": 0.05}, [(2, {"weight_decay": 0.5}), (5, {"maximize": True, "lr": 0.01})]),
}  # fmt: skip


@pytest.mark.parametrize("where", ["reference", "emulated"])
@pytest.mark.parametrize("name", CHANGES)
def test_options_changed_between_steps_act_as_in_torch(name: str, where: str) -> None:
    torch = pytest.importorskip("torch")
    dtype, bound = ("float64", 1e-12) if where == "reference" else ("float32", 2e-6)
    if where == "emulated":
        emulated.load()
    kind, options, changes = CHANGES[name]
    ours = [nn.Parameter(p.astype(dtype)) for p in start()]
    theirs = [torch.nn.Parameter(torch.tensor(p)) for p in start()]
    our, their = getattr(optim, kind)(ours, **options), getattr(torch.optim, kind)(theirs, **options)
    for step in range(10):
        for optimizer in (our, their):
            for when, changed in changes:
                if when == step:
                    optimizer.param_groups[0].update(changed)
        for index, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            g = gradient(step, index, q.detach().numpy())
            p.grad, q.grad = Tensor(np.asarray(g, dtype)), torch.tensor(g)
        with pylayers.backend(where):
            our.step()
        their.step()
        for p, q in zip(ours, theirs, strict=True):
            assert abs(p.array - q.detach().numpy()).max() <= bound * max(1.0, abs(q.detach().numpy()).max())


@pytest.mark.parametrize("where", ["reference", "emulated"])
def test_a_momentum_begins_with_its_first_gradient(where: str) -> None:
    """The second parameter gets gradients from the fourth step on: its first momentum is undamped."""
    torch = pytest.importorskip("torch")
    if where == "emulated":
        emulated.load()
    options = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}
    ours = [nn.Parameter(np.ones(5, np.float32)) for _ in range(2)]
    theirs = [torch.nn.Parameter(torch.ones(5)) for _ in range(2)]
    our, their = optim.SGD(ours, **options), torch.optim.SGD(theirs, **options)
    for step in range(6):
        for index in range(2 if step > 2 else 1):
            ours[index].grad, theirs[index].grad = Tensor(np.full(5, 0.25, np.float32)), torch.full((5,), 0.25)
        with pylayers.backend(where):
            our.step()
        their.step()
    for p, q in zip(ours, theirs, strict=True):
        assert abs(p.array - q.detach().numpy()).max() <= 1e-6


def test_some_tensors_without_a_momentum(on: Subject) -> None:
    """In one call of the op: each as it would be by itself, on every backend."""
    rng = np.random.default_rng(7)
    sizes, momenta = [5, 0, 4097, 3], [True, False, False, True]
    values = [[rng.standard_normal(n).astype(np.float32) for n in sizes] for _ in range(3)]
    rates = SgdRates(0.1, momentum=0.9, dampening=0.2, weight_decay=0.01)
    p, g, m = ([on.place(x) for x in xs] for xs in values)
    steps = [on.place(np.array([3, 0], np.int32)) for _ in sizes]
    with pylayers.backend(on.name):
        ops.sgd(p, g, [x if has else None for x, has in zip(m, momenta, strict=True)], steps, rates)
    for index, has in enumerate(momenta):
        want, moment, step = values[0][index].copy(), values[2][index].copy(), np.array([3, 0], np.int32)
        reference.sgd([want], [values[1][index]], [moment if has else None], [step], rates)
        np.testing.assert_allclose(on.take(p[index]), want, atol=1e-6)
        np.testing.assert_allclose(on.take(m[index]), moment if has else values[2][index], atol=1e-6)
        assert on.take(steps[index]).tolist() == [4, 0]


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_frozen_parameters_that_have_a_gradient_move_as_in_torch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    ours.load_state_dict(theirs.state_dict())
    our, their = (
        getattr(optim, kind)(ours.parameters(), lr=0.1),
        getattr(torch.optim, kind)(theirs.parameters(), lr=0.1),
    )
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    ours(x).sum().backward()
    theirs(torch.tensor(x)).sum().backward()
    ours.weight.requires_grad_(False)
    theirs.weight.requires_grad_(False)
    ours.bias.requires_grad_(False)
    ours.bias.grad = theirs.bias.grad = None
    for _ in range(3):
        our.step()
        their.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert abs(p.array - q.detach().numpy()).max() <= 1e-6


def fresh(n: int = 4) -> np.ndarray:
    return np.ones(n, np.float32)


def views(n: int = 4) -> list[np.ndarray]:
    """Two that overlap in part."""
    home = np.ones(2 * n, np.float32)
    return [home[:n], home[n // 2 : n // 2 + n]]


same = fresh()
ALIASES: dict[str, Callable[[], dict[str, list[np.ndarray]]]] = {
    "parameters in part": lambda: {"parameters": views()},
    "one parameter twice": lambda: {"parameters": [same, same]},
    "parameter and moment": lambda: {"parameters": [same, fresh()], "exp_avgs": [fresh(), same]},
    "both moments": lambda: {"exp_avgs": [same, fresh()], "exp_avg_sqs": [same, fresh()]},
    "moments in part": lambda: {"exp_avg_sqs": views()},
    "parameter and gradient": lambda: {"parameters": [same, fresh()], "gradients": [same, fresh()]},
    "gradient of another": lambda: {"parameters": [fresh(), same], "gradients": [same[::-1], fresh()]},
    "steps": lambda: {"steps": [np.zeros(2, np.int32)] * 2},
    "within a parameter": lambda: {"parameters": [np.lib.stride_tricks.as_strided(fresh(1), (4,), (0,)), fresh()]},
    "rows that meet": lambda: {
        "parameters": [np.lib.stride_tricks.as_strided(fresh(8), (2, 3), (8, 4)), np.ones((2, 3), np.float32)],
        "gradients": [np.ones((2, 3), np.float32)] * 2,
        "exp_avgs": [np.ones((2, 3), np.float32) for _ in range(2)],
        "exp_avg_sqs": [np.ones((2, 3), np.float32) for _ in range(2)],
    },
}


@pytest.mark.parametrize("name", ALIASES)
def test_memory_that_would_change_twice_is_refused(name: str) -> None:
    lists = {key: [fresh(), fresh()] for key in ("parameters", "gradients", "exp_avgs", "exp_avg_sqs")}
    lists |= {"steps": [np.zeros(2, np.int32) for _ in range(2)]} | ALIASES[name]()
    before = {key: [x.copy() for x in xs] for key, xs in lists.items()}
    with pytest.raises(ValueError, match=r"adam: argument '\w+\[\d\]': expected memory of its own"):
        ops.adam(*lists.values(), AdamRates(0.1))
    if not name.startswith(("both", "moments")):
        with pytest.raises(ValueError, match=r"sgd: argument '\w+\[\d\]': expected memory of its own"):
            ops.sgd(lists["parameters"], lists["gradients"], lists["exp_avgs"], lists["steps"], SgdRates(0.1, 0.9))
    assert all((x == y).all() for key, xs in lists.items() for x, y in zip(xs, before[key], strict=True))


def test_views_of_one_memory_that_share_nothing_are_taken() -> None:
    """Neighbours, a matrix's columns, halves of a buffer backwards, and one gradient for several parameters."""
    matrix, buffer = np.ones((4, 2), np.float32), np.ones(8, np.float32)
    parameters = [matrix[:, 0], matrix[:, 1], buffer[3::-1], buffer[4:], np.ones(0, np.float32)]
    gradients = [np.broadcast_to(np.float32(1), (4,))] * 4 + [np.ones(0, np.float32)]
    ops.sgd(parameters, gradients, [None] * 5, [np.zeros(2, np.int32) for _ in range(5)], SgdRates(0.25))
    assert (matrix == 0.75).all()
    assert (buffer == 0.75).all()


def test_lists_are_checked_when_they_change_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """New data, a moment that was replaced, another set of gradients: each is looked at; the same lists are not."""
    looked: list[int] = []
    check = tensor_lists.check_apart
    monkeypatch.setattr(tensor_lists, "check_apart", lambda *given: (looked.append(1), check(*given)))
    parameters = [nn.Parameter(fresh()) for _ in range(3)]
    optimizer = optim.Adam(parameters, lr=0.1)

    def steps(count: int) -> int:
        looked.clear()
        for _ in range(count):
            for p in parameters:
                p.grad = Tensor(fresh())
            optimizer.step()
        return len(looked)

    assert steps(3) == 1
    parameters[1].data = Tensor(fresh())
    assert steps(3) == 1
    optimizer.state[parameters[0]]["exp_avg"] = fresh()
    assert steps(2) == 1
    optimizer.load_state_dict(optimizer.state_dict())
    assert steps(2) == 1
    optimizer.state[parameters[0]]["exp_avg"] = optimizer.state[parameters[1]]["exp_avg"]
    with pytest.raises(ValueError, match="expected memory of its own"):
        steps(1)
    with pytest.raises(ValueError, match="expected memory of its own"):
        steps(1)


def test_a_gradient_of_another_kind_is_refused_in_any_step() -> None:
    p = nn.Parameter(fresh())
    optimizer = optim.Adam([p], lr=0.1)
    p.grad = Tensor(fresh())
    optimizer.step()
    for bad in (np.ones(3, np.float32), np.ones(4)):
        p.grad.array = bad
        with pytest.raises((TypeError, ValueError), match=r"adam: argument 'gradients\[0\]': expected (shape|dtype)"):
            optimizer.step()
