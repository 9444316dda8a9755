"""Commands for maps whose truth is known: ``simulate``, ``evaluate``, ``train`` and ``ablate``."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.cli.console import Report, drain, plan_report, say
from napari_swig_qmri.cli.statements import map_statements
from napari_swig_qmri.data.coercion import mask_from
from napari_swig_qmri.data.inputs import read_maps, subject_of
from napari_swig_qmri.data.interpretation import guide_volume, map_volumes, with_pd_scale_of
from napari_swig_qmri.data.labels import check_place
from napari_swig_qmri.data.provenance import generated_by, made_here, relative_sources
from napari_swig_qmri.data.resampling import interpolated
from napari_swig_qmri.data.storage.files import write_volumes
from napari_swig_qmri.data.storage.output import check_output
from napari_swig_qmri.data.volumes import BoolArray, QuantitativeMaps, Volume
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.evaluation.scores import (
    Agreement,
    MapScores,
    evaluate,
    format_scores,
    positive_voxels,
    tissue_errors,
    variant,
)
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.simulation.textured_head import make_textured_head

if TYPE_CHECKING:
    from napari_swig_qmri.cli.parameters import MapArguments
    from napari_swig_qmri.data.inputs import MapFiles

PHANTOM_SETTINGS = ("voxel_size", "field_strength", "lesion", "texture")  # without effect on maps from files


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Settings of a simulated case."""

    factor: tuple[float, float, float]  # LR voxel edge in HR voxels
    guides: tuple[str, ...]  # keys of `USUAL_GUIDES`; all of them if empty
    gains: tuple[float, ...]  # scanner units per unit of PD, one per guide; 1 if empty
    map_noise: float  # relative to the value
    guide_noise: float  # relative to the median over tissue
    domain: str  # maps or signals
    voxel_size: tuple[float, float, float]  # mm, of the built-in head
    field_strength: float  # T, of the built-in head
    lesion: bool  # in the built-in head
    texture: bool  # of the tissues of the built-in head
    seed: int  # of the built-in head and of the noise

    def recorded(self, *, is_phantom: bool) -> dict[str, Any]:
        """Settings that had an effect, for the sidecars; those of the built-in head only if `is_phantom`."""
        return {name: value for name, value in asdict(self).items() if is_phantom or name not in PHANTOM_SETTINGS}


def simulate_files(
    arguments: MapArguments, output: Path, settings: Simulation, *, overwrite: bool = False, dry_run: bool = False
) -> Report:
    """Write LR maps, guides, the truth and a mask; the truth is the built-in head if no maps are given.

    With `dry_run`, only report what would be written.
    """
    settings = _completed(settings)
    has_maps = arguments.paths or arguments.named
    given = read_maps(arguments.paths, arguments.units, arguments.named) if has_maps else None
    notices = given.notices if given else ()
    say(*notices)
    stem = subject_of(given.volumes) if given else "sub-01"
    check_output(output, [f"{stem}_*", "mask.*"], overwrite=overwrite)
    if dry_run:
        return plan_report(
            _simulation_statements(given, output, settings), notices, settings=settings.recorded(is_phantom=not given)
        )
    volumes = drain(_simulated(given.maps if given else None, settings))
    traced = []
    for folder, volume in volumes:
        target = output / folder / f"{stem}_{volume.suffix}.nii.gz" if folder else output / "mask.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        sidecar = {**volume.sidecar, **relative_sources(given.paths if given else [], target.parent)} if folder else {}
        traced.append((replace(volume, sidecar=sidecar), target))
    files = write_volumes(traced, overwrite)
    text = "\n".join(f"wrote {path}" for path in files)
    return {"outputs": files, "settings": settings.recorded(is_phantom=not given), "notices": notices, "text": text}


def evaluate_files(
    arguments: MapArguments,
    reference_paths: Sequence[Path],
    mask_path: Path | None,
    *,
    interpolate: bool = False,
    dry_run: bool = False,
) -> Report:
    """Score maps against reference maps; with `dry_run`, only report which.

    The unit in the `arguments` is not that of the reference. Without a mask file, the mask is where every reference map
    is above zero.
    """
    given = read_maps(arguments.paths, arguments.units, arguments.named)
    reference = read_maps(reference_paths)
    grid = reference.maps.grid
    mask, about_mask = mask_from(mask_path, grid, reference.maps, "the reference")
    mask = positive_voxels(reference.maps) if mask is None else mask
    maps, about_scale = with_pd_scale_of(given.maps, reference.maps)
    notices = (*given.notices, *reference.notices, *about_scale, *about_mask)
    say(*notices)
    check_place("the maps", given.maps.grid, grid, "the reference")
    maps = interpolated(maps, grid) if interpolate else maps
    if dry_run:
        statements = [*map_statements(given), *(f"Reference: {each}" for each in map_statements(reference))]
        return plan_report([*statements, f"Would score {mask.sum()} voxels."], notices)
    measures = variant(reference.maps)
    try:
        scores, errors = drain(_scores(maps, reference.maps, mask))
    except ValueError as error:
        raise ValueError(f"{given.volumes[0].source} and {reference.volumes[0].source}: {error}") from None
    return {
        "maps": {name: asdict(score) for name, score in scores.items()},
        "tissues": {name: {t: asdict(a) for t, a in each.items()} for name, each in errors.items()},
        "variant": measures,
        "notices": notices,
        "text": format_scores(scores, errors, pd_factor=measures["pd_factor"]),
    }


