"""Inputs that must be refused: for each a name, a call, the exception's type and a pattern of its message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import pylayers
import pylayers.nn as nn
import pylayers.nn.functional as F
import pylayers.optim as optim
from pylayers.autograd import Tensor


class Bad(NamedTuple):
    """One refused call."""

    name: str
    call: Callable[[], Any]
    error: type[Exception]
    match: str


def f32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def parameter(*shape: int) -> nn.Parameter:
    p = nn.Parameter(f32(*shape))
    p.grad = Tensor(f32(*shape))
    return p


def stepped(**changed: Any) -> Any:
    """A step of Adam with a list of arrays replaced."""
    from pylayers.backends.contract import AdamRates
    from pylayers.operations.adam import adam

    lists = {"parameters": [f32(2)], "gradients": [f32(2)], "exp_avgs": [f32(2)], "exp_avg_sqs": [f32(2)],
             "steps": [np.zeros(2, np.int32)]}  # fmt: skip
    return adam(*(lists | changed).values(), AdamRates(0.1))


def scheduled(lr: float) -> None:
    """A step after something wrote a rate into the group."""
    optimizer = optim.SGD([parameter(2)])
    optimizer.param_groups[0]["lr"] = lr
    optimizer.step()


class Ragged:
    """Something that is no array."""


ARRAYS = [
    Bad("matmul inner sizes", lambda: Tensor(f32(2, 3)) @ f32(4, 2), ValueError,
        r"matmul: argument 'b': expected 3 rows as 'a' has columns, got shape \(4, 2\) for a \(2, 3\)"),
    Bad("matmul batches", lambda: Tensor(f32(2, 2, 3)) @ f32(3, 3, 2), ValueError,
        r"matmul: argument 'b': expected leading axes that broadcast with \(2,\), got \(3,\)"),
    Bad("matmul scalar", lambda: pylayers.matmul(Tensor(f32()), f32(3)), ValueError,
        "matmul: argument 'a': expected at least one axis, got a scalar"),
    Bad("linear sizes", lambda: F.linear(f32(2, 3), f32(4, 5)), ValueError,
        r"linear: argument 'x': expected shape \(\.\.\., 5\) for weight \(4, 5\), got \(2, 3\)"),
    Bad("linear weight of one axis", lambda: F.linear(f32(2, 3), f32(3)), ValueError,
        r"linear: argument 'weight': expected shape \(out, in\), got \(3,\)"),
    Bad("linear bias", lambda: F.linear(f32(2, 3), f32(4, 3), f32(3)), ValueError,
        r"linear: argument 'bias': expected shape \(4,\), got \(3,\)"),
    Bad("linear float64 into float32", lambda: nn.Linear(3, 4)(np.ones((2, 3))), TypeError,
        r"linear: argument 'x': expected dtype float32 as 'weight' has, got float64; cast it: x.to\(pylayers"),
    Bad("linear float16 with float32", lambda: F.linear(f32(2, 3).astype("f2"), f32(4, 3)), TypeError,
        "expected dtype float32 as 'weight' has, got float16"),
    Bad("linear integers", lambda: nn.Linear(3, 4)(np.ones((2, 3), np.int64)), TypeError,
        "linear: argument 'x': expected dtype float16, bfloat16, float32 or float64, got <i8"),
    Bad("linear complex", lambda: nn.Linear(3, 4)(np.ones((2, 3), complex)), TypeError, "got <c16"),
    Bad("linear objects", lambda: nn.Linear(3, 4)(np.full((2, 3), None)), TypeError, r"got \|O"),
    Bad("linear big-endian", lambda: nn.Linear(3, 4)(f32(2, 3).astype(">f4")), TypeError, "got >f4"),
    Bad("linear list", lambda: nn.Linear(3, 4)([[1.0, 2.0, 3.0]]), TypeError,
        "linear: argument 'x': expected an array, got list"),
    Bad("linear None", lambda: nn.Linear(3, 4)(None), TypeError,
        "linear: argument 'x': expected an array, got NoneType"),
    Bad("linear no array", lambda: nn.Linear(3, 4)(Ragged()), TypeError, "expected an array, got Ragged"),
    Bad("linear activation", lambda: F.linear(f32(2, 3), f32(4, 3), activation="swish"), ValueError,
        "expected one of 'relu', 'sigmoid', 'tanh', 'gelu', 'gelu_tanh', 'silu', got 'swish'"),
    Bad("conv2d of five axes", lambda: nn.Conv2d(3, 4, 3)(f32(1, 1, 3, 8, 8)), ValueError,
        r"conv2d: argument 'input': expected 4 axes \(N, C, ...\) or 3 \(C, ...\), got shape \(1, 1, 3, 8, 8\)"),
    Bad("conv2d channels", lambda: nn.Conv2d(3, 4, 3)(f32(1, 2, 8, 8)), ValueError,
        r"conv2d: argument 'x': expected 3 channels on axis 1 for weight \(4, 3, 3, 3\) and groups 1, got shape"),
    Bad("conv2d kernel larger than the image", lambda: nn.Conv2d(1, 1, 5, padding=1)(f32(1, 1, 2, 8)), ValueError,
        r"conv2d: argument 'weight': expected a kernel no larger than the padded input \(4, 10\), got \(5, 5\)"),
    Bad("conv2d dilated kernel larger", lambda: nn.Conv2d(1, 1, 3, dilation=4)(f32(1, 1, 8, 8)), ValueError,
        r"no larger than the padded input \(8, 8\), got \(9, 9\) with dilation"),
    Bad("conv2d dtype", lambda: nn.Conv2d(1, 1, 3)(np.ones((1, 1, 8, 8))), TypeError,
        "conv2d: argument 'x': expected dtype float32 as 'weight' has, got float64"),
    Bad("conv2d weight", lambda: F.conv2d(f32(1, 1, 8, 8), f32(3, 3)), ValueError,
        "conv2d: argument 'weight': expected 4"),
    Bad("conv1d stride 0", lambda: F.conv1d(f32(1, 1, 8), f32(1, 1, 3), stride=0), ValueError,
        "conv1d: argument 'stride': expected an integer >= 1, got 0"),
    Bad("conv2d padding -1", lambda: F.conv2d(f32(1, 1, 8, 8), f32(1, 1, 3, 3), padding=-1), ValueError,
        "conv2d: argument 'padding': expected an integer >= 0, got -1"),
    Bad("conv2d three strides", lambda: F.conv2d(f32(1, 1, 8, 8), f32(1, 1, 3, 3), stride=(1, 1, 1)), ValueError,
        r"conv2d: argument 'stride': expected one integer or 2 of them, got \(1, 1, 1\)"),
    Bad("conv2d groups", lambda: F.conv2d(f32(1, 4, 8, 8), f32(3, 2, 3, 3), groups=2), ValueError,
        "conv2d: argument 'groups': expected a divisor of the 3 output channels, got 2"),
    Bad("conv2d padding name", lambda: F.conv2d(f32(1, 1, 8, 8), f32(1, 1, 3, 3), padding="full"), ValueError,
        "conv2d: argument 'padding': expected one of 'same', 'valid', got 'full'"),
    Bad("conv2d same with stride", lambda: F.conv2d(f32(1, 1, 8, 8), f32(1, 1, 3, 3), stride=2, padding="same"),
        ValueError, "conv2d: argument 'padding': expected an integer for a strided convolution, got 'same'"),
    Bad("max_pool2d larger than the image", lambda: F.max_pool2d(f32(1, 1, 2, 8), 3), ValueError,
        r"max_pool2d: argument 'kernel_size': expected a window .* than the padded input \(2, 8\), got \(3, 3\)"),
    Bad("max_pool2d padding", lambda: F.max_pool2d(f32(1, 1, 8, 8), 3, padding=2), ValueError,
        r"max_pool2d: argument 'padding': expected at most half of the window \(3, 3\), got \(2, 2\)"),
    Bad("max_pool2d float kernel", lambda: F.max_pool2d(f32(1, 1, 8, 8), 2.0), TypeError,
        "max_pool2d: argument 'kernel_size': expected an integer, got 2.0 of type float"),
    Bad("max_pool2d axes", lambda: F.max_pool2d(f32(8, 8), 2), ValueError, "max_pool2d: argument 'input': expected 4"),
    Bad("avg_pool2d ceil_mode", lambda: F.avg_pool2d(f32(1, 1, 8, 8), 2, ceil_mode=True), NotImplementedError,
        "avg_pool2d: ceil_mode and divisor_override are not there yet"),
    Bad("softmax axis", lambda: F.softmax(f32(2, 3), dim=2), IndexError,
        r"softmax: argument 'axis': expected an axis in \[-2, 1\], got 2"),
    Bad("softmax integers", lambda: F.softmax(np.arange(3), dim=0), TypeError, "softmax: argument 'x': expected dtype"),
    Bad("relu in place of integers", lambda: F.relu(np.arange(3), inplace=True), TypeError,
        "relu: argument 'x': expected dtype"),
    Bad("gelu form", lambda: F.gelu(f32(3), approximate="erf"), ValueError,
        "expected one of 'none', 'tanh', got 'erf'"),
    Bad("layer_norm shape", lambda: nn.LayerNorm(4)(f32(2, 3)), ValueError,
        r"layer_norm: argument 'x': expected shape \(\.\.\., 4\), got \(2, 3\)"),
    Bad("layer_norm weight", lambda: F.layer_norm(f32(2, 3), (3,), f32(2)), ValueError,
        r"layer_norm: argument 'weight': expected shape \(3,\), got \(2,\)"),
    Bad("layer_norm eps", lambda: F.layer_norm(f32(2, 3), (3,), eps=0.0), ValueError,
        "layer_norm: argument 'eps': expected a positive number, got 0.0"),
    Bad("layer_norm eps NaN", lambda: nn.LayerNorm(3, eps=float("nan")), ValueError,
        "LayerNorm: argument 'eps': expected a positive number, got nan"),
    Bad("layer_norm no axes", lambda: nn.LayerNorm(()), ValueError, "'normalized_shape': expected one axis or more"),
    Bad("dropout p above 1", lambda: F.dropout(f32(3), 1.5), ValueError,
        r"dropout: argument 'p': expected a probability in \[0, 1\], got 1.5"),
    Bad("dropout p NaN", lambda: nn.Dropout(float("nan")), ValueError, "Dropout: argument 'p': expected a probability"),
    Bad("dropout p text", lambda: nn.Dropout("half"), TypeError, "Dropout: argument 'p': expected a probability"),
    Bad("view", lambda: pylayers.zeros(2, 3).view(-1, 4), RuntimeError,
        r"shape '\[-1, 4\]' is invalid for input of size 6"),
    Bad("backend name", lambda: pylayers.backend("tpu").__enter__(), ValueError,
        "backend: argument 'name': expected one of 'reference', 'emulated', 'cuda', got 'tpu'"),
]  # fmt: skip

ATTENTION = [
    Bad("attention features", lambda: F.scaled_dot_product_attention(f32(5, 4), f32(6, 3), f32(6, 4)), ValueError,
        r"argument 'key': expected 4 features on the last axis as 'query' has, got shape \(6, 3\)"),
    Bad("attention positions", lambda: F.scaled_dot_product_attention(f32(5, 4), f32(6, 4), f32(7, 4)), ValueError,
        r"argument 'value': expected 6 positions as 'key' has, got shape \(7, 4\)"),
    Bad("attention dtypes", lambda: F.scaled_dot_product_attention(f32(5, 4), np.ones((6, 4)), f32(6, 4)), TypeError,
        "argument 'key': expected dtype float32 as 'query' has, got float64"),
    Bad("attention mask shape", lambda: F.scaled_dot_product_attention(f32(5, 4), f32(6, 4), f32(6, 4), f32(5, 5)),
        ValueError, r"'attn_mask': expected a shape of two axes or more that broadcasts to \(5, 6\), got \(5, 5\)"),
    Bad("attention mask dtype",
        lambda: F.scaled_dot_product_attention(f32(5, 4), f32(6, 4), f32(6, 4), np.ones((5, 6), np.int64)), TypeError,
        "argument 'attn_mask': expected dtype bool or float32, got int64"),
    Bad("attention causal and mask",
        lambda: F.scaled_dot_product_attention(f32(5, 4), f32(6, 4), f32(6, 4), f32(5, 6), is_causal=True), ValueError,
        "argument 'attn_mask': expected None with is_causal=True"),
    Bad("attention heads",
        lambda: F.scaled_dot_product_attention(f32(1, 6, 5, 4), f32(1, 4, 6, 4), f32(1, 4, 6, 4), enable_gqa=True),
        ValueError, "argument 'key': expected a number of heads .* that divides the 6 of 'query', got 4 in 'key'"),
    Bad("attention heads without enable_gqa",
        lambda: F.scaled_dot_product_attention(f32(1, 6, 5, 4), f32(1, 2, 6, 4), f32(1, 2, 6, 4)), ValueError,
        "expected leading axes that broadcast, .*; fewer heads in 'key' need enable_gqa=True"),
    Bad("attention dropout", lambda: F.scaled_dot_product_attention(f32(5, 4), f32(5, 4), f32(5, 4), dropout_p=0.1),
        NotImplementedError, "scaled_dot_product_attention: dropout_p > 0 is not there yet"),
]  # fmt: skip

LOSSES = [
    Bad("label too large", lambda: F.cross_entropy(f32(2, 3), np.array([0, 3])), IndexError,
        r"cross_entropy: argument 'labels': expected class indices in \[0, 3\), got 3; there are 3 classes"),
    Bad("label negative", lambda: F.cross_entropy(f32(2, 3), np.array([-1, 2])), IndexError, "got -1; there are 3"),
    Bad("label uint8", lambda: F.cross_entropy(f32(2, 3), np.array([200, 2], np.uint8)), IndexError, "got 200"),
    Bad("labels float", lambda: F.cross_entropy(f32(2, 3), f32(2)), TypeError,
        "cross_entropy: argument 'labels': expected integers, got dtype float32; class probabilities as floats need"),
    Bad("labels shape", lambda: F.cross_entropy(f32(2, 3), np.array([0, 1, 2])), ValueError,
        r"cross_entropy: argument 'labels': expected shape \(2,\), got \(3,\); x has shape \(2, 3\)"),
    Bad("labels one-hot integers", lambda: F.cross_entropy(f32(2, 3), np.eye(2, 3, dtype=int)), ValueError,
        r"expected shape \(2,\), got \(2, 3\)"),
    Bad("class weights", lambda: F.cross_entropy(f32(2, 3), np.array([0, 1]), f32(2)), ValueError,
        r"cross_entropy: argument 'weight': expected shape \(3,\), got \(2,\)"),
    Bad("label smoothing", lambda: nn.CrossEntropyLoss(label_smoothing=1.5), ValueError,
        r"CrossEntropyLoss: argument 'label_smoothing': expected a number in \[0, 1\], got 1.5"),
    Bad("reduction", lambda: nn.CrossEntropyLoss(reduction="max"), ValueError,
        "CrossEntropyLoss: argument 'reduction': expected one of 'none', 'mean', 'sum', got 'max'"),
    Bad("nll label", lambda: F.nll_loss(f32(1, 3), np.array([5])), IndexError, "nll_loss: argument 'labels': .*got 5"),
    Bad("mse shapes", lambda: F.mse_loss(f32(4, 1), f32(4)), ValueError,
        r"mse_loss: argument 'target': expected shape \(4, 1\), got \(4,\); reshape or broadcast it"),
    Bad("mse dtypes", lambda: F.mse_loss(f32(4), np.ones(4)), TypeError, "mse_loss: argument 'target': expected dtype"),
    Bad("probabilities", lambda: F.binary_cross_entropy(2 * f32(3), f32(3)), ValueError,
        r"binary_cross_entropy: argument 'input': expected probabilities in \[0, 1\], got values in \[2.0, 2.0\]"),
    Bad("probability NaN", lambda: F.binary_cross_entropy(f32(3) * np.float32("nan"), f32(3)), ValueError, "nan"),
    Bad("pos_weight", lambda: F.binary_cross_entropy_with_logits(f32(3), f32(3), pos_weight=f32(2)), ValueError,
        r"argument 'pos_weight': expected a shape that broadcasts to \(3,\), got \(2,\)"),
]  # fmt: skip

LAYERS = [
    Bad("Linear in_features 0", lambda: nn.Linear(0, 3), ValueError,
        "Linear: argument 'in_features': expected an integer >= 1, got 0"),
    Bad("Linear in_features 3.0", lambda: nn.Linear(3.0, 3), TypeError,
        "Linear: argument 'in_features': expected an integer, got 3.0 of type float"),
    Bad("Linear in_features True", lambda: nn.Linear(True, 3), TypeError, "got True of type bool"),
    Bad("Linear dtype", lambda: nn.Linear(2, 3, dtype="float31"), TypeError,
        "argument 'dtype': expected one of bool, "),
    Bad("Linear device", lambda: nn.Linear(2, 3, device="tpu"), ValueError,
        "device: argument 'device': expected 'cpu', "),
    Bad("Conv2d stride 0", lambda: nn.Conv2d(1, 1, 3, stride=0), ValueError, "Conv2d: argument 'stride': expected"),
    Bad("Conv2d dilation 0", lambda: nn.Conv2d(1, 1, 3, dilation=(1, 0)), ValueError,
        "'dilation': expected .*>= 1, got 0"),
    Bad("Conv2d padding -1", lambda: nn.Conv2d(1, 1, 3, padding=-1), ValueError, "'padding': expected .*>= 0, got -1"),
    Bad("Conv2d groups", lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError,
        "Conv2d: argument 'in_channels': expected a multiple of groups 2, got 3"),
    Bad("Conv2d padding mode", lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), ValueError,
        "Conv2d: argument 'padding_mode': expected one of 'zeros', 'reflect', 'replicate', 'circular', got 'mirror'"),
    Bad("Conv2d reflect", lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect"), NotImplementedError,
        "Conv2d: padding_mode 'reflect' is not there yet; there is 'zeros'"),
    Bad("init of a vector", lambda: nn.init.xavier_uniform_(parameter(3)), ValueError,
        r"xavier_uniform_: argument 'tensor': expected two axes or more \(out, in, ...\), got shape \(3,\)"),
    Bad("init nonlinearity", lambda: nn.init.kaiming_uniform_(parameter(3, 3), nonlinearity="swish"), ValueError,
        "'nonlinearity': expected one of 'linear', .* got 'swish'"),
    Bad("Sequential of no module", lambda: nn.Sequential(F.relu), TypeError,
        "Module: argument '0': expected a Module or None, got function"),
    Bad("Sequential index", lambda: nn.Sequential(nn.ReLU())[1], IndexError,
        "Sequential: argument 'index': expected an index into 1 modules, got 1"),
    Bad("state of another kind", lambda: nn.Linear(1, 1).load_state_dict([1]), TypeError,
        "load_state_dict: argument 'state_dict': expected a mapping of names to arrays, got list"),
    Bad("state with a number", lambda: nn.Linear(1, 1).load_state_dict({"weight": 1.0, "bias": f32(1)}), TypeError,
        "load_state_dict: argument 'weight': expected an array, got float"),
    Bad("state of another model", lambda: nn.Linear(1, 1).load_state_dict(nn.Linear(1, 2).state_dict()),
        pylayers.CheckpointError, r"size mismatch for weight: copying a param with shape \(2, 1\) from checkpoint"),
    Bad("module without forward",
        lambda: nn.Module()(1), NotImplementedError, 'missing the required "forward" function'),
    Bad("unknown layer", lambda: nn.LSTM, AttributeError, "pylayers.nn has no 'LSTM' yet; there are"),
]  # fmt: skip

OPTIMIZERS = [
    Bad("rate NaN", lambda: optim.SGD([parameter(2)], lr=float("nan")), ValueError,
        "SGD: argument 'lr': expected a finite number >= 0, got nan"),
    Bad("rate inf", lambda: optim.Adam([parameter(2)], lr=float("inf")), ValueError, "Adam: argument 'lr': .* got inf"),
    Bad("rate negative", lambda: optim.AdamW([parameter(2)], lr=-0.1), ValueError, "AdamW: argument 'lr': .* got -0.1"),
    Bad("rate text", lambda: optim.SGD([parameter(2)], lr="0.1"), TypeError, "SGD: argument 'lr': .* got '0.1'"),
    Bad("rate NaN later", lambda: scheduled(float("nan")), ValueError, "SGD: argument 'lr': .* got nan"),
    Bad("weight decay", lambda: optim.SGD([parameter(2)], weight_decay=-1), ValueError,
        "'weight_decay': expected a finite"),
    Bad("weight decay NaN", lambda: optim.Adam([parameter(2)], weight_decay=float("nan")), ValueError,
        "'weight_decay'"),
    Bad("momentum", lambda: optim.SGD([parameter(2)], momentum=-0.1), ValueError, "SGD: argument 'momentum': expected"),
    Bad("nesterov", lambda: optim.SGD([parameter(2)], nesterov=True), ValueError,
        "Nesterov momentum requires a momentum and zero dampening"),
    Bad("beta 1", lambda: optim.Adam([parameter(2)], betas=(1.0, 0.9)), ValueError,
        r"Adam: argument 'betas': expected two numbers in \[0, 1\), got 1.0"),
    Bad("beta -0.1", lambda: optim.Adam([parameter(2)], betas=(0.9, -0.1)), ValueError, "'betas': .* got -0.1"),
    Bad("one beta", lambda: optim.Adam([parameter(2)], betas=(0.9,)), ValueError, "'betas': expected two numbers"),
    Bad("eps", lambda: optim.Adam([parameter(2)], eps=-1e-8), ValueError, "Adam: argument 'eps': expected a finite"),
    Bad("amsgrad", lambda: optim.Adam([parameter(2)], amsgrad=True), NotImplementedError,
        "amsgrad=True is not there yet"),
    Bad("no parameters", lambda: optim.SGD([]), ValueError,
        "SGD: argument 'params': expected one tensor or more, got an empty list"),
    Bad("one tensor", lambda: optim.SGD(parameter(2)), TypeError,
        "SGD: argument 'params': expected an iterable of tensors or dicts, got Parameter"),
    Bad("no tensor", lambda: optim.SGD([f32(2)]), TypeError, "SGD: argument 'params': expected tensors, got ndarray"),
    Bad("duplicate", lambda: optim.SGD([p := parameter(2), p]), ValueError, "expected each parameter once"),
    Bad("duplicate group", lambda: optim.SGD([{"params": [p := parameter(2)]}, {"params": [p]}]), ValueError,
        "expected each parameter once, got a parameter that appears more than once"),
    Bad("computed tensor", lambda: optim.SGD([parameter(2) * 2]), ValueError, "expected leaf tensors"),
    Bad("unknown option", lambda: optim.SGD([{"params": [parameter(2)], "rate": 1}]), ValueError,
        "SGD: argument 'param_group': expected options among lr, momentum, .*, got rate"),
    Bad("group of another kind", lambda: optim.SGD([parameter(2)]).add_param_group({"lr": 1}), TypeError,
        "SGD: argument 'param_group': expected a dict with 'params'"),
    Bad("gradient shape", lambda: stepped(gradients=[f32(3)]), ValueError,
        r"adam: argument 'gradients\[0\]': expected shape \(2,\), got \(3,\)"),
    Bad("gradient dtype", lambda: stepped(gradients=[np.ones(2)]), TypeError,
        r"adam: argument 'gradients\[0\]': expected dtype float32 as 'parameters\[0\]' has, got float64"),
    Bad("moment count", lambda: stepped(exp_avgs=[]), ValueError,
        "'exp_avgs': expected 1 arrays as 'parameters' has, got 0"),
    Bad("steps", lambda: stepped(steps=[np.zeros(2)]), ValueError,
        r"'steps\[0\]': expected int32 of shape \(2,\), got float64 of shape \(2,\)"),
    Bad("norm of nothing", lambda: optim.gradient_norm([nn.Parameter(f32(2))]), ValueError,
        "gradient_norm: argument 'gradients': expected one array or more, got an empty list"),
    Bad("clip NaN", lambda: nn.utils.clip_grad_norm_([parameter(2)], float("nan")), ValueError,
        "clip_grad_norm_: argument 'max_norm': expected a finite number >= 0, got nan"),
    Bad("clip inf-norm", lambda: nn.utils.clip_grad_norm_([parameter(2)], 1.0, float("inf")), NotImplementedError,
        "clip_grad_norm_: norm_type inf is not there yet"),
]  # fmt: skip

BAD_INPUTS = [*ARRAYS, *ATTENTION, *LOSSES, *LAYERS, *OPTIMIZERS]
