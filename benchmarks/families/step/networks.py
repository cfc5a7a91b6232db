"""The networks of the training steps, written once for torch and for pylayers: `lib` is either, with `nn` under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def program_4(lib: Any, layout: str) -> Any:
    """(n, 1, 28, 28) -> logits of 10 classes, 693,962 parameters; NHWC flattens as Keras does, channels last."""
    nn, module = lib.nn, lib.nn.Module

    class Program4(module):  # type: ignore[misc,valid-type]
        """Convolution, pooling, two dense layers."""

        def __init__(self) -> None:
            super().__init__()
            self.images = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2))
            self.rows = nn.Sequential(nn.Linear(5408, 128), nn.ReLU(), nn.Linear(128, 10))

        def forward(self, x: Any) -> Any:
            x = self.images(x)
            if layout == "NHWC":
                x = x.permute(0, 2, 3, 1)
            return self.rows(x.flatten(1))

    return Program4()


def program_5(lib: Any, layout: str) -> Any:
    """(n, 1, 28, 28) -> logits of 10 classes through two convolutions, each pooled."""
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def resnet_50(lib: Any, layout: str) -> Any:
    """(n, 3, 224, 224) -> logits of 1000 classes (He et al. 2015; the stride in the 3x3, as torchvision)."""
    nn, module = lib.nn, lib.nn.Module

    def normalized(channels: int, filters: int, kernel: int, stride: int = 1) -> list[Any]:
        conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
        return [conv, nn.BatchNorm2d(filters)]

    class Bottleneck(module):  # type: ignore[misc,valid-type]
        """1x1, 3x3, 1x1 beside the identity, or a 1x1 where the shape changes."""

        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            self.branch = nn.Sequential(
                *normalized(channels, width, 1), nn.ReLU(), *normalized(width, width, 3, stride), nn.ReLU(),
                *normalized(width, 4 * width, 1),
            )  # fmt: skip
            changes = stride != 1 or channels != 4 * width
            self.identity = nn.Sequential(*(normalized(channels, 4 * width, 1, stride) if changes else []))
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.branch(x) + self.identity(x))

    blocks, channels = [], 64
    for stage, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            blocks.append(Bottleneck(channels, 64 << stage, 2 if stage and not block else 1))
            channels = 256 << stage
    stem = [*normalized(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AvgPool2d(7), nn.Flatten(), nn.Linear(2048, 1000))


def block_of(lib: Any) -> type:
    """A transformer's block, its norms first: what GPT-2 and ViT share."""
    nn, module = lib.nn, lib.nn.Module

    class Block(module):  # type: ignore[misc,valid-type]
        """x + attention(norm(x)), then x + mlp(norm(x))."""

        def __init__(self, width: int, heads: int, causal: bool, gelu: str) -> None:
            super().__init__()
            self.heads, self.causal = heads, causal
            self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(approximate=gelu), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            n, t, width = x.shape
            parts = self.qkv(self.norm_1(x)).reshape(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
            q, k, v = parts.unbind(0)
            o = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
            x = x + self.projection(o.transpose(1, 2).reshape(n, t, width))
            return x + self.mlp(self.norm_2(x))

    return Block


def gpt_2(lib: Any, layout: str) -> Any:
    """Tokens (n, t) -> logits (n t, 50257): 12 blocks of width 768, the head tied to the embedding, no dropout."""
    nn, module = lib.nn, lib.nn.Module
    block = block_of(lib)

    class Gpt2(module):  # type: ignore[misc,valid-type]
        """The small one, of 124 M parameters."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(50257, 768), nn.Embedding(1024, 768)
            self.blocks = nn.Sequential(*(block(768, 12, True, "tanh") for _ in range(12)))
            self.norm = nn.LayerNorm(768)

        def forward(self, x: Any) -> Any:
            hidden = self.tokens(x) + self.positions.weight[: x.shape[1]]
            hidden = self.norm(self.blocks(hidden))
            return nn.functional.linear(hidden, self.tokens.weight).flatten(0, 1)

    return Gpt2()


def vit_s(lib: Any, layout: str) -> Any:
    """(n, 3, 224, 224) -> logits of 1000 classes: 16 x 16 patches and a class token, 12 blocks of width 384."""
    nn, module = lib.nn, lib.nn.Module
    block = block_of(lib)

    class Vit(module):  # type: ignore[misc,valid-type]
        """ViT-S/16, of 22 M parameters (Dosovitskiy et al. 2020)."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 384, 16, 16)
            self.token, self.positions = nn.Parameter(lib.zeros(1, 1, 384)), nn.Parameter(lib.zeros(1, 197, 384))
            self.blocks = nn.Sequential(*(block(384, 6, False, "none") for _ in range(12)))
            self.norm, self.head = nn.LayerNorm(384), nn.Linear(384, 1000)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = lib.cat([self.token.expand(x.shape[0], 1, 384), x], 1) + self.positions
            return self.head(self.norm(self.blocks(x))[:, 0])

    return Vit()


NETWORKS: Mapping[str, Callable[[Any, str], Any]] = {
    "program 4": program_4, "program 5": program_5, "ResNet-50": resnet_50, "GPT-2 small": gpt_2, "ViT-S": vit_s,
}  # fmt: skip
