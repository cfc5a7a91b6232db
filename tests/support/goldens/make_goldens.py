"""Writes torch's results for every case: ``python tests/support/goldens/make_goldens.py`` where torch is installed.

functional.npz: float64 inputs x0, x1, ..., cotangent dy, result y, gradients d0, d1, ... of each case of cases.py.
optimizers.npz: the parameters after 100 steps of each optimizer of optimizers.py.
network.safetensors, network.npz: the weights of a network under torch's names, its input, result and gradients.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from goldens.cases import CASES, Case, draw  # noqa: E402
from goldens.network import network  # noqa: E402
from goldens.optimizers import OPTIMIZERS, STEPS, gradient, start  # noqa: E402


def run(case: Case, inputs: list[np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The result and the gradients of one case, for a random cotangent."""
    tensors = [torch.tensor(x) for x in inputs]
    for index in case.differentiable:
        tensors[index].requires_grad_()
    result = case.call(torch.nn.functional, *tensors)
    y, *others = result if isinstance(result, tuple) else (result,)
    dy = np.asarray(rng.normal(size=tuple(y.shape)))
    y.backward(torch.tensor(dy))
    arrays = {f"x{i}": x for i, x in enumerate(inputs)} | {"y": y.detach().numpy(), "dy": dy}
    arrays |= {f"d{i}": tensors[i].grad.numpy() for i in case.differentiable}
    return arrays | {f"y{i}": other.numpy() for i, other in enumerate(others, 1)}


def last_iterate(kind: str, options: dict[str, Any]) -> list[np.ndarray]:
    """The parameters after STEPS steps."""
    parameters = [torch.nn.Parameter(torch.tensor(p)) for p in start()]
    optimizer = getattr(torch.optim, kind)(parameters, **options)
    for step in range(STEPS):
        for index, p in enumerate(parameters):
            p.grad = torch.tensor(gradient(step, index, p.detach().numpy()))
        optimizer.step()
    return [p.detach().numpy() for p in parameters]


def main() -> None:
    """Writes all files."""
    functional = {}
    for name, case in CASES.items():
        rng = np.random.default_rng(len(name))
        functional |= {f"{name}/{key}": value for key, value in run(case, draw(name, case), rng).items()}
    np.savez_compressed(HERE / "functional.npz", **functional)
    final = {
        f"{name}/{i}": p
        for name, (kind, options) in OPTIMIZERS.items()
        for i, p in enumerate(last_iterate(kind, options))
    }
    np.savez_compressed(HERE / "optimizers.npz", **final)

    torch.manual_seed(0)
    net = network(torch.nn)
    save_file(net.state_dict(), HERE / "network.safetensors", metadata={"format": "pt"})
    net.double()
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(3, 2, 8, 8)), rng.normal(size=(3, 5))
    y = net(torch.tensor(x))
    y.backward(torch.tensor(dy))
    gradients = {f"d/{name}": p.grad.numpy() for name, p in net.named_parameters()}
    np.savez_compressed(HERE / "network.npz", x=x, dy=dy, y=y.detach().numpy(), repr=repr(net), **gradients)


if __name__ == "__main__":
    main()
