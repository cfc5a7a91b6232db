"""Elementwise ops, and those over the rows of a matrix (rows, n)."""

from __future__ import annotations

from typing import Protocol

from pylayers.backends.contract.op import FLOATS, op
from pylayers.backends.contract.words import Activation, Array, Loss, Reduction


class RowOps(Protocol):
    """Signatures and meaning."""

    @op("activation", kernels=FLOATS)
    def activation_forward(self, x: Array, activation: Activation) -> Array:
        """Elementwise y = activation(x), any shape. gelu is the erf form, gelu_tanh its tanh approximation."""

    @op("activation", kernels=FLOATS)
    def activation_backward(self, dy: Array, saved: Array, activation: Activation) -> Array:
        """dx = dy * activation'(.), where `saved` is y for relu, sigmoid, tanh and x for gelu, gelu_tanh, silu."""

    @op("softmax", kernels=FLOATS)
    def softmax_forward(self, x: Array, log: bool) -> Array:
        """Over the last axis: x (rows, n) -> (rows, n), or its logarithm. A row of -inf gives NaN, as in torch."""

    @op("softmax", kernels=FLOATS)
    def softmax_backward(self, dy: Array, y: Array, log: bool) -> Array:
        """dx = y (dy - sum(y dy)), or dy - exp(y) sum(dy) for the logarithm; (rows, n)."""

    @op("cross_entropy", kernels=FLOATS)
    def cross_entropy_forward(
        self,
        x: Array,
        labels: Array,
        weight: Array | None,
        ignore_index: int,
        label_smoothing: float,
        reduction: Reduction,
        kind: Loss,
        gradient: bool,
    ) -> tuple[Array, Array, Array | None]:
        """x (rows, n), integer labels (rows,), class weights (n,) -> loss, normalizer (1,), gradient (rows, n) or None.

        `kind` says what x is; probabilities are clipped to [1e-7, 1 - 1e-7] and have gradient 0 where clipped.
        loss is (rows,) for "none", else (1,). The normalizer is what "mean" divides by (the sum of the labels' weights
        over rows not ignored), 1 otherwise. `gradient` holds d(row loss)/dx before any reduction.
        """

    @op("cross_entropy", kernels=FLOATS)
    def cross_entropy_backward(self, dloss: Array, gradient: Array, normalizer: Array) -> Array:
        """dx[i, j] = gradient[i, j] * dloss[i] / normalizer: dloss (rows,), a broadcast view where it is one number."""

    @op("norm", kernels=FLOATS)
    def layer_norm_forward(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Array, Array]:
        """x (rows, n), weight and bias (n,) -> y (rows, n), mean (rows,), rstd (rows,); biased variance, eps inside."""

    @op("norm", kernels=FLOATS)
    def layer_norm_backward(
        self, dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None
    ) -> tuple[Array, Array, Array]:
        """dy, x (rows, n) -> dx (rows, n), dweight (n,), dbias (n,)."""

    @op("norm", kernels=FLOATS)
    def rms_norm_forward(self, x: Array, weight: Array | None, eps: float) -> tuple[Array, Array]:
        """x (rows, n), weight (n,) -> y = x rstd weight (rows, n), rstd = 1 / sqrt(mean(x^2) + eps) (rows,)."""

    @op("norm", kernels=FLOATS)
    def rms_norm_backward(self, dy: Array, x: Array, rstd: Array, weight: Array | None) -> tuple[Array, Array]:
        """dy, x (rows, n) -> dx (rows, n), dweight (n,)."""

    @op("dropout", kernels=FLOATS)
    def dropout(self, x: Array, p: float, seed: int, offset: int) -> Array:
        """y = x * keep / (1 - p), any shape, and its own backward: the same p, seed and offset give the same mask.

        Element i (C order) is kept when word i % 4 of Philox4x32-10 is >= floor(p 2^32) (never for p = 1): counter
        (low and high half of offset + i // 4, 0, 0), key (low and high half of seed).
        """
