"""Minimising the posterior over a whole volume, block by block."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.operators import relative_axes

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.operators import Slices
    from napari_swig_qmri.posterior import NegativeLogPosterior
    from napari_swig_qmri.volumes import VoxelGrid

HALO = 3  # LR voxels around a block that are solved with it and then dropped
SMALLEST_EDGE = 8  # HR voxels; a block is not halved further
BYTES_PER_VOXEL = 700  # working memory of one Gauss-Newton step in float32


@dataclass(frozen=True)
class Block:
    """A box of HR voxels, with a halo in which it is solved, and the LR voxels inside that."""

    core: Slices  # HR voxels whose result is kept
    padded: Slices  # core and halo
    lr: Slices  # LR voxels centred in `padded`

    @property
    def core_in_padded(self) -> Slices:
        """The core in indices of the padded block."""
        x, y, z = (slice(c.start - p.start, c.stop - p.start) for c, p in zip(self.core, self.padded, strict=True))
        return x, y, z


@dataclass(frozen=True, eq=False)
class Blocking:
    """How a pair of grids is cut into blocks."""

    hr_grid: VoxelGrid
    lr_grid: VoxelGrid

    def cut(self, edge: int) -> list[Block]:
        """Blocks of at most `edge` core voxels along each axis that cover the HR grid."""
        cuts = [np.linspace(0, n, -(-n // edge) + 1).round().astype(int).tolist() for n in self.hr_grid.shape]
        pieces = [[slice(a, b) for a, b in pairwise(axis)] for axis in cuts]
        return [self.block((x, y, z)) for x, y, z in product(*pieces)]

    def block(self, core: Slices) -> Block:
        """The block around given core voxels."""
        spacing, first = relative_axes(self.hr_grid, self.lr_grid)
        padded, lr = [], []
        for inside, n, n_lr, step, start in zip(
            core, self.hr_grid.shape, self.lr_grid.shape, spacing, first, strict=True
        ):
            halo = int(np.ceil(HALO * max(step, 1.0)))
            low, high = max(0, inside.start - halo), min(n, inside.stop + halo)
            centres = start + step * np.arange(n_lr)
            rows = np.flatnonzero((centres >= low - 0.5) & (centres < high - 0.5))
            padded.append(slice(low, high))
            lr.append(slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0))
        return Block(core=core, padded=(padded[0], padded[1], padded[2]), lr=(lr[0], lr[1], lr[2]))

    def halves(self, block: Block) -> list[Block]:
        """Two blocks that share the core of one, cut across its longest edge; none if it is too small."""
        lengths = [s.stop - s.start for s in block.core]
        axis = int(np.argmax(lengths))
        if lengths[axis] < 2 * SMALLEST_EDGE:
            return []
        whole = block.core[axis]
        middle = (whole.start + whole.stop) // 2
        cores = []
        for part in (slice(whole.start, middle), slice(middle, whole.stop)):
            x, y, z = (part if i == axis else s for i, s in enumerate(block.core))
            cores.append(self.block((x, y, z)))
        return cores


def refine(
    posterior: NegativeLogPosterior,
    log_maps: Tensor,
    blocking: Blocking,
    blocks: Sequence[Block],
    *,
    n_steps: int,
    device: torch.device | str = "cpu",
) -> Generator[float, None, Tensor]:
    """Gauss-Newton steps from `log_maps`, yielding the finished fraction and returning new log maps.

    Each step takes the LR residual of the whole volume and solves the blocks one after another against it. A
    block does not see LR voxels beyond its halo, so that the result depends on the blocks a little, most next to
    CSF. Voxels outside all `blocks` keep their value.
    """
    for step in range(n_steps):
        residual = posterior.lr_residual(log_maps)
        updated = log_maps.clone()
        for i, block in enumerate(blocks):
            for part, solved in _solve(posterior, log_maps, residual, blocking, block, device):
                updated[(slice(None), *part.core)] = solved
            yield (step + (i + 1) / len(blocks)) / n_steps
        log_maps = updated
    return log_maps


def _solve(
    posterior: NegativeLogPosterior,
    log_maps: Tensor,
    residual: Tensor,
    blocking: Blocking,
    block: Block,
    device: torch.device | str,
) -> Iterator[tuple[Block, Tensor]]:
    """One Gauss-Newton step of a block; where a CUDA device runs out of memory, of its halves."""
    try:
        part = posterior.restricted(block.padded, block.lr, log_maps, residual, device)
        solved = part.gauss_newton_step(log_maps[(slice(None), *block.padded)].to(device))
        result = solved[(slice(None), *block.core_in_padded)].to(log_maps.device)
    except torch.OutOfMemoryError:
        halves = blocking.halves(block)
        if not halves:
            raise
        torch.cuda.empty_cache()
    else:
        yield block, result
        return
    for half in halves:
        yield from _solve(posterior, log_maps, residual, blocking, half, device)
