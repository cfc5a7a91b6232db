"""Training of classifiers: the networks, the loop, augmentation, the rate's schedule, the record of a run."""

from __future__ import annotations

from pylayers.train.augment import shift
from pylayers.train.loop import Epoch, evaluate, fit
from pylayers.train.networks import NETWORKS, cnn, mlp

__all__ = ["NETWORKS", "Epoch", "cnn", "evaluate", "fit", "mlp", "shift"]
