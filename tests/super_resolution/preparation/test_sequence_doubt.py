"""What equations of doubted sequences leave wrong."""

from dataclasses import replace

import torch

from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.super_resolution.preparation.sequence_doubt import SequenceDoubt

T2W = SpinEcho(repetition_time=5.0, echo_time=0.09)
MAPS = torch.tensor([[0.7, 0.8, 1.0], [0.9, 1.4, 4.0], [0.07, 0.1, 2.0]]).view(3, 3, 1, 1)
TISSUE = torch.tensor([True, True, False]).view(3, 1, 1)


def test_a_sequence_that_differs_by_a_gain_alone_leaves_nothing_wrong():
    one_t2 = MAPS.clone()
    one_t2[2] = 0.08
    doubt = SequenceDoubt(replace(T2W, echo_time=0.06))
    torch.testing.assert_close(doubt.variance(T2W, one_t2, TISSUE), torch.zeros(3, 1, 1), atol=1e-12, rtol=0)


def test_the_error_is_the_difference_of_both_sequences_at_the_best_gain():
    other = replace(T2W, echo_time=0.06)
    error = SequenceDoubt(other).variance(T2W, MAPS, TISSUE).sqrt().flatten()
    gains = torch.linspace(0.1, 2, 20000)
    said, fits = T2W(*MAPS).flatten(), other(*MAPS).flatten()
    misfits = (gains[:, None] * fits - said)[:, :2].square().sum(1)
    best = gains[misfits.argmin()]
    torch.testing.assert_close(error, (best * fits - said).abs(), atol=1e-4, rtol=0)
    assert error[2] > 3 * error[:2].max()  # fluid, where an echo time matters most


def test_a_guide_that_nothing_explains_errs_by_its_misfit():
    error = SequenceDoubt(None, 0.4).variance(T2W, MAPS, TISSUE).sqrt()
    torch.testing.assert_close(error, 0.4 * T2W(*MAPS))
