"""One run of the command line: header, training with its progress bar, test accuracy, files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.markup import escape

from pylayers import context, data, nn, optim, random, serialization
from pylayers.errors import expected
from pylayers.train import device as devices
from pylayers.train.augment import shift
from pylayers.train.curves import write_curves
from pylayers.train.fit import Epoch, fit
from pylayers.train.networks import NETWORKS
from pylayers.train.progress import bar, console, metrics_text
from pylayers.train.record import write_metrics
from pylayers.train.schedule import cosine
from pylayers.train.threads import one_for_small_images

if TYPE_CHECKING:
    from rich.console import Console

DATA: dict[str, Callable[[], data.Images]] = {"digits": data.digits, "mnist": data.mnist}
LINES = 10  # how many epochs are printed where there is no terminal


class Options(NamedTuple):
    """The options of ``pylayers train``."""

    network: str
    data: str
    device: str
    epochs: int
    seed: int
    batch_size: int
    lr: float
    out: Path


def run(options: Options) -> list[Epoch]:
    """Trains as the options say, prints, writes three files into `options.out`, and returns the record."""
    if not (math.isfinite(options.lr) and options.lr > 0):
        raise expected("train", "lr", "a positive finite number", options.lr)
    placement = devices.place(options.device)
    images = DATA[options.data]()
    _, channels, height, width = images.x_train.shape
    with context.backend(placement.backend), one_for_small_images(height, width):
        random.manual_seed(options.seed)
        model = NETWORKS[options.network](channels, height, width, images.classes).to(placement.device)
        out = console()
        _header(out, options, placement, images, sum(p.array.size for p in model.parameters()))
        optimizer = optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
        record = _train(out, options, placement, images, model, optimizer)
    last = record[-1]
    seconds = sum(epoch.seconds for epoch in record)
    out.print(f"[bold]test accuracy {100 * last.test_accuracy:.2f} %[/] after {last.epoch} epochs, {seconds:.1f} s")
    options.out.mkdir(parents=True, exist_ok=True)
    write_metrics(options.out / "metrics.csv", record)
    title = f"{options.network} on {options.data}, seed {options.seed}, {placement.backend}"
    write_curves(options.out / "curves.png", record, title)
    serialization.save(model.state_dict(), options.out / "weights.safetensors")
    out.print(f"wrote weights.safetensors, metrics.csv, curves.png to {options.out}")
    return record


def _header(out: Console, options: Options, placement: devices.Placement, images: data.Images, parameters: int) -> None:
    lines = {
        "network": f"{options.network}, {parameters:,} parameters",
        "data": f"{options.data}, {len(images.x_train):,} images to train, {len(images.x_test):,} to test",
        "backend": placement.backend,
        "device": placement.device,
        "dtype": "float32",
        "precision": context.describe_precision(),
        "seed": str(options.seed),
    }
    if placement.missing:
        lines["no GPU"] = placement.missing
    for name, value in lines.items():
        out.print(f"[bold]{name:>10}[/]  {escape(value)}")


def _train(
    out: Console,
    options: Options,
    placement: devices.Placement,
    images: data.Images,
    model: nn.Module,
    optimizer: optim.Optimizer,
) -> list[Epoch]:
    every = max(1, options.epochs // LINES)
    with bar(options.epochs, "epoch", "epoch", out) as advance:

        def on_epoch(epoch: Epoch) -> None:
            metrics = {
                "loss": epoch.train_loss,
                "accuracy": epoch.train_accuracy,
                "test loss": epoch.test_loss,
                "test accuracy": epoch.test_accuracy,
            }
            advance(epoch.epoch, lambda: metrics)
            if not out.is_terminal and epoch.epoch % every == 0:
                out.print(f"epoch {epoch.epoch}/{options.epochs} - {epoch.seconds:.2f}s - {metrics_text(metrics)}")

        return fit(
            model,
            images,
            optimizer,
            epochs=options.epochs,
            batch_size=options.batch_size,
            seed=options.seed,
            device=placement.device,
            schedule=cosine,
            augment=shift,
            on_epoch=on_epoch,
        )
