"""The training loop: shuffled batches, cross-entropy, one optimizer step each; a test after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import pylayers.nn.functional as F
from pylayers import arrays, nn
from pylayers.autograd import Tensor, no_grad
from pylayers.data.images import Images
from pylayers.errors import expected

TEST_BATCH = 1000


class Epoch(NamedTuple):
    """What one epoch came to; losses in nats, means over the images; accuracies from 0 to 1."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


def fit(
    model: nn.Module,
    data: Images,
    optimizer: Any,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    device: str = "cpu",
    schedule: Callable[[float], float] | None = None,
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    stop: Callable[[], Any] | None = None,
) -> list[Epoch]:
    """Trains a classifier of images in place and returns the record of its epochs.

    The model maps float32 (n, C, H, W) to logits (n, classes) and lies on `device`; the optimizer holds its parameters.
    `schedule` gives the factor of the learning rate after a share of the run; `augment` makes each epoch's images from
    the originals; `on_epoch` hears of each epoch; `stop` is asked before each step and ends the run with a true answer.
    One seed, one result. FloatingPointError when the loss is not finite.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise expected("fit", name, "a positive number", value)
    rng = np.random.default_rng(seed)
    rates = [group["lr"] for group in optimizer.param_groups]
    steps = math.ceil(len(data.x_train) / batch_size)
    record: list[Epoch] = []
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        x = augment(data.x_train, rng) if augment else data.x_train
        order = rng.permutation(len(x))
        model.train()
        total_loss, correct = 0.0, 0
        for step in range(steps):
            if stop and stop():
                return record
            if schedule:
                factor = schedule(((epoch - 1) * steps + step + 1) / (epochs * steps))
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
            batch = order[step * batch_size : (step + 1) * batch_size]
            loss, right = _step(model, optimizer, x[batch], data.y_train[batch], device)
            if not math.isfinite(loss):
                where = f"{loss} in step {step + 1} of epoch {epoch}"
                hint = f"the learning rate may be too large: {rates[0]:g}"
                raise expected("fit", "loss", "a finite number", where, hint, FloatingPointError)
            total_loss += loss * len(batch)
            correct += right
        test = evaluate(model, data.x_test, data.y_test, device)
        seconds = time.perf_counter() - start
        record.append(Epoch(epoch, total_loss / len(x), correct / len(x), *test, seconds))
        if on_epoch:
            on_epoch(record[-1])
    return record


def _step(model: nn.Module, optimizer: Any, x: np.ndarray, y: np.ndarray, device: str) -> tuple[float, int]:
    logits = model(_on(device, x))
    loss = F.cross_entropy(logits, _on(device, y))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), _right(logits, y)


def evaluate(model: nn.Module, x: np.ndarray, y: np.ndarray, device: str = "cpu") -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy of the model on images (N, C, H, W) with labels (N,)."""
    model.eval()
    total_loss, correct = 0.0, 0
    with no_grad():
        for first in range(0, len(x), TEST_BATCH):
            labels = y[first : first + TEST_BATCH]
            logits = model(_on(device, x[first : first + TEST_BATCH]))
            total_loss += F.cross_entropy(logits, _on(device, labels)).item() * len(labels)
            correct += _right(logits, labels)
    return total_loss / len(x), correct / len(x)


def _on(device: str, x: np.ndarray) -> Tensor:
    return Tensor(x if device == "cpu" else arrays.library_of(device).namespace.asarray(x))


def _right(logits: Tensor, labels: np.ndarray) -> int:
    return int((logits.detach().cpu().numpy().argmax(1) == labels).sum())
