"""Connections in whole blocks of neighbouring inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import admissible, counter_rng
from .connectivity import Connectivity, Int64, check_shape
from .patterns import ByConfig
from .sampling import distinct


class Block(ByConfig):
    """Whole blocks of connections at uniformly random places of a grid; rewiring moves whole blocks.

    Args:
        block_shape: (inputs, outputs) of a block; they divide n_in and n_out.

    Raises:
        ValueError: for sizes that are not positive integers; and, when drawn, for a junction that is not divided by
            the blocks and for a density that is no whole number of blocks: it names the nearest ones.

    Example:
        >>> import keras_sparse as ks
        >>> block = ks.Block((1, 2))
        >>> block.units(block.sample((2, 4), 8, seed=0)).tolist()
        [0, 0, 1, 1, 2, 2, 3, 3]
    """

    kept_through_rewiring = True

    def __init__(self, block_shape: Sequence[int]) -> None:
        sizes = tuple(block_shape) if isinstance(block_shape, Sequence) else (block_shape,)
        if len(sizes) != 2 or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
            raise ValueError(f"`block_shape` must be (inputs, outputs), two positive integers; got {block_shape!r}.")
        self.block_shape: tuple[int, int] = sizes

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return `count` connections in whole blocks, block after block.

        Args:
            shape: (n_in, n_out), multiples of the block's sizes.
            count: number of connections, a multiple of a block's.
            seed: any integer; the same seed gives the same connections in any process.

        Raises:
            ValueError: when `shape` or `count` does not hold whole blocks.
        """
        shape = check_shape(shape)
        rows, columns = self.grid(shape)
        size = self.block_shape[0] * self.block_shape[1]
        admissible.check(count, size, shape, because=f"blocks hold {size} connections each")
        units = distinct(counter_rng.generator(seed), rows * columns, count // size)
        return Connectivity._trusted(*self.expand(*np.divmod(units, columns)), shape)

    def grid(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the shape of the block kernel, (n_in / block inputs, n_out / block outputs).

        Raises:
            ValueError: when the blocks do not divide `shape`.
        """
        for size, block, what in zip(shape, self.block_shape, ("inputs", "outputs"), strict=True):
            if size % block:
                near = sorted({max(1, size // block) * block, (size // block + 1) * block})
                raise ValueError(
                    f"Blocks of {block} {what} do not divide {size} {what}; the nearest multiples are "
                    f"{' and '.join(map(str, near))}."
                )
        return shape[0] // self.block_shape[0], shape[1] // self.block_shape[1]

    def units(self, connectivity: Connectivity) -> Int64:
        """Return the number of every connection's block in the block kernel, row by row, int64 [K].

        Raises:
            ValueError: when the blocks do not divide the connectivity's shape.
        """
        _, columns = self.grid(connectivity.shape)
        return connectivity.inputs // self.block_shape[0] * columns + connectivity.outputs // self.block_shape[1]

    def expand(self, block_inputs: Int64, block_outputs: Int64) -> tuple[Int64, Int64]:
        """Return (inputs, outputs) of all positions of blocks, block after block, [blocks · block size] each.

        Args:
            block_inputs: row of every block in the block kernel, [blocks].
            block_outputs: its column, [blocks].
        """
        i, o = np.divmod(np.arange(self.block_shape[0] * self.block_shape[1]), self.block_shape[1])
        inputs = np.asarray(block_inputs, np.int64)[:, None] * self.block_shape[0] + i
        outputs = np.asarray(block_outputs, np.int64)[:, None] * self.block_shape[1] + o
        return inputs.reshape(-1), outputs.reshape(-1)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Block:
        """Return the pattern that `get_config` described; JSON may have made its tuple a list."""
        return cls(tuple(config["block_shape"]))
