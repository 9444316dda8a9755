"""Any subset of PD, T1 and T2 runs with guides of any kind, and files and words speak only of maps that exist."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import Run, load, save, sidecar_of

from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel, SpinEcho
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.simulation.phantom import make_phantom

KINDS: dict[str, SignalModel] = {
    "T1w": SpinEcho(echo_time=0.012, repetition_time=0.6),
    "T2w": SpinEcho(echo_time=0.09, repetition_time=5.0),
    "acq-vfa_T1w": SEQUENCES["spgr"].from_typical(),
    "acq-mprage_T1w": SEQUENCES["mprage"].from_typical(),
    "FLAIR": SEQUENCES["t2-flair"].from_typical(),
    "UNIT1": SEQUENCES["mp2rage-uni"].from_typical(),
}
SUBSETS = {  # maps, and guides
    ("PD",): ("T1w", "T2w"),
    ("T1",): ("UNIT1",),
    ("T2",): ("T1w", "T2w"),
    ("PD", "T1"): ("acq-vfa_T1w", "acq-mprage_T1w"),
    ("PD", "T2"): ("acq-mprage_T1w", "T2w"),
    ("T1", "T2"): ("acq-mprage_T1w", "FLAIR"),
    ("PD", "T1", "T2"): ("acq-vfa_T1w", "FLAIR"),
}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of maps with voxels of 8 mm, a guide of each kind and the truth with voxels of 4 mm."""
    folder = tmp_path_factory.mktemp("case")
    truth = make_phantom(4.0, extent=((-45, 45), (-60, 20), (0, 48))).maps
    lr, guides = degrade(truth, 2, KINDS, map_noise=0.005, guide_noise=0.005)
    for maps, place in ((lr, "lr"), (truth, "truth")):
        for name in maps.names:
            save(folder / place / f"sub-01_{name}map.nii.gz", maps[name], {"Units": "s"}, maps.grid.affine)
    for name, guide in zip(KINDS, guides, strict=True):
        assert guide.sequence is not None
        save(folder / f"sub-01_{name}.nii.gz", guide.data, to_sidecar(guide.sequence), guide.grid.affine)
    return folder


def words_of(case: Path, names: tuple[str, ...], guides: tuple[str, ...]) -> list[object]:
    maps = [word for name in names for word in (f"--{name.lower()}", case / "lr" / f"sub-01_{name}map.nii.gz")]
    images = [word for guide in guides for word in ("--guide", case / f"sub-01_{guide}.nii.gz")]
    return ["super-resolve", *maps, *images, "-o", "out", "--json"]


def done_map(name: str) -> Path:
    return next(Path("out").rglob(f"*desc-swig_{name}map.nii.gz"))


def error_of(case: Path, path: Path, name: str) -> float:
    """Median relative error over the brain, without CSF."""
    truth = {each: load(case / "truth" / f"sub-01_{each}map.nii.gz") for each in ("PD", "T1", "T2")}
    tissue = (truth["PD"] > 0.5) & (truth["T2"] < 0.12) & (truth["T2"] > 0.05)
    return float(np.median(np.abs(load(path) / truth[name] - 1)[tissue]))


@pytest.mark.slow
@pytest.mark.parametrize(("names", "guides"), SUBSETS.items(), ids=lambda each: "+".join(each))
def test_a_subset_runs_and_only_its_maps_are_saved_and_spoken_of(
    run: Run, case: Path, names: tuple[str, ...], guides: tuple[str, ...]
) -> None:
    done = run(*words_of(case, names, guides))
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    is_complete = len(names) == 3
    assert report["parameters"]["method"] == ("network" if is_complete else "posterior")
    assert ("The network is left out" in done.stderr) == (not is_complete)
    assert set(report["median_relative_lr_residual"]) == set(report["parameters"]["lr_noise"]) == set(names)
    written = {path.name for path in Path("out").rglob("*desc-swig_*map.nii.gz")}
    assert written == {f"sub-01_desc-swig_{name}map.nii.gz" for name in names}
    for name in names:
        assert error_of(case, next(Path("out").rglob(f"*desc-swig_{name}map.nii.gz")), name) < 0.06
    missing = {"PD", "T1", "T2"} - set(names)
    for reason in report["reasons"]:
        assert not any(f" {name} " in f" {reason.rstrip('.')} " for name in missing)


@pytest.mark.slow
def test_all_maps_are_saved_on_request_and_their_files_say_that_they_were_not_measured(run: Run, case: Path) -> None:
    words = words_of(case, ("PD", "T1"), ("T1w", "T2w"))
    done = run(*words, "--all-maps")
    assert done.exit_code == 0, done.stderr
    (path,) = Path("out").rglob("*_T2map.nii.gz")
    assert path.name == "sub-01_desc-swigestimated_T2map.nii.gz"
    sidecar = sidecar_of(path)
    assert sidecar["Measured"] is False
    assert sidecar["Description"].startswith("T2, not measured")
    assert "Measured" not in sidecar_of(next(Path("out").rglob("*_T1map.nii.gz")))
    assert error_of(case, path, "T2") < 0.2  # its scale is that of usual tissue
    assert not list(Path("out").rglob("*T2residual*"))
    again = run(
        "synthesize",
        "--pd",
        done_map("PD"),
        "--t1",
        done_map("T1"),
        "--t2",
        path,
        "--preset",
        "T2w TSE",
        "--field",
        3,
        "-o",
        "t2w.nii.gz",
    )
    assert "was not measured but estimated" in again.stderr


@pytest.mark.slow
def test_what_only_gradient_echoes_see_of_t2_is_saved_as_t2_star(run: Run, case: Path) -> None:
    done = run(*words_of(case, ("PD", "T1"), ("acq-vfa_T1w",)), "--all-maps")
    assert done.exit_code == 0, done.stderr
    assert "T2* is solved for" in done.stderr
    assert [path.name for path in Path("out").rglob("*estimated*.gz")] == ["sub-01_desc-swigestimated_T2starmap.nii.gz"]


def test_a_dry_run_speaks_of_maps_that_exist(run: Run, case: Path) -> None:
    done = run(*words_of(case, ("PD", "T1"), ("acq-mprage_T1w",)), "--dry-run")
    assert done.exit_code == 0, done.stderr
    statements = json.loads(done.stdout)["statements"]
    (sentence,) = [each for each in statements if "comes mostly from the LR map" in each]
    assert "T2" not in sentence
    assert json.loads(done.stdout)["weights_sha256"] is None


@pytest.mark.parametrize(
    ("extra", "reason"), [(("--method", "regression"), "leave out --all-maps"), ((), "need a guide")]
)
def test_estimates_of_unmeasured_maps_need_signal_models(
    run: Run, case: Path, extra: tuple[str, ...], reason: str
) -> None:
    words = words_of(case, ("PD", "T1"), ("T1w",) if extra else ())
    refused = run(*words, "--all-maps", "--voxel-size", 4, *extra)
    assert refused.exit_code == 1
    assert reason in refused.stderr
