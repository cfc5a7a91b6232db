"""Convolution and pooling of images (N, C, *S) with spatial sizes S."""

from __future__ import annotations

from typing import Protocol

from pylayers.backends.contract.op import FLOAT32, FLOATS, op
from pylayers.backends.contract.words import Activation, Array, Pads, Sizes


class ImageOps(Protocol):
    """Signatures and meaning."""

    @op("conv", kernels=FLOAT32)
    def conv_forward(
        self,
        x: Array,
        weight: Array,
        bias: Array | None,
        stride: Sizes,
        padding: Pads,
        dilation: Sizes,
        groups: int,
        activation: Activation | None = None,
    ) -> Array:
        """Cross-correlation: x (N, C, *S), weight (K, C/groups, *R), bias (K,) -> (N, K, *P)."""

    @op("conv", kernels=FLOAT32)
    def conv_input_gradient(
        self, dy: Array, weight: Array, x_shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
    ) -> Array:
        """dy (N, K, *P), weight (K, C/groups, *R) -> dx of x_shape (N, C, *S)."""

    @op("conv", kernels=FLOAT32)
    def conv_weight_gradient(
        self, dy: Array, x: Array, weight_shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
    ) -> Array:
        """dy (N, K, *P), x (N, C, *S) -> dweight of weight_shape (K, C/groups, *R). Deterministic."""

    @op("pool", kernels=FLOATS)
    def max_pool_forward(
        self, x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, out: Sizes
    ) -> tuple[Array, Array]:
        """x (N, C, *S) -> y (N, C, *out) and int64 indices into the flattened S of each plane.

        Padding never wins; the first of equal maxima wins; a NaN wins over everything, as in torch.
        """

    @op("pool", kernels=FLOATS)
    def max_pool_backward(
        self, dy: Array, indices: Array, x_shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Array:
        """Adds dy (N, C, *out) to where its maximum stood -> dx of x_shape. Deterministic."""

    @op("pool")
    def average_pool_forward(
        self, x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, out: Sizes, count_padding: bool
    ) -> Array:
        """x (N, C, *S) -> mean over each window (N, C, *out), padding counted as zeros or left out."""

    @op("pool")
    def average_pool_backward(
        self, dy: Array, x_shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, count_padding: bool
    ) -> Array:
        """dy (N, C, *out) -> dx of x_shape."""
