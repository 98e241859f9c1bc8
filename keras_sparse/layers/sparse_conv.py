"""What the sparse convolutions have in common, whatever their rank."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from ..compute.geometry import Geometry
from ..convolution_kernel import ConvolutionKernel
from .single_kernel import SingleKernelLayer

Tensor = Any
Sizes = int | Sequence[int]


class SparseConv(SingleKernelLayer):
    """A convolution over `rank` dimensions, 1 or 2.

    The arguments are those of `SparseConv2D`.
    """

    rank: int
    paddings: tuple[str, ...] = ("valid", "same")

    kernel: ConvolutionKernel

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        *,
        strides: Sizes,
        padding: str,
        data_format: str | None,
        dilation_rate: Sizes,
        groups: int,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        [self.filters] = self._numbers(filters, "filters", 1)
        [self.groups] = self._numbers(groups, "groups", 1)
        self.kernel_size = self._numbers(kernel_size, "kernel_size", self.rank)
        self.strides = self._numbers(strides, "strides", self.rank)
        self.dilation_rate = self._numbers(dilation_rate, "dilation_rate", self.rank)
        self.padding = padding.lower() if isinstance(padding, str) else padding
        if self.padding not in self.paddings:
            raise ValueError(
                f"{self.name}: `padding` must be one of {', '.join(map(repr, self.paddings))}; got {padding!r}."
            )
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                f'{self.name}: `data_format` must be "channels_last" or "channels_first"; got {data_format!r}.'
            )
        if self.filters % self.groups:
            raise ValueError(
                f"{self.name}: {self.filters} filters cannot be divided into {self.groups} equal groups. Choose a "
                "number of filters that is a multiple of `groups`."
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{self.name}: strides above 1 cannot be had together with a dilation rate above 1; got "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}. Set one of them to 1."
            )
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel and the bias for images (or sequences) of `input_shape`."""
        axis = -1 if self.data_format == "channels_last" else 1
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"{self.name}: the number of channels must be known to build the kernel; got {input_shape}."
            )
        if channels % self.groups:
            raise ValueError(
                f"{self.name}: {channels} channels cannot be divided into {self.groups} equal groups; got inputs of "
                f"shape {input_shape}."
            )
        geometry = self._geometry(channels)
        self._output_lengths(geometry, input_shape)
        dims = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self._make_weights(geometry.shape, partial(ConvolutionKernel, self, geometry), dims)
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2, axes={axis: channels})
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return `activation(convolution of inputs + bias)`."""
        last = self.rank + 1
        first = self.data_format == "channels_first"
        images = ops.moveaxis(inputs, 1, last) if first else inputs
        images = ops.expand_dims(images, 1) if self.rank == 1 else images
        relu = self.activation is keras.activations.relu
        outputs = self.kernel.convolve(images, bias=self.bias, relu=relu)
        outputs = ops.squeeze(outputs, 1) if self.rank == 1 else outputs
        outputs = ops.moveaxis(outputs, last, 1) if first else outputs
        return outputs if relu or self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the outputs, with as many unknown dimensions as `input_shape`."""
        geometry = self._geometry(self.groups)  # however many channels
        lengths = self._output_lengths(geometry, input_shape)
        if self.data_format == "channels_last":
            return (input_shape[0], *lengths, self.filters)
        return (input_shape[0], self.filters, *lengths)

    def _geometry(self, channels: int) -> Geometry:
        def pair(numbers: tuple[int, ...]) -> tuple[int, int]:
            return numbers[0] if self.rank == 2 else 1, numbers[-1]

        return Geometry(
            channels=channels,
            filters=self.filters,
            size=pair(self.kernel_size),
            strides=pair(self.strides),
            dilation=pair(self.dilation_rate),
            padding=self.padding,
            groups=self.groups,
        )

    def _output_lengths(self, geometry: Geometry, input_shape: tuple[int | None, ...]) -> list[int | None]:
        inner = input_shape[1:-1] if self.data_format == "channels_last" else input_shape[2:]
        axes = range(2 - self.rank, 2)
        lengths = [None if n is None else geometry.output(n, axis) for n, axis in zip(inner, axes, strict=True)]
        if any(length is not None and length < 1 for length in lengths):
            raise ValueError(
                f"{self.name}: inputs of shape {tuple(input_shape)} are smaller than the window of the kernel, "
                f'{self.kernel_size} at a dilation rate of {self.dilation_rate}. Use padding="same" or larger inputs.'
            )
        return lengths

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }

    def _numbers(self, given: Any, argument: str, count: int) -> tuple[int, ...]:
        numbers = (given,) * count if isinstance(given, int) else given
        sound = isinstance(numbers, (tuple, list)) and len(numbers) == count
        if not sound or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
            wanted = "a positive integer" if count == 1 else f"a positive integer or {count} of them"
            raise ValueError(f"{self.name}: `{argument}` must be {wanted}; got {given!r}.")
        return tuple(numbers)
