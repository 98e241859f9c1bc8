"""What a result may depend on beside the seed: how many threads compute, and with which kernels."""

from __future__ import annotations

import os

import keras

from .native.library import load

INTRA_OP = "TF_NUM_INTRAOP_THREADS"


def threads() -> int:
    """Return how many threads an operation may use: as TensorFlow was told, else one per core of this process."""
    told = 0
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        told = tf.config.threading.get_intra_op_parallelism_threads()
    if not told:
        setting = os.environ.get(INTRA_OP, "")
        told = int(setting) if setting.isdecimal() else 0
    return told or cores()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def kernels() -> str:
    """Return what computes: "gpu", the instruction set of the native kernels, or "stock" where there are none."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return "gpu"
        if (library := load()) is not None:
            return library.instruction_set
    return "stock"
