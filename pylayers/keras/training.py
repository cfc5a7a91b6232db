"""compile, fit, evaluate and predict."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.autograd import Tensor, no_grad
from pylayers.errors import expected
from pylayers.keras import inputs, losses, optimizers
from pylayers.keras.callbacks import Callback, History
from pylayers.keras.metrics import Metric, checked, get
from pylayers.keras.stack import Stack
from pylayers.random import default_generator
from pylayers.train import progress
from pylayers.train.device import place

VERBOSE = ("auto", 0, 1, 2)
Logs = dict[str, float]


class Meter:
    """The running means that an epoch shows: the loss, weighted by the examples, and the metrics."""

    def __init__(self, chosen: Sequence[str | Metric]) -> None:
        self._chosen = chosen
        self._metrics: list[Metric] | None = None
        self._loss, self._examples = 0.0, 0

    def update(self, loss: float, y_true: np.ndarray, y_pred: np.ndarray) -> None:
        """Takes in a batch."""
        if self._metrics is None:
            self._metrics = [get(metric, y_true.shape, y_pred.shape) for metric in self._chosen]
            for metric in self._metrics:
                metric.reset_state()
        self._loss += loss * len(y_true)
        self._examples += len(y_true)
        for metric in self._metrics:
            metric.update_state(y_true, y_pred)

    def logs(self) -> Logs:
        """The means so far, the loss first."""
        logs = {"loss": self._loss / max(self._examples, 1)}
        return logs | {metric.name: metric.result() for metric in self._metrics or ()}


class Trainer(Stack):
    """A stack of layers that learns."""

    loss: losses.Loss | None = None
    optimizer: optimizers.Optimizer | None = None
    metrics: Sequence[str | Metric] = ()
    stop_training = False

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "rmsprop",
        loss: str | losses.Loss | None = None,
        metrics: Sequence[str | Metric] | None = None,
    ) -> None:
        """Chooses how to train; names or objects. ValueError for a name that is not there, listing those that are.

        After an error the model is not compiled, whatever it was before.
        """
        self.optimizer = self.loss = self._update = None
        if isinstance(optimizer, str) and optimizer.lower() == "rmsprop":
            message = "compile: the optimizer defaults to 'rmsprop', as in Keras, which is not there yet; pass "
            raise NotImplementedError(message + "optimizer='adam'")
        if metrics is not None and not isinstance(metrics, (list, tuple)):
            raise expected("compile", "metrics", "a list of names or metrics", type(metrics).__name__, error=TypeError)
        self.metrics = [checked(metric) for metric in metrics or ()]
        chosen = None if loss is None else losses.get(loss)
        self.optimizer, self.loss = optimizers.get(optimizer), chosen

    def fit(
        self,
        x: Any,
        y: Any,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        class_weight: None = None,
        sample_weight: None = None,
    ) -> History:
        """Trains on x (N, ...) and targets y for some epochs; returns the History of their metrics.

        x is cast to float32 batch by batch. `validation_split` holds back the last share of the examples, before any
        shuffling. verbose: 1 (and "auto") a bar for each epoch, 2 a line, 0 nothing.
        """
        if class_weight is not None or sample_weight is not None:
            raise NotImplementedError("fit: class_weight and sample_weight are not there yet")
        loss = self._compiled("fit")
        x, y = self._examples("fit", x, y)
        held_out = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise expected("fit", "validation_data", "a pair (x, y)", type(validation_data).__name__)
            held_out = self._examples("fit", *validation_data)
        elif validation_split:
            x, y, *rest = inputs.split("fit", x, y, validation_split)
            held_out = rest[0], rest[1]
        size = inputs.whole("fit", "batch_size", 32 if batch_size is None else batch_size)
        epochs = inputs.whole("fit", "epochs", epochs)
        level = _level("fit", verbose)
        history = History()
        told = [*(callbacks or ()), history]
        self.stop_training = False
        self._start(x.shape)
        for callback in told:
            callback.set_model(self)
            callback.on_train_begin()
        logs: Logs = {}
        for epoch in range(epochs):
            for callback in told:
                callback.on_epoch_begin(epoch)
            if level:
                progress.console().print(f"Epoch {epoch + 1}/{epochs}")
            order = default_generator.rng.permutation(len(x)) if shuffle else None
            logs = self._epoch(loss, x, y, size, order, held_out, level)
            for callback in told:
                callback.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        for callback in told:
            callback.on_train_end(logs)
        return history

    def _epoch(
        self,
        loss: losses.Loss,
        x: np.ndarray,
        y: np.ndarray,
        size: int,
        order: np.ndarray | None,
        held_out: tuple[np.ndarray, np.ndarray] | None,
        level: int,
    ) -> Logs:
        meter = Meter(self.metrics)
        with _shown(math.ceil(len(x) / size), level) as show:
            for step, batch in enumerate(inputs.batches(len(x), size, order), 1):
                target = y[batch]
                y_pred = self(self._tensor(x[batch]), training=True)
                value = loss(target, y_pred, self.normalized)
                if value.ndim:
                    value = value.mean()
                self._update.zero_grad()
                value.backward()
                self._update.step()
                meter.update(value.item(), target, _host(y_pred))
                show(step, meter.logs)
            logs = meter.logs()
            if held_out is not None:
                logs |= {f"val_{name}": mean for name, mean in self._test(loss, *held_out, size, None).items()}
            show(step, lambda: logs)
        return logs

    def evaluate(
        self,
        x: Any,
        y: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        return_dict: bool = False,
    ) -> Any:
        """The loss, or with metrics ``[loss, metric, ...]``, or a dictionary of them, on x and y."""
        loss = self._compiled("evaluate")
        x, y = self._examples("evaluate", x, y)
        size = inputs.whole("evaluate", "batch_size", 32 if batch_size is None else batch_size)
        self._start(x.shape)
        with _shown(math.ceil(len(x) / size), _level("evaluate", verbose)) as show:
            logs = self._test(loss, x, y, size, show)
        if return_dict:
            return logs
        return list(logs.values()) if self.metrics else logs["loss"]

    def _test(self, loss: losses.Loss, x: np.ndarray, y: np.ndarray, size: int, show: Show | None) -> Logs:
        meter = Meter(self.metrics)
        with no_grad():
            for step, batch in enumerate(inputs.batches(len(x), size), 1):
                y_pred = self(self._tensor(x[batch]))
                value = loss(y[batch], y_pred, self.normalized)
                meter.update(float(_host(value).mean()), y[batch], _host(y_pred))
                if show:
                    show(step, meter.logs)
        return meter.logs()

    def predict(self, x: Any, batch_size: int | None = None, verbose: str | int = "auto") -> np.ndarray:
        """The model's output for x (N, ...): float32 (N, ...) in host memory."""
        x = inputs.fitted("predict", inputs.examples("predict", "x", x), self.input_shape)
        size = inputs.whole("predict", "batch_size", 32 if batch_size is None else batch_size)
        self._start(x.shape)
        parts = []
        with no_grad(), _shown(math.ceil(len(x) / size), _level("predict", verbose)) as show:
            for step, batch in enumerate(inputs.batches(len(x), size), 1):
                parts.append(_host(self(self._tensor(x[batch]))))
                show(step, dict)
        return np.concatenate(parts)

    def _compiled(self, op: str) -> losses.Loss:
        if self.loss is None or self.optimizer is None:
            raise RuntimeError(f"{op}: the model has no loss yet; call compile(optimizer=..., loss=...) first")
        return self.loss

    def _examples(self, op: str, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        x = inputs.fitted(op, inputs.examples(op, "x", x), self.input_shape)
        y = inputs.examples(op, "y", y)
        inputs.same_length(op, x, y)
        return x, y

    def _start(self, shape: tuple[int, ...]) -> None:
        """Builds the model, puts it where it computes, and binds the optimizer to its weights, each once."""
        self.build_once((None, *shape[1:]))
        self.to(place().device)
        if self.optimizer is not None and self._update is None:
            self._update = self.optimizer.bind([weight.parameter for weight in self.weights])

    def _tensor(self, x: np.ndarray) -> Tensor:
        return Tensor(arrays.library_of(self.device).namespace.asarray(np.asarray(x, np.float32)))


Show = Callable[[int, Callable[[], Logs]], None]


@contextmanager
def _shown(steps: int, level: int) -> Iterator[Show]:
    """Tells of the steps as `level` says: a bar, one line at the end, or nothing."""
    start = time.perf_counter()
    last: Logs = {}
    with progress.bar(steps) if level == 1 else nullcontext() as advance:

        def show(step: int, logs: Callable[[], Logs]) -> None:
            nonlocal last
            if advance is not None:
                advance(step, logs)
            elif step == steps:
                last = logs()

        yield show
    if level == 2:
        seconds = time.perf_counter() - start
        parts = [f"{steps}/{steps}", f"{seconds:.0f}s", progress.per_step(seconds, steps)]
        progress.console().print(" - ".join([*parts, *([progress.metrics_text(last)] if last else [])]))


def _level(op: str, verbose: str | int) -> int:
    if verbose not in VERBOSE:
        raise expected(op, "verbose", "'auto', 0, 1 or 2", repr(verbose))
    return 1 if verbose == "auto" else int(verbose)


def _host(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()
