"""The NumPy backend: what every operation of `protocol.Backend` means, and in float64 the oracle of the tests."""

from pylayers.backends.reference.activation import activation_backward, activation_forward
from pylayers.backends.reference.adam import adam, gradient_norm
from pylayers.backends.reference.attention import attention_backward, attention_forward
from pylayers.backends.reference.conv import conv_forward, conv_input_gradient, conv_weight_gradient
from pylayers.backends.reference.cross_entropy import cross_entropy_backward, cross_entropy_forward
from pylayers.backends.reference.dropout import dropout
from pylayers.backends.reference.gemm import column_sum, gemm, linear
from pylayers.backends.reference.norm import layer_norm_backward, layer_norm_forward
from pylayers.backends.reference.pool import (
    average_pool_backward,
    average_pool_forward,
    max_pool_backward,
    max_pool_forward,
)
from pylayers.backends.reference.sgd import sgd
from pylayers.backends.reference.softmax import softmax_backward, softmax_forward

__all__ = [
    "activation_backward",
    "activation_forward",
    "adam",
    "attention_backward",
    "attention_forward",
    "average_pool_backward",
    "average_pool_forward",
    "column_sum",
    "conv_forward",
    "conv_input_gradient",
    "conv_weight_gradient",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout",
    "gemm",
    "gradient_norm",
    "layer_norm_backward",
    "layer_norm_forward",
    "linear",
    "max_pool_backward",
    "max_pool_forward",
    "sgd",
    "softmax_backward",
    "softmax_forward",
]
