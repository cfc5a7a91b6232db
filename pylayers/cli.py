"""The command ``pylayers``: trains a network on real digits, runs the benchmarks, and tells what is installed."""

from __future__ import annotations

import enum
import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

import pylayers

app = typer.Typer(no_args_is_help=True, add_completion=False)


def show_version(asked: bool) -> None:
    """Prints the version and ends."""
    if asked:
        typer.echo(f"pylayers {pylayers.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Neural networks on hand-written CUDA kernels."""


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
    """Train a network and write weights.safetensors and metrics.csv as it goes, and curves.png at the end."""
    from pylayers.train.run import Options, run

    folder = out / f"{network.value}-{data.value}"
    options = Options(network.value, data.value, device.value, epochs, seed, batch_size, lr, folder)
    try:
        status = run(options)
    except (ImportError, OSError, ValueError, FloatingPointError) as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(status)


@app.command()
def bench(
    families: Annotated[
        list[str] | None, typer.Argument(help="attention, calls, conv, gemm, optim, rows, step; all without any.")
    ] = None,
    peers: Annotated[str, typer.Option(help="Only peers whose names hold one of these words: torch,numpy.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="A few cases of each family, in under three minutes.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write every sample, one JSON record a line.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with pictures.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="One seed, the same arguments.")] = 0,
    device: Annotated[Device, typer.Option(help="auto: the GPU if everything for it is there.")] = Device.auto,
) -> None:
    """Time pylayers and its peers on the same arguments, check every result, and compare."""
    command = benchmark_command()
    try:
        command.main(command.Options(families or ["all"], peers, quick, json, html, seed, device.value))
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(1) from error


def benchmark_command() -> Any:
    """Of an installation, pylayers.benchmarks; a checkout has the same folder beside pylayers."""
    installed = importlib.util.find_spec("pylayers.benchmarks") is not None
    return importlib.import_module("pylayers.benchmarks.command" if installed else "benchmarks.command")


@app.command()
def info() -> None:
    """Print the version, the backends built, the GPU, and why one is missing."""
    from pylayers import info as report

    report.main()
