"""Whole models: the papers' networks."""

from .perceptrons import lenet_300_100, set_mlp

__all__ = ["lenet_300_100", "set_mlp"]
