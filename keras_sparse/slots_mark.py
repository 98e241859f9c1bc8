"""Which topology the optimizer slots of a kernel belong to."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from .compute import host


class SlotsMark:
    """The fingerprint of the topology that a kernel's optimizer slots belong to.

    Models with optimizers of their own may share a layer. What one of them rewires leaves the slots of the others
    behind, so the mark is kept for each optimizer that the kernel was rewired with, too.

    Args:
        fingerprint: of the topology at first.

    Attributes:
        fingerprint: of the topology that the slots belong to which were carried along or loaded last.
    """

    def __init__(self, fingerprint: int) -> None:
        self.fingerprint = fingerprint
        self._of_optimizer: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def restore(self, fingerprint: int) -> None:
        """Note that the slots come from a file, as the topology does, and belong to that with `fingerprint`."""
        self.fingerprint = fingerprint
        self._of_optimizer.clear()

    def note(self, fingerprint: int, optimizer: Any = None) -> None:
        """Note that the slots, those of `optimizer` if it is given, belong to the topology with `fingerprint`."""
        self.fingerprint = fingerprint
        if optimizer is not None:
            self._of_optimizer[optimizer] = fingerprint

    def fits(self, fingerprint: int, optimizer: Any = None) -> bool:
        """Return whether the slots, those of `optimizer` if it is given, belong to the topology with `fingerprint`.

        Those of an optimizer that has stepped and never rewired the kernel, where others did, are not known to.
        """
        of_optimizer = self._of_optimizer
        if optimizer is None or not of_optimizer:
            return self.fingerprint == fingerprint
        if optimizer not in of_optimizer and not host.view(optimizer.iterations).array:  # its slots are new
            return self.fingerprint == fingerprint
        return of_optimizer.get(optimizer) == fingerprint
