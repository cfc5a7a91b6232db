"""Keras's layers and initial weights against torch, loops and formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pylayers
from pylayers import keras
from pylayers.keras import layers
from pylayers.keras.utils import set_random_seed


@pytest.fixture(autouse=True)
def seeded():
    set_random_seed(0)


def relative(found, truth):
    return float(np.max(np.abs(found - truth)) / max(1.0, np.max(np.abs(truth))))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2, (3, 2)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d_equals_torch_with_keras_padding(padding, strides, dilation, groups):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 9, 8, 4)).astype(np.float32)
    layer = layers.Conv2D(6, (3, 2), strides, padding, dilation_rate=dilation, groups=groups, activation="tanh")
    shape = layer.compute_output_shape((None, 9, 8, 4))
    layer(x)
    assert [w.shape for w in layer.get_weights()] == [(3, 2, 4 // groups, 6), (6,)]
    kernel, bias = (rng.standard_normal(w.shape).astype(np.float32) for w in layer.get_weights())
    layer.set_weights([kernel, bias])
    tensor = pylayers.Tensor(x, requires_grad=True)
    y = layer(tensor)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    y.backward(dy)
    assert y.shape == (3, *shape[1:])

    step = (strides, strides) if isinstance(strides, int) else strides
    tx = torch.tensor(x.transpose(0, 3, 1, 2), dtype=torch.float64, requires_grad=True)
    tk = torch.tensor(kernel.transpose(3, 2, 0, 1), dtype=torch.float64, requires_grad=True)
    pads = [0, 0, 0, 0]
    if padding == "same":
        for axis, (size, window) in enumerate(((8, 2), (9, 3))):  # torch pads the last axis first
            reach = dilation * (window - 1) + 1
            total = max((math.ceil(size / step[1 - axis]) - 1) * step[1 - axis] + reach - size, 0)
            pads[2 * axis : 2 * axis + 2] = total // 2, total - total // 2
    padded = torch.nn.functional.pad(tx, pads)
    ty = torch.tanh(torch.nn.functional.conv2d(padded, tk, torch.tensor(bias).double(), step, 0, dilation, groups))
    ty.backward(torch.tensor(dy.transpose(0, 3, 1, 2)).double())
    assert relative(y.detach().numpy(), ty.detach().numpy().transpose(0, 2, 3, 1)) <= 1e-5
    assert relative(tensor.grad.numpy(), tx.grad.numpy().transpose(0, 2, 3, 1)) <= 1e-5
    assert relative(layer.weights[0].parameter.grad.numpy(), tk.grad.numpy()) <= 2e-5


def test_images_stay_channels_last_in_memory():
    y = layers.Conv2D(5, 3, padding="same")(np.zeros((2, 6, 6, 3), np.float32))
    assert y.array.flags.c_contiguous
    assert layers.MaxPooling2D()(y).array.flags.c_contiguous


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("pool", "strides"), [(2, None), (3, 2), ((2, 3), (3, 1)), (5, 2)])
def test_max_pooling_equals_windows_by_hand(padding, pool, strides):
    x = np.random.default_rng(2).standard_normal((2, 7, 8, 3)).astype(np.float32)
    layer = layers.MaxPooling2D(pool, strides, padding)
    y = layer(x).numpy()
    (r, s), (down, right) = layer.pool_size, layer.strides
    if padding == "same":
        rows, columns = math.ceil(7 / down), math.ceil(8 / right)
        top = max((rows - 1) * down + r - 7, 0) // 2
        left = max((columns - 1) * right + s - 8, 0) // 2
    else:
        rows, columns, top, left = (7 - r) // down + 1, (8 - s) // right + 1, 0, 0
    assert y.shape == (2, rows, columns, 3) == (2, *layer.compute_output_shape((None, 7, 8, 3))[1:])
    for i in range(rows):
        for j in range(columns):
            first, second = i * down - top, j * right - left
            window = x[:, max(first, 0) : first + r, max(second, 0) : second + s]
            assert np.array_equal(y[:, i, j], window.max((1, 2)))


def test_dense_has_keras_layout_and_initialisation():
    layer = layers.Dense(64, activation="relu", input_shape=(200,))
    x = np.random.default_rng(3).standard_normal((5, 200)).astype(np.float32)
    y = layer(x).detach().numpy()
    kernel, bias = layer.get_weights()
    assert kernel.shape == (200, 64) and np.array_equal(bias, np.zeros(64))
    limit = math.sqrt(6 / 264)
    assert np.abs(kernel).max() <= limit and np.abs(kernel).max() > 0.99 * limit
    # The variance of U(-limit, limit), within 5 sigma for 12,800 draws.
    assert abs(kernel.var() / (limit**2 / 3) - 1) <= 5 * math.sqrt(0.8 / kernel.size)
    assert relative(y, np.maximum(x.astype(float) @ kernel, 0)) <= 1e-5


@pytest.mark.parametrize(
    ("name", "variance", "bounded"),
    [("glorot_uniform", 2 / (60 + 90), math.sqrt(6 / 150)), ("glorot_normal", 2 / 150, None),
     ("he_uniform", 2 / 60, math.sqrt(6 / 60)),
     ("he_normal", 2 / 60, None), ("random_uniform", 0.05**2 / 3, 0.05), ("random_normal", 0.05**2, None)],
)  # fmt: skip
def test_initializers_use_keras_fans(name, variance, bounded):
    drawn = keras.initializers.get(name)((3, 2, 10, 15))
    many = np.stack([keras.initializers.get(name)((3, 2, 10, 15)) for _ in range(20)])
    assert drawn.dtype == np.float32
    assert abs(many.var() / variance - 1) <= 5 * math.sqrt(2 / many.size)
    assert abs(many.mean()) <= 5 * math.sqrt(variance / many.size)
    if bounded:
        assert np.abs(many).max() <= bounded
    if name.endswith("normal") and name != "random_normal":
        assert np.abs(many).max() <= 2 * math.sqrt(variance) / 0.8796256610342398
    seeded_twice = [keras.initializers.GlorotUniform(seed=7)((4, 4)) for _ in range(2)]
    assert np.array_equal(*seeded_twice)


def test_kernel_is_a_view_and_set_weights_copies():
    layer = layers.Dense(3, input_shape=(4,))
    layer.build_once((None, 4))
    layer.kernel[...] = 0
    layer.kernel[1, 2] = 5
    assert layer.get_weights()[0][1, 2] == 5
    source = [np.ones((4, 3), np.float64), np.full(3, 2.0)]
    layer.set_weights(source)
    source[0][:] = 9
    assert np.array_equal(layer(np.ones((1, 4))).detach().numpy(), np.full((1, 3), 6))
    copy = layer.get_weights()
    copy[0][:] = 7
    assert layer.kernel.max() == 1


def test_dropout_acts_only_while_training():
    x = np.ones((100, 100), np.float32)
    layer = layers.Dropout(0.3)
    assert np.array_equal(layer(x).numpy(), x)
    y = layer(x, training=True).numpy()
    assert set(np.unique(y)) == {0, np.float32(1) / np.float32(0.7)}
    assert abs((y == 0).mean() - 0.3) <= 5 * math.sqrt(0.21 / 1e4)
    assert not np.array_equal(y, layer(x, training=True).numpy())


def test_activation_layers_agree_with_fused_and_called():
    x = np.random.default_rng(4).standard_normal((4, 6)).astype(np.float32)
    for name in ("relu", "sigmoid", "tanh", "gelu", "silu", "softmax", "linear"):
        fused = layers.Dense(5, activation=name)
        y = fused(x).detach().numpy()
        plain = layers.Dense(5)
        plain(x)
        plain.set_weights(fused.get_weights())
        assert relative(layers.Activation(name)(plain(x).detach()).numpy(), y) <= 1e-6
    assert relative(layers.Softmax()(x).numpy(), np.exp(x) / np.exp(x).sum(1, keepdims=True)) <= 1e-6
    assert np.array_equal(layers.ReLU()(x).numpy(), np.maximum(x, 0))
    own = layers.Dense(5, activation=lambda t: t * 2)
    assert relative(own(x).detach().numpy(), 2 * (x @ own.get_weights()[0])) <= 1e-6
    assert layers.Dense(5, activation=keras.activations.relu).activation.fused == "relu"
