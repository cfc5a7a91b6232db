"""The table of a model's layers that `summary` prints."""

from __future__ import annotations

from collections.abc import Sequence

from pylayers.keras.layers import Layer
from pylayers.keras.layers.layer import Shape


def print_summary(name: str, layers: Sequence[Layer], shape: Shape | None) -> None:
    """Prints layer, output shape and number of weights, and the total; ``?`` before the input's shape is known."""
    from rich.table import Table
    from rich.text import Text

    from pylayers.train.progress import console

    table = Table("Layer (type)", "Output Shape", "Param #")
    table.columns[2].justify = "right"
    total = 0
    for layer in layers:
        total += layer.count_params()
        if shape is not None:
            shape = layer.compute_output_shape(shape)
        count = f"{layer.count_params():,}" if shape is not None else "? (unbuilt)"
        # Text, so that brackets in a name are not taken for markup.
        table.add_row(Text(f"{layer.name} ({type(layer).__name__})"), Text("?" if shape is None else str(shape)), count)
    out = console()
    out.print(Text(f'Model: "{name}"', style="bold"))
    out.print(table)
    size = f"{total * 4 / 1024:.2f} KB" if total < 1 << 18 else f"{total * 4 / 1024**2:.2f} MB"
    for kind, number, amount in (("Total", total, size), ("Trainable", total, size), ("Non-trainable", 0, "0.00 B")):
        out.print(f" {kind} params: {number:,} ({amount})")
