"""What LR maps are averages of, told by the voxels that hold CSF and tissue."""

from __future__ import annotations

from dataclasses import replace

import torch
from engine_cases import GENERIC, averaged, fitted

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.examination.origin_of_maps import NOTICE, with_origin
from napari_swig_qmri.super_resolution.examination.part_of_head import can_be_examined, solved_part


def examined(problem):
    return with_origin(problem, drained(solved_part(problem)), GENERIC)


def test_fitted_maps_are_told_from_averages():
    found = examined(replace(fitted(), lr_signals=None))
    assert found.lr_signals is GENERIC
    assert found.notices[-1] == NOTICE
    assert examined(averaged()) is averaged()


def test_nothing_is_decided_without_fluid():
    dry = replace(fitted(), lr_signals=None, lr_maps=torch.full_like(fitted().lr_maps, 0.1))
    assert examined(dry) is dry


def test_only_problems_with_guides_and_all_maps_can_be_examined():
    assert can_be_examined(averaged())
    assert not can_be_examined(replace(averaged(), sequences=()))
    assert not can_be_examined(replace(averaged(), measured=(True, True, False)))
