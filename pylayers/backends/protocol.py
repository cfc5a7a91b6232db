"""Every primitive operation, once. Each backend implements exactly these names.

Arrays are plain arrays of one library on one device, of any strides. An operation never changes its inputs, except the
optimizers, which change the parameters and moments they are given. Outputs are newly allocated; where an output has the
rank of an image its memory order (NCHW, channels last, ...) is that of the first array argument. Meaning (shapes that
must agree, labels in range) has been checked by `pylayers.ops` before a backend is called; for `linear`, of which each
call counts, kernels are asked first: they refuse what they cannot read, and the check then says why. What a backend
cannot do for these arguments raises NotImplementedError and says what it can.

Types: float64 stays float64 throughout; float32 accumulates in float32; float16 and bfloat16 compute in float32 and
round once. Kernels take float32 unless a family says more (`gemm` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from pylayers.context import Precision

Array = Any  # numpy.ndarray or cupy.ndarray
Sizes = tuple[int, ...]  # one number for each spatial dimension
Pads = tuple[tuple[int, int], ...]  # (before, after) for each spatial dimension

Activation = Literal["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu"]
Loss = Literal["logits", "log_probabilities", "probabilities"]
Reduction = Literal["none", "mean", "sum"]
BiasCorrection = Literal["none", "separate", "folded"]


class SgdRates(NamedTuple):
    """What gradient descent is told beside its tensors, as torch.optim.SGD."""

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    maximize: bool = False


class AdamRates(NamedTuple):
    """What Adam is told beside its tensors; weight decay joins the gradient, or shrinks p by itself if `decoupled`."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    maximize: bool = False
    bias_correction: BiasCorrection = "separate"


