"""Forward and backward of every operation on plain arrays: checks what the arguments mean, picks the backend, calls it.

One module for each family; a backward takes what its forward left and the gradient of its result. Here the functions
take arrays of any library (`pylayers.exchange`) and return the caller's kind; inside pylayers those of the modules are
called, on NumPy and CuPy arrays.
"""

from pylayers.exchange import open_to_all
from pylayers.ops.activation import activation_backward, activation_forward
from pylayers.ops.adam import adam
from pylayers.ops.attention import attention, attention_backward, problem
from pylayers.ops.conv import conv, conv_backward, geometry
from pylayers.ops.cross_entropy import cross_entropy, cross_entropy_backward
from pylayers.ops.dropout import dropout
from pylayers.ops.einsum import einsum
from pylayers.ops.gradient_norm import gradient_norm
from pylayers.ops.linear import linear, linear_backward
from pylayers.ops.loss import elementwise_loss, elementwise_loss_backward
from pylayers.ops.matmul import add_matmul, add_matmul_backward, matmul, matmul_backward
from pylayers.ops.norm import layer_norm, layer_norm_backward
from pylayers.ops.pool import average_pool, average_pool_backward, max_pool, max_pool_backward, window
from pylayers.ops.sgd import sgd
from pylayers.ops.softmax import softmax, softmax_backward

__all__ = [
    "activation_backward", "activation_forward", "adam", "add_matmul", "add_matmul_backward", "attention",
    "attention_backward", "average_pool", "average_pool_backward", "conv", "conv_backward", "cross_entropy",
    "cross_entropy_backward", "dropout", "einsum", "elementwise_loss", "elementwise_loss_backward", "geometry",
    "gradient_norm", "layer_norm", "layer_norm_backward", "linear", "linear_backward", "matmul", "matmul_backward",
    "max_pool", "max_pool_backward", "problem", "sgd", "softmax", "softmax_backward", "window",
]  # fmt: skip

STATE = frozenset(("parameters", "momenta", "exp_avgs", "exp_avg_sqs", "steps"))
IN_PLACE = {"adam": STATE, "sgd": STATE}
globals().update({name: open_to_all(globals()[name], IN_PLACE.get(name, frozenset())) for name in __all__})
