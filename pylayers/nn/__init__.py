"""Layers, losses and containers under torch.nn's names, arguments, defaults and state_dict keys."""

from __future__ import annotations

import sys

from pylayers import names
from pylayers.nn import clip as utils
from pylayers.nn import init
from pylayers.nn.activation import GELU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Tanh
from pylayers.nn.container import ModuleDict, ModuleList, Sequential
from pylayers.nn.conv import Conv1d, Conv2d, Conv3d
from pylayers.nn.dropout import Dropout
from pylayers.nn.linear import Flatten, Identity, Linear, Unflatten
from pylayers.nn.loss import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from pylayers.nn.module import Module
from pylayers.nn.norm import LayerNorm
from pylayers.nn.parameter import Parameter
from pylayers.nn.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d

from pylayers.nn import functional  # isort: skip

__all__ = [
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "BCELoss", "BCEWithLogitsLoss", "Conv1d", "Conv2d", "Conv3d",
    "CrossEntropyLoss", "Dropout", "Flatten", "GELU", "Identity", "L1Loss", "LayerNorm", "Linear", "LogSoftmax",
    "MSELoss", "MaxPool1d", "MaxPool2d", "MaxPool3d", "Module", "ModuleDict", "ModuleList", "NLLLoss", "Parameter",
    "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Tanh", "Unflatten", "functional", "init",
    "utils",
]  # fmt: skip


__getattr__, __dir__ = names.only(__name__, __all__)
sys.modules[__name__ + ".utils"] = utils  # torch's name for it; a file of that name would say nothing
