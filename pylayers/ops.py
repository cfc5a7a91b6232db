"""Every operation on plain arrays, forward and backward: NumPy, CuPy, torch and whatever speaks DLPack.

The results are of the caller's kind (`pylayers.arrays.exchange`); what an operation means stands in its module of
`pylayers.operations`.
"""

from __future__ import annotations

from pylayers.arrays.exchange import open_to_all as _open
from pylayers.operations import (
    activation as _activation,
)
from pylayers.operations import (
    adam as _adam,
)
from pylayers.operations import (
    attention as _attention,
)
from pylayers.operations import (
    conv as _conv,
)
from pylayers.operations import (
    cross_entropy as _cross_entropy,
)
from pylayers.operations import (
    dropout as _dropout,
)
from pylayers.operations import (
    einsum as _einsum,
)
from pylayers.operations import (
    gradient_norm as _gradient_norm,
)
from pylayers.operations import (
    linear as _linear,
)
from pylayers.operations import (
    loss as _loss,
)
from pylayers.operations import (
    matmul as _matmul,
)
from pylayers.operations import (
    norm as _norm,
)
from pylayers.operations import (
    pool as _pool,
)
from pylayers.operations import (
    sgd as _sgd,
)
from pylayers.operations import (
    softmax as _softmax,
)

_STATE = frozenset(("parameters", "momenta", "exp_avgs", "exp_avg_sqs", "steps"))  # changed in place

activation_backward = _open(_activation.activation_backward)
activation_forward = _open(_activation.activation_forward)
adam = _open(_adam.adam, _STATE)
attention = _open(_attention.attention)
attention_backward = _open(_attention.attention_backward)
problem = _open(_attention.problem)
conv = _open(_conv.conv)
conv_backward = _open(_conv.conv_backward)
geometry = _open(_conv.geometry)
cross_entropy = _open(_cross_entropy.cross_entropy)
cross_entropy_backward = _open(_cross_entropy.cross_entropy_backward)
dropout = _open(_dropout.dropout)
einsum = _open(_einsum.einsum)
gradient_norm = _open(_gradient_norm.gradient_norm)
linear = _open(_linear.linear)
linear_backward = _open(_linear.linear_backward)
elementwise_loss = _open(_loss.elementwise_loss)
elementwise_loss_backward = _open(_loss.elementwise_loss_backward)
add_matmul = _open(_matmul.add_matmul)
add_matmul_backward = _open(_matmul.add_matmul_backward)
matmul = _open(_matmul.matmul)
matmul_backward = _open(_matmul.matmul_backward)
layer_norm = _open(_norm.layer_norm)
layer_norm_backward = _open(_norm.layer_norm_backward)
rms_norm = _open(_norm.rms_norm)
rms_norm_backward = _open(_norm.rms_norm_backward)
average_pool = _open(_pool.average_pool)
average_pool_backward = _open(_pool.average_pool_backward)
max_pool = _open(_pool.max_pool)
max_pool_backward = _open(_pool.max_pool_backward)
window = _open(_pool.window)
sgd = _open(_sgd.sgd, _STATE)
softmax = _open(_softmax.softmax)
softmax_backward = _open(_softmax.softmax_backward)
