"""A T2* map is super-resolved where gradient echoes alone see T2, else decides their decay, else is left out aloud."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_cases import Run, load, save, sidecar_of

from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel, SpinEcho
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.simulation.phantom import make_phantom

R2_PRIME = 7.5  # 1/s, as at 3 T
SPIN_ECHOES: dict[str, SignalModel] = {
    "T1w": SpinEcho(echo_time=0.012, repetition_time=0.6),
    "T2w": SpinEcho(echo_time=0.09, repetition_time=5.0),
}
GRADIENT_ECHOES: dict[str, SignalModel] = {
    "acq-pdw_T1w": replace(SEQUENCES["spgr"].from_typical(), flip_angle=np.deg2rad(4), echo_time=0.01),
    "acq-t1w_T1w": replace(SEQUENCES["spgr"].from_typical(), flip_angle=np.deg2rad(20)),
    "acq-mprage_T1w": SEQUENCES["mprage"].from_typical(),
}
STAR = "T2starmap"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the maps PD, R1, T2 and R2* with voxels of 8 mm, guides and the truth with voxels of 4 mm."""
    folder = tmp_path_factory.mktemp("case")
    truth = make_phantom(4.0, extent=((-45, 45), (-60, 20), (0, 48))).maps
    starred = truth.data.copy()
    starred[2] = 1 / (1 / truth["T2"] + R2_PRIME)
    of_echoes = QuantitativeMaps(data=starred, grid=truth.grid)
    lr, spin = degrade(truth, 2, SPIN_ECHOES, map_noise=0.005, guide_noise=0.005)
    lr_star, gradient = degrade(of_echoes, 2, GRADIENT_ECHOES, map_noise=0.005, guide_noise=0.005)
    volumes = {"PDmap": lr["PD"], "R1map": 1 / lr["T1"], "T2map": lr["T2"], "R2starmap": 1 / lr_star["T2"]}
    for suffix, data in volumes.items():
        units = {} if suffix == "PDmap" else {"Units": "s" if suffix == "T2map" else "1/s"}
        save(folder / f"sub-01_{suffix}.nii.gz", data, units, lr.grid.affine)
    for name, data in {"PDmap": truth["PD"], "T1map": truth["T1"], "T2map": truth["T2"], STAR: starred[2]}.items():
        save(folder / "truth" / f"{name}.nii.gz", data)
    for name, guide in zip((*SPIN_ECHOES, *GRADIENT_ECHOES), (*spin, *gradient), strict=True):
        assert guide.sequence is not None
        save(folder / f"sub-01_{name}.nii.gz", guide.data, to_sidecar(guide.sequence), guide.grid.affine)
    return folder


def words_of(case: Path, maps: tuple[str, ...], guides: tuple[str, ...]) -> list[object]:
    images = [word for guide in guides for word in ("--guide", case / f"sub-01_{guide}.nii.gz")]
    files = [case / f"sub-01_{name}.nii.gz" for name in maps]
    return ["super-resolve", *files, *images, "-o", "out", "--json", "--method", "posterior"]


def written() -> dict[str, Path]:
    """SR maps by suffix."""
    paths = Path("out").rglob("*desc-swig*_*map.nii.gz")
    return {path.name.split("_")[-1].removesuffix(".nii.gz"): path for path in paths}


def error_of(case: Path, suffix: str) -> float:
    """Median relative error of an SR map over the brain, without CSF."""
    truth = {each: load(case / "truth" / f"{each}.nii.gz") for each in ("PDmap", "T2map", suffix)}
    tissue = (truth["PDmap"] > 0.5) & (truth["T2map"] < 0.12) & (truth["T2map"] > 0.05)
    return float(np.median(np.abs(load(written()[suffix]) / truth[suffix] - 1)[tissue]))


