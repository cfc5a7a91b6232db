"""The convolutions that are timed: the layers of ResNet-50, ConvNeXt-T, a U-Net, MNIST nets, three directions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...harness.contract import Case
from ...harness.dtypes import SHORT, SIZE

DIRECTIONS = ("forward", "input gradient", "weight gradient")


class Layer(NamedTuple):
    """A convolution of square images by square kernels; its bias belongs to what follows it."""

    channels: int
    filters: int
    kernel: int
    stride: int
    size: int  # of the image
    padding: int
    groups: int = 1

    @property
    def out(self) -> int:
        """The size of the result."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1


def stages(*layers: tuple[int, int, int, int, int]) -> list[Layer]:
    """channels, filters, kernel, stride, size; padded so that stride 1 keeps the size."""
    return [Layer(*layer, layer[2] // 2) for layer in layers]


# The distinct ones of torchvision's resnet50, which strides in the 3x3, on 224 x 224.
RESNET_50 = stages(
    (3, 64, 7, 2, 224),
    (64, 64, 1, 1, 56), (64, 64, 3, 1, 56), (64, 256, 1, 1, 56), (256, 64, 1, 1, 56),
    (256, 128, 1, 1, 56), (128, 128, 3, 2, 56), (128, 512, 1, 1, 28), (256, 512, 1, 2, 56),
    (512, 128, 1, 1, 28), (128, 128, 3, 1, 28),
    (512, 256, 1, 1, 28), (256, 256, 3, 2, 28), (256, 1024, 1, 1, 14), (512, 1024, 1, 2, 28),
    (1024, 256, 1, 1, 14), (256, 256, 3, 1, 14),
    (1024, 512, 1, 1, 14), (512, 512, 3, 2, 14), (512, 2048, 1, 1, 7), (1024, 2048, 1, 2, 14),
    (2048, 512, 1, 1, 7), (512, 512, 3, 1, 7),
)  # fmt: skip
# Depthwise 7x7 and the two 1x1 of each stage's blocks, and the strided ones between the stages.
CONVNEXT_T = [
    Layer(3, 96, 4, 4, 224, 0),
    *(Layer(96 << i, 96 << i, 7, 1, 56 >> i, 3, 96 << i) for i in range(4)),
    *(Layer(96 << i, 384 << i, 1, 1, 56 >> i, 0) for i in range(4)),
    *(Layer(384 << i, 96 << i, 1, 1, 56 >> i, 0) for i in range(4)),
    *(Layer(96 << i, 192 << i, 2, 2, 56 >> i, 0) for i in range(3)),
]
# Ronneberger's on 256 x 256 with padding: down, up (after the concatenation), the 1x1 at the end; and the convolutions
# whose transposes it goes up by: their input gradient is what a transposed convolution computes.
U_NET = stages(
    (3, 64, 3, 1, 256), (64, 64, 3, 1, 256), (64, 128, 3, 1, 128), (128, 128, 3, 1, 128), (128, 256, 3, 1, 64),
    (256, 256, 3, 1, 64), (256, 512, 3, 1, 32), (512, 512, 3, 1, 32), (512, 1024, 3, 1, 16), (1024, 1024, 3, 1, 16),
    (1024, 512, 3, 1, 32), (512, 256, 3, 1, 64), (256, 128, 3, 1, 128), (128, 64, 3, 1, 256), (64, 2, 1, 1, 256),
)  # fmt: skip
U_NET += [Layer(512 >> i, 1024 >> i, 2, 2, 32 << i, 0) for i in range(4)]
MNIST = [Layer(1, 32, 3, 1, 28, 0), *stages((1, 32, 3, 1, 28), (32, 64, 3, 1, 14))]
SMALL = [*stages((64, 64, 3, 1, 28), (128, 64, 1, 1, 28), (64, 128, 3, 2, 28)), Layer(96, 96, 7, 1, 28, 3, 96)]
TINY = [Layer(3, 5, 3, 2, 9, 1), Layer(4, 4, 3, 1, 6, 1, 4)]


def conv(group: str, dtype: str, direction: str, layout: str, batch: int, layer: Layer, quick: bool = False) -> Case:
    """2 N P Q K R S C/groups operations in each direction."""
    out, each = layer.out, layer.channels // layer.groups
    weight = layer.filters * each * layer.kernel**2
    image, result = batch * layer.channels * layer.size**2, batch * layer.filters * out**2
    params: dict[str, Any] = {"direction": direction, "layout": layout, "batch": batch, **layer._asdict()}
    shape = f"{layer.channels}->{layer.filters} {layer.kernel}x{layer.kernel}/{layer.stride} {layer.size}x{layer.size}"
    words = [SHORT[dtype], direction, shape, f"N{batch}", layout]
    words += [f"pad {layer.padding}"] * (layer.padding != layer.kernel // 2) + ["depthwise"] * (layer.groups > 1)
    flop, moved = 2 * batch * out**2 * weight, SIZE[dtype] * (image + weight + result)
    return Case("conv", " ".join(words), group, dtype, flop, moved, params, quick)


def quick_layers() -> Iterator[Case]:
    """What takes milliseconds on two cores; the smallest suit the emulator."""
    for direction in DIRECTIONS:
        for layer in TINY:
            yield conv("tiny", "float32", direction, "NCHW", 1, layer, quick=True)
        for layout in ("NCHW", "NHWC"):
            yield conv("MNIST", "float32", direction, layout, 16, MNIST[2], quick=True)
            for layer in MNIST:
                yield conv("MNIST", "float32", direction, layout, 128, layer)
        for layer in SMALL:
            yield conv("small", "float32", direction, "NCHW", 4, layer)
            yield conv("small", "float32", direction, "NHWC", 4, layer)
    yield conv("small", "bfloat16", "forward", "NHWC", 4, SMALL[0])


def networks() -> Iterator[Case]:
    """Each network in bfloat16 with the channels last, and in float32 as torch lays images out unless told."""
    for group, batch, layers in (("ResNet-50", 128, RESNET_50), ("ConvNeXt-T", 128, CONVNEXT_T), ("U-Net", 16, U_NET)):
        for layer in layers:
            for direction in DIRECTIONS:
                yield conv(group, "bfloat16", direction, "NHWC", batch, layer)
                yield conv(group, "float32", direction, "NCHW", batch // 4, layer)


def others() -> Iterator[Case]:
    """One image through ResNet-50, and some layers in the other layouts and in float16."""
    for layer in RESNET_50:
        yield conv("ResNet-50, one image", "float32", "forward", "NHWC", 1, layer)
    for layer in (RESNET_50[2], RESNET_50[3], RESNET_50[12], CONVNEXT_T[1]):
        for direction in DIRECTIONS:
            yield conv("other layout", "bfloat16", direction, "NCHW", 128, layer)
            yield conv("other layout", "float32", direction, "NHWC", 32, layer)
            yield conv("float16", "float16", direction, "NHWC", 128, layer)


CASES = (*quick_layers(), *networks(), *others())
