"""Settings that guides contradict."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from engine_cases import degraded, slab
from scipy.ndimage import zoom

from napari_swig_qmri import InversionRecovery, Mprage, Options, SpinEcho, plan, super_resolve
from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.physics.mupa_zte import MupaZte
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade
from napari_swig_qmri.super_resolution.examination.settings import by_solving
from napari_swig_qmri.super_resolution.solver.dictionary import make_dictionary, match

OPTIONS = Options(method="posterior", pose=False, resolution=False)


def better(run):
    """Sequence that explains each guide of a plan better than its own."""
    return [found.settings.better for found in run.findings]


def test_settings_that_fit_raise_no_doubt():
    maps, images = degraded(slab().maps)
    assert better(plan(maps, images, OPTIONS)) == [None, None]


def test_a_wrong_repetition_time_is_told_and_corrected_when_asked():
    maps, (t1w, t2w) = degraded(slab().maps)
    said = replace(t1w.sequence, repetition_time=1.4 * t1w.sequence.repetition_time)
    told = plan(maps, [replace(t1w, sequence=said), t2w], OPTIONS)
    found, none = better(told)
    assert none is None
    assert abs(found.fits.repetition_time / t1w.sequence.repetition_time - 1) < 0.1
    assert told.problem.sequences[0] == said
    assert any("TR " in notice and "fits, but its sidecar says" in notice for notice in told.notices)
    options = replace(OPTIONS, correct_sequence=True)
    corrected = plan(maps, [replace(t1w, sequence=said), t2w], options)
    assert corrected.problem.sequences[0] == found.fits
    assert any("TR " in notice and notice.endswith("corrected.") for notice in corrected.notices)


def test_an_mprage_that_is_said_to_be_a_spin_echo_is_told():
    sequences = {"T1w": Mprage.from_typical(), "T2w": USUAL_GUIDES["T2w"]}
    maps, (t1w, t2w) = degrade(slab().maps, 2.0, sequences, gains=(812.0, 95.0))
    run = plan(maps, [replace(t1w, sequence=SpinEcho.from_typical()), t2w], OPTIONS)
    found, none = better(run)
    assert none is None
    assert isinstance(found.fits, Mprage)
    assert run.notices[-1].startswith("T1w: looks like an MPRAGE, TI about ")
    assert run.notices[-1].endswith(" ms, but its sidecar says spin echo: confirm, until then it counts less.")


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_a_wrong_inversion_time_is_found_within_two_per_cent(factor):
    sequence = InversionRecovery(repetition_time=4.0, echo_time=0.015, inversion_time=0.4)
    maps, (ir, t2w) = degrade(slab().maps, 2.0, {"IR": sequence, "T2w": USUAL_GUIDES["T2w"]}, gains=(812.0, 95.0))
    said = replace(sequence, inversion_time=factor * sequence.inversion_time)
    found, none = better(plan(maps, [replace(ir, sequence=said), t2w], OPTIONS))
    assert none is None
    assert abs(found.fits.inversion_time / sequence.inversion_time - 1) < 0.02


def test_exchanged_guides_are_told_and_exchanged_again_when_asked():
    maps, (t1w, t2w) = degraded(slab().maps)
    exchanged = [replace(t1w, sequence=t2w.sequence), replace(t2w, sequence=t1w.sequence)]
    told = plan(maps, exchanged, OPTIONS)
    assert all(
        f"has the contrast of {other} (" in words for other, words in zip(("T2w", "T1w"), told.verdicts, strict=True)
    )
    corrected = plan(maps, exchanged, replace(OPTIONS, correct_sequence=True))
    assert corrected.problem.sequences == (t1w.sequence, t2w.sequence)
    assert not any(corrected.problem.doubts)


def test_exchanged_guides_do_no_harm_until_they_are_confirmed():
    truth = slab().maps
    maps, (t1w, t2w) = degraded(truth)
    exchanged = [replace(t1w, sequence=t2w.sequence), replace(t2w, sequence=t1w.sequence)]
    found = super_resolve(plan(maps, exchanged, OPTIONS)).maps
    tissue = (truth["PD"] > 0.5) & (truth["T2"] < 0.3)
    for name in ("T1", "T2"):
        cubic = zoom(maps[name], np.divide(truth.grid.shape, maps.grid.shape), order=3, mode="nearest", grid_mode=True)
        errors = [np.median(np.abs(each[tissue] / truth[name][tissue] - 1)) for each in (found[name], cubic)]
        assert errors[0] < 0.7 * errors[1]


def test_an_echo_time_that_is_wrong_by_a_third_is_told_and_corrected_when_asked():
    maps, (t1w, t2w) = degraded(slab().maps)
    said = replace(t2w.sequence, echo_time=1.33 * t2w.sequence.echo_time)
    corrected = plan(maps, [t1w, replace(t2w, sequence=said)], replace(OPTIONS, correct_sequence=True))
    none, found = better(corrected)
    assert none is None
    assert abs(found.fits.echo_time / t2w.sequence.echo_time - 1) < 0.12
    assert found.removed > 0.1
    assert corrected.problem.sequences[1] == found.fits


@cache
def fitted_to_mupa_zte():
    """Maps of the slab that a dictionary matched to its truncated MuPa-ZTE images, and guides."""
    truth = slab().maps
    maps, guides = degraded(truth)
    lowest = torch.tensor([0, 0.05, 0.005]).view(-1, 1, 1, 1)
    images = KSpaceTruncation(truth.grid, maps.grid)(MupaZte()(*torch.as_tensor(truth.data).maximum(lowest)))
    return replace(maps, data=drained(match(images, make_dictionary(MupaZte()))).numpy()), guides


@pytest.mark.parametrize("maps_from", ["mupa-zte", "auto"])
@pytest.mark.parametrize("factor", [1.0, 1.33])
def test_with_fitted_maps_only_a_wrong_echo_time_is_doubted(maps_from, factor, monkeypatch):
    """Fitted maps are no averages next to CSF, which must not be taken for another echo time."""
    monkeypatch.setattr(by_solving, "MOST_MISFIT", 0)  # so that the echo time is looked at
    maps, (t1w, t2w) = fitted_to_mupa_zte()
    said = replace(t2w.sequence, echo_time=factor * t2w.sequence.echo_time)
    none, found = better(plan(maps, [t1w, replace(t2w, sequence=said)], replace(OPTIONS, maps_from=maps_from)))
    assert none is None
    if factor == 1:
        assert found is None
    else:
        assert abs(found.fits.echo_time / t2w.sequence.echo_time - 1) < 0.12
