"""Data sets of images: scikit-learn's handwritten digits, MNIST, and files in the IDX format."""

from __future__ import annotations

from pylayers import names
from pylayers.data.handwritten import digits
from pylayers.data.idx import read_idx
from pylayers.data.images import Images
from pylayers.data.mnist_files import mnist

__all__ = ["Images", "digits", "mnist", "read_idx"]

__getattr__, __dir__ = names.only(__name__, __all__)
