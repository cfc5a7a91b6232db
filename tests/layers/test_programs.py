"""The Keras programs that must run with only their import lines changed: binary MLP, categorical MLP, CNN on images."""

from __future__ import annotations

import numpy as np
import pytest

import pylayers as tf
from pylayers.keras import layers, models
from pylayers.keras.layers import Dense
from pylayers.keras.models import Sequential
from pylayers.keras.optimizers import Adam
from pylayers.keras.utils import set_random_seed, to_categorical


@pytest.fixture(autouse=True)
def seeded():
    set_random_seed(1)


def images(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (n, 28, 28) and labels uint8: the digits' own 8 x 8 images, enlarged, in a frame of two pixels."""
    from pylayers.data import digits

    data = digits()
    chosen = np.random.default_rng(seed).permutation(len(data.x_train))[:n]
    large = np.kron(data.x_train[chosen, 0], np.ones((3, 3)))
    return (np.pad(large, ((0, 0), (2, 2), (2, 2))) * 255).astype(np.uint8), data.y_train[chosen].astype(np.uint8)


@pytest.mark.parametrize("column", [True, False], ids=["y (n, 1)", "y (n,)"])
def test_program_1_binary_mlp(column, capsys):
    rng = np.random.default_rng(2)
    x = rng.random((400, 100))
    y = (x[:, :10].sum(1) > 5).astype(int)
    y = y[:, None] if column else y
    model = models.Sequential([
        layers.Dense(128, activation="relu", input_shape=(100,)),
        layers.Dense(64, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    assert model.count_params() == 101 * 128 + 129 * 64 + 65
    before = model.get_weights()
    history = model.fit(x, y, epochs=10)
    assert "Epoch 10/10" in capsys.readouterr().out
    assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]
    assert history.history["accuracy"][-1] > 0.85
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    predictions = model.predict(x)
    assert predictions.dtype == np.float32 and predictions.shape == (400, 1)
    right = (predictions[:, 0] > 0.5) == y.reshape(-1)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert accuracy == right.mean()
    p = predictions[:, 0].astype(float)
    truth = -np.where(y.reshape(-1) == 1, np.log(p), np.log(1 - p)).mean()
    assert abs(loss - truth) <= 1e-5


def test_program_3_categorical_mlp():
    x, labels = images(600, 3)
    x, y = x.reshape(-1, 28 * 28) / 255, to_categorical(labels, 10)
    model = Sequential()
    model.add(Dense(64, input_dim=28 * 28, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    assert model.count_params() == 50_890
    history = model.fit(x, y, epochs=10, batch_size=32, verbose=0)
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert accuracy > 0.9
    p = model.predict(x, verbose=0).astype(float)
    assert np.max(np.abs(p.sum(1) - 1)) <= 1e-6
    assert accuracy == (p.argmax(1) == labels).mean()
    assert abs(loss + np.log(p[np.arange(600), labels]).mean()) <= 1e-5


def program_4() -> Sequential:
    model = tf.keras.models.Sequential([
        tf.keras.layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)),
        tf.keras.layers.MaxPooling2D((2, 2)),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(128, activation="relu"),
        tf.keras.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizer=Adam(), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_program_4_cnn(tmp_path, monkeypatch, capsys):
    """On files in MNIST's form, so that load_data takes part."""
    (x, y), (x_more, y_more) = images(512, 4), images(128, 5)
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x_more, y_test=y_more)
    monkeypatch.setenv("PYLAYERS_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
    assert x_train.shape == (512, 28, 28) and y_train.dtype == np.uint8
    x_train, x_test = x_train / 255.0, x_test / 255.0
    model = program_4()
    assert model.count_params() == 693_962
    assert [weight.shape for weight in model.get_weights()] == [
        (3, 3, 1, 32), (32,), (5408, 128), (128,), (128, 10), (10,)
    ]  # fmt: skip
    history = model.fit(x_train, y_train, epochs=3, validation_data=(x_test, y_test))
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    capsys.readouterr()
    loss, accuracy = model.evaluate(x_test, y_test, verbose=2)
    line = capsys.readouterr().out
    assert line.startswith("4/4 - ") and f"accuracy: {accuracy:.4f}" in line
    assert [loss, accuracy] == [history.history["val_loss"][-1], history.history["val_accuracy"][-1]]
    assert accuracy > 0.8
    # The silent axis: (n, 28, 28) and (n, 28, 28, 1) are the same to the model.
    assert np.array_equal(model.predict(x_test, verbose=0), model.predict(x_test[..., None], verbose=0))


def test_program_4_step_equals_torch():
    """Outputs, every gradient and every updated weight of one step, against torch in float64."""
    torch = pytest.importorskip("torch")
    x, labels = images(16, 6)
    x = x / 255.0
    model = program_4()
    start = model.get_weights()
    output = model.predict(x, verbose=0)
    model.fit(x, labels, batch_size=16, shuffle=False, verbose=0)

    weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in start]
    kernel, bias, w1, b1, w2, b2 = weights
    image = torch.tensor(x[:, None])
    hidden = torch.relu(torch.nn.functional.conv2d(image, kernel.permute(3, 2, 0, 1), bias))
    pooled = torch.nn.functional.max_pool2d(hidden, 2).permute(0, 2, 3, 1).reshape(16, -1)
    logits = torch.relu(pooled @ w1 + b1) @ w2 + b2
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels.astype(int)))
    loss.backward()
    assert np.max(np.abs(output - torch.softmax(logits, 1).detach().numpy())) <= 1e-5
    for weight, layer_weight, found in zip(weights, model.weights, model.get_weights(), strict=True):
        truth = weight.grad.numpy()
        gradient = layer_weight.parameter.grad.numpy().transpose(layer_weight.axes)
        assert np.max(np.abs(gradient - truth)) <= 1e-5 * max(1.0, np.max(np.abs(truth)))
        # Keras's Adam: the first step is lr sqrt(1 - b2) / (1 - b1) m / (sqrt(v) + eps) of the gradient we saw.
        g = gradient.astype(float)
        step = 1e-3 * np.sqrt(0.001) / 0.1 * (0.1 * g) / (np.sqrt(0.001 * g * g) + 1e-7)
        assert np.max(np.abs(found - (start[[w is weight for w in weights].index(True)] - step))) <= 2e-7
