"""`ConvolutionKernel`: the sparse kernel of a convolution."""

from __future__ import annotations

from typing import Any, cast

import keras
from keras import ops

from .compute import convolution, delivery, dispatch_convolution, exporting, paths, recording
from .compute.dispatch import Choice
from .compute.geometry import Geometry
from .kernel import SparseKernel

Tensor = Any


class ConvolutionKernel(SparseKernel):
    """A kernel [taps · channels / groups, filters]; see `Geometry` for the numbers of its inputs.

    Args:
        layer: the Keras layer that owns the variables.
        geometry: the shape of the convolution.
        **arguments: those of `SparseKernel` but its shape.
    """

    def __init__(self, layer: keras.layers.Layer, geometry: Geometry, **arguments: Any) -> None:
        self.geometry = geometry
        super().__init__(layer, geometry.shape, **arguments)

    def choice(self, *, portable: bool = False, batch: int | None = None) -> Choice:
        """Return the compute path convolutions take here, or with `portable` in an exported model, and why.

        Args:
            portable: whether the graph must run where Keras Sparse is not installed.
            batch: number of images; None for many.
        """
        device = paths.device()
        return dispatch_convolution.choose(
            self.compute,
            backend=keras.backend.backend(),
            device=device,
            geometry=self.geometry,
            connections=self._storage.written,
            dtype=self._layer.compute_dtype,
            native=paths.native_instruction_set() if device == "cpu" else None,
            portable=portable,
            batch=batch,
        )

    def convolve(self, images: Tensor, *, bias: Tensor | None = None, relu: bool = False) -> Tensor:
        """Return the convolution of `images`: [batch, height, width, channels] to [batch, height, width, filters].

        Differentiable in the images, the values and the bias.

        Args:
            images: what is convolved.
            bias: added to the result, one number per filter.
            relu: let negative results become zero.
        """
        images = ops.cast(images, self._layer.compute_dtype)
        exported = keras.backend.backend() == "tensorflow" and exporting.exporting()
        choice = self.choice(portable=exported, batch=images.shape[0])
        plan = delivery.current() if exported else None
        if plan is not None:
            choice = plan.choice(choice, self.values, convolution=True)
        if choice.path == "native" and self.geometry.pointwise:
            down, right = self.geometry.strides
            return self.matmul(images[:, ::down, ::right], bias=bias, relu=relu)
        path = paths.get(choice.module or choice.path)
        dtype = "float32" if choice.path == "native" else images.dtype
        values = ops.cast(paths.value(self.values), dtype)
        recorder = on_backward = None
        if plan is not None and choice.path == "dense":
            y = convolution.by_matrix(images, plan.matrix(self._storage, dtype), self.geometry)
            return paths.finished(y, bias, relu)
        if plan is not None:
            index = plan.index(self._storage, choice.path, cast(paths.DecodedPath, path).index)
            operands = paths.Operands(index, lambda values: values[: len(self)], lambda gradient: gradient)
        else:
            operands = path.operands(*self._storage.index_tensors(), self.layout)
            recorder = recording.current()
        if recorder is not None:
            hook = recording.hook(recorder, self)
            on_backward = lambda dy, images: hook(images, dy)  # noqa: E731
        return convolution.convolve(
            choice,
            path,
            operands,
            images,
            values,
            self.geometry,
            bias=None if bias is None else ops.cast(bias, dtype),
            relu=relu,
            differentiable=not exported,
            on_backward=on_backward,
        )
