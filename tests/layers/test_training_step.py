"""Whole training steps: every output, gradient and updated parameter on the kernels equals the reference backend's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import emulated
import fake_cuda
import numpy as np
import pytest

import pylayers as pl
import pylayers.nn.functional as F
from pylayers import nn, optim
from pylayers.autograd import Tensor
from pylayers.keras import layers, models
from pylayers.keras.utils import set_random_seed


class Convolutional(nn.Module):
    """The network of the Keras MNIST example: 693,962 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 32, 3)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(5408, 128)
        self.out = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv(x)))
        return self.out(F.relu(self.hidden(x.flatten(1))))


class AttentionClassifier(nn.Module):
    """One block: layer norm, attention with two heads, dropout, layer norm, GELU, and a classifier over all tokens."""

    def __init__(self, tokens: int = 9, width: int = 16) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.out = nn.Linear(tokens * width, 5)
        self.drop = nn.Dropout(0.25)

    def forward(self, x: Tensor) -> Tensor:
        b, t, width = x.shape
        heads = self.qkv(self.norm1(x)).reshape(b, t, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
        x = self.drop(self.proj(mixed.permute(0, 2, 1, 3).reshape(b, t, width)))
        return self.out(F.gelu(self.norm2(x)).flatten(1))


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "convolutional": (Convolutional, (3, 1, 28, 28), 10),
    "attention": (AttentionClassifier, (4, 9, 16), 5),
}


def step(name: str, backend: str, optimizer: str, dtype: Any) -> dict[str, np.ndarray]:
    """Everything that one training step makes, from the same seed."""
    make, shape, classes = CASES[name]
    pl.manual_seed(0)
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal(shape).astype(dtype), rng.integers(0, classes, shape[0])
    model = make().to(dtype)
    chosen = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD}[optimizer]
    update = chosen(model.parameters(), lr=1e-2, **({"momentum": 0.9} if optimizer == "sgd" else {}))
    with pl.backend(backend):
        logits = model(pl.tensor(x))
        loss = nn.CrossEntropyLoss()(logits, pl.tensor(labels))
        loss.backward()
        made = {"logits": logits, "loss": loss} | {f"d{n}": p.grad for n, p in model.named_parameters()}
        made = {key: value.detach().numpy().copy() for key, value in made.items()}
        for _ in range(2):
            update.step()
    return made | {key: value.detach().numpy() for key, value in model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("name", CASES)
def test_emulated_step_equals_reference(name: str, optimizer: str) -> None:
    emulated.load()
    with emulated.guarded_outputs():
        got = step(name, "emulated", optimizer, np.float32)
    want = step(name, "reference", optimizer, np.float64)
    for key, exact in want.items():
        # Float32 through a few layers. An Adam step divides by the gradient's size, so a parameter whose gradient is
        # near 0 may move anywhere within its rate of 1e-2: such elements are compared by their gradient alone.
        error = np.abs(got[key].astype(np.float64) - exact)
        if optimizer != "sgd" and not key.startswith(("d", "lo")):
            error = error[np.abs(want["d" + key]) > 1e-4]
        assert error.size and error.max() <= 1e-5 * max(1.0, np.abs(exact).max()), key
        assert np.abs(exact).max() > 0, key


def fitted(backend: str) -> tuple[dict[str, list[float]], np.ndarray, list[np.ndarray]]:
    """History, predictions and weights of the Keras MNIST example after two steps, fed as Keras feeds it."""
    set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.random((4, 28, 28)), rng.integers(0, 10, 4).astype(np.uint8)
    convolution = layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1))
    hidden, out = layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")
    model = models.Sequential([convolution, layers.MaxPooling2D((2, 2)), layers.Flatten(), hidden, out])
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    with pl.backend(backend):
        history = model.fit(x, y, epochs=2, batch_size=4, verbose=0).history
        return history, model.predict(x, verbose=0), model.get_weights()


def test_emulated_keras_step_equals_reference() -> None:
    emulated.load()
    (history, p, weights), (want_history, want_p, want_weights) = fitted("emulated"), fitted("reference")
    assert np.abs(p - want_p).max() <= 1e-5
    assert history["accuracy"] == want_history["accuracy"]
    assert np.abs(np.subtract(history["loss"], want_history["loss"])).max() <= 1e-5
    for got, want in zip(weights, want_weights, strict=True):
        assert np.abs(got - want).max() <= 1e-5 * max(1.0, np.abs(want).max())


class OnDevice:
    """A model whose parameters lie on the fake GPU."""

    def __init__(self, gpu: fake_cuda.FakeCuda, model: nn.Module) -> None:
        for module in model.modules():
            for name, p in list(module._parameters.items()):
                if p is not None:
                    setattr(module, name, nn.Parameter(Tensor(gpu.array(p.detach().numpy()))))
        self.model = model


@pytest.fixture
def gpu() -> Iterator[fake_cuda.FakeCuda]:
    with fake_cuda.installed() as fake:
        yield fake


def test_a_step_on_the_gpu_uses_kernels_and_views_only(gpu: fake_cuda.FakeCuda) -> None:
    model = OnDevice(gpu, Convolutional()).model
    update = optim.Adam(model.parameters())
    x = Tensor(gpu.array(np.zeros((3, 1, 28, 28), np.float32)))
    labels = Tensor(gpu.array(np.zeros(3, np.int64)))
    for _ in range(2):
        gpu.launches()
        fills = fake_cuda.FakeArray.fills
        update.zero_grad()
        nn.CrossEntropyLoss()(model(x), labels).backward()
        update.step()
    assert fake_cuda.FakeArray.fills == fills
    assert {record.device for record in gpu.launches()} == {0}
    assert all(p.grad is not None for p in model.parameters())
