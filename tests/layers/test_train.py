"""What a run of the command leaves: checked before, saved as it goes, kept on a signal and when nobody reads."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import pylayers
from pylayers import atomic, nn, optim
from pylayers.cli import app
from pylayers.data import digits
from pylayers.train import fit, mlp
from pylayers.train import run as command
from pylayers.train.curves import curves
from pylayers.train.interrupt import noted
from pylayers.train.loop import Epoch

NAMES = ["curves.png", "metrics.csv", "weights.safetensors"]


def train(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["train", "mlp", "--device", "cpu", *arguments])


def started(out: Path, epochs: int) -> subprocess.Popen[str]:
    arguments = ["train", "mlp", "--device", "cpu", "--epochs", str(epochs), "--out", str(out)]
    return subprocess.Popen([sys.executable, "-m", "pylayers", *arguments], stdout=subprocess.PIPE, text=True)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def untrained(*ignored: Any) -> Any:
    raise AssertionError("the check came too late")


@pytest.mark.parametrize("place", ["file", "file/below", "locked/below", "taken"])
def test_what_cannot_be_written_is_found_out_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "locked").mkdir()
    (tmp_path / "taken/mlp-digits/weights.safetensors").mkdir(parents=True)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and allowed(path, mode))
    monkeypatch.setitem(command.DATA, "digits", untrained)
    result = train("--out", str(tmp_path / place))
    assert result.exit_code == 1
    assert "error: train: argument 'out': expected a folder" in " ".join(result.output.split())


def test_without_matplotlib_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(command.DATA, "digits", untrained)
    result = train("--out", str(tmp_path))
    assert result.exit_code == 1
    assert "matplotlib, which is not installed: pip install 'pylayers[train]'" in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_found_out_after_the_first_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*ignored: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "write", full)
    result = train("--epochs", "50", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "error: [Errno 28] No space left on device" in result.output
    assert "epoch 5/50" not in result.output


def test_weights_and_metrics_are_there_after_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is not finite in the fourth epoch leaves what the third one learnt, and its curves."""
    rates: list[float] = []

    def schedule(share: float) -> float:
        rates.append(share)
        return 0.1 if share <= 0.75 else 1e30

    monkeypatch.setattr(command, "cosine", schedule)
    result = train("--epochs", "4", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "expected a finite number, got" in result.output
    folder = tmp_path / "mlp-digits"
    assert sorted(os.listdir(folder)) == NAMES
    assert [row["epoch"] for row in rows(folder)] == ["1", "2", "3"]
    mlp(1, 8, 8, 10).load_state_dict(pylayers.load(folder / "weights.safetensors"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process, folder = started(tmp_path, 100_000), tmp_path / "mlp-digits"
    try:
        limit = time.monotonic() + 120
        while not (folder / "metrics.csv").exists() and time.monotonic() < limit:
            time.sleep(0.02)
        process.send_signal(number)
        output = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == 128 + number
    done = len(rows(folder))
    assert f"stopped by {number.name} in epoch {done + 1} of 100000" in output
    assert f"wrote weights.safetensors, metrics.csv, curves.png to {folder}" in output
    assert sorted(os.listdir(folder)) == NAMES
    mlp(1, 8, 8, 10).load_state_dict(pylayers.load(folder / "weights.safetensors"))


def test_when_nobody_reads_the_training_goes_on(tmp_path: Path) -> None:
    process = started(tmp_path, 8)
    assert process.stdout is not None
    assert "network" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert sorted(os.listdir(tmp_path / "mlp-digits")) == NAMES
    assert len(rows(tmp_path / "mlp-digits")) == 8


def test_a_run_stopped_in_its_first_epoch_leaves_weights_and_no_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped:
        def __enter__(self) -> Any:
            return lambda: signal.SIGINT

        def __exit__(self, *ignored: object) -> None: ...

    monkeypatch.setattr(command, "noted", Stopped)
    result = train("--out", str(tmp_path / "[/odd] name"))
    assert result.exit_code == 130
    assert "wrote weights.safetensors, metrics.csv to " in result.output
    assert "[/odd] name" in result.output
    assert sorted(os.listdir(tmp_path / "[/odd] name" / "mlp-digits")) == NAMES[1:]
    assert rows(tmp_path / "[/odd] name" / "mlp-digits") == []


def test_fit_asks_before_each_step() -> None:
    model = mlp(1, 8, 8, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    asked, done, step = [], [], optimizer.step
    optimizer.step = lambda: done.append(step())  # type: ignore[assignment, method-assign]
    per_epoch = -(-len(digits().x_train) // 500)

    def stop() -> bool:
        asked.append(len(done))
        return len(done) == per_epoch + 1

    record = fit(model, digits(), optimizer, epochs=5, batch_size=500, seed=0, stop=stop)
    assert asked == list(range(per_epoch + 2))
    assert [epoch.epoch for epoch in record] == [1]


def test_fit_trains_in_training_mode_and_tests_in_evaluation_mode() -> None:
    """Whatever mode the model was left in, in every epoch: dropout acts in the steps and nowhere else."""
    modes: list[tuple[bool, int]] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(1, 8, 8, 10)

        def forward(self, x: Any) -> Any:
            modes.append((self.inner[3].training, len(x)))
            return self.inner(x)

    model = Spy().eval()
    data = digits()
    fit(model, data, optim.SGD(model.parameters(), lr=0.1), epochs=2, batch_size=479, seed=0)
    assert modes == ([(True, 479)] * 3 + [(False, 360)]) * 2


def test_a_second_signal_acts_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with noted() as stopped:
        assert stopped() is None
        signal.raise_signal(signal.SIGINT)
        assert stopped() is signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noted() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert stopped() is None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("accuracies", [[0.1, 0.9, 0.99], [0.985, 0.99], [0.0, 1.0], [1.0]])
def test_the_curves_show_every_epoch(accuracies: list[float]) -> None:
    figure = curves([Epoch(i + 1, 1.0, a, 1.0, min(1.0, a + 0.005), 1.0) for i, a in enumerate(accuracies)], "title")
    low, high = figure.axes[1].get_ylim()
    assert all(low < 100 * a < high for a in accuracies)
    assert high - low <= 2 * (100 - 100 * min(accuracies)) + 1
