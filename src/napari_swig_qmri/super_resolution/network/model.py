"""The network: a residual CNN that computes a correction of the posterior's maps from their features.

It works on voxels of twice the edge, two per axis folded into channels, at any resolution of the LR maps. Its output
is in standard deviations of the log maps.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn.functional import pad, relu_

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import drained, mapped
from napari_swig_qmri.super_resolution.network.features import N_FEATURES, N_LEVELS, NetworkInput
from napari_swig_qmri.super_resolution.network.tensor_files import read_shapes, read_tensors, write_tensors
from napari_swig_qmri.super_resolution.weights import weights_file

if TYPE_CHECKING:
    from torch import Tensor


FOLDED = 2  # HR voxels per axis that become channels
LAYER_PLANES = 32  # HR planes that the first and the last layer process at a time
FORMAT = "napari-swig-qmri network 1"
N_OTHERS, N_OF_BLOCK = 6, 4  # tensors beside the blocks, and of a block
WIDEST, DEEPEST = 4096, 256
LARGEST_CORRECTION = 20.0  # standard deviations
DOUBTED_CORRECTION = 0.8  # standard deviations; of a correction of this size one half is applied


@dataclass(frozen=True)
class NetworkConfig:
    """Size of a network."""

    width: int = 48  # channels
    n_blocks: int = 3  # residual blocks of two convolutions

    def __post_init__(self) -> None:
        is_whole = all(isinstance(size, int) for size in (self.width, self.n_blocks))
        if not (is_whole and 0 < self.width <= WIDEST and 0 <= self.n_blocks <= DEEPEST):
            raise ValueError(f"a network needs a width of 1 to {WIDEST} and 0 to {DEEPEST} blocks, but got {self}.")


class ResidualBlock(nn.Module):
    """Two convolutions in two or three dimensions, whose output is added to their input."""

    def __init__(self, width: int, convolution: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv3d) -> None:
        super().__init__()
        self.first = convolution(width, width, 3, padding=1)
        self.second = convolution(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to ``(n, width, ...)``."""
        return drained(self.steps(x))

    def steps(self, x: Tensor) -> Generator[None, None, Tensor]:
        """Apply the block, with a yield between the convolutions."""
        inner = relu_(self.first(x))
        yield
        output: Tensor = self.second(inner).add_(x)
        return output


class SwigNet(nn.Module):
    """Network from the features of a solution to a correction of its log maps, which is 0 before training."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        width, n_voxels = self.config.width, FOLDED**3
        self.head = nn.Conv3d(N_FEATURES * n_voxels, width, 3, padding=1)
        self.level = nn.Linear(N_LEVELS, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(self.config.n_blocks))
        self.tail = nn.Conv3d(width, len(QUANTITIES) * n_voxels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @property
    def reach(self) -> int:
        """Number of HR voxels to each side that a corrected voxel depends on."""
        return FOLDED * (2 + 2 * self.config.n_blocks) + FOLDED - 1

    def forward(self, volumes: Tensor, levels: Tensor) -> Tensor:
        """Correction ``(n, 3, X, Y, Z)`` in units of `NetworkInput.unit`.

        Parameters
        ----------
        volumes
            ``(n, N_FEATURES, X, Y, Z)``.
        levels
            ``(n, N_LEVELS)``.
        """
        x, y, z = volumes.shape[2:]
        inner = self.first_layer(volumes, levels)
        for block in self.blocks:
            inner = block(inner)
        return self.last_layer(inner)[..., :x, :y, :z]

    def first_layer(self, volumes: Tensor, levels: Tensor) -> Tensor:
        """Apply the first layer, to ``(n, width, ceil(X / 2), ceil(Y / 2), ceil(Z / 2))``."""
        x, y, z = volumes.shape[2:]
        even = pad(volumes, (0, z % FOLDED, 0, y % FOLDED, 0, x % FOLDED))
        inner: Tensor = self.head(fold(even)) + self.level(levels)[:, :, None, None, None]
        return relu_(inner)

    def last_layer(self, inner: Tensor) -> Tensor:
        """Apply the last layer, ``(n, width, x, y, z)`` to ``(n, 3, 2 x, 2 y, 2 z)``."""
        return unfold(self.tail(inner)).clamp(-LARGEST_CORRECTION, LARGEST_CORRECTION)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> SwigNet:
        """Load the network of a weights file; `name` as for `weights_file`.

        Raises
        ------
        ValueError
            If the file holds no SWIG network.
        FileNotFoundError
            If there is no such file.
        """
        path = weights_file(name)
        shapes, metadata = read_shapes(path)
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{path} holds no weights of a SWIG network: choose a file that `swig-qmri train` wrote.")
        network = cls(_described_size(path, shapes, metadata))
        weights = {name: tensor.float() for name, tensor in read_tensors(path)[0].items()}
        if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            raise ValueError(f"{path} holds weights that are no finite numbers: choose another file.")
        network.load_state_dict(weights)
        return network.eval()

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the weights in float16, with the size of the network and JSON-ready information on its training."""
        weights = {name: tensor.half() for name, tensor in self.state_dict().items()}
        metadata = {"format": FORMAT, "network": json.dumps(asdict(self.config)), "about": json.dumps(about)}
        write_tensors(path, weights, metadata)


