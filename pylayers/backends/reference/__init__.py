"""The NumPy backend: what every operation of the contract means, and in float64 the oracle of the tests."""

from __future__ import annotations

import importlib

from pylayers.backends.contract import OPS


class Reference:
    """Each op of the contract from the module of its family."""

    name = "reference"

    def __init__(self) -> None:
        for op in OPS.values():
            module = importlib.import_module(f"{__name__}.{op.family}")
            setattr(self, op.name, getattr(module, op.name))

    def __repr__(self) -> str:
        return "Reference()"
