"""What is compared with torch: one call for both libraries, whose names and arguments are the same, and its inputs."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True)
class Normal:
    """Standard normal numbers; a gradient is compared for each such input unless `constant`."""

    shape: tuple[int, ...]
    constant: bool = False
    positive: bool = False  # strictly between 0 and 1: probabilities


@dataclass(frozen=True)
class Labels:
    """Class indices in [0, classes), some replaced by `ignored`."""

    shape: tuple[int, ...]
    classes: int
    ignored: int | None = None


@dataclass(frozen=True)
class Mask:
    """Booleans, True with probability 0.7; the first row of each matrix is False throughout if `empty_row`."""

    shape: tuple[int, ...]
    empty_row: bool = False


@dataclass(frozen=True)
class Case:
    """`call(F, *inputs)` with F one of the two modules of functions; what depends on the inputs comes out."""

    call: Callable[..., Any]
    inputs: tuple[Normal | Labels | Mask, ...]

    @property
    def differentiable(self) -> tuple[int, ...]:
        """The inputs whose gradients are compared."""
        return tuple(i for i, x in enumerate(self.inputs) if isinstance(x, Normal) and not x.constant)


def N(*shape: int) -> Normal:
    return Normal(shape)


def C(*shape: int) -> Normal:
    return Normal(shape, constant=True)


def P(*shape: int, constant: bool = False) -> Normal:
    return Normal(shape, constant, positive=True)


def draw(name: str, case: Case, salt: int = 0) -> list[Array]:
    """Inputs of a case in float64, int64 and bool; other numbers for another salt."""
    rng = np.random.default_rng((zlib.crc32(name.encode()), salt))
    return [_draw(rng, x) for x in case.inputs]


def _draw(rng: np.random.Generator, x: Normal | Labels | Mask) -> Array:
    if isinstance(x, Normal):
        if x.positive:
            return rng.uniform(0.02, 0.98, x.shape)
        return np.asarray(rng.normal(size=x.shape))
    if isinstance(x, Labels):
        labels = np.asarray(rng.integers(0, x.classes, x.shape))
        if x.ignored is not None:
            labels = np.where(rng.random(x.shape) < 0.3, x.ignored, labels)
            labels.flat[0] = 0
        return labels
    mask = rng.random(x.shape) < 0.7
    mask[..., 0] = True
    if x.empty_row:
        mask[..., 0, :] = False
    return mask


CASES: dict[str, Case] = {
    "linear": Case(lambda F, x, w, b: F.linear(x, w, b), (N(3, 5), N(4, 5), N(4))),
    "linear_vector_no_bias": Case(lambda F, x, w: F.linear(x, w), (N(5), N(4, 5))),
    "linear_batches": Case(lambda F, x, w, b: F.linear(x, w, b), (N(2, 3, 5), N(4, 5), N(4))),
    "conv1d": Case(lambda F, x, w, b: F.conv1d(x, w, b, stride=2, padding=1), (N(2, 3, 9), N(4, 3, 3), N(4))),
    "conv1d_same": Case(lambda F, x, w: F.conv1d(x, w, padding="same"), (N(2, 3, 9), N(4, 3, 4))),
    "conv2d": Case(lambda F, x, w, b: F.conv2d(x, w, b, padding=1), (N(2, 3, 6, 5), N(4, 3, 3, 3), N(4))),
    "conv2d_valid": Case(lambda F, x, w: F.conv2d(x, w, padding="valid"), (N(2, 3, 6, 5), N(4, 3, 2, 3))),
    "conv2d_strided": Case(
        lambda F, x, w, b: F.conv2d(x, w, b, stride=(2, 3), padding=(2, 1), dilation=(1, 2)),
        (N(2, 3, 7, 9), N(4, 3, 3, 2), N(4)),
    ),
    "conv2d_groups": Case(
        lambda F, x, w, b: F.conv2d(x, w, b, groups=2, dilation=2), (N(2, 4, 7, 8), N(6, 2, 3, 3), N(6))
    ),
    "conv2d_depthwise": Case(
        lambda F, x, w, b: F.conv2d(x, w, b, stride=2, padding=1, groups=4), (N(2, 4, 5, 6), N(4, 1, 3, 3), N(4))
    ),
    "conv2d_image": Case(lambda F, x, w, b: F.conv2d(x, w, b, padding="same"), (N(3, 5, 5), N(4, 3, 3, 3), N(4))),
    "conv3d": Case(
        lambda F, x, w, b: F.conv3d(x, w, b, stride=(1, 2, 1), padding=1), (N(1, 2, 4, 5, 4), N(3, 2, 3, 3, 2), N(3))
    ),
    "max_pool1d": Case(lambda F, x: F.max_pool1d(x, 3, 2, padding=1), (N(2, 3, 9),)),
    "max_pool2d": Case(lambda F, x: F.max_pool2d(x, 2), (N(2, 3, 6, 7),)),
    "max_pool2d_ceil": Case(
        lambda F, x: F.max_pool2d(x, (3, 2), stride=2, padding=1, ceil_mode=True), (N(2, 3, 6, 7),)
    ),
    "max_pool2d_dilated": Case(
        lambda F, x: F.max_pool2d(x, 3, stride=1, padding=1, dilation=2, return_indices=True), (N(2, 3, 7, 8),)
    ),
    "max_pool2d_image": Case(lambda F, x: F.max_pool2d(x, 2, 1), (N(3, 4, 5),)),
    "max_pool3d": Case(lambda F, x: F.max_pool3d(x, 2, stride=(1, 2, 2)), (N(1, 2, 4, 5, 4),)),
    "avg_pool1d": Case(lambda F, x: F.avg_pool1d(x, 2), (N(2, 3, 7),)),
    "avg_pool2d": Case(lambda F, x: F.avg_pool2d(x, 3, stride=2, padding=1), (N(2, 3, 6, 7),)),
    "avg_pool2d_exclude": Case(
        lambda F, x: F.avg_pool2d(x, 3, 2, padding=1, count_include_pad=False), (N(2, 3, 6, 7),)
    ),
    "avg_pool3d": Case(lambda F, x: F.avg_pool3d(x, 2), (N(1, 2, 4, 5, 4),)),
    "relu": Case(lambda F, x: F.relu(x), (N(3, 7),)),
    "sigmoid": Case(lambda F, x: F.sigmoid(x * 4), (N(3, 7),)),
    "tanh": Case(lambda F, x: F.tanh(x), (N(3, 7),)),
    "gelu": Case(lambda F, x: F.gelu(x * 3), (N(3, 7),)),
    "gelu_tanh": Case(lambda F, x: F.gelu(x * 3, approximate="tanh"), (N(3, 7),)),
    "silu": Case(lambda F, x: F.silu(x * 3), (N(3, 7),)),
    "softmax": Case(lambda F, x: F.softmax(x, dim=-1), (N(3, 7),)),
    "softmax_middle": Case(lambda F, x: F.softmax(x * 10, dim=1), (N(2, 5, 3),)),
    "softmax_method": Case(lambda F, x: x.softmax(0), (N(4, 3),)),
    "softmax_scalar": Case(lambda F, x: F.softmax(x, dim=0), (N(),)),
    "log_softmax": Case(lambda F, x: F.log_softmax(x * 10, dim=1), (N(2, 5, 3),)),
    "layer_norm": Case(lambda F, x, w, b: F.layer_norm(x, (5,), w, b), (N(3, 5), N(5), N(5))),
    "layer_norm_two_axes": Case(
        lambda F, x, w, b: F.layer_norm(x, (3, 4), w, b, eps=1e-3), (N(2, 2, 3, 4), N(3, 4), N(3, 4))
    ),
    "layer_norm_plain": Case(lambda F, x: F.layer_norm(x, (6,)), (N(2, 3, 6),)),
    "rms_norm": Case(lambda F, x, w: F.rms_norm(x, (5,), w), (N(3, 5), N(5))),
    "rms_norm_two_axes": Case(lambda F, x, w: F.rms_norm(x, (4, 5), w, 1e-3), (N(3, 4, 5), N(4, 5))),
    "dropout_evaluation": Case(lambda F, x: F.dropout(x, 0.4, training=False) * 2, (N(3, 7),)),
    "dropout_all": Case(lambda F, x: F.dropout(x, 1.0) + x, (N(3, 7),)),
    "cross_entropy": Case(lambda F, x, t: F.cross_entropy(x * 5, t), (N(6, 4), Labels((6,), 4))),
    "cross_entropy_vector": Case(lambda F, x, t: F.cross_entropy(x, t), (N(4), Labels((), 4))),
    "cross_entropy_weights": Case(
        lambda F, x, t, w: F.cross_entropy(x, t, w, ignore_index=2, label_smoothing=0.2),
        (N(9, 4), Labels((9,), 4, 2), P(4, constant=True)),
    ),
    "cross_entropy_image": Case(
        lambda F, x, t, w: F.cross_entropy(x, t, w, reduction="none", ignore_index=-1),
        (N(2, 4, 3, 2), Labels((2, 3, 2), 4, -1), P(4, constant=True)),
    ),
    "cross_entropy_image_mean": Case(
        lambda F, x, t: F.cross_entropy(x, t, label_smoothing=0.1), (N(2, 4, 3, 2), Labels((2, 3, 2), 4, -100))
    ),
    "cross_entropy_sum": Case(
        lambda F, x, t: F.cross_entropy(x, t, reduction="sum", label_smoothing=1.0), (N(6, 4), Labels((6,), 4))
    ),
    "cross_entropy_soft": Case(
        lambda F, x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.2), (N(5, 4), P(5, 4), P(4, constant=True))
    ),
    "cross_entropy_soft_image": Case(
        lambda F, x, t, w: F.cross_entropy(x, t, w, reduction="none"), (N(2, 4, 3), P(2, 4, 3), P(4, constant=True))
    ),
    "nll_loss": Case(
        lambda F, x, t, w: F.nll_loss(F.log_softmax(x, dim=1), t, w, ignore_index=1),
        (N(8, 3), Labels((8,), 3, 1), P(3, constant=True)),
    ),
    "nll_loss_image": Case(lambda F, x, t: F.nll_loss(x, t, reduction="none"), (N(2, 3, 4), Labels((2, 4), 3))),
    "mse_loss": Case(lambda F, x, t: F.mse_loss(x, t), (N(4, 3), N(4, 3))),
    "mse_loss_none": Case(lambda F, x, t: F.mse_loss(x, t, reduction="none"), (N(4, 3), N(4, 3))),
    "l1_loss": Case(lambda F, x, t: F.l1_loss(x, t, reduction="sum"), (N(4, 3), N(4, 3))),
    "binary_cross_entropy": Case(
        lambda F, x, t, w: F.binary_cross_entropy(x, t, w), (P(4, 3), P(4, 3, constant=True), P(4, 3, constant=True))
    ),
    "binary_cross_entropy_with_logits": Case(
        lambda F, x, t, w: F.binary_cross_entropy_with_logits(x * 10, t, pos_weight=w, reduction="none"),
        (N(4, 3), P(4, 3), P(3, constant=True)),
    ),
    "attention": Case(
        lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v), (N(2, 3, 5, 4), N(2, 3, 6, 4), N(2, 3, 6, 7))
    ),
    "attention_plain": Case(
        lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.3), (N(5, 4), N(6, 4), N(6, 4))
    ),
    "attention_causal_wide": Case(
        lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), (N(3, 2, 4), N(3, 5, 4), N(3, 5, 4))
    ),
    "attention_causal_tall": Case(
        lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), (N(3, 5, 4), N(3, 2, 4), N(3, 2, 4))
    ),
    "attention_bias": Case(
        lambda F, q, k, v, m: F.scaled_dot_product_attention(q, k, v, m),
        (N(2, 3, 5, 4), N(2, 3, 6, 4), N(2, 3, 6, 4), C(3, 5, 6)),
    ),
    "attention_mask": Case(
        lambda F, q, k, v, m: F.scaled_dot_product_attention(q, k, v, m),
        (N(2, 3, 5, 4), N(2, 3, 6, 4), N(2, 3, 6, 4), Mask((2, 1, 1, 6))),
    ),
    "attention_empty_row": Case(
        lambda F, q, k, v, m: F.scaled_dot_product_attention(q, k, v, m),
        (N(2, 3, 5, 4), N(2, 3, 6, 4), N(2, 3, 6, 4), Mask((5, 6), empty_row=True)),
    ),
    "attention_grouped": Case(
        lambda F, q, k, v, m: F.scaled_dot_product_attention(q, k, v, m, enable_gqa=True),
        (N(2, 6, 5, 4), N(2, 2, 6, 4), N(2, 2, 6, 3), C(6, 1, 6)),
    ),
}
