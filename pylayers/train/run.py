"""One run of the command line: header, training with its progress bar, test accuracy, files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.markup import escape

from pylayers import context, data, nn, optim, random
from pylayers.errors import expected
from pylayers.train import device as devices
from pylayers.train import record
from pylayers.train.augment import shift
from pylayers.train.curves import write_curves
from pylayers.train.interrupt import noted
from pylayers.train.loop import Epoch, fit
from pylayers.train.networks import NETWORKS
from pylayers.train.progress import bar, console, metrics_text
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


def run(options: Options) -> int:
    """Trains as the options say, prints, and leaves in `options.out` what `record` says.

    -> the exit status: 0, or 128 and the number of the signal (Ctrl-C, SIGTERM) after which it finished its step and
    stopped. What could go wrong at the end is checked at the beginning.
    """
    if not (math.isfinite(options.lr) and options.lr > 0):
        raise expected("train", "lr", "a positive finite number", options.lr)
    record.check(options.out)
    placement = devices.place(options.device)
    images = DATA[options.data]()
    _, channels, height, width = images.x_train.shape
    epochs: list[Epoch] = []
    with context.backend(placement.backend), one_for_small_images(height, width), noted() as stopped:
        random.manual_seed(options.seed)
        model = NETWORKS[options.network](channels, height, width, images.classes).to(placement.device)
        out = console()
        _header(out, options, placement, images, sum(p.array.size for p in model.parameters()))
        title = f"{options.network} on {options.data}, seed {options.seed}, {placement.backend}"
        try:
            _train(out, options, placement, images, model, epochs, stopped)
        except FloatingPointError:  # the epochs before are kept, and so is what was learnt in them
            if epochs:
                write_curves(options.out / record.CURVES, epochs, title)
            raise
        written = record.finish(options.out, epochs, model, title)
    if epochs:
        last, seconds = epochs[-1], sum(epoch.seconds for epoch in epochs)
        out.print(f"[bold]test accuracy {100 * last.test_accuracy:.2f} %[/] after {last.epoch} epochs, {seconds:.1f} s")
    signal = stopped() if len(epochs) < options.epochs else None  # after the last step it stopped nothing
    if signal is not None:
        out.print(f"stopped by {signal.name} in epoch {len(epochs) + 1} of {options.epochs}")
    out.print(f"wrote {', '.join(written)} to {escape(str(options.out))}")
    return 0 if signal is None else 128 + signal


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
    epochs: list[Epoch],
    stopped: Callable[[], Any],
) -> None:
    """Trains the model, and puts every epoch that was finished into `epochs` and onto the disk."""
    optimizer = optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
    every = max(1, options.epochs // LINES)
    with bar(options.epochs, "epoch", "epoch", out) as advance:

        def on_epoch(epoch: Epoch) -> None:
            epochs.append(epoch)
            record.save(options.out, epochs, model)
            metrics = {
                "loss": epoch.train_loss,
                "accuracy": epoch.train_accuracy,
                "test loss": epoch.test_loss,
                "test accuracy": epoch.test_accuracy,
            }
            advance(epoch.epoch, lambda: metrics)
            if not out.is_terminal and epoch.epoch % every == 0:
                out.print(f"epoch {epoch.epoch}/{options.epochs} - {epoch.seconds:.2f}s - {metrics_text(metrics)}")

        fit(
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
            stop=stopped,
        )
