"""What an audit finds: laws where the answer is known, limits, and what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from napari_swig_qmri.evaluation.audit_text import format_audit
from napari_swig_qmri.evaluation.lesion_audit import (
    LesionAudit,
    LesionFinding,
    audit_lesions,
    smallest_diameter,
)
from napari_swig_qmri.progress import Progress, drained
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.super_resolution.engine import Solution, solve
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan

MEASURED = {"pose": False, "field": False, "resolution": False, "maps_from": "averaged"}


@cache
def run(factor=2, method="posterior"):
    """Plan and solution of a block of the phantom with voxels of 2 mm."""
    truth = make_phantom(2.0, extent=((-40, 40), (-50, 30), (0, 48))).maps
    maps, guides = degrade(truth, factor)
    planned = plan(maps, guides[:2], Options(method=method, **MEASURED))
    return planned, drained(solve(planned)), torch.as_tensor(truth.data) / planned.problem.map_units


@cache
def audited(**options):
    planned, solution, _ = run()
    return drained(audit_lesions(planned, solution, radii=(4.0,), n_places=2, **options))


def finding(audit: LesionAudit, kind: str) -> LesionFinding:
    return next(each for each in audit.findings if each.kind == kind)


def test_a_lesion_in_both_is_recovered_and_one_in_the_maps_alone_kept():
    both, maps, guides = (finding(audited(), kind) for kind in ("both", "maps", "guides"))
    for name in ("T1", "T2"):
        assert both.median(name) == pytest.approx(100, abs=10)
        assert maps.median(name) > 60
        assert guides.median(name) < 40
        assert maps.worst(name) <= maps.median(name)
        assert guides.worst(name) >= guides.median(name)


def test_without_truncation_a_lesion_planted_in_the_truth_is_recovered_in_full():
    planned, solution, truth = run(factor=1)
    solution = Solution(
        maps=truth,
        gains=solution.gains,
        conflict=solution.conflict,
        noise=solution.noise,
        covariance=solution.covariance,
    )
    audit = drained(audit_lesions(planned, solution, radii=(4.0,), n_places=2))
    for name in ("PD", "T1", "T2"):
        assert finding(audit, "both").median(name) == pytest.approx(100, abs=2)


def test_what_is_not_planted_is_not_shown():
    audit = audited(change=(1.0, 1.0, 0.999999))
    assert all(math.isnan(value) for each in audit.findings for value in each.shares["T1"])
    assert audit.limits == {}
    assert audit.sentence.startswith("Neither T1 nor T2")


def test_the_box_without_a_lesion_is_that_of_the_run():
    assert all(abs(value) < 5 for value in audited().noise_floor.values())


def test_regression_alone_can_be_audited():
    planned, _, _ = run()
    planned = replace(planned, options=replace(planned.options, method="regression"))
    audit = drained(audit_lesions(planned, radii=(4.0,), n_places=1))
    assert finding(audit, "both").flagged == (False,)


def test_the_report_is_json_and_text():
    audit = audited()
    content = json.loads(json.dumps(audit.to_json()))
    assert {each["kind"] for each in content["results"]} == {"both", "maps", "guides"}
    assert set(content["limits_mm"]["T2"]) == {"recovered", "kept", "not invented"}
    text = format_audit(audit)
    assert text.endswith(audit.sentence)
    assert "guides only" in text


def test_progress_rises_to_the_end():
    planned, solution, _ = run()
    steps: list[Progress] = []
    drained(audit_lesions(planned, solution, radii=(2.0,), n_places=1), steps.append)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.7


@pytest.mark.parametrize(
    ("excess", "expected"),
    [((1, 2, 3), 2.0), ((-1, 1, 3), 3.0), ((1, -1, 1), 5.0), ((0, 1, 2), 2.0), ((1, 1, -1), None)],
)
def test_the_limit_is_interpolated_between_radii_from_which_on_it_holds(excess, expected):
    assert smallest_diameter((1, 2, 3), excess) == expected


def of_limits(*values: float | None) -> str:
    found = LesionFinding(kind="both", radius=1.0, shares={"T1": (100.0,)}, flagged=(False,))
    limits = {"T1": {str(number): value for number, value in enumerate(values)}}
    return LesionAudit(
        places=(), change=(1, 0.6, 0.5), findings=(found, replace(found, radius=6.0)), noise_floor={}, limits=limits
    ).sentence


def test_the_sentence_tells_the_largest_limit():
    assert of_limits(2.0, 2.6) == "Lesions like these below 2.6 mm across cannot be judged here."
    assert "can be judged here from 2.0 mm across on" in of_limits(2.0, 2.0)
    assert "whatever their size up to 12 mm" in of_limits(2.0, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radii": (0.0,)}, "every `radius` must be a number of mm above 0"),
        ({"radii": (-1.0, 2.0)}, "every `radius` must be"),
        ({"radii": (math.nan,)}, "every `radius` must be"),
        ({"radii": ()}, "every `radius` must be"),
        ({"change": (1.0, 0.5)}, "three factors above 0"),
        ({"change": (1.0, 0.5, 0.0)}, "three factors above 0"),
        ({"n_places": 0}, "number of `places` must be 1 or more"),
    ],
)
def test_impossible_lesions_are_refused_at_the_call(options, message):
    with pytest.raises(ValueError, match=message):
        audit_lesions(run()[0], **options)


def test_a_lesion_beyond_the_head_is_refused():
    planned, solution, _ = run()
    with pytest.raises(ValueError, match="no room for a lesion with a `radius` of 60 mm"):
        drained(audit_lesions(planned, solution, radii=(60.0,)))


def test_without_a_guide_there_is_nothing_to_audit():
    planned, _, _ = run()
    alone = plan(planned.maps, [], Options(method="posterior", voxel_size=2.0))
    with pytest.raises(ValueError, match="without a guide nothing can be hidden"):
        audit_lesions(alone)
