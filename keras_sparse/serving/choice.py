"""Which form each layer takes in an export: sparse or dense, by size or by measured speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from .. import junctions
from ..compute import dispatch, exporting
from ..compute.delivery import Form, Plan, Way
from ..convolution_kernel import ConvolutionKernel
from ..kernel import SparseKernel
from .alone import Alone, sample
from .endpoints import Endpoint, input_shape

_SECONDS = 0.05  # of measuring, a form
_ALIKE = 0.05  # relative difference of times below which memory decides
_LENGTH = 16  # of sequences and images whose size is not fixed

Runner = Callable[[keras.Model, Endpoint, Plan, Any], Callable[[], Any]]
"""Makes of (model, endpoint of batch 1, plan, inputs) a function that runs them in a format."""


class LayerForm(NamedTuple):
    """The form of a layer in an export.

    Attributes:
        layer: its name.
        form: "sparse" or "dense".
        reason: why.
        microseconds: batch 1 latency of the forms that were measured.
    """

    layer: str
    form: Form
    reason: str
    microseconds: dict[str, float]


def choose(model: keras.Model, prefer: str, way: Way, runner: Runner) -> tuple[dict[int, Form], list[LayerForm]]:
    """Return the forms by the id of the kernels' values, and what was chosen, layer by layer.

    Args:
        model: the model to export.
        prefer: "size": what takes the fewest bytes, in the file and then in memory. "speed": what takes the least time
            at batch 1 in the format that is written, measured here.
        way: how kernels get into the graph.
        runner: runs a model in the format.
    """
    layers: dict[int, tuple[Any, list[SparseKernel]]] = {}
    for junction in junctions.junctions(model):
        layers.setdefault(id(junction.layer), (junction.layer, []))[1].append(junction.kernel)
    forms: dict[int, Form] = {}
    chosen = []
    for layer, kernels in layers.values():
        decision = _choose(layer, kernels, prefer, way, runner)
        chosen.append(decision)
        forms |= {id(kernel.values): decision.form for kernel in kernels}
    return forms, chosen


def _choose(layer: Any, kernels: list[SparseKernel], prefer: str, way: Way, runner: Runner) -> LayerForm:
    asked = {kernel.compute for kernel in kernels}
    options = _possible(kernels, way)
    for compute, form in (("dense", "dense"), ("stock", "sparse")):
        if asked == {compute} and form in options:
            return LayerForm(layer.name, form, f'compute="{compute}"', {})
    if len(options) == 1:
        why = "a dense matrix would be too large" if options[0] == "sparse" else "the format has no sparse convolution"
        return LayerForm(layer.name, options[0], why, {})
    sizes = {form: _bytes(kernels, form, way) for form in options}
    smaller = min(options, key=lambda form: sizes[form])
    if prefer == "size":
        file, memory = sizes[smaller]
        where = f"{file:,} bytes in the file, {memory:,} in memory"
        return LayerForm(layer.name, smaller, where, {})
    times = {form: _seconds(layer, kernels, form, way, runner) for form in options}
    quicker = min(options, key=lambda form: times[form])
    alike = max(times.values()) <= (1 + _ALIKE) * min(times.values())
    microseconds = {form: round(seconds * 1e6, 1) for form, seconds in times.items()}
    shown = ", ".join(f"{form} {number:g} us" for form, number in microseconds.items())
    return LayerForm(layer.name, smaller if alike else quicker, f"measured: {shown}", microseconds)


def _possible(kernels: list[SparseKernel], way: Way) -> list[Form]:
    options: list[Form] = []
    if all(dispatch.dense_allowed(kernel.shape, len(kernel), _itemsize(kernel)) for kernel in kernels):
        options.append("dense")
    matrices = not any(isinstance(kernel, ConvolutionKernel) for kernel in kernels)
    if way != "constant" or matrices or not options:
        options.append("sparse")
    return options


def _bytes(kernels: list[SparseKernel], form: Form, way: Way) -> tuple[int, int]:
    """Return about how many bytes kernels take in the file and in memory, beside what both forms have."""
    file = memory = 0
    for kernel in kernels:
        count, positions, size = len(kernel), kernel.shape[0] * kernel.shape[1], _itemsize(kernel)
        if way == "load":  # the file holds the stored index, whatever is made of it
            file += kernel.bytes
            memory += positions * size if form == "dense" else 16 * count
        elif form == "dense":  # compressed by its format, with indices of one or two bytes
            file += min(positions * size, count * (size + 2))
            memory += positions * size
        else:
            file += count * (size + 8)
            memory += count * (size + 8)
    return file, memory


def _seconds(layer: Any, kernels: list[SparseKernel], form: Form, way: Way, runner: Runner) -> float:
    plan = Plan(way, {id(kernel.values): form for kernel in kernels})
    shape = input_shape(layer)
    if shape is None:  # a layer of several inputs
        shape = (1, kernels[0].shape[0])
        function = kernels[0].matmul
    else:
        shape = (1, *(_LENGTH if n is None else n for n in shape[1:]))
        function = layer
    spec = keras.layers.InputSpec(dtype="float32", shape=shape, name="x")
    endpoint = Endpoint("serving_default", function, spec)
    try:
        return latency(runner(Alone(function), endpoint, plan, sample(endpoint, 1)))
    finally:
        for loaded in plan.loaded:
            loaded.release()


def latency(run: Callable[[], Any], seconds: float = _SECONDS) -> float:
    """Return the least time of a call, in seconds: what disturbs a measurement makes it longer.

    Args:
        run: what is measured.
        seconds: how long, about.
    """
    for _ in range(3):
        run()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        before = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - before)
        if now > end:
            return best


def _itemsize(kernel: SparseKernel) -> int:
    return exporting.itemsize(kernel.owner.compute_dtype)
