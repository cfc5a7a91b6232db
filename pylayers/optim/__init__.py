"""Optimizers under torch.optim's names, and the norm of all gradients."""

from pylayers import names
from pylayers.optim.adam import Adam, AdamW
from pylayers.optim.norm import gradient_norm
from pylayers.optim.optimizer import Optimizer
from pylayers.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "gradient_norm"]

__getattr__, __dir__ = names.only(__name__, __all__)
