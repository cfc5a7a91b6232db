"""Updates of parameters in place, over lists of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pylayers.backends.contract.op import FLOATS, op
from pylayers.backends.contract.words import AdamRates, Array, SgdRates


class OptimizerOps(Protocol):
    """Signatures and meaning."""

    @op("sgd", kernels=FLOATS)
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

    @op("adam", kernels=FLOATS)
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

    @op("gradient_norm", kernels=FLOATS)
    def gradient_norm(self, gradients: Sequence[Array]) -> Array:
        """-> float32 (2,): the 2-norm of all gradients together, and 1 if any element is not finite, else 0."""
