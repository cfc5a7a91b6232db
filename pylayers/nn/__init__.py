"""Layers, losses and containers under torch.nn's names, arguments, defaults and state_dict keys."""

from __future__ import annotations

import sys

from pylayers import names
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

__all__ = names.public(__name__, "functional", "init", "utils")
__getattr__, __dir__ = names.only(__name__, __all__)
sys.modules[__name__ + ".utils"] = utils  # torch's name for it; a file of that name would say nothing
