"""Whole models: the papers' networks, and those that train in a way of their own."""

from .perceptrons import lenet_300_100, set_mlp
from .rbm import RBM

__all__ = ["RBM", "lenet_300_100", "set_mlp"]
