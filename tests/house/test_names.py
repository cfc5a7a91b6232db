"""Names that are not there: what attributes and imports say, and that nothing misleading is suggested."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import pylayers
import pylayers.keras
import pylayers.optim

PACKAGES = [
    "pylayers",
    *(f"pylayers.{name}" for name in ("nn", "nn.functional", "optim", "keras", "keras.layers", "data")),
]


@pytest.mark.parametrize(
    ("package", "name", "words"),
    [
        ("pylayers", "soft_max", "did you mean 'softmax'"),
        ("pylayers", "zeroes", "did you mean 'zeros'"),
        ("pylayers", "foobarbaz", "pylayers has no 'foobarbaz' yet"),
        ("pylayers.nn.functional", "sigmoids", "did you mean 'sigmoid'"),
        ("pylayers.nn.functional", "leaky_relu", "pylayers.nn.functional has no 'leaky_relu' yet"),
        ("pylayers.nn", "LSTM", "pylayers.nn has no 'LSTM' yet; there are AvgPool1d, "),
        ("pylayers.nn", "Relu", "did you mean 'ReLU'"),
        ("pylayers.nn", "Conv2D", "pylayers.nn has no 'Conv2D' yet; did you mean 'Conv2d'?"),
        ("pylayers.nn", "LazyLinear", "pylayers.nn has no 'LazyLinear' yet; there are"),
        ("pylayers.optim", "AdamX", "did you mean 'Adam' or 'AdamW'?"),
        ("pylayers.optim", "Adadelta", "pylayers.optim has no 'Adadelta' yet; there are SGD, Adam, AdamW"),
        ("pylayers.keras", "Model", "pylayers.keras has no 'Model' yet; there are Input, Sequential"),
        ("pylayers.keras.layers", "Rescaling", "has no 'Rescaling' yet; there are Activation, Conv2D"),
        ("pylayers.keras.layers", "MaxPooling2d", "did you mean 'MaxPooling2D'"),
        ("pylayers.data", "MNIST", "did you mean 'mnist'?"),
    ],
)  # fmt: skip
def test_hint(package: str, name: str, words: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError) as attribute:
        getattr(module, name)
    with pytest.raises(ImportError) as imported:
        exec(f"from {package} import {name}")
    assert words in str(attribute.value)
    if hasattr(module, "__path__"):  # Python asks packages alone before it words the error itself
        assert str(imported.value) == str(attribute.value)
    assert not hasattr(module, name)


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_stay_modules(package: str) -> None:
    """Special names are plainly absent, submodules are still imported, and `dir` names what is there."""
    module = importlib.import_module(package)
    assert not hasattr(module, "__wrapped__") and not hasattr(module, "__sentinel")
    assert all(hasattr(module, name) for name in dir(module))
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{package}.nowhere'"):
        importlib.import_module(f"{package}.nowhere")


def test_what_python_prints() -> None:
    """No suggestion of its own: it would take the names of files for layers."""
    script = "import pylayers.keras as keras; keras.layers.Rescaling"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 1 and "has no 'Rescaling' yet" in ran.stderr and "reshaping" not in ran.stderr


def test_submodules_are_imported_by_name() -> None:
    script = (
        "from pylayers.nn import state, init, utils; from pylayers import train; from pylayers.keras import layers;"
        "from pylayers.nn.utils import clip_grad_norm_; import pylayers.nn.utils as u; assert u is utils;"
        "from pylayers.optim import norm; from pylayers.keras.layers import core; from pylayers.functional import shape"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_names_as_before() -> None:
    assert "softmax" in dir(pylayers) and "Adam" in dir(pylayers.optim) and "Linear" in dir(pylayers.nn)
    assert pylayers.float32 is pylayers.dtypes.float32
