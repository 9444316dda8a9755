"""What LR maps are averages of, told by the voxels that hold CSF and tissue."""

from __future__ import annotations

from dataclasses import replace

import torch
from engine_cases import GENERIC, averaged, fitted

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.examination.origin_of_maps import NOTICE, with_origin


def test_fitted_maps_are_told_from_averages():
    open_question = replace(fitted(), lr_signals=None)
    found = drained(with_origin(open_question, GENERIC))
    assert found.lr_signals is GENERIC
    assert found.notices[-1] == NOTICE
    assert drained(with_origin(averaged(), GENERIC)) is averaged()


def test_nothing_is_decided_without_guides_or_without_fluid():
    without = replace(fitted(), lr_signals=None, sequences=())
    assert drained(with_origin(without, GENERIC)) is without
    dry = replace(fitted(), lr_signals=None, lr_maps=torch.full_like(fitted().lr_maps, 0.1))
    assert drained(with_origin(dry, GENERIC)) is dry
