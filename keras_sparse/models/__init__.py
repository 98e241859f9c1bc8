"""Whole models: the papers' networks, and those that train in a way of their own."""

from .convolutional import deep_r_cnn, set_cnn
from .perceptrons import lenet_300_100, set_mlp
from .rbm import RBM

__all__ = ["RBM", "deep_r_cnn", "lenet_300_100", "set_cnn", "set_mlp"]
