"""Differentiable functions under torch.nn.functional's names: Tensors or arrays in, Tensors out."""

from pylayers import names
from pylayers.functional.activation import gelu, relu, sigmoid, silu, tanh
from pylayers.functional.attention import scaled_dot_product_attention
from pylayers.functional.conv import conv1d, conv2d, conv3d
from pylayers.functional.dropout import dropout
from pylayers.functional.index import one_hot
from pylayers.functional.linear import linear
from pylayers.functional.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)
from pylayers.functional.norm import layer_norm, rms_norm
from pylayers.functional.pool import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from pylayers.functional.shape import flatten
from pylayers.functional.softmax import log_softmax, softmax

__all__ = names.public(__name__)
__getattr__, __dir__ = names.only(__name__, __all__)
