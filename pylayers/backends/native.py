"""The compiled module behind the signatures of `protocol.Backend`: asks the plan, allocates, launches. No mathematics.

One class serves both builds: ``pylayers._cuda`` on GPU memory and ``pylayers._emulated`` on host memory.
"""

from __future__ import annotations

import importlib
from typing import Any

from pylayers import arrays
from pylayers.backends.native_memory import new, spread, stream, workspace
from pylayers.backends.native_optimizer import OptimizerKernels
from pylayers.backends.protocol import Activation, Loss, Pads, Precision, Reduction, Sizes
from pylayers.backends.sizes import PRODUCTS, convolved, product_dtype

Array = Any
# What the kernels of an op take, where it is more than float32.
KERNEL_DTYPES: dict[str, tuple[str, ...]] = {
    "gemm": ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8"),
    **dict.fromkeys(
        ("linear", "column_sum", "activation_forward", "activation_backward", "adam", "sgd", "gradient_norm"),
        ("float32", "float16", "bfloat16"),
    ),
}


class Native(OptimizerKernels):
    """The kernels of one compiled module."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self.module = importlib.import_module(f"pylayers._{name}")
        except ImportError as error:
            from pylayers.info import why_missing

            raise ImportError(
                f"backend: '{name}' is not built: {why_missing(name)}", name=f"pylayers._{name}"
            ) from error

    def __repr__(self) -> str:
        return f"Native({self.name!r})"

    def gemm(
        self,
        a: Array,
        b: Array,
        bias: Array | None = None,
        activation: Activation | None = None,
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
        variant: str = "",
    ) -> Any:
        dtype = a.dtype
        if out_dtype is not None or dtype in PRODUCTS:
            dtype = product_dtype(dtype, out_dtype, scale_a is not None or scale_b is not None)
        sums = new(a, (b.shape[-2 if transpose_b else -1],)) if column_sums else None
        y = self.module.gemm(
            a, b, dtype, bias, residual, saved, scale_a, scale_b, sums, alpha, beta, activation, precision,
            transpose_a, transpose_b, variant, arrays.library(a).caller(a),
        )  # fmt: skip
        return y if sums is None else (y, sums)

    def linear(
        self, x: Array, weight: Array, bias: Array | None, activation: Activation | None, precision: Precision
    ) -> Array:
        return self.module.linear(x, weight, bias, activation, precision, arrays.library(x).caller(x))

    def column_sum(self, x: Array) -> Array:
        y = new(x, (x.shape[1],), x.dtype)
        on = stream(x)
        plan = self.module.plan_column_sum(x.shape[0] * x.shape[2], x.shape[1], self.module.device_spec(on[1]))
        space = workspace(x, plan.workspace_bytes)
        self.module.column_sum(x, y, space, on)
        return y

    def _geometry(self, stride: Sizes, padding: Pads, dilation: Sizes, groups: int) -> Any:
        return self.module.ConvGeometry(stride, [before for before, _ in padding], dilation, groups)

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
        variant: str = "",
    ) -> Array:
        out = convolved(x.shape[2:], weight.shape[2:], stride, padding, dilation)
        y = arrays.empty_like(x, (x.shape[0], weight.shape[0], *out))
        geometry = self._geometry(stride, padding, dilation, groups)
        operands = x, weight, bias, y
        self.module.conv_forward(*operands, geometry, activation, variant, stream(x))
        return y

    def conv_input_gradient(
        self,
        dy: Array,
        weight: Array,
        x_shape: Sizes,
        stride: Sizes,
        padding: Pads,
        dilation: Sizes,
        groups: int,
        variant: str = "",
    ) -> Array:
        dx = arrays.empty_like(dy, x_shape)
        geometry = self._geometry(stride, padding, dilation, groups)
        self.module.conv_input_gradient(dy, weight, dx, geometry, variant, stream(dy))
        return dx

    def conv_weight_gradient(
        self,
        dy: Array,
        x: Array,
        weight_shape: Sizes,
        stride: Sizes,
        padding: Pads,
        dilation: Sizes,
        groups: int,
        variant: str = "",
    ) -> Array:
        dweight = new(x, weight_shape, x.dtype)
        on = stream(x)
        pixels = dy.size // max(dy.shape[1], 1)
        plan = self.module.plan_conv_weight_gradient(weight_shape, pixels, self.module.device_spec(on[1]))
        space = workspace(x, plan.workspace_bytes)
        operands = dy, x, dweight, space
        geometry = self._geometry(stride, padding, dilation, groups)
        self.module.conv_weight_gradient(*operands, geometry, variant, on)
        return dweight

    def max_pool_forward(
        self, x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, out: Sizes
    ) -> tuple[Array, Array]:
        y = arrays.empty_like(x, (*x.shape[:2], *out))
        indices = arrays.empty_like(y, dtype="int64")
        geometry = self.module.PoolGeometry(kernel, stride, padding, dilation)
        self.module.max_pool_forward(x, y, indices, geometry, stream(x))
        return y, indices

    def max_pool_backward(
        self, dy: Array, indices: Array, x_shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Array:
        dx = arrays.empty_like(dy, x_shape)
        geometry = self.module.PoolGeometry(kernel, stride, padding, dilation)
        self.module.max_pool_backward(dy, indices, dx, geometry, stream(dy))
        return dx

    def average_pool_forward(self, x: Array, *args: Any) -> Array:
        raise NotImplementedError(f"average_pool: the '{self.name}' backend has no kernel for it yet; 'reference' has")

    def average_pool_backward(self, dy: Array, *args: Any) -> Array:
        raise NotImplementedError(f"average_pool: the '{self.name}' backend has no kernel for it yet; 'reference' has")

    def activation_forward(self, x: Array, activation: Activation) -> Array:
        y = arrays.empty_like(x)
        self.module.activation_forward(x, y, activation, stream(x))
        return y

    def activation_backward(self, dy: Array, saved: Array, activation: Activation) -> Array:
        dx = arrays.empty_like(saved)
        self.module.activation_backward(dy, saved, dx, activation, stream(dy))
        return dx

    def softmax_forward(self, x: Array, log: bool) -> Array:
        y = arrays.empty_like(x)
        self.module.softmax_forward(x, y, log, stream(x))
        return y

    def softmax_backward(self, dy: Array, y: Array, log: bool) -> Array:
        dx = arrays.empty_like(y)
        self.module.softmax_backward(dy, y, dx, log, stream(dy))
        return dx

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
        rows = x.shape[0]
        loss = new(x, (rows if reduction == "none" else 1,), x.dtype)
        normalizer = new(x, (1,), x.dtype)
        slope = arrays.empty_like(x) if gradient else None
        space = new(x, (self.module.cross_entropy_workspace_bytes(rows),), "uint8")
        inputs = x, labels, weight
        outputs = loss, normalizer, slope, space
        choices = ignore_index, label_smoothing, reduction, kind
        self.module.cross_entropy_forward(*inputs, *outputs, *choices, stream(x))
        return loss, normalizer, slope

    def cross_entropy_backward(self, dloss: Array, gradient: Array, normalizer: Array) -> Array:
        dx = arrays.empty_like(gradient)
        inputs = dloss, gradient, normalizer
        self.module.cross_entropy_backward(*inputs, dx, stream(gradient))
        return dx

    def layer_norm_forward(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Array, Array]:
        y = arrays.empty_like(x)
        mean, rstd = new(x, x.shape[:1], x.dtype), new(x, x.shape[:1], x.dtype)
        inputs = x, weight, bias
        self.module.layer_norm_forward(*inputs, y, mean, rstd, eps, stream(x))
        return y, mean, rstd

    def layer_norm_backward(
        self, dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None
    ) -> tuple[Array, Array, Array]:
        dx = arrays.empty_like(x)
        dweight, dbias = new(x, x.shape[1:], x.dtype), new(x, x.shape[1:], x.dtype)
        on = stream(x)
        plan = self.module.plan_column_sum(x.shape[0], x.shape[1], self.module.device_spec(on[1]))
        inputs = dy, x, mean, rstd, weight
        space = workspace(x, plan.workspace_bytes)
        outputs = dx, dweight, dbias, space
        self.module.layer_norm_backward(*inputs, *outputs, on)
        return dx, dweight, dbias

    def attention_forward(
        self, q: Array, k: Array, v: Array, mask: Array | None, scale: float, diagonal: int | None
    ) -> tuple[Array, Array]:
        o = arrays.empty_like(q, (*q.shape[:3], v.shape[3]))
        lse = new(q, q.shape[:3], q.dtype)
        inputs = q, k, v, spread(mask, q, k)
        self.module.attention_forward(*inputs, o, lse, scale, diagonal, stream(q))
        return o, lse

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
        dq, dk, dv = arrays.empty_like(q), arrays.empty_like(k), arrays.empty_like(v)
        space = new(q, (self.module.attention_backward_workspace_bytes(*q.shape[:3]),), "uint8")
        inputs = do, q, k, v, o, lse, spread(mask, q, k)
        outputs = dq, dk, dv, space
        self.module.attention_backward(*inputs, *outputs, scale, diagonal, stream(q))
        return dq, dk, dv

    def dropout(self, x: Array, p: float, seed: int, offset: int) -> Array:
        y = arrays.empty_like(x)
        self.module.dropout(x, y, p, seed, offset, stream(x))
        return y
