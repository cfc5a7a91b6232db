"""Data sets in Keras's form."""

from __future__ import annotations

from pylayers.keras.datasets import mnist

__all__ = ["mnist"]
