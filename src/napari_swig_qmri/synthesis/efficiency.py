"""How well a sequence shows two tissues apart in the time that it takes: contrast to noise per square root of time.

Noise: white, of one deviation per line of k-space at every setting, Gaussian also in a magnitude (which holds above a
signal of about three deviations), so band width, voxel and coil are taken as fixed. Time: TR per line, or per echo
train or block of read-outs where there is one; averages fill the scan, so that noise falls with its square root. What
counts is therefore |S1 - S2| / sqrt(TR / lines per TR) for a noise of one. Gradient echoes decay with T2*, or with T2
where it is not known.

MP2RAGE is a ratio of two images, with a noise of its own (`uniform_moments`); a typed equation counts as one image if
it is proportional to PD, and takes the TR that it mentions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.physics.signal_models import Mp2rageUni
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.curves import TissueValues, signals

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.sequence import Contrast

SPAN = 2.0  # the uniform image must tell T1 apart from the shorter one over this to the longer one times this
N_SPAN = 24  # T1 in between at which that is tried
IMAGE_NOISE = 1e-3  # of the larger PD, in both images of MP2RAGE; our choice, some 2 % of their usual signals


def noise_problem(sequence: Contrast) -> str | None:
    """Why noise or time of a contrast are not known, in a sentence; None where they are."""
    if not isinstance(sequence, UserEquation):
        return None
    if sequence.degree_in_pd != 1:
        return (
            "the equation is not proportional to PD, so that it is no image but a ratio or a product of some, whose "
            "noise is not known: multiply by PD, or choose a sequence."
        )
    if "TR" not in sequence.names:
        return "the equation has no TR, so that the time it takes is not known: put TR in, or choose a sequence."
    return None


def time_per_line(sequence: Contrast) -> float:
    """Time in s that one line of k-space takes: TR over the echoes of a train, or the read-outs of a block."""
    lines = getattr(sequence, "echo_train_length", getattr(sequence, "n_partitions", 1))
    return float(sequence.repetition_time / lines)


def efficiency(sequence: Contrast, tissues: tuple[TissueValues, TissueValues]) -> float:
    """Contrast-to-noise per square root of time for a noise of one, in the unit of PD / sqrt(s).

    A tissue with a PD of 0 stands for nothing at all.
    """
    pair = [each if each.pd != 0 else TissueValues(name=each.name, pd=0.0, t1=1.0, t2=1.0) for each in tissues]
    if isinstance(sequence, Mp2rageUni):
        contrast = _uniform_contrast(sequence, pair)
    else:
        first, second = signals(sequence, pair)
        contrast = float(abs(first - second))
    return contrast / math.sqrt(time_per_line(sequence))


def is_unambiguous(sequence: Contrast, tissues: tuple[TissueValues, TissueValues]) -> bool:
    """Whether an MP2RAGE image falls with T1 all the way from half the shorter to twice the longer of two T1.

    Where it is folded back, tissues of different T1 look alike, and noise vanishes at the fold, which an optimum of
    contrast to noise would seek. Of other sequences nothing is asked.
    """
    measured = [each.t1 for each in tissues if each.is_measured]
    if not isinstance(sequence, Mp2rageUni) or not measured:
        return True
    times = np.geomspace(min(measured) / SPAN, max(measured) * SPAN, N_SPAN)
    line = [TissueValues(name="", pd=1.0, t1=float(t1), t2=1.0) for t1 in times]
    return bool((np.diff(signals(sequence, line)) < 0).all())


def uniform_moments(first: FloatArray, second: FloatArray, deviation: float) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of S1 S2 / (S1^2 + S2^2) when both complex images have noise.

    With (S1, S2) = r (sin a, cos a) the ratio is sin(2a) / 2, and noise turns a by an angle of deviation s = noise / r
    in the plane of the signals and, by its imaginary parts, across it. For Gaussian angles follow::

        mean     = sin(2a) exp(-4 s^2) / 2
        variance = [1 - cos(4a) exp(-8 s^2)] [1 + exp(-8 s^2)] / 16 - mean^2

    To first order in s that is the propagation of errors, s |S2^2 - S1^2| / (S1^2 + S2^2), with which Marques et al.
    2010 count contrast to noise; it vanishes where the images are equal, and there the deviation is 2 s^2. Derived
    here: (S1, S2) is a spinor that stands for a direction on a sphere, at the angle 2a, and noise turns it both ways.

    Parameters
    ----------
    first, second
        Signals with their sign, of one shape.
    deviation
        Of the real and of the imaginary part of the noise in both images, in their unit.
    """
    spread = (deviation / np.maximum(np.hypot(first, second), 1e-9 * deviation)) ** 2
    angle, kept = np.arctan2(first, second), np.exp(-8 * spread)
    mean = np.sin(2 * angle) * np.sqrt(kept) / 2
    variance = (1 - np.cos(4 * angle) * kept) * (1 + kept) / 16 - mean**2
    return mean, np.sqrt(variance.clip(min=0))


def _uniform_contrast(sequence: Mp2rageUni, tissues: list[TissueValues]) -> float:
    """Contrast of the uniform image over the noise of both tissues (root mean square), times the noise of an image."""
    import torch  # kept out of start-up: it takes over a second to load

    pd, t1, t2 = np.array([(each.pd, each.t1, each.gradient_decay) for each in tissues]).T
    with torch.inference_mode():
        first, second = (each.numpy() for each in sequence.block_signals(torch.from_numpy(t1)))
    noise, decay = IMAGE_NOISE * float(abs(pd).max()), pd * np.exp(-sequence.echo_time / t2)
    if noise == 0:
        return 0.0
    mean, deviation = uniform_moments(decay * first, decay * second, noise)
    return noise * float(abs(mean[0] - mean[1])) / math.sqrt(float((deviation**2).mean()))