def _described_size(path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> NetworkConfig:
    """Size of a network as its file describes it, checked against the tensors before anything of that size is made."""
    try:
        config = NetworkConfig(**json.loads(metadata["network"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"{path} does not describe its network: choose a file that `swig-qmri train` wrote.") from None
    is_plausible = shapes.get("head.bias") == (config.width,) and len(shapes) == N_OTHERS + N_OF_BLOCK * config.n_blocks
    with torch.device("meta"):  # without memory
        expected = SwigNet(config).state_dict() if is_plausible else {}
    if not expected or shapes != {name: tuple(tensor.shape) for name, tensor in expected.items()}:
        raise ValueError(f"the weights in {path} do not fit the network that it describes: write the file again.")
    return config


def correct(
    network: SwigNet,
    inputs: NetworkInput,
    *,
    n_planes: int,
    device: torch.device | str = "cpu",
    n_together: int = LAYER_PLANES,
) -> Generator[float, None, Tensor]:
    """Corrected log maps ``(3, X, Y, Z)``; yields the finished fraction.

    Corrections are limited (`undoubted`). Slabs are computed one after another, each with as many planes around it as
    it depends on. Results do not depend on the thickness of the slabs; memory does.

    Parameters
    ----------
    n_planes
        HR planes of a slab and around it, or as many as the correction of two planes needs. Halved whenever the
        device runs out of memory.
    n_together
        HR planes that the first and the last layer process at a time, an even number.

    Raises
    ------
    torch.OutOfMemoryError
        If not even two planes fit.
    """
    n, halo = inputs.log_maps.shape[1], -(-network.reach // FOLDED) * FOLDED
    step = n + n % FOLDED if n_planes >= n else max(FOLDED, (n_planes - 2 * halo) // FOLDED * FOLDED)
    if network.tail.weight.device.type != torch.device(device).type:
        network = deepcopy(network).to(device)
    corrected = torch.empty_like(inputs.log_maps)
    first = 0
    while first < n:
        last, low = min(first + step, n), max(0, first - halo)
        steps = _correction(network, inputs, slice(low, min(n, last + halo)), n_together)
        try:
            correction = yield from mapped(steps, partial(_overall, first / n, last / n))
        except torch.OutOfMemoryError:
            if step == FOLDED:
                raise
            torch.cuda.empty_cache()
            step = max(FOLDED, step // 2 // FOLDED * FOLDED)
            continue
        planes = slice(first, last)
        change = undoubted(correction[:, first - low : last - low].to(corrected))
        corrected[:, planes] = inputs.log_maps[:, planes] + inputs.unit[:, planes] * change
        first = last
    return corrected


def undoubted(correction: Tensor) -> Tensor:
    """Part of a correction, in standard deviations, that is applied: x / (1 + (x / 0.8)^4).

    Guides and prior leave a map uncertain by one standard deviation. Corrections of anatomy that the network knows are
    a fraction of that. Larger ones are those of something that it was not trained on, and hardly count.
    """
    return correction / (1 + (correction / DOUBTED_CORRECTION) ** 4)


def _overall(low: float, high: float, fraction: float) -> float:
    return low + (high - low) * fraction


@torch.inference_mode()
def _correction(
    network: SwigNet, inputs: NetworkInput, planes: slice, n_together: int
) -> Generator[float, None, Tensor]:
    """Output of the network for some planes ``(3, planes, Y, Z)``; yields the finished fraction.

    The network is applied layer by layer. The first and the last layer, whose input or output is widest, process a
    few planes at a time.
    """
    weight = network.tail.weight
    volumes, levels = inputs.volumes[None, :, planes], inputs.levels[None].to(weight.device, weight.dtype)
    n, y, z = volumes.shape[2:]
    pieces = list(slices_with_halo(n, n_together, FOLDED))
    n_steps, done = 2 * len(pieces) + 2 * len(network.blocks), count(1)
    shape = (1, network.config.width, *(-(-size // FOLDED) for size in (n, y, z)))
    inner = torch.empty(shape, dtype=weight.dtype, device=weight.device, memory_format=torch.channels_last_3d)
    for kept, wide in pieces:
        first = network.first_layer(volumes[:, :, wide].to(weight.device, weight.dtype), levels)
        inner[:, :, _folded_planes(kept)] = first[:, :, _folded_planes(kept, wide.start)]
        yield next(done) / n_steps
    for block in network.blocks:
        inner = yield from mapped(cast("ResidualBlock", block).steps(inner), lambda _: next(done) / n_steps)
        yield next(done) / n_steps
    output = weight.new_empty(len(QUANTITIES), n, y, z)
    for kept, wide in pieces:
        last = network.last_layer(inner[:, :, _folded_planes(wide)])[0, :, :, :y, :z]
        output[:, kept] = last[:, kept.start - wide.start : kept.stop - wide.start]
        yield next(done) / n_steps
    return output


def _folded_planes(planes: slice, origin: int = 0) -> slice:
    """Folded planes that hold these planes, counted from the one that holds `origin`."""
    return slice((planes.start - origin) // FOLDED, -(-(planes.stop - origin) // FOLDED))


def slices_with_halo(n: int, step: int, halo: int) -> Iterator[tuple[slice, slice]]:
    """Consecutive slices of `step` out of `n` planes, each with the slice that adds up to `halo` planes around it."""
    for first in range(0, n, step):
        last = min(first + step, n)
        yield slice(first, last), slice(max(0, first - halo), min(n, last + halo))


def fold(x: Tensor) -> Tensor:
    """Turn the voxels of each box of 2 x 2 x 2 into channels: ``(n, c, X, Y, Z)`` to ``(n, 8 c, X/2, Y/2, Z/2)``."""
    n, c, *shape = x.shape
    a, b, d = (size // FOLDED for size in shape)
    boxes = x.reshape(n, c, a, FOLDED, b, FOLDED, d, FOLDED).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return boxes.reshape(n, c * FOLDED**3, a, b, d).contiguous(memory_format=torch.channels_last_3d)


def unfold(x: Tensor) -> Tensor:
    """Inverse of `fold`."""
    n, c, a, b, d = x.shape
    boxes = x.reshape(n, c // FOLDED**3, FOLDED, FOLDED, FOLDED, a, b, d).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return boxes.reshape(n, c // FOLDED**3, a * FOLDED, b * FOLDED, d * FOLDED)
