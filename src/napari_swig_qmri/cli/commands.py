"""What the commands do: read files, run, write files, and report as a dictionary that can become JSON.

The entry ``text`` of a report is its form for people.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_swig_qmri.cli.console import drain, say
from napari_swig_qmri.cli.contrast_inputs import read_contrast_maps
from napari_swig_qmri.data.files import check_folder, check_free, write_volume
from napari_swig_qmri.data.inputs import paths_of, read_guides, read_maps, read_mask, subject_of
from napari_swig_qmri.data.interpretation import as_guide, guide_volume, map_volumes
from napari_swig_qmri.data.nifti import split_extension
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, generated_by, made_here, relative_sources
from napari_swig_qmri.data.resampling import interpolated
from napari_swig_qmri.data.sidecars import field_strength_of, to_sidecar
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.evaluation.scores import evaluate, format_scores, tissue_errors, variant
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.super_resolution.results import SuperResolution, assumptions, save_super_resolution
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
from napari_swig_qmri.synthesis.lazy_contrast import PLAIN, lazy_contrast
from napari_swig_qmri.synthesis.protocol import read_protocol
from napari_swig_qmri.synthesis.sheets import render, write_sheet

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import BoolArray, FloatArray
    from napari_swig_qmri.evaluation.scores import Agreement, MapScores
    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.super_resolution.options import Options
    from napari_swig_qmri.super_resolution.plan import RunPlan
    from napari_swig_qmri.synthesis.rendering import Rendering

Report = dict[str, Any]
Config = TypeVar("Config")
SLAB = 8  # slices computed between two steps of the progress bar


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """How a case is simulated; `used` holds what happened, for the sidecars."""

    factor: tuple[float, float, float]  # LR voxel edge in HR voxels
    guides: tuple[str, ...]  # names of usual guides; all of them if empty
    gains: tuple[float, ...]  # scanner units per unit of PD, one per guide; 1 if empty
    map_noise: float  # relative
    guide_noise: float  # relative to the median over tissue
    domain: str  # maps or signals
    voxel_size: tuple[float, float, float]  # mm, of the built-in head
    field_strength: float  # T, of the built-in head
    lesion: bool  # in the built-in head
    seed: int

    def used(self, *, is_head: bool) -> dict[str, Any]:
        """Settings that had an effect; those of the built-in head only if it was drawn (`is_head`)."""
        of_head = ("voxel_size", "field_strength", "lesion")
        return {name: value for name, value in asdict(self).items() if is_head or name not in of_head}


def super_resolve_files(
    paths: Sequence[Path],
    guide_paths: Sequence[Path],
    output: Path | None,
    options: Options,
    mask_path: Path | None = None,
    *,
    units: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Report:
    """Super-resolve the maps in files and save the result in a folder; with `dry_run`, only report the plan."""
    from napari_swig_qmri.super_resolution.pipeline import run  # these load torch: over a second
    from napari_swig_qmri.super_resolution.plan import plan
    from napari_swig_qmri.super_resolution.preflight import describe

    given = read_maps(paths, units)
    say(*given.notices)
    stem = subject_of(given.volumes)
    if output is not None and not dry_run:
        _check_no_files(output, [f"{stem}_desc-swig*"], overwrite)
    guide_volumes = read_guides(guide_paths)
    guides = [as_guide(volume)[0] for volume in guide_volumes]
    say(*(notice for guide in guides for notice in guide.notices))
    planned = plan(given.maps, guides, options, mask_path)
    statements = (*describe(planned), _cost(planned.seconds, planned.memory))
    if dry_run or output is None:
        return _plan_report(planned, statements, given.notices)
    say(*statements)
    started = time.perf_counter()
    result = drain(run(planned))
    seconds = time.perf_counter() - started
    say(*result.notices)
    sources = [*given.paths, *paths_of(guide_volumes), *([mask_path] if mask_path else [])]
    result = replace(result, notices=(*given.notices, *result.notices))
    tesla = field_strength_of(*(volume.sidecar for volume in given.volumes))
    files = save_super_resolution(result, output, stem=stem, overwrite=overwrite, sources=sources, field_strength=tesla)
    return _super_resolution_report(result, files, seconds)


def synthesize_file(
    paths: Sequence[Path],
    sequence: Contrast,
    output: Path,
    t2star_path: Path | None = None,
    b1_path: Path | None = None,
    *,
    rendering: Rendering = PLAIN,
    units: str | None = None,
    overwrite: bool = False,
) -> Report:
    """Write the weighted image that a sequence would give of maps, with its sidecar."""
    rendering.check(sequence, has_map=b1_path is not None)
    stem, _ = split_extension(output)  # refuses other names than NIfTI's before there is work to lose
    check_free([output, output.with_name(f"{stem}.json")], overwrite, "use --overwrite")
    given, maps, beside = read_contrast_maps(paths, units, t2star_path, b1_path)
    data = drain(_contrast(maps, sequence, rendering))
    sources = [*given.paths, *beside]
    rendering = rendering.with_map(maps.transmit_map)
    sidecar = to_sidecar(sequence) | rendering.to_sidecar() | made_here(**relative_sources(sources, output.parent))
    image = Volume(data=data, grid=given.maps.grid, name=output.name, sidecar=sidecar)
    output.parent.mkdir(parents=True, exist_ok=True)
    files = write_volume(image, output, overwrite=overwrite)
    text = f"{sequence.title} written to {output}."
    return {"outputs": files, "sidecar": sidecar, "notices": given.notices, "text": text}


def sheet_files(
    protocol_path: Path,
    paths: Sequence[Path],
    output: Path,
    formats: Sequence[str],
    b1_path: Path | None = None,
    *,
    units: str | None = None,
    overwrite: bool = False,
) -> Report:
    """Render every contrast of a protocol from maps, and write them in these formats."""
    protocol = read_protocol(protocol_path)
    given, maps, beside = read_contrast_maps(paths, units, None, b1_path)
    tesla = field_strength_of(*(volume.sidecar for volume in given.volumes))
    strength = {} if tesla is None else {"MagneticFieldStrength": tesla}
    origin = {**strength, "Sources": [str(path.absolute()) for path in (*given.paths, *beside)]}
    sheet = drain(render(maps, protocol, subject_of(given.volumes), origin))
    files = drain(write_sheet(sheet, output, formats, overwrite))
    names = ", ".join(contrast.name for contrast in protocol.contrasts)
    text = f"{names} of {sheet.subject} written to {output}: {RESEARCH_NOTICE} only."
    return {"outputs": files, "subject": sheet.subject, "notices": given.notices, "text": text}


def simulate_files(
    paths: Sequence[Path], output: Path, settings: Simulation, *, units: str | None = None, overwrite: bool = False
) -> Report:
    """Write LR maps, guides, the truth and a mask of maps, or of the built-in head if there are none."""
    from napari_swig_qmri.simulation.degradation import USUAL_GUIDES  # loads torch: over a second

    unknown = [name for name in settings.guides if name not in USUAL_GUIDES]
    if unknown:
        raise ValueError(f"no guide is called {', '.join(unknown)}: choose among {', '.join(USUAL_GUIDES)}.")
    wrong = [gain for gain in settings.gains if not 0 < gain < math.inf]
    if wrong:
        raise ValueError(f"a gain must be a number above 0, but --gain is {wrong[0]:g}: leave it out for a gain of 1.")
    names = settings.guides or tuple(USUAL_GUIDES)
    settings = replace(settings, guides=names, gains=settings.gains or (1.0,) * len(names))
    given = read_maps(paths, units) if paths else None
    say(*(given.notices if given else ()))
    stem = subject_of(given.volumes) if given else "sub-01"
    _check_no_files(output, [f"{stem}_*", "mask.*"], overwrite)
    volumes = drain(_simulated(given.maps if given else None, settings))
    files: list[Path] = []
    for folder, volume in volumes:
        target = output / folder / f"{stem}_{volume.suffix}.nii.gz" if folder else output / "mask.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        sidecar = {**volume.sidecar, **relative_sources(given.paths if given else [], target.parent)} if folder else {}
        files += write_volume(replace(volume, sidecar=sidecar), target, overwrite=overwrite)
    text = "\n".join(f"wrote {path}" for path in files)
    notices = given.notices if given else ()
    return {"outputs": files, "settings": settings.used(is_head=given is None), "notices": notices, "text": text}


def evaluate_files(
    paths: Sequence[Path],
    reference_paths: Sequence[Path],
    mask_path: Path | None,
    *,
    interpolate: bool = False,
    units: str | None = None,
) -> Report:
    """Scores of maps against reference maps over a mask; `units` are those of the maps, not of the reference.

    With `interpolate`, maps of another grid are brought onto that of the reference first.
    """
    given, reference = read_maps(paths, units), read_maps(reference_paths)
    say(*given.notices, *reference.notices)
    grid = reference.maps.grid
    maps = interpolated(given.maps, grid) if interpolate else given.maps
    mask = _positive(reference.maps) if mask_path is None else read_mask(mask_path, grid, "the reference")
    how = variant(reference.maps)
    scores, errors = drain(_scores(maps, reference.maps, mask))
    return {
        "maps": {name: asdict(score) for name, score in scores.items()},
        "tissues": {name: {t: asdict(a) for t, a in each.items()} for name, each in errors.items()},
        "variant": how,
        "notices": [*given.notices, *reference.notices],
        "text": format_scores(scores, errors, pd_factor=how["pd_factor"]),
    }


def train_network(path: Path) -> Report:
    """Train as a configuration says; the weights are written to its output folder."""
    from napari_swig_qmri.super_resolution.network.training import read_config, train  # these load torch: over a second

    weights = drain(train(_read_config(path, read_config)))
    return {"outputs": [weights], "notices": (), "text": f"Weights written to {weights}."}


def ablate_models(path: Path) -> Report:
    """Train and score the models of the ablation study that a configuration describes; tables and figures."""
    from napari_swig_qmri.evaluation.ablation.figures import draw_figures  # first, for it may lack matplotlib
    from napari_swig_qmri.evaluation.ablation.study import read_ablation, run_study  # this loads torch: over a second
    from napari_swig_qmri.evaluation.ablation.tables import study_text, write_tables

    config = _read_config(path, read_ablation)
    study = drain(run_study(config))
    folder = Path(config.output)
    files = [*write_tables(folder, study), *draw_figures(folder, study)]
    written = "\n".join(f"wrote {file}" for file in files)
    return {"outputs": files, "budget": study.budget, "text": f"{study_text(study)}\n{written}"}


def _read_config(path: Path, read: Callable[[Path], Config]) -> Config:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name.")
    return read(path)


def _positive(reference: QuantitativeMaps) -> BoolArray:
    """Voxels where every reference map has a value above zero."""
    with np.errstate(invalid="ignore"):
        return np.asarray((reference.data > 0).all(axis=0))


def _contrast(maps: ContrastMaps, sequence: Contrast, rendering: Rendering) -> Generator[Progress, None, FloatArray]:
    """Signal of a sequence, slab by slab. A gradient echo sees T2* instead of T2; an equation may see both."""
    contrast = lazy_contrast(maps, sequence, rendering)
    signal = np.empty(maps.grid.shape, np.float32)
    for z in range(0, maps.grid.shape[2], SLAB):
        here = (..., slice(z, z + SLAB))
        yield Progress(z / maps.grid.shape[2], f"Synthesising {sequence.title}")
        signal[here] = contrast[here]
    return signal


def _scores(
    maps: QuantitativeMaps, reference: QuantitativeMaps, mask: BoolArray
) -> Generator[Progress, None, tuple[dict[str, MapScores], dict[str, dict[str, Agreement]]]]:
    yield Progress(0.0, "Similarity and edges")
    scores = evaluate(maps, reference, mask)
    yield Progress(0.7, "Errors per tissue")
    return scores, tissue_errors(maps, reference, mask)


def _simulated(
    maps: QuantitativeMaps | None, settings: Simulation
) -> Generator[Progress, None, list[tuple[str, Volume]]]:
    """Folder and volume of everything that a simulated case holds."""
    from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade

    is_head = maps is None
    yield Progress(0.0, "Drawing the head" if is_head else "Degrading")
    if maps is None:
        phantom = make_phantom(
            settings.voxel_size,
            field_strength=settings.field_strength,
            seed=settings.seed,
            lesion=settings.lesion,
        )
        maps, mask = phantom.maps, phantom.mask
    else:
        mask = _positive(maps)
    yield Progress(0.5, "Degrading")
    _check_factor(maps.grid.shape, settings.factor)
    sequences = {name: USUAL_GUIDES[name] for name in settings.guides}
    lr_maps, guides = degrade(
        maps,
        settings.factor,
        sequences,
        map_noise=settings.map_noise,
        guide_noise=settings.guide_noise,
        gains=settings.gains,
        domain=settings.domain,
        generator=np.random.default_rng(settings.seed),
    )
    yield Progress(0.8, "Writing")
    origin = made_here(Simulation=settings.used(is_head=is_head))
    of_truth = origin if is_head else {"GeneratedBy": [generated_by()]}  # a copy of what was given
    return [
        *(("lr", volume) for volume in map_volumes(lr_maps, "LR", origin)),
        *(("guides", guide_volume(guide, origin)) for guide in guides),
        *(("truth", volume) for volume in map_volumes(maps, "truth", of_truth)),
        ("", Volume(data=mask.astype(np.float32), grid=maps.grid, name="mask", suffix="mask")),
    ]


def _check_factor(shape: tuple[int, int, int], factor: tuple[float, float, float]) -> None:
    """ValueError where LR maps would have a single voxel along an axis of several."""
    if any(n > 1 and round(n / edge) < 2 for n, edge in zip(shape, factor, strict=True)):
        given, there = (" x ".join(f"{number:g}" for number in each) for each in (factor, shape))
        raise ValueError(
            f"--factor {given} leaves fewer than two voxels along an axis of {there} voxels: choose a smaller one."
        )


def _cost(seconds: float, memory: int) -> str:
    """What a run will take, for a person; `memory` in bytes."""
    time_needed = f"{max(1, seconds):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    return f"Takes about {time_needed} and {memory / 1e9:.1f} GB of memory."


def _check_no_files(folder: Path, patterns: Sequence[str], overwrite: bool) -> None:
    """Refuse a file in place of a folder, and a folder that holds results, before there is work to lose."""
    check_folder(folder)
    found = sorted(path.name for pattern in patterns for path in folder.rglob(pattern)) if folder.is_dir() else []
    if found and not overwrite:
        raise FileExistsError(f"{found[0]} already in {folder}: choose another folder or use --overwrite.")


def _plan_report(plan: RunPlan, statements: Sequence[str], notices: Sequence[str]) -> Report:
    """Report of a dry run: what a run would do, with its grid, device, memory and time."""
    return {
        "outputs": [],
        "statements": list(statements),
        "voxel_size_mm": plan.hr_grid.voxel_size,
        "shape": plan.hr_grid.shape,
        "device": str(plan.device),
        "estimated_seconds": plan.seconds,
        "estimated_memory_bytes": plan.memory,
        "weights_sha256": plan.weights_sha256,
        "options": plan.options.to_json(),
        "notices": [*notices, *(notice for guide in plan.guides for notice in guide.notices)],
        "text": "\n".join(statements),
    }


def _super_resolution_report(result: SuperResolution, files: Sequence[Path], seconds: float) -> Report:
    first = result.lr_maps.data[0]
    tissue = np.nan_to_num(first) > 0.3 * np.nanpercentile(first, 99)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(result.lr_residual.data / result.lr_maps.data)[:, tissue]
    residual = dict(zip(result.lr_maps.names, np.nanmedian(relative, axis=1).tolist(), strict=True))
    gains = {guide.name: gain for guide, gain in zip(result.guides, result.gains, strict=True)}
    size = size_text(result.maps.grid.voxel_size)
    lines = [
        f"{', '.join(result.maps.names)} at {size} mm in {seconds:.1f} s",
        *(f"gain of {name}: {gain:.5g}" for name, gain in gains.items()),
        *(f"LR residual of {name}: {100 * value:.3g} % (median over tissue)" for name, value in residual.items()),
        *(f"wrote {path}" for path in files),
        f"These maps are {RESEARCH_NOTICE}.",
    ]
    return {
        "outputs": list(files),
        "voxel_size_mm": result.maps.grid.voxel_size,
        "seconds": seconds,
        "gains": gains,
        "median_relative_lr_residual": residual,
        "notices": assumptions(result),
        "parameters": dict(result.parameters),
        "text": "\n".join(lines),
    }