def train_network(path: Path, *, dry_run: bool = False) -> Report:
    """Train a network with the settings of a TOML file; with `dry_run`, only report them."""
    from napari_swig_qmri.super_resolution.network.configuration import hr_map_notices  # loads torch: over a second
    from napari_swig_qmri.super_resolution.network.training import read_config, train

    settings = read_config(path)
    notices = hr_map_notices((*settings.train, *settings.validation))
    say(*notices)
    if dry_run:
        statements = (
            f"Trains on {settings.n_subjects} random subjects in {settings.n_steps} steps of {settings.batch_size}.",
            f"Validates with {settings.n_validation} subjects every {settings.validate_every} steps.",
            f"Would write the weights to {settings.output}.",
        )
        return plan_report(statements, notices, settings=asdict(settings))
    weights = drain(train(settings))
    return {"outputs": [weights], "notices": notices, "text": f"Weights written to {weights}."}


def ablate_models(path: Path, *, dry_run: bool = False) -> Report:
    """Run the ablation study of a TOML file, and write its tables and figures; with `dry_run`, only report it."""
    from napari_swig_qmri.evaluation.ablation.figures import draw_figures  # first, because matplotlib may be missing
    from napari_swig_qmri.evaluation.ablation.study import budget_of, read_ablation, run_study  # loads torch
    from napari_swig_qmri.evaluation.ablation.tables import study_text, write_tables

    settings = read_ablation(path)
    if dry_run:
        budget = budget_of(settings)
        statements = (f"{budget[:1].upper()}{budget[1:]}.", f"Would write tables and figures to {settings.output}.")
        return plan_report(statements, settings=asdict(settings))
    folder = Path(settings.output)
    check_output(folder)
    study = drain(run_study(settings))
    files = [*write_tables(folder, study), *draw_figures(folder, study)]
    written = "\n".join(f"wrote {file}" for file in files)
    return {"outputs": files, "budget": study.budget, "text": f"{study_text(study)}\n{written}"}


def _completed(settings: Simulation) -> Simulation:
    """Settings with the usual guides and gains of 1 where none are given; ValueError if one cannot be used."""
    from napari_swig_qmri.simulation.degradation import USUAL_GUIDES  # loads torch: over a second

    unknown = [name for name in settings.guides if name not in USUAL_GUIDES]
    if unknown:
        raise ValueError(f"no guide is called {', '.join(unknown)}: choose among {', '.join(USUAL_GUIDES)}.")
    wrong = [gain for gain in settings.gains if not 0 < gain < math.inf]
    if wrong:
        raise ValueError(f"a gain must be a number above 0, but --gain is {wrong[0]:g}: leave it out for a gain of 1.")
    names = settings.guides or tuple(USUAL_GUIDES)
    return replace(settings, guides=names, gains=settings.gains or (1.0,) * len(names))


def _simulation_statements(given: MapFiles | None, output: Path, settings: Simulation) -> list[str]:
    """Sentences on what would be simulated."""
    if given is None:
        lines = [f"Draws the built-in head {settings.seed} at {size_text(settings.voxel_size)} mm."]
    else:
        _check_factor(given.maps.grid.shape, settings.factor)
        lines = map_statements(given)
    return [
        *lines,
        f"Low-resolution voxels are {size_text(settings.factor)} voxels of the maps wide.",
        f"Guides: {', '.join(settings.guides)}.",
        f"Would write to {output}.",
    ]


def _simulated(
    maps: QuantitativeMaps | None, settings: Simulation
) -> Generator[Progress, None, list[tuple[str, Volume]]]:
    """Subfolder and volume of every image of a simulated case."""
    from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade  # loads torch

    is_phantom = maps is None
    yield Progress(0.0, "Drawing the head" if is_phantom else "Degrading")
    if maps is None:
        size, tesla = settings.voxel_size, settings.field_strength
        draw = make_textured_head if settings.texture else make_phantom
        phantom = draw(size, field_strength=tesla, seed=settings.seed, lesion=settings.lesion)
        maps, mask = phantom.maps, phantom.mask
    else:
        mask = positive_voxels(maps)
    yield Progress(0.5, "Degrading")
    _check_factor(maps.grid.shape, settings.factor)
    lr_maps, guides = degrade(
        maps,
        settings.factor,
        {name: USUAL_GUIDES[name] for name in settings.guides},
        map_noise=settings.map_noise,
        guide_noise=settings.guide_noise,
        gains=settings.gains,
        domain=settings.domain,
        generator=np.random.default_rng(settings.seed),
    )
    yield Progress(0.8, "Writing")
    origin = made_here(Simulation=settings.recorded(is_phantom=is_phantom))
    truth_origin = origin if is_phantom else {"GeneratedBy": [generated_by()]}  # maps from files are only copied
    return [
        *(("lr", volume) for volume in map_volumes(lr_maps, "LR", origin)),
        *(("guides", guide_volume(guide, origin)) for guide in guides),
        *(("truth", volume) for volume in map_volumes(maps, "truth", truth_origin)),
        ("", Volume(data=mask.astype(np.float32), grid=maps.grid, name="mask", suffix="mask")),
    ]


def _check_factor(shape: tuple[int, int, int], factor: tuple[float, float, float]) -> None:
    """Raise a ValueError where LR maps would have a single voxel along an axis of several."""
    if any(n > 1 and round(n / edge) < 2 for n, edge in zip(shape, factor, strict=True)):
        voxels = " × ".join(map(str, shape))
        raise ValueError(
            f"--factor {size_text(factor)} leaves fewer than two voxels along an axis of {voxels} voxels: "
            "choose a smaller one."
        )


def _scores(
    maps: QuantitativeMaps, reference: QuantitativeMaps, mask: BoolArray
) -> Generator[Progress, None, tuple[dict[str, MapScores], dict[str, dict[str, Agreement]]]]:
    yield Progress(0.0, "Similarity and edges")
    scores = evaluate(maps, reference, mask)
    yield Progress(0.7, "Errors per tissue")
    return scores, tissue_errors(maps, reference, mask)
