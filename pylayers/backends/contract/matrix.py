"""Matrix products and the sums over the rows of a matrix; m, n, k, b are sizes."""

from __future__ import annotations

from typing import Any, Protocol

from pylayers.backends.contract.op import EIGHT_BITS, FLOATS, op
from pylayers.backends.contract.words import Activation, Array, Precision


class MatrixOps(Protocol):
    """Signatures and meaning."""

    @op("gemm", kernels=FLOATS + EIGHT_BITS)
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

    @op("gemm", kernels=FLOATS)
    def linear(
        self, x: Array, weight: Array, bias: Array | None, activation: Activation | None, precision: Precision
    ) -> Array:
        """y = activation(x weight^T + bias): x (..., k), weight (n, k), bias (n,) -> (..., n), as `gemm`.

        Kernels refuse an x of rank 4 or more that does not lie like one matrix or a batch of them.
        """

    @op("column_sum", kernels=FLOATS)
    def column_sum(self, x: Array) -> Array:
        """y[c] = sum over o, i of x[o, c, i]: x (o, c, i) -> (c,). Bias gradients."""
