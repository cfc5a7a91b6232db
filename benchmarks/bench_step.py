"""A training step of a small convolutional network at batch 128 on the CPU: ours beside torch, and the ratio."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pylayers.backends import reference
from pylayers.backends.protocol import AdamRates

BATCH, CLASSES = 128, 10
SHAPES = {  # 693,962 parameters
    "conv.weight": (32, 1, 3, 3),
    "conv.bias": (32,),
    "hidden.weight": (5408, 128),
    "hidden.bias": (128,),
    "out.weight": (128, 10),
    "out.bias": (10,),
}
PLAIN = (1, 1), ((0, 0), (0, 0)), (1, 1), 1  # stride, padding, dilation, groups
POOL = (2, 2), (2, 2), (0, 0), (1, 1)  # kernel, stride, padding, dilation

Step = Callable[[], float]  # one training step -> its loss


def batch() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Images (N, 28, 28, 1), labels (N,), and the starting parameters, the same for every contender."""
    rng = np.random.default_rng(0)
    x = rng.random((BATCH, 28, 28, 1), dtype=np.float32)
    parameters = [
        np.zeros(shape, np.float32) if len(shape) == 1 else rng.standard_normal(shape).astype(np.float32) * 0.02
        for shape in SHAPES.values()
    ]
    return x, rng.integers(0, CLASSES, BATCH), parameters


def backend_step() -> Step:
    """The step as a plain sequence of calls of the reference backend."""
    x, labels, parameters = batch()
    image = x.transpose(0, 3, 1, 2)  # channels last in memory
    weight, bias, hidden, hidden_bias, out, out_bias = parameters
    m, v = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    steps = [np.zeros(2, np.int32) for _ in parameters]
    rates = AdamRates(1e-3, eps=1e-7, bias_correction="folded")
    dloss = np.broadcast_to(np.float32(1), (BATCH,))

    def product(a: np.ndarray, b: np.ndarray, bias: Any = None, activation: Any = None) -> np.ndarray:
        return reference.gemm(a[None], b[None], bias, activation)[0]

    def columns(dy: np.ndarray) -> np.ndarray:
        return reference.column_sum(dy[:, :, None])

    def step() -> float:
        y = reference.conv_forward(image, weight, bias, *PLAIN, "relu")
        pooled, indices = reference.max_pool_forward(y, *POOL, (13, 13))
        flat = pooled.transpose(0, 2, 3, 1).reshape(BATCH, -1)
        h = product(flat, hidden, hidden_bias, "relu")
        p = reference.softmax_forward(product(h, out, out_bias), False)
        loss, normalizer, gradient = reference.cross_entropy_forward(
            p, labels, None, -100, 0.0, "mean", "probabilities", True
        )
        dp = reference.cross_entropy_backward(dloss, gradient, normalizer)
        dlogits = reference.softmax_backward(dp, p, False)
        dh = reference.activation_backward(product(dlogits, out.T), h, "relu")
        dflat = product(dh, hidden.T)
        dpooled = dflat.reshape(BATCH, 13, 13, 32).transpose(0, 3, 1, 2)
        dy = reference.max_pool_backward(dpooled, indices, y.shape, *POOL)
        dy = reference.activation_backward(dy, y, "relu")
        gradients = [
            reference.conv_weight_gradient(dy, image, weight.shape, *PLAIN),
            reference.column_sum(dy.reshape(BATCH, 32, -1)),
            product(flat.T, dh),
            columns(dh),
            product(h.T, dlogits),
            columns(dlogits),
        ]
        reference.adam(parameters, gradients, m, v, steps, rates)
        return float(loss[0])

    return step


def keras_step() -> Step:
    """The same network as a Keras-shaped model: layers, tape, loss, metric, optimizer; a step is one fit."""
    from pylayers.keras import layers, models, optimizers

    x, labels, _ = batch()
    convolution = layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1))
    hidden = layers.Dense(128, activation="relu")
    out = layers.Dense(CLASSES, activation="softmax")
    model = models.Sequential([convolution, layers.MaxPooling2D((2, 2)), layers.Flatten(), hidden, out])
    model.compile(optimizer=optimizers.Adam(), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    def step() -> float:
        history = model.fit(x, labels, batch_size=BATCH, verbose=0, shuffle=False).history
        return float(history["loss"][0])

    return step


def nn_step() -> Step:
    """The same network through `pylayers.nn`, the tape and `pylayers.optim`, written as for torch."""
    import pylayers as pl
    from pylayers import nn, optim

    x, labels, _ = batch()
    image, target = pl.tensor(x.transpose(0, 3, 1, 2)), pl.tensor(labels)
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5408, 128), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(128, CLASSES))
    loss_of, optimizer = nn.CrossEntropyLoss(), optim.Adam(net.parameters(), eps=1e-7)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(net(image), target)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def torch_step(channels_last: bool) -> Step:
    """The same network and optimizer in torch."""
    import torch
    from torch import nn

    x, labels, parameters = batch()
    order = torch.channels_last if channels_last else torch.contiguous_format
    image = torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=order)
    target = torch.tensor(labels)
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5408, 128), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(128, CLASSES)).to(memory_format=order)
    with torch.no_grad():
        for p, start in zip(net.parameters(), parameters, strict=True):
            p.copy_(torch.tensor(start if start.ndim != 2 else start.T))
    optimizer = torch.optim.Adam(net.parameters(), eps=1e-7)

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(image), target)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


CONTENDERS: dict[str, Callable[[], Step]] = {
    "pylayers, nn and the tape": nn_step,
    "pylayers, keras and the tape": keras_step,
    "pylayers, backend calls": backend_step,
    "torch, channels last": lambda: torch_step(True),
    "torch, contiguous": lambda: torch_step(False),
}


def milliseconds(step: Step, count: int) -> list[float]:
    """The times of `count` steps, after three that are not counted."""
    times = []
    for turn in range(count + 3):
        start = time.perf_counter()
        step()
        if turn >= 3:
            times.append(1e3 * (time.perf_counter() - start))
    return times


def in_a_process(name: str, threads: int, steps: int) -> list[float]:
    """The times of a contender that has the machine for itself: waiting threads of one library slow down the other."""
    command = [sys.executable, __file__, "--only", name, "--threads", str(threads), "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    times: list[float] = json.loads(subprocess.check_output(command, env=environment))
    return times


def main() -> None:
    """Prints each contender's median and the ratio of ours to torch's better layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="in which the contenders take turns")
    parser.add_argument("--only", choices=CONTENDERS, help="print the times of this one, in this process, as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        if arguments.only.startswith("torch"):
            import torch

            torch.set_num_threads(arguments.threads)
        print(json.dumps(milliseconds(CONTENDERS[arguments.only](), arguments.steps)))
        return
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(arguments.rounds):
        for name in CONTENDERS:
            times[name] += in_a_process(name, arguments.threads, arguments.steps)
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min(value for name, value in medians.items() if name.startswith("torch"))
    count = arguments.rounds * arguments.steps
    print(f"training step, batch {BATCH}, float32, {arguments.threads} threads, median of {count}")
    for name, value in medians.items():
        print(f"  {name:28} {value:8.2f} ms   {value / best:5.2f} x torch")


if __name__ == "__main__":
    main()
