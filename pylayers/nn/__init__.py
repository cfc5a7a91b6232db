"""Layers, losses and containers under torch.nn's names, arguments, defaults and state_dict keys."""

from __future__ import annotations

from typing import Any

from pylayers.nn import clip as utils
from pylayers.nn import functional, init
from pylayers.nn.activation import GELU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Tanh
from pylayers.nn.container import ModuleDict, ModuleList, Sequential
from pylayers.nn.conv import Conv1d, Conv2d, Conv3d
from pylayers.nn.dropout import Dropout
from pylayers.nn.linear import Flatten, Identity, Linear, Unflatten
from pylayers.nn.loss import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from pylayers.nn.module import Module
from pylayers.nn.norm import LayerNorm, RMSNorm
from pylayers.nn.parameter import Parameter
from pylayers.nn.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d

__all__ = [
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "BCELoss", "BCEWithLogitsLoss", "Conv1d", "Conv2d", "Conv3d",
    "CrossEntropyLoss", "Dropout", "Flatten", "GELU", "Identity", "L1Loss", "LayerNorm", "Linear", "LogSoftmax",
    "MSELoss", "MaxPool1d", "MaxPool2d", "MaxPool3d", "Module", "ModuleDict", "ModuleList", "NLLLoss", "Parameter",
    "RMSNorm", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Tanh", "Unflatten", "functional", "init",
    "utils",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'pylayers.nn' has no attribute '{name}'")
    raise AttributeError(f"pylayers.nn has no '{name}' yet; there are " + ", ".join(__all__))