class Backend(Protocol):
    """Signatures and meaning; m, n, k, b are sizes, (N, C, *S) an image batch with spatial sizes S."""

    def gemm(
        self,
        a: Array,
        b: Array,
        bias: Array | None = None,
        activation: Activation | None = None,
        *,
        residual: Array | None = None,
        alpha: float = 1.0,
        beta: float = 1.0,
        scale_a: Array | None = None,
        scale_b: Array | None = None,
        saved: Array | None = None,
        out_dtype: Any = None,
        precision: Precision = "float32",
        column_sums: bool = False,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ) -> Any:
        """y[z] = activation(v), v = alpha scale_a[i] scale_b[j] (a[z] @ b[z]) + bias + beta residual[z].

        With `saved`, y = v activation'(saved): the derivative of `activation_backward`, from what that saves.
        All matrices have rank 3, or all rank 2: a batch of one without its axis. With `transpose_a` a is given as
        (b, k, m), with `transpose_b` b as (b, n, k).
        a (b, m, k), b (b, k, n), bias (n,), residual and saved (b, m, n), scale_a (1,) or (m,) and scale_b (1,) or (n,)
        in float32 -> y (b, m, n) and, with `column_sums`, also the sums of y over z and rows (n,), in float32 (float64
        for float64), taken before y is rounded.

        a and b are alike (the two float8 may meet). y has the dtype of a, or `out_dtype`: float32 for 16-bit operands;
        float8 gives bfloat16, or float16 or float32 if asked; int8 gives the exact int32, without any epilogue, and
        with scales float32, or a 16-bit float if asked. bias, residual and saved have the dtype of y.
        `precision` is the least that float32 products may have: "tf32" permits what "float32" forbids.
        """

    def linear(
        self, x: Array, weight: Array, bias: Array | None, activation: Activation | None, precision: Precision
    ) -> Array:
        """y = activation(x weight^T + bias): x (..., k), weight (n, k), bias (n,) -> (..., n), as `gemm`.

        Kernels refuse an x of rank 4 or more that does not lie like one matrix or a batch of them.
        """

    def column_sum(self, x: Array) -> Array:
        """y[c] = sum over o, i of x[o, c, i]: x (o, c, i) -> (c,). Bias gradients."""

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

    def conv_input_gradient(
        self, dy: Array, weight: Array, x_shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
    ) -> Array:
        """dy (N, K, *P), weight (K, C/groups, *R) -> dx of x_shape (N, C, *S)."""

    def conv_weight_gradient(
        self, dy: Array, x: Array, weight_shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
    ) -> Array:
        """dy (N, K, *P), x (N, C, *S) -> dweight of weight_shape (K, C/groups, *R). Deterministic."""

    def max_pool_forward(
        self, x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, out: Sizes
    ) -> tuple[Array, Array]:
        """x (N, C, *S) -> y (N, C, *out) and int64 indices into the flattened S of each plane.

        Padding never wins; the first of equal maxima wins; a NaN wins over everything, as in torch.
        """

    def max_pool_backward(
        self, dy: Array, indices: Array, x_shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Array:
        """Adds dy (N, C, *out) to where its maximum stood -> dx of x_shape. Deterministic."""

    def average_pool_forward(
        self, x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, out: Sizes, count_padding: bool
    ) -> Array:
        """x (N, C, *S) -> mean over each window (N, C, *out), padding counted as zeros or left out."""

    def average_pool_backward(
        self, dy: Array, x_shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, count_padding: bool
    ) -> Array:
        """dy (N, C, *out) -> dx of x_shape."""

    def activation_forward(self, x: Array, activation: Activation) -> Array:
        """Elementwise y = activation(x), any shape. gelu is the erf form, gelu_tanh its tanh approximation."""

    def activation_backward(self, dy: Array, saved: Array, activation: Activation) -> Array:
        """dx = dy * activation'(.), where `saved` is y for relu, sigmoid, tanh and x for gelu, gelu_tanh, silu."""

    def softmax_forward(self, x: Array, log: bool) -> Array:
        """Over the last axis: x (rows, n) -> (rows, n), or its logarithm. A row of -inf gives NaN, as in torch."""

    def softmax_backward(self, dy: Array, y: Array, log: bool) -> Array:
        """dx = y (dy - sum(y dy)), or dy - exp(y) sum(dy) for the logarithm; (rows, n)."""

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

    def cross_entropy_backward(self, dloss: Array, gradient: Array, normalizer: Array) -> Array:
        """dx[i, j] = gradient[i, j] * dloss[i] / normalizer: dloss (rows,), a broadcast view where it is one number."""

    def layer_norm_forward(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Array, Array]:
        """x (rows, n), weight and bias (n,) -> y (rows, n), mean (rows,), rstd (rows,); biased variance, eps inside."""

    def layer_norm_backward(
        self, dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None
    ) -> tuple[Array, Array, Array]:
        """dy, x (rows, n) -> dx (rows, n), dweight (n,), dbias (n,)."""

    def attention_forward(
        self, q: Array, k: Array, v: Array, mask: Array | None, scale: float, diagonal: int | None
    ) -> tuple[Array, Array]:
        """o = softmax(scale q k^T + mask) v and its log-sum-exp.

        q (b, h, s, d), k (b, h, t, d), v (b, h, t, e), additive float mask broadcastable to (b, h, s, t) ->
        o (b, h, s, e), lse (b, h, s). With `diagonal` set, query i sees keys j <= i + diagonal only.
        A row that sees nothing gives o = 0 and lse = -inf.
        """

    def attention_backward(
        self,
        do: Array,
        q: Array,
        k: Array,
        v: Array,
        o: Array,
        lse: Array,
        mask: Array | None,
        scale: float,
        diagonal: int | None,
    ) -> tuple[Array, Array, Array]:
        """-> dq, dk, dv of the shapes of q, k, v. A row that sees nothing has gradient 0. The mask gets none."""

    def dropout(self, x: Array, p: float, seed: int, offset: int) -> Array:
        """y = x * keep / (1 - p), any shape, and its own backward: the same p, seed and offset give the same mask.

        Element i (C order) is kept when word i % 4 of Philox4x32-10 is >= floor(p 2^32) (never for p = 1): counter
        (low and high half of offset + i // 4, 0, 0), key (low and high half of seed).
        """

    def sgd(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        momenta: Sequence[Array | None],
        steps: Sequence[Array],
        rates: SgdRates,
        norm: Array | None = None,
    ) -> None:
        """One step of torch.optim.SGD on every tensor, in place. `steps` and `norm` as in `adam`."""

    def adam(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        exp_avgs: Sequence[Array],
        exp_avg_sqs: Sequence[Array],
        steps: Sequence[Array],
        rates: AdamRates,
        norm: Array | None = None,
    ) -> None:
        """One step of Adam (decoupled: AdamW) on every tensor, in place, with moments of their own dtype.

        With t the step and c1 = 1 - beta1^t, c2 = 1 - beta2^t:
        "separate" (torch): p -= lr m / c1 / (sqrt(v / c2) + eps);
        "folded" (Keras): p -= lr sqrt(c2) / c1 m / (sqrt(v) + eps);
        "none": p -= lr m / (sqrt(v) + eps).
        Each of `steps` is an int32 array of 2 beside its tensor: steps taken, and a counter the kernels keep at 0.
        With `norm` from `gradient_norm` whose second element is not 0, nothing changes, steps included.
        """

    def gradient_norm(self, gradients: Sequence[Array]) -> Array:
        """-> float32 (2,): the 2-norm of all gradients together, and 1 if any element is not finite, else 0."""