@pytest.mark.slow
@pytest.mark.parametrize("n_guides", [1, 2, 3])
def test_with_gradient_echoes_t2_star_is_a_measured_map(run: Run, case: Path, n_guides: int) -> None:
    done = run(*words_of(case, ("PDmap", "R1map", "R2starmap"), tuple(GRADIENT_ECHOES)[:n_guides]))
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report["median_relative_lr_residual"]) == set(report["parameters"]["lr_noise"]) == {"PD", "T1", "T2*"}
    assert set(written()) == {"PDmap", "T1map", STAR}
    assert written()[STAR].name == "sub-01_desc-swig_T2starmap.nii.gz"
    assert "Measured" not in sidecar_of(written()[STAR])
    assert "sub-01_R2starmap.nii.gz" in " ".join(sidecar_of(written()[STAR])["Sources"])
    for suffix in written():
        assert error_of(case, suffix) < 0.05
    assert "T2* is super-resolved in the place of T2" in done.stderr
    assert "unknown" not in done.stderr
    assert len(list(Path("out").rglob("*_T2starresidual.nii.gz"))) == 1


@pytest.mark.slow
def test_with_spin_echoes_t2_star_is_left_out_aloud_and_t2_is_an_unknown(run: Run, case: Path) -> None:
    done = run(*words_of(case, ("PDmap", "R1map", "R2starmap"), tuple(SPIN_ECHOES)), "--all-maps")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("sub-01 R2starmap: left out, because no guide decays with T2*") == 1
    assert "T2 is solved for as an unknown" in done.stderr
    assert set(written()) == {"PDmap", "T1map", "T2map"}
    assert sidecar_of(written()["T2map"])["Measured"] is False


@pytest.mark.slow
@pytest.mark.parametrize("has_t2", [False, True])
def test_with_both_kinds_of_echoes_t2_star_decides_the_decay_of_gradient_echoes(
    run: Run, case: Path, has_t2: bool
) -> None:
    maps = ("PDmap", "R1map", *(["T2map"] if has_t2 else []), "R2starmap")
    done = run(*words_of(case, maps, ("acq-pdw_T1w", "acq-t1w_T1w", "T2w")))
    assert done.exit_code == 0, done.stderr
    assert "acq-t1w T1w were brought to echo time 0 with this T2*" in done.stderr
    echo_times = {each["name"]: each["echo_time"] for each in json.loads(done.stdout)["parameters"]["guides"]}
    assert sorted(echo_times.values()) == [0, 0, 0.09]
    assert set(written()) == {"PDmap", "T1map", *(["T2map"] if has_t2 else [])}
    assert error_of(case, "PDmap") < 0.03
    assert error_of(case, "T1map") < 0.03


@pytest.mark.slow
def test_t2_star_alone_runs_with_gradient_echoes_and_is_refused_with_spin_echoes(run: Run, case: Path) -> None:
    done = run(*words_of(case, ("R2starmap",), ("acq-pdw_T1w", "acq-t1w_T1w")))
    assert done.exit_code == 0, done.stderr
    assert set(written()) == {STAR}
    refused = run(*words_of(case, ("R2starmap",), ("T2w",)), "--overwrite")
    assert refused.exit_code == 1
    assert "no map was given" in refused.stderr


@pytest.mark.slow
def test_files_that_name_mpm_keep_its_signals_with_t2_star(run: Run, case: Path) -> None:
    words = words_of(case, ("PDmap", "R1map", "R2starmap"), ("acq-pdw_T1w", "acq-t1w_T1w"))
    done = run(*words, "--maps-from", "mpm")
    assert done.exit_code == 0, done.stderr
    assert set(written()) == {"PDmap", "T1map", STAR}
    assert error_of(case, STAR) < 0.1


def test_a_dry_run_names_the_file_of_t2_star(run: Run, case: Path) -> None:
    done = run(*words_of(case, ("PDmap", "R1map", "R2starmap"), ("acq-pdw_T1w",)), "--dry-run")
    assert done.exit_code == 0, done.stderr
    statements = json.loads(done.stdout)["statements"]
    assert "T2* from sub-01_R2starmap.nii.gz, in 1/s." in statements
    assert sum("in the place of T2" in each for each in statements) == 1
