"""Standard errors of super-resolved maps: a small network, calibrated on simulated subjects whose truth is known.

The curvature of the posterior tells the errors that follow from noise, if the equations are right. Where they are not,
errors are larger: next to CSF, where guides are blurred or moved, where the prior had to guess. The model reads them
from what the run can measure of its own misfits (`error_features`). It works voxel by voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.network.error_features import N_ERROR_FEATURES
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.network.error_features import ErrorEvidence

N_MAPS = len(QUANTITIES)
N_ERROR_LEVELS = 2 * N_MAPS  # numbers for the whole run: LR noise and share of the network, per map
ERROR_PLANES = 8  # HR planes that are computed at a time
WIDTH = 32
LOWEST_LEVEL = 1e-4  # of relative noise
LARGEST_ERROR = 2.0  # of a log map: nothing is known then
ERRORS_FILE = "standard-errors.safetensors"

ErrorFunction = Callable[["Tensor", "Tensor"], "Tensor"]  # features and levels to log errors, as `ErrorModel`


class ErrorModel(nn.Module):
    """Network from features of voxels to the logarithms of the standard errors of their log maps."""

    usual: Tensor  # (inputs,), mean over the voxels of training
    spread: Tensor  # (inputs,)

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        n = N_ERROR_FEATURES + N_ERROR_LEVELS
        self.register_buffer("usual", torch.zeros(n))
        self.register_buffer("spread", torch.ones(n))
        self.layers = nn.Sequential(
            nn.Linear(n, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, N_MAPS)
        )

    def forward(self, features: Tensor, levels: Tensor) -> Tensor:
        """Logarithms of standard errors ``(3, ...)``.

        Parameters
        ----------
        features
            ``(N_ERROR_FEATURES, ...)``.
        levels
            ``(N_ERROR_LEVELS,)``, see `error_levels`.
        """
        flat = features.flatten(1).T
        inputs = torch.cat([flat, levels.expand(len(flat), -1)], dim=1)
        correction: Tensor = self.layers((inputs - self.usual) / self.spread)
        return features[N_MAPS : 2 * N_MAPS] + correction.T.reshape(N_MAPS, *features.shape[1:])

    @classmethod
    @lru_cache(maxsize=1)
    def pretrained(cls) -> ErrorModel:
        """The model of the package."""
        return cls.load(Path(str(files("napari_swig_qmri").joinpath("pretrained", ERRORS_FILE))))

    @classmethod
    def load(cls, path: Path) -> ErrorModel:
        """Read a file that `save` wrote; ValueError if it is none."""
        tensors = read_tensors(path)[0]
        try:
            model = cls(len(tensors["layers.0.bias"]))
            model.load_state_dict(tensors)
        except (KeyError, RuntimeError):
            raise ValueError(f"{path} holds no model of standard errors: choose another file.") from None
        return model.eval()

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        write_tensors(path, self.state_dict(), {})


def error_levels(lr_noise: Tensor, measured: Sequence[bool], shares: Sequence[float]) -> Tensor:
    """Numbers of a run that its errors depend on, ``(N_ERROR_LEVELS,)``.

    Parameters
    ----------
    lr_noise
        ``(3,)``, standard deviation of the noise of the LR maps relative to the value.
    measured
        Whether each map was measured. What was not counts as very noisy.
    shares
        Share of the corrections of the network that was applied, per map.
    """
    noise = torch.where(torch.tensor(measured), lr_noise.clamp(LOWEST_LEVEL, 1.0), torch.ones_like(lr_noise))
    return torch.cat([noise.log(), noise.new_tensor(shares)])


@torch.inference_mode()
def standard_errors(model: ErrorFunction, evidence: ErrorEvidence, levels: Tensor) -> Generator[float, None, Tensor]:
    """Standard errors of the log maps ``(3, X, Y, Z)``, relative errors if small; yields the finished fraction."""
    errors = torch.empty_like(evidence.estimate.log_maps)
    n = errors.shape[1]
    for first in range(0, n, ERROR_PLANES):
        planes = slice(first, min(first + ERROR_PLANES, n))
        errors[:, planes] = model(evidence.features(planes).float(), levels.float()).exp().clamp(max=LARGEST_ERROR)
        yield planes.stop / n
    return errors
