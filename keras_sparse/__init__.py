"""Keras Sparse: layers that store, multiply and rewire only the connections that exist."""

import keras as _keras

from . import testing
from .backup import Backup
from .compute.exporting import stock_ops
from .inspection import inspect
from .layers.all_relu import AllReLU
from .layers.sparse_dense import SparseDense
from .layers.srelu import SReLU
from .resizing import resize
from .rewiring.policy import Change, KernelView, Policy
from .rewiring.realign import realign
from .rewiring.rewire import Rewire
from .rewiring.set import SET
from .topology.connectivity import Connectivity
from .topology.densities import ERK, ErdosRenyi, allocate
from .topology.patterns import Random

# `load_model` finds registered classes only. Topology is NumPy code, so its rules are registered here.
for _rule in (ErdosRenyi, ERK, Random):
    _keras.saving.register_keras_serializable("keras_sparse")(_rule)

__version__ = "0.1.0"
__all__ = [
    "ERK",
    "SET",
    "AllReLU",
    "Backup",
    "Change",
    "Connectivity",
    "ErdosRenyi",
    "KernelView",
    "Policy",
    "Random",
    "Rewire",
    "SReLU",
    "SparseDense",
    "allocate",
    "inspect",
    "realign",
    "resize",
    "stock_ops",
    "testing",
]
