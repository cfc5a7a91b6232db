"""The command ``pylayers``: trains a network on real digits, and tells what is installed."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Neural networks on hand-written CUDA kernels.")


class Network(str, enum.Enum):
    """The networks of `pylayers.train.networks`."""

    mlp = "mlp"
    cnn = "cnn"


class Data(str, enum.Enum):
    """The data sets of `pylayers.data`."""

    digits = "digits"
    mnist = "mnist"


class Device(str, enum.Enum):
    """The choices of `pylayers.train.device`."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    emulated = "emulated"


@app.command()
def train(
    network: Annotated[Network, typer.Argument(help="What to train.")],
    data: Annotated[Data, typer.Option(help="digits: 8x8, comes with scikit-learn. mnist: 28x28.")] = Data.digits,
    device: Annotated[Device, typer.Option(help="auto: the GPU if everything for it is there.")] = Device.auto,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="One seed, one result.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in one step.")] = 64,
    lr: Annotated[float, typer.Option(help="The largest learning rate of the schedule.")] = 2e-3,
    out: Annotated[Path, typer.Option(help="Where weights, metrics and curves go.")] = Path("runs"),
) -> None:
    """Train a network and write weights.safetensors, metrics.csv and curves.png."""
    from pylayers.train.run import Options, run

    folder = out / f"{network.value}-{data.value}"
    options = Options(network.value, data.value, device.value, epochs, seed, batch_size, lr, folder)
    try:
        run(options)
    except (ImportError, OSError, ValueError, FloatingPointError) as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(1) from error


@app.command()
def info() -> None:
    """Print the version, the backends built, the GPU, and why one is missing."""
    from pylayers import info as report

    report.main()
