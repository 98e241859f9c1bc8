"""Keras Sparse: layers that store, multiply and rewire only the connections that exist."""

import keras as _keras

from . import analysis, models, testing
from .backup import Backup
from .compute.exporting import stock_ops
from .inspection import inspect
from .layers.all_relu import AllReLU
from .layers.local_response_normalization import LocalResponseNormalization
from .layers.sparse_attention import SparseGroupQueryAttention, SparseMultiHeadAttention
from .layers.sparse_conv1d import SparseConv1D
from .layers.sparse_conv2d import SparseConv2D
from .layers.sparse_dense import SparseDense
from .layers.sparse_einsum_dense import SparseEinsumDense
from .layers.sparse_gru import SparseGRU
from .layers.sparse_gru_cell import SparseGRUCell
from .layers.sparse_lstm import SparseLSTM
from .layers.sparse_lstm_cell import SparseLSTMCell
from .layers.sparse_simple_rnn import SparseSimpleRNN
from .layers.sparse_simple_rnn_cell import SparseSimpleRNNCell
from .layers.srelu import SReLU
from .models.rbm import RBM
from .resizing import resize
from .rewiring.deep_r import DeepR
from .rewiring.granet import GMP, GraNet
from .rewiring.importance import ImportancePruning
from .rewiring.policy import Change, KernelView, Policy
from .rewiring.prune_regrow import PruneRegrow
from .rewiring.realign import realign
from .rewiring.rewire import Rewire
from .rewiring.rigl import SNFS, RigL
from .rewiring.schedules import Constant, Cosine, Cubic, InversePower, Linear, Schedule
from .rewiring.set import SET, ContinuousSET
from .rewiring.soft_deep_r import SoftDeepR
from .rewiring.srigl import SRigL
from .rewiring.static import Static
from .saved import load_model, save_model
from .serving import Exported, export
from .sparsify import sparsify
from .topology.block import Block
from .topology.budgets import allocate
from .topology.clash_free import ClashFree
from .topology.connectivity import Connectivity
from .topology.densities import ERK, ErdosRenyi
from .topology.given import FromMask, FromSciPy
from .topology.local import Local
from .topology.nm import NM
from .topology.patterns import Random
from .topology.structured import Structured

# `load_model` finds registered classes only. Topology is NumPy code, so its rules are registered here.
for _rule in (ErdosRenyi, ERK, Random, Structured, ClashFree, FromMask, FromSciPy, Block, NM, Local):
    _keras.saving.register_keras_serializable("keras_sparse")(_rule)

__version__ = "0.1.0"
__all__ = [
    "ERK",
    "GMP",
    "NM",
    "RBM",
    "SET",
    "SNFS",
    "AllReLU",
    "Backup",
    "Block",
    "Change",
    "ClashFree",
    "Connectivity",
    "Constant",
    "ContinuousSET",
    "Cosine",
    "Cubic",
    "DeepR",
    "ErdosRenyi",
    "Exported",
    "FromMask",
    "FromSciPy",
    "GraNet",
    "ImportancePruning",
    "InversePower",
    "KernelView",
    "Linear",
    "Local",
    "LocalResponseNormalization",
    "Policy",
    "PruneRegrow",
    "Random",
    "Rewire",
    "RigL",
    "SReLU",
    "SRigL",
    "Schedule",
    "SoftDeepR",
    "SparseConv1D",
    "SparseConv2D",
    "SparseDense",
    "SparseEinsumDense",
    "SparseGRU",
    "SparseGRUCell",
    "SparseGroupQueryAttention",
    "SparseLSTM",
    "SparseLSTMCell",
    "SparseMultiHeadAttention",
    "SparseSimpleRNN",
    "SparseSimpleRNNCell",
    "Static",
    "Structured",
    "allocate",
    "analysis",
    "export",
    "inspect",
    "load_model",
    "models",
    "realign",
    "resize",
    "save_model",
    "sparsify",
    "stock_ops",
    "testing",
]
