"""Layers under Keras's names."""

from __future__ import annotations

from pylayers import names
from pylayers.keras.layers.convolution import Conv2D
from pylayers.keras.layers.core import Activation, Dense, Input, InputLayer, ReLU, Softmax
from pylayers.keras.layers.layer import Layer
from pylayers.keras.layers.pooling import MaxPool2D, MaxPooling2D
from pylayers.keras.layers.regularization import Dropout
from pylayers.keras.layers.reshaping import Flatten

__all__ = [
    "Activation",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPool2D",
    "MaxPooling2D",
    "ReLU",
    "Softmax",
]

__getattr__, __dir__ = names.only(__name__, __all__)
