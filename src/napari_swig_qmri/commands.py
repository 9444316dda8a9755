"""What the commands do: read files, run, write files, and report as a dictionary that can become JSON.

The entry ``text`` of a report is its form for people.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.console import drain, say
from napari_swig_qmri.conversion import (
    as_guide,
    as_maps,
    assumptions,
    generated_by,
    interpolated,
    is_map,
    map_volumes,
    pd_factor,
    quantity_of,
)
from napari_swig_qmri.display import field_strength_of
from napari_swig_qmri.files import check_free, read_folder, read_volume, save_super_resolution, write_volume
from napari_swig_qmri.lazy import synthesise
from napari_swig_qmri.metrics import evaluate, format_scores, tissue_errors
from napari_swig_qmri.nifti import split_extension
from napari_swig_qmri.phantom import make_phantom
from napari_swig_qmri.results import RESEARCH_NOTICE, Progress, SuperResolution
from napari_swig_qmri.sidecars import to_sidecar
from napari_swig_qmri.signal_models import SignalModel
from napari_swig_qmri.volumes import QuantitativeMaps, Volume, VoxelGrid, WeightedImage

if TYPE_CHECKING:
    from napari_swig_qmri.metrics import Agreement, BoolArray, MapScores
    from napari_swig_qmri.volumes import FloatArray

Report = dict[str, Any]
SLAB = 8  # slices computed between two steps of the progress bar


@dataclass(frozen=True, eq=False, kw_only=True)
class MapFiles:
    """Maps and the files that they came from."""

    maps: QuantitativeMaps
    volumes: tuple[Volume, ...]  # one per map
    notices: tuple[str, ...]  # what was assumed about the files

    @property
    def paths(self) -> list[Path]:
        """Files of the maps."""
        return [volume.path for volume in self.volumes if volume.path is not None]


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """How a case is simulated."""

    factor: tuple[float, float, float]  # LR voxel edge in HR voxels
    guides: tuple[str, ...]  # names of usual guides; all if empty
    gains: tuple[float, ...]  # scanner units per unit of PD, one per guide; 1 if empty
    map_noise: float  # relative
    guide_noise: float  # relative to the median over tissue
    domain: str  # maps or signals
    voxel_size: tuple[float, float, float]  # mm, of the built-in head
    field_strength: float  # T, of the built-in head
    lesion: bool  # in the built-in head
    seed: int


def super_resolve_files(
    paths: Sequence[Path],
    guide_paths: Sequence[Path],
    output: Path,
    mask_path: Path | None = None,
    *,
    units: str | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Report:
    """Super-resolve maps with guides and save the result in a folder; `options` go to the pipeline."""
    from napari_swig_qmri.outlook import preflight  # these load torch: over a second
    from napari_swig_qmri.pipeline import super_resolve
    from napari_swig_qmri.preparation import choose_hr_grid

    given = read_maps(paths, units)
    stem = subject_of(given.volumes)
    _check_no_files(output, f"{stem}_desc-swig_*.nii.gz", overwrite)
    guides = _read_guides(guide_paths)
    if mask_path is not None:
        grid = choose_hr_grid(given.maps, guides, options.get("voxel_size"), None)
        options["mask"] = _read_mask(mask_path, grid, "the result").astype(np.float32)
    check = preflight(given.maps, guides, **options)
    if check.problems:
        raise ValueError(" ".join(check.problems))
    say(*check.statements)
    started = time.perf_counter()
    result = drain(super_resolve(given.maps, guides, **options))
    seconds = time.perf_counter() - started
    say(*result.notices)
    sources = [*given.paths, *guide_paths, *([mask_path] if mask_path else [])]
    result = replace(result, notices=(*given.notices, *result.notices))
    tesla = field_strength_of(*(volume.sidecar for volume in given.volumes))
    files = save_super_resolution(result, output, stem=stem, overwrite=overwrite, sources=sources, field_strength=tesla)
    return _super_resolution_report(result, files, seconds)


def synthesize_file(
    paths: Sequence[Path],
    sequence: SignalModel,
    output: Path,
    t2star_path: Path | None = None,
    *,
    units: str | None = None,
    overwrite: bool = False,
) -> Report:
    """Write the weighted image that a sequence would give of maps, with its sidecar."""
    split_extension(output)  # refuses other names than NIfTI's before there is work to lose
    check_free([output], overwrite)
    volumes = read_inputs(paths, units)
    given = maps_among(volumes, paths)
    t2star = _t2star(volumes if t2star_path is None else [read_volume(t2star_path, units)], given.maps.grid)
    data = drain(_contrast(given.maps, sequence, t2star))
    sidecar = to_sidecar(sequence) | _origin([*given.paths, *([t2star_path] if t2star_path else [])])
    image = Volume(data=data, grid=given.maps.grid, name=output.name, sidecar=sidecar)
    output.parent.mkdir(parents=True, exist_ok=True)
    files = write_volume(image, output, overwrite=overwrite)
    text = f"{sequence.title} written to {output}."
    return {"outputs": files, "sidecar": sidecar, "notices": given.notices, "text": text}


def simulate_files(
    paths: Sequence[Path], output: Path, settings: Simulation, *, units: str | None = None, overwrite: bool = False
) -> Report:
    """Write LR maps, guides, the truth and a mask of maps, or of the built-in head if there are none."""
    from napari_swig_qmri.simulate import USUAL_GUIDES  # loads torch: over a second

    unknown = [name for name in settings.guides if name not in USUAL_GUIDES]
    if unknown:
        raise ValueError(f"no guide is called {', '.join(unknown)}: choose among {', '.join(USUAL_GUIDES)}.")
    given = read_maps(paths, units) if paths else None
    stem = subject_of(given.volumes if given else ())
    _check_no_files(output, f"{stem}_*.nii.gz", overwrite)
    volumes = drain(_simulated(given.maps if given else None, settings))
    files: list[Path] = []
    for folder, volume in volumes:
        target = output / folder / f"{stem}_{volume.suffix}.nii.gz" if folder else output / "mask.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        files += write_volume(volume, target, overwrite=overwrite)
    text = "\n".join(f"wrote {path}" for path in files)
    notices = given.notices if given else ()
    return {"outputs": files, "settings": asdict(settings), "notices": notices, "text": text}


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
    grid = reference.maps.grid
    maps = interpolated(given.maps, grid) if interpolate else given.maps
    mask = _positive(reference.maps) if mask_path is None else _read_mask(mask_path, grid, "the reference")
    scores, errors = drain(_scores(maps, reference.maps, mask))
    return {
        "maps": {name: asdict(score) for name, score in scores.items()},
        "tissues": {name: {t: asdict(a) for t, a in each.items()} for name, each in errors.items()},
        "text": format_scores(scores, errors),
    }


def read_inputs(paths: Sequence[Path], units: str | None = None) -> list[Volume]:
    """Volumes of files, and of folders with everything below them; relaxation times in `units` if given."""
    volumes: list[Volume] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: check the name.")
        if path.is_dir():
            volumes += read_folder(path, units, strict=True)
        else:
            volume = read_volume(path, units)
            if not _is_input(volume):
                raise ValueError(
                    f"{path.name} is a {volume.suffix or 'file of unknown kind'}, not a PD, T1 or T2 map: "
                    "leave it out, or put --guide before it if it is a guide."
                )
            volumes.append(volume)
    return volumes


def maps_among(volumes: Sequence[Volume], paths: Sequence[Path]) -> MapFiles:
    """PD, T1 and T2 maps, any of them, of volumes read from `paths`; other images are passed over."""
    found = tuple(volume for volume in volumes if is_map(volume))
    if not found:
        listed = ", ".join(str(path) for path in paths)
        raise ValueError(f"no PD, T1 or T2 map in {listed}: name the files like sub-01_T1map.nii.gz.")
    scaled = [notice for v in found if quantity_of(v) == "PD" for notice in pd_factor(v)[1]]
    notices = (*(f"{v.name}: {notice}" for v in found for notice in v.notices), *scaled)
    say(*notices)
    return MapFiles(maps=as_maps(found), volumes=found, notices=notices)


def read_maps(paths: Sequence[Path], units: str | None = None) -> MapFiles:
    """PD, T1 and T2 maps, any of them, among files and folders."""
    return maps_among(read_inputs(paths, units), paths)


def subject_of(volumes: Iterable[Volume]) -> str:
    """Start of the names of output files: subject and session of the first map that names them."""
    for volume in volumes:
        parts = volume.path.name.split("_") if volume.path is not None else []
        kept = [part for part in parts if part.startswith(("sub-", "ses-"))]
        if kept:
            return "_".join(kept)
    return "sub-01"


def _is_input(volume: Volume) -> bool:
    return is_map(volume) or volume.suffix == "T2starmap"


def _read_guides(paths: Sequence[Path]) -> list[WeightedImage]:
    """Guides; says what was assumed about them."""
    volumes = [read_volume(path) for path in paths]
    guides = [as_guide(volume)[0] for volume in volumes]
    say(*(notice for guide in guides for notice in guide.notices))
    return guides


def _read_mask(path: Path, grid: VoxelGrid, owner: str) -> BoolArray:
    """Mask on the voxels of `grid`, which belongs to `owner`."""
    volume = read_volume(path)
    if not volume.grid.is_aligned_with(grid):
        raise ValueError(
            f"the mask {path.name} ({volume.grid.shape} voxels) and {owner} ({grid.shape} voxels) do not "
            "have the same voxels: resample the mask first."
        )
    return np.asarray(volume.data > 0.5)


def _positive(reference: QuantitativeMaps) -> BoolArray:
    """Voxels where every reference map has a value above zero."""
    with np.errstate(invalid="ignore"):
        return np.asarray((reference.data > 0).all(axis=0))


def _t2star(volumes: Sequence[Volume], grid: VoxelGrid) -> FloatArray | None:
    """T2* map in s among the volumes, if there is one."""
    volume = next((volume for volume in volumes if volume.suffix == "T2starmap"), None)
    if volume is None:
        return None
    if not volume.grid.is_aligned_with(grid):
        raise ValueError(f"{volume.name!r} does not have the voxels of the other maps: resample it first.")
    return volume.data


def _contrast(
    maps: QuantitativeMaps, sequence: SignalModel, t2star: FloatArray | None
) -> Generator[Progress, None, FloatArray]:
    """Signal of a sequence, slab by slab. A gradient echo sees T2* instead of T2, not both."""
    missing = [name for name in ("PD", "T1", "T2") if name not in maps.names]
    if missing:
        raise ValueError(f"a contrast needs PD, T1 and T2 maps, but {', '.join(missing)} is missing: add it.")
    decay = t2star if sequence.is_gradient_echo and t2star is not None else maps["T2"]
    signal = np.empty(maps.grid.shape, np.float32)
    for z in range(0, maps.grid.shape[2], SLAB):
        here = (..., slice(z, z + SLAB))
        yield Progress(z / maps.grid.shape[2], f"Synthesising {sequence.title}")
        signal[here] = synthesise(sequence, maps["PD"][here], maps["T1"][here], decay[here])
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
    from napari_swig_qmri.simulate import USUAL_GUIDES, degrade

    yield Progress(0.0, "Drawing the head" if maps is None else "Degrading")
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
    sequences = {name: USUAL_GUIDES[name] for name in settings.guides or USUAL_GUIDES}
    lr_maps, guides = degrade(
        maps,
        settings.factor,
        sequences,
        map_noise=settings.map_noise,
        guide_noise=settings.guide_noise,
        gains=settings.gains or None,
        domain=settings.domain,
        generator=np.random.default_rng(settings.seed),
    )
    yield Progress(0.8, "Writing")
    origin = _origin([]) | {"Simulation": asdict(settings)}
    return [
        *(("lr", volume) for volume in map_volumes(lr_maps, "LR", origin)),
        *(("guides", _guide_volume(guide, origin)) for guide in guides),
        *(("truth", volume) for volume in map_volumes(maps, "truth", origin)),
        ("", Volume(data=mask.astype(np.float32), grid=maps.grid, name="mask", suffix="mask")),
    ]


def _guide_volume(guide: WeightedImage, origin: Mapping[str, Any]) -> Volume:
    sidecar = {**to_sidecar(guide.sequence), **origin} if guide.sequence else dict(origin)
    return Volume(data=guide.data, grid=guide.grid, name=guide.name, suffix=guide.name, sidecar=sidecar)


def _origin(sources: Sequence[Path]) -> dict[str, Any]:
    """Sidecar entries that say where an image comes from."""
    return {
        "Sources": [str(path) for path in sources],
        "Notice": RESEARCH_NOTICE,
        "GeneratedBy": [generated_by()],
    }


def _check_no_files(folder: Path, pattern: str, overwrite: bool) -> None:
    """Refuse a folder that holds results before there is work to lose."""
    found = sorted(path.name for path in folder.rglob(pattern)) if folder.is_dir() else []
    if found and not overwrite:
        raise FileExistsError(
            f"{folder} already holds {found[0]}: choose another folder, or say --overwrite to replace it."
        )


def _super_resolution_report(result: SuperResolution, files: Sequence[Path], seconds: float) -> Report:
    first = result.lr_maps.data[0]
    tissue = np.nan_to_num(first) > 0.3 * np.nanpercentile(first, 99)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(result.lr_residual.data / result.lr_maps.data)[:, tissue]
    residual = dict(zip(result.lr_maps.names, np.nanmedian(relative, axis=1).tolist(), strict=True))
    gains = {guide.name: gain for guide, gain in zip(result.guides, result.gains, strict=True)}
    size = " x ".join(f"{edge:.4g}" for edge in result.maps.grid.voxel_size)
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
