"""The shape of a convolution: pure arithmetic, for images [batch, height, width, channels]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class Geometry:
    """A convolution over images; over sequences, those are images of height 1.

    A tap is a place (ky, kx) of the kernel's window, numbered ky · width + kx. The kernel's input
    tap · (channels / groups) + c is channel c of the filter's group, seen at that tap.

    Attributes:
        channels: of the input images.
        filters: channels of the output images.
        size: height and width of the window.
        strides: of the window, down and to the right.
        dilation: distances between the taps.
        padding: "valid", "same" (output lengths are ceil(length / stride)) or "causal" ("same", all zeros in front).
        groups: the channels and the filters are divided into so many; every filter sees the channels of its group.
    """

    channels: int
    filters: int
    size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "valid"
    groups: int = 1

    @property
    def taps(self) -> int:
        """Number of taps."""
        return self.size[0] * self.size[1]

    @property
    def group_channels(self) -> int:
        """Channels that a filter sees."""
        return self.channels // self.groups

    @property
    def shape(self) -> tuple[int, int]:
        """(n_in, n_out) of the kernel."""
        return self.taps * self.group_channels, self.filters

    @property
    def pointwise(self) -> bool:
        """Whether it is a matrix product at single pixels."""
        return self.size == (1, 1) and self.groups == 1

    def offset(self, tap: int) -> tuple[int, int]:
        """Return how far below and to the right of the window's corner a tap lies."""
        return tap // self.size[1] * self.dilation[0], tap % self.size[1] * self.dilation[1]

    def reach(self, axis: int) -> int:
        """Return the length of the window along `axis`, 0 for the height and 1 for the width."""
        return (self.size[axis] - 1) * self.dilation[axis] + 1

    def output(self, length: Any, axis: int) -> Any:
        """Return the output's length for an input of `length` (a number or a tensor); below 1 if it is too short."""
        covered = length - self.reach(axis) if self.padding == "valid" else length - 1
        return covered // self.strides[axis] + 1

    def pads(self, length: Any, axis: int) -> tuple[Any, Any]:
        """Return how many zeros come before and after an input of `length`."""
        if self.padding == "valid":
            return 0, 0
        reach = self.reach(axis)
        if self.padding == "causal":
            return reach - 1, 0
        missing = (self.output(length, axis) - 1) * self.strides[axis] + reach - length
        total = max(missing, 0) if isinstance(missing, int) else ops.maximum(missing, 0)
        return total // 2, total - total // 2
