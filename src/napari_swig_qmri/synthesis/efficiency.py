"""Efficiency of a sequence for two tissues: contrast-to-noise ratio per square root of scan time.

Noise is white, with the same standard deviation per line of k-space at all settings, and Gaussian also in magnitude
images, which holds for signals above about three standard deviations; bandwidth, voxel size and coil are kept fixed.
The time of a line is TR, divided by the lines of an echo train or of a train of read-outs. Averages fill the scan, so
that noise falls with the square root of time, and the efficiency is |S1 - S2| / sqrt(TR / lines per TR) for noise of
standard deviation 1. Gradient echoes decay with T2*, or with T2 where T2* is not known.

MP2RAGE is a ratio of two images, with a noise of its own (`uniform_moments`). A typed equation counts as one image if
it is proportional to PD, and takes the TR that it mentions.
"""

from __future__ import annotations

import math

import numpy as np

from napari_swig_qmri.data.volumes import FloatArray
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import Mp2rageUni
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.curves import TissueValues, signals

T1_MARGIN = 2.0  # MP2RAGE must be unambiguous from the shorter T1 over this factor to the longer T1 times it
N_T1 = 24  # T1 values at which that is tested
IMAGE_NOISE = 1e-3  # of the larger PD, in both images of MP2RAGE; our choice, about 2 % of their usual signals


def noise_problem(sequence: Contrast) -> str | None:
    """Reason in one sentence why noise or time of a contrast is unknown; None if both are known."""
    if not isinstance(sequence, UserEquation):
        return None
    if sequence.degree_in_pd != 1:
        return (
            "the equation is not proportional to PD, so it is a ratio or a product of images with unknown noise: "
            "multiply by PD, or choose a sequence."
        )
    if "TR" not in sequence.names:
        return "the equation has no TR, so its scan time is unknown: add TR, or choose a sequence."
    return None


def time_per_line(sequence: Contrast) -> float:
    """Scan time per line of k-space in s: TR divided by the echoes or read-outs of a train, if there is one."""
    lines = getattr(sequence, "echo_train_length", getattr(sequence, "n_partitions", 1))
    return float(sequence.repetition_time / lines)


def efficiency(sequence: Contrast, tissues: tuple[TissueValues, TissueValues]) -> float:
    """Contrast-to-noise ratio per square root of time for noise of standard deviation 1, in the unit of PD / sqrt(s).

    A tissue with a PD of 0 has no signal, whatever its times.
    """
    pair = [each if each.pd != 0 else TissueValues(name=each.name, pd=0.0, t1=1.0, t2=1.0) for each in tissues]
    if isinstance(sequence, Mp2rageUni):
        contrast = _uniform_contrast(sequence, pair)
    else:
        first, second = signals(sequence, pair)
        contrast = float(abs(first - second))
    return contrast / math.sqrt(time_per_line(sequence))


def is_unambiguous(sequence: Contrast, tissues: tuple[TissueValues, TissueValues]) -> bool:
    """Whether an MP2RAGE image decreases with T1 from half the shorter to twice the longer T1 of two tissues.

    Otherwise the image has extremes at which tissues of different T1 look alike and the noise vanishes, and a search
    for the best contrast-to-noise ratio would end there. Always true for other sequences.
    """
    measured = [each.t1 for each in tissues if each.is_measured]
    if not isinstance(sequence, Mp2rageUni) or not measured:
        return True
    times = np.geomspace(min(measured) / T1_MARGIN, max(measured) * T1_MARGIN, N_T1)
    line = [TissueValues(name="", pd=1.0, t1=float(t1), t2=1.0) for t1 in times]
    return bool((np.diff(signals(sequence, line)) < 0).all())


def uniform_moments(first: FloatArray, second: FloatArray, deviation: float) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of S1 S2 / (S1^2 + S2^2) when both complex images have noise.

    With (S1, S2) = r (sin a, cos a) the ratio is sin(2a) / 2. Noise rotates (S1, S2) by an angle with standard
    deviation s = noise / r in the plane of the signals and, by its imaginary part, out of that plane. For Gaussian
    angles::

        mean     = sin(2a) exp(-4 s^2) / 2
        variance = [1 - cos(4a) exp(-8 s^2)] [1 + exp(-8 s^2)] / 16 - mean^2

    To first order in s this is the propagated error s |S2^2 - S1^2| / (S1^2 + S2^2) used by Marques et al. 2010, which
    vanishes where the images are equal; there the deviation is 2 s^2. Derived here: (S1, S2) is a spinor that stands
    for a direction on a sphere at the angle 2a, and noise rotates this direction along both axes of the sphere.

    Parameters
    ----------
    first, second
        Signed signals of one shape.
    deviation
        Standard deviation of the real and of the imaginary part of the noise in both images, in their unit.

    Returns
    -------
    mean, deviation
        Arrays of the shape of the signals, without unit.
    """
    spread = (deviation / np.maximum(np.hypot(first, second), 1e-9 * deviation)) ** 2
    angle, damping = np.arctan2(first, second), np.exp(-8 * spread)
    mean = np.sin(2 * angle) * np.sqrt(damping) / 2
    variance = (1 - np.cos(4 * angle) * damping) * (1 + damping) / 16 - mean**2
    return mean, np.sqrt(variance.clip(min=0))


def _uniform_contrast(sequence: Mp2rageUni, tissues: list[TissueValues]) -> float:
    """Contrast of the uniform image divided by its noise (root mean square of both tissues), times the image noise."""
    import torch  # kept out of start-up: it takes over a second to load

    pd, t1, t2 = np.array([(each.pd, each.t1, each.gradient_decay) for each in tissues]).T
    with torch.inference_mode():
        first, second = (each.numpy() for each in sequence.block_signals(torch.from_numpy(t1)))
    noise, decay = IMAGE_NOISE * float(abs(pd).max()), pd * np.exp(-sequence.echo_time / t2)
    if noise == 0:
        return 0.0
    mean, deviation = uniform_moments(decay * first, decay * second, noise)
    return noise * float(abs(mean[0] - mean[1])) / math.sqrt(float((deviation**2).mean()))
