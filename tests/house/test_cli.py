"""The command line and the training loop: what is printed and written, one seed one result, clear refusals."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import types

import numpy as np
import pytest
from typer.testing import CliRunner

import pylayers
from pylayers import backends, context, nn, optim, random
from pylayers.cli import app
from pylayers.data import Images, digits
from pylayers.train import cnn, evaluate, fit, mlp, shift
from pylayers.train.curves import write_curves
from pylayers.train.device import place
from pylayers.train.loop import Epoch
from pylayers.train.progress import metrics_text, per_step
from pylayers.train.schedule import cosine


def command(*arguments: str):
    return CliRunner().invoke(app, arguments)


def part(n: int = 96) -> Images:
    data = digits()
    return Images(data.x_train[:n], data.y_train[:n], data.x_test[:n], data.y_test[:n])


# The loop


def trained(seed: int, **options):
    random.manual_seed(seed)
    model = mlp(1, 8, 8, 10)
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    record = fit(model, part(), optimizer, epochs=3, batch_size=32, seed=seed, augment=shift, **options)
    return model, record


def test_fit_learns_and_one_seed_gives_one_result():
    (model, record), (again, same), (other, _) = trained(5), trained(5), trained(6)
    assert [epoch.epoch for epoch in record] == [1, 2, 3]
    assert record[-1].train_loss < record[0].train_loss
    assert [epoch[:-1] for epoch in record] == [epoch[:-1] for epoch in same]
    states = model.state_dict(), again.state_dict(), other.state_dict()
    assert all(np.array_equal(states[0][name].numpy(), states[1][name].numpy()) for name in states[0])
    assert not all(np.array_equal(states[0][name].numpy(), states[2][name].numpy()) for name in states[0])
    assert evaluate(model, part().x_test, part().y_test) == record[-1][3:5]


def test_evaluate_equals_the_formula():
    random.manual_seed(0)
    model, data = mlp(1, 8, 8, 10), part()
    loss, accuracy = evaluate(model, data.x_test, data.y_test)
    logits = model(data.x_test).detach().numpy().astype(float)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert abs(loss + log_p[np.arange(96), data.y_test].mean()) <= 1e-6
    assert accuracy == (logits.argmax(1) == data.y_test).mean()


def test_schedule_scales_the_rate_and_is_called_with_the_share_done():
    seen, shares = [], []

    def schedule(share):
        shares.append(share)
        return 0.5

    random.manual_seed(0)
    model = mlp(1, 8, 8, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.25)
    step = optimizer.step
    optimizer.step = lambda: (seen.append(optimizer.param_groups[0]["lr"]), step())
    fit(model, part(), optimizer, epochs=2, batch_size=50, seed=0, schedule=schedule)
    assert seen == [0.125] * 4 and shares == [0.25, 0.5, 0.75, 1.0]


def test_cosine_rises_then_falls_to_nothing():
    assert cosine(0.0) == 0 and cosine(0.025) == 0.5 and cosine(0.05) == 1
    assert cosine(0.525) == pytest.approx(0.5) and cosine(1.0) == pytest.approx(0, abs=1e-12)


def test_shift_moves_each_image_by_whole_pixels():
    rng = np.random.default_rng(0)
    x = rng.random((200, 2, 5, 6)).astype(np.float32) + 1
    y = shift(x, rng)
    assert y.shape == x.shape and y.dtype == np.float32 and y.flags.c_contiguous
    found = set()
    for before, after in zip(x, y, strict=True):
        matches = []
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                moved = np.zeros_like(before)
                rows, columns = slice(max(down, 0), 5 + min(down, 0)), slice(max(right, 0), 6 + min(right, 0))
                source = slice(max(-down, 0), 5 + min(-down, 0)), slice(max(-right, 0), 6 + min(-right, 0))
                moved[:, rows, columns] = before[:, source[0], source[1]]
                if np.array_equal(moved, after):
                    matches.append((down, right))
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) == 9


def test_a_loss_that_is_not_finite_stops_the_run():
    random.manual_seed(0)
    model = mlp(1, 8, 8, 10)
    data = part()
    data.x_train[40] = np.inf
    with pytest.raises(
        FloatingPointError, match=r"fit: argument 'loss': expected a finite number, got nan in step \d of epoch 1"
    ):
        fit(model, data, optim.SGD(model.parameters(), lr=0.1), epochs=1, batch_size=32, seed=0)


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_fit_refuses_counts_below_one(name):
    model = mlp(1, 8, 8, 10)
    options = {"epochs": 1, "batch_size": 8, "seed": 0} | {name: 0}
    with pytest.raises(ValueError, match=f"fit: argument '{name}': expected a positive number, got 0"):
        fit(model, part(), optim.SGD(model.parameters(), lr=0.1), **options)


@pytest.mark.parametrize("network", [mlp, cnn])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 9, 7)])
def test_networks_take_images_of_any_size(network, shape):
    model = network(*shape, 7).eval()
    assert isinstance(model, nn.Module)
    assert model(np.zeros((2, *shape), np.float32)).shape == (2, 7)


# Where a run computes


def test_place_names_what_is_missing():
    auto = place("auto")
    assert (auto.device == "cuda") == (auto.missing == "") and auto.backend in ("reference", "cuda")
    assert place("cpu") == ("reference", "cpu", "the CPU was asked for")
    if auto.device == "cpu":
        with pytest.raises(ImportError, match="^cuda: "):
            place("cuda")
    with context.backend("reference"):
        assert place() == ("reference", "cpu", "reference was asked for")
    with pytest.raises(
        ValueError, match="place: argument 'device': expected one of 'auto', 'cpu', 'cuda', 'emulated', got 'tpu'"
    ):
        place("tpu")


# The command


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_train_prints_a_header_and_writes_three_files(tmp_path, network):
    result = command("train", network, "--epochs", "2", "--device", "cpu", "--seed", "3", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    lines = dict(line.split(None, 1) for line in result.output.splitlines()[:8])
    assert lines["backend"] == "reference" and lines["device"] == "cpu" and lines["dtype"] == "float32"
    assert lines["seed"] == "3" and "highest" in lines["precision"]
    assert "1,437 images to train, 360 to test" in lines["data"]
    assert "the CPU was asked for" in result.output
    assert "epoch 2/2 - " in result.output and "2/2" in result.output

    folder = tmp_path / f"{network}-digits"
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    accuracy = float(rows[-1]["test_accuracy"])
    assert f"test accuracy {100 * accuracy:.2f} %" in result.output
    assert (folder / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    from safetensors.numpy import load_file

    model = {"mlp": mlp, "cnn": cnn}[network](1, 8, 8, 10)
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    assert evaluate(model, digits().x_test, digits().y_test)[1] == pytest.approx(accuracy, abs=1e-6)


def test_train_on_mnist_says_where_it_looked(tmp_path, monkeypatch):
    source = sys.modules["pylayers.data.mnist_files"]

    def refuse(*args, **kwargs):
        raise source.urllib.error.URLError("no network")

    monkeypatch.setattr(source.urllib.request, "urlopen", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYLAYERS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    result = command("train", "mlp", "--data", "mnist", "--device", "cpu", "--out", str(tmp_path))
    assert result.exit_code == 1
    words = " ".join(result.output.split())
    assert words.startswith("error: mnist: argument 'PYLAYERS_DATA': expected the files train-images-idx3-ubyte")
    assert f"{tmp_path}/.keras/datasets" in words and "use --data digits" in words


def test_train_on_mnist_files(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 28, 28)).astype(np.uint8), np.arange(40, dtype=np.uint8) % 10
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    monkeypatch.setenv("PYLAYERS_DATA", str(tmp_path))
    result = command("train", "cnn", "--data", "mnist", "--epochs", "1", "--device", "cpu", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "mnist, 40 images to train, 20 to test" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--lr", "nan"), 1, "error: train: argument 'lr': expected a positive finite number, got nan"),
        (("--lr", "-1"), 1, "error: train: argument 'lr': expected a positive finite number, got -1.0"),
        (("--lr", "1e30"), 1, "error: fit: argument 'loss': expected a finite number, got"),
        (("--epochs", "0"), 2, "greater than or equal to 1"),
        (("--batch-size", "0"), 2, "greater than or equal to 1"),
        (("--data", "imagenet"), 2, "'imagenet' is not one of 'digits', 'mnist'"),
        (("--device", "tpu"), 2, "'tpu' is not one of 'auto', 'cpu', 'cuda', 'emulated'"),
    ],
)
def test_bad_options_end_with_one_line(tmp_path, arguments, code, message):
    result = command("train", "mlp", "--epochs", "1", "--device", "cpu", "--out", str(tmp_path), *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_unknown_network_lists_what_there_is():
    result = command("train", "transformer")
    assert result.exit_code == 2
    assert "'transformer' is not one of 'mlp', 'cnn'" in " ".join(result.output.replace("│", " ").split())


def test_info_prints_the_version():
    result = command("info")
    assert result.exit_code == 0
    assert result.output.startswith(f"version: {pylayers.__version__} ") and "backend reference: built" in result.output


def test_version():
    result = command("--version")
    assert (result.exit_code, result.output) == (0, f"pylayers {pylayers.__version__}\n")


def test_without_a_driver_nobody_is_told_to_install_cupy(monkeypatch):
    """Kernels that were built, on a machine without an NVIDIA driver and without CuPy."""
    module = types.SimpleNamespace(driver_version=lambda: 0, runtime_version=lambda: 13000)
    monkeypatch.setitem(sys.modules, "pylayers._cuda", module)
    monkeypatch.setattr(pylayers, "_cuda", module, raising=False)
    monkeypatch.setattr(backends, "load", lambda name: None)
    assert place("auto").missing == "no NVIDIA driver"
    with pytest.raises(ImportError, match="^cuda: no NVIDIA driver$"):
        place("cuda")


def test_module_runs_as_a_command():
    result = subprocess.run([sys.executable, "-m", "pylayers", "--help"], capture_output=True, text=True, check=True)
    assert "train" in result.stdout and "info" in result.stdout


def test_curves_of_one_epoch_and_of_zero_losses_can_be_drawn(tmp_path):
    for number, record in enumerate(
        ([Epoch(1, 2.3, 0.1, 2.2, 0.2, 1.0)], [Epoch(i, 0.0, 1.0, 0.0, 1.0, 1.0) for i in (1, 2)])
    ):
        path = tmp_path / f"{number}.png"
        write_curves(path, record, "title")
        assert path.stat().st_size > 10_000


def test_numbers_are_printed_as_keras_does():
    assert metrics_text({"loss": 0.123456, "accuracy": 1.0}) == "loss: 0.1235 - accuracy: 1.0000"
    assert metrics_text({"loss": 1.5e-7}) == "loss: 1.5e-07" and metrics_text({"loss": math.nan}) == "loss: nan"
    assert per_step(3.0, 1000) == "3ms/step" and per_step(1e-4, 1) == "100us/step" and per_step(4.0, 2) == "2s/step"


@pytest.mark.slow
def test_cnn_reads_digits(tmp_path):
    """The accuracy that the README promises, on one of its seeds."""
    result = command("train", "cnn", "--device", "cpu", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    with (tmp_path / "cnn-digits/metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["test_accuracy"]) >= 0.983
