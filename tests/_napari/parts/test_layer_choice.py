"""Which layers the widgets propose."""

from __future__ import annotations

from typing import Any

import pytest

from napari_swig_qmri._napari.parts.layer_choice import (
    LayerFacts,
    choose_guides,
    choose_maps,
    find_map_sets,
    is_transmit_map,
    map_of,
    stray_maps,
)


def facts(name: str, suffix: str | None = None, size: float = 1.0, **more: Any) -> LayerFacts:
    shape = (round(16 / size),) * 3
    return LayerFacts(**{"shape": shape, "voxel_volume": size**3, "position": (size,)} | more, name=name, suffix=suffix)


LR = [facts("sub-01_PDmap", "PDmap", 2), facts("sub-01_T1map", "T1map", 2), facts("sub-01_T2map", "T2map", 2)]
GUIDES = [facts("sub-01_T1w", "T1w"), facts("sub-01_T2w", "T2w"), facts("mask")]
SR = [
    facts("SR PD", "PDmap", is_synthetic=True),
    facts("SR T1", "T1map", is_synthetic=True),
    facts("SR T2", "T2map", is_synthetic=True),
]


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("sub-01_T1map", "T1"),
        ("qT2 patient", "T2"),
        ("R1 map", "T1"),
        ("M0 map", "PD"),
        ("M0", None),
        ("T1", None),
        ("T1w", None),
        ("T1_mprage", None),
        ("brain", None),
        ("part1map", None),
    ],
)
def test_maps_by_name(name: str, quantity: str | None) -> None:
    assert map_of(facts(name)) == quantity


@pytest.mark.parametrize(
    ("name", "suffix", "is_offered"),
    [
        *((name, None, True) for name in ("B1", "B1+", "b1plus", "DREAM_B1", "anna tfl_b1", "B1_relative", "B1map")),
        *((name, None, False) for name in ("dwi_b1", "b1000", "sub-B1", "B1_std", "B1-", "B1minus", "B1_phase")),
        *((name, None, False) for name in ("patient_B1_T1w", "T1w_B1", "grab1")),
        ("B1", "T1map", False),
        ("values", "TB1map", True),
    ],
)
def test_layers_of_b1_are_offered_by_their_names(name: str, suffix: str | None, is_offered: bool) -> None:
    assert is_transmit_map(facts(name, suffix)) == is_offered


def test_suffix_beats_name() -> None:
    assert map_of(facts("T1map", "T2map")) == "T2"


def test_every_map_and_guide_is_found() -> None:
    assert choose_maps(GUIDES + LR) == {"PD": 3, "T1": 4, "T2": 5}
    assert choose_guides(LR + GUIDES) == [3, 4]


def test_coarse_maps_win_over_fine_ones_and_results() -> None:
    truth = [facts(f"{one.name} truth", one.suffix) for one in LR]
    assert choose_maps(SR + truth + LR) == {"PD": 6, "T1": 7, "T2": 8}


def test_maps_of_one_grid_stay_together() -> None:
    elsewhere = facts("other T2", "T2map", 2, position=(9.0,))
    assert choose_maps([elsewhere, *LR])["T2"] == 3


def test_results_and_time_series_are_no_guides() -> None:
    series = facts("bold_T2w", "T2w", shape=(4, 8, 8, 8))
    synthetic = facts("T1w synthesised", "T1w", is_synthetic=True)
    assert choose_guides([series, synthetic, *GUIDES]) == [2, 3]


def test_at_most_five_guides_the_named_by_suffix_first() -> None:
    assert choose_guides([facts("my flair"), *[facts(f"echo {n}", "T2w") for n in range(6)]]) == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_nothing_is_proposed_for_unknown_layers() -> None:
    assert choose_maps([facts("a"), facts("b")]) == {}
    assert choose_guides([facts("a"), facts("b")]) == []


def test_map_sets_need_all_three_on_one_grid_to_be_complete() -> None:
    assert find_map_sets([LR[0], LR[2]]) == []  # no T1
    for layers in (LR[:2], [*LR[:2], facts("sub-01_T2map", "T2map", 1)]):
        (found,) = find_map_sets(layers)
        assert (found.label, found.is_complete, found.layers) == ("PD, T1 only", False, {"PD": 0, "T1": 1})


def test_complete_sets_come_before_partial_ones() -> None:
    lone = facts("sub-01_R1map", "R1map")
    assert [found.label for found in find_map_sets([lone, *LR])] == ["maps", "T1 only"]
    t2star = facts("sub-01_T2starmap", "T2starmap")
    assert [found.label for found in find_map_sets([lone, t2star])] == ["T1, T2* only"]


