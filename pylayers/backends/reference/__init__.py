"""The NumPy backend: what every operation of the contract means, and in float64 the oracle of the tests."""

from __future__ import annotations

from pylayers.backends.contract import OPS
from pylayers.backends.reference import (  # by name, so that what reads imports sees what the reference rests on
    activation,
    adam,
    attention,
    column_sum,
    conv,
    cross_entropy,
    dropout,
    gemm,
    gradient_norm,
    norm,
    pool,
    sgd,
    softmax,
)


class Reference:
    """Each op of the contract from the module of its family."""

    name = "reference"

    def __init__(self) -> None:
        for op in OPS.values():
            setattr(self, op.name, getattr(globals()[op.family], op.name))

    def __repr__(self) -> str:
        return "Reference()"
