"""Keras Sparse: layers that store, multiply and rewire only the connections that exist."""

import keras as _keras

from . import testing
from .backup import Backup
from .compute.exporting import stock_ops
from .inspection import inspect
from .layers.sparse_dense import SparseDense
from .rewiring.policy import Change, KernelView, Policy
from .rewiring.realign import realign
from .rewiring.rewire import Rewire
from .rewiring.set import SET
from .topology.block import Block
from .topology.budgets import allocate
from .topology.clash_free import ClashFree
from .topology.connectivity import Connectivity
from .topology.densities import ERK, ErdosRenyi
from .topology.given import FromMask, FromSciPy
from .topology.nm import NM
from .topology.patterns import Random
from .topology.structured import Structured

# `load_model` finds registered classes only. Topology is NumPy code, so its rules are registered here.
for _rule in (ErdosRenyi, ERK, Random, Structured, ClashFree, FromMask, FromSciPy, Block, NM):
    _keras.saving.register_keras_serializable("keras_sparse")(_rule)

__version__ = "0.1.0"
__all__ = [
    "ERK",
    "NM",
    "SET",
    "Backup",
    "Block",
    "Change",
    "ClashFree",
    "Connectivity",
    "ErdosRenyi",
    "FromMask",
    "FromSciPy",
    "KernelView",
    "Policy",
    "Random",
    "Rewire",
    "SparseDense",
    "Structured",
    "allocate",
    "inspect",
    "realign",
    "stock_ops",
    "testing",
]