def test_a_t2star_map_goes_with_the_maps_on_its_grid() -> None:
    beside, elsewhere = facts("a_R2starmap", "R2starmap", 2), facts("b_T2starmap", "T2starmap")
    (found,) = find_map_sets([elsewhere, *LR, beside])
    assert found.layers == {"PD": 1, "T1": 2, "T2": 3, "T2*": 4}
    assert "T2*" not in find_map_sets([elsewhere, *LR])[0].layers


def test_maps_that_fit_no_set_are_told() -> None:
    layers = [LR[1], facts("sub-01_T2map", "T2map", 1)]
    told = stray_maps(layers, find_map_sets(layers))
    assert told == "sub-01_T2map: not on the voxels of sub-01_T1map, so no contrast uses both; resample one of them."
    layers = [LR[1], facts("sub-02_T2map", "T2map", 2)]
    assert stray_maps(layers, find_map_sets(layers)).startswith(
        "sub-02_T2map: not used, because there is no other T1 map of the same"
    )
    stack = [facts("qmaps", "T1map", shape=(3, 8, 8, 8))]
    assert "several volumes in one file" in stray_maps(stack, find_map_sets(stack))
    assert stray_maps(LR, find_map_sets(LR)) == ""


def test_map_sets_are_labelled_and_ordered() -> None:
    residual = [facts(f"{one.name} LR residual", None, 2, is_synthetic=True) for one in LR]
    second = [facts(f"{one.name} run 2", one.suffix, is_synthetic=True, run=2) for one in SR]
    sets = find_map_sets([*second, *residual, *SR, *LR])
    assert [found.label for found in sets] == ["LR", "SR", "SR run 2"]
    assert sets[0].layers == {"PD": 9, "T1": 10, "T2": 11}


def test_two_measured_sets_on_one_grid_stay_apart() -> None:
    again = [facts(f"{one.name} again", one.suffix, 2) for one in LR]
    assert [found.layers["T1"] for found in find_map_sets(LR + again)] == [1, 4]


def maps_of_subject(subject: str, *more: str) -> list[LayerFacts]:
    return [facts(f"{subject} {suffix}".strip(), suffix, 2) for suffix in ("PDmap", "T1map", "T2map", *more)]


def test_a_t2star_map_goes_with_the_maps_of_its_subject_only() -> None:
    layers = [*maps_of_subject("sub-01", "T2starmap"), *maps_of_subject("sub-02", "T2starmap")]
    assert [found.layers["T2*"] for found in find_map_sets(layers)] == [3, 7]
    assert ["T2*" in found.layers for found in find_map_sets(layers[:7])] == [True, False]
    assert ["T2*" in found.layers for found in find_map_sets([*layers[:3], *layers[4:]])] == [False, True]
    made = [facts(f"{one.name} SR", one.suffix, 2, is_synthetic=True) for one in maps_of_subject("")]
    assert "T2*" not in find_map_sets([*layers, *made])[2].layers  # of which subject is not known


def test_t2star_maps_without_a_subject_go_with_the_maps_in_their_order() -> None:
    layers = [*maps_of_subject("", "T2starmap"), *maps_of_subject("", "T2starmap")]
    assert [found.layers.get("T2*") for found in find_map_sets(layers)] == [3, 7]
    assert [found.layers.get("T2*") for found in find_map_sets(layers[:7])] == [3, None]


def test_maps_of_subjects_and_sessions_are_not_mixed() -> None:
    first, second = maps_of_subject("sub-01 ses-01"), maps_of_subject("sub-01 ses-02")
    assert [found.layers for found in find_map_sets([first[1], *second])] == [
        {"PD": 1, "T1": 2, "T2": 3},
        {"T1": 0},
    ]


def test_labels_of_sets_differ() -> None:
    again = maps_of_subject("sub-01 acq-b")
    sets = find_map_sets([*maps_of_subject("sub-01"), *maps_of_subject("sub-02 ses-01"), *again])
    assert [found.label for found in sets] == ["sub-01 maps", "sub-02 ses-01 maps", "sub-01 maps 2"]
    plain = [*maps_of_subject(""), *maps_of_subject(""), facts("T1map", "T1map"), facts("T1map", "T1map")]
    assert [found.label for found in find_map_sets(plain)] == ["maps", "maps 2", "T1 only", "T1 only 2"]
