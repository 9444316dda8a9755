"""The plan of a run: its inputs, and everything that follows from them before it starts."""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.coercion import (
    GuideLike,
    MapsLike,
    MaskLike,
    guides_from,
    map_files_from,
    mask_from,
    volume_from,
)
from napari_swig_qmri.data.labels import check_place
from napari_swig_qmri.data.transmit_field import as_transmit_map
from napari_swig_qmri.data.wording import joined, size_text
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.checks import check_detail, check_guides, check_maps, check_options
from napari_swig_qmri.super_resolution.examination.guide_blur import with_guide_blur
from napari_swig_qmri.super_resolution.examination.header_shift import (
    header_shift,
    shift_notice,
    with_shifted_header,
)
from napari_swig_qmri.super_resolution.examination.measured_response import with_measured_response
from napari_swig_qmri.super_resolution.examination.open_ends import with_open_ends
from napari_swig_qmri.super_resolution.examination.origin_of_maps import with_origin
from napari_swig_qmri.super_resolution.examination.part_of_head import can_be_examined, solved_part
from napari_swig_qmri.super_resolution.examination.pose import Pose
from napari_swig_qmri.super_resolution.examination.prepared_guides import PreparedGuides, prepared_guides
from napari_swig_qmri.super_resolution.examination.receive_field import ReceiveField
from napari_swig_qmri.super_resolution.examination.settings.by_contrast import checked_settings, refined_settings
from napari_swig_qmri.super_resolution.examination.settings.by_solving import solved_settings
from napari_swig_qmri.super_resolution.examination.settings.findings import SettingCheck, with_fitted
from napari_swig_qmri.super_resolution.examination.stored_guides import guides_at_measured_resolution
from napari_swig_qmri.super_resolution.examination.verdict import GuideFindings, departures, findings_of
from napari_swig_qmri.super_resolution.network.error_model import ErrorFunction, ErrorModel
from napari_swig_qmri.super_resolution.network.model import SwigNet
from napari_swig_qmri.super_resolution.observations.lr_signals import lr_signals
from napari_swig_qmri.super_resolution.observations.origin import signals_of_maps
from napari_swig_qmri.super_resolution.observations.stored_resolution import at_measured_resolution
from napari_swig_qmri.super_resolution.options import AUTO, UNKNOWN, Options
from napari_swig_qmri.super_resolution.preparation.hr_grid import choose_hr_grid, hr_grid_notices, reference_index
from napari_swig_qmri.super_resolution.preparation.problem import Problem
from napari_swig_qmri.super_resolution.preparation.t2_star import with_t2_star
from napari_swig_qmri.super_resolution.solver.devices import BYTES_PER_VOXEL, choose_device, planes_of_a_slab
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, fingerprint, weights_file

if TYPE_CHECKING:
    from napari_swig_qmri.data.inputs import MapFiles
    from napari_swig_qmri.data.volumes import BoolArray, QuantitativeMaps, Volume, VoxelGrid, WeightedImage

# float32 volumes of the HR grid held at the same time beside the guides, measured
VOLUMES = {"regression": 25, "posterior": 36, "network": 70}
VOLUMES_TO_ADAPT = 32  # more, measured
SECONDS_PER_VOXEL = {"regression": 1.2e-6, "posterior": 3.5e-6, "network": 4.5e-6}  # HR voxel, two guides, two cores
SECONDS_TO_ADAPT = 90.0  # of the training steps, besides solving the problem once more


class TooLittleMemoryError(ValueError):
    """A run that needs more memory than the machine has; `needed` in bytes."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RunPlan:
    """A run that can start: its inputs and what was worked out from them.

    Attributes
    ----------
    maps
        Measured LR maps.
    guides
        Weighted images with their sequences, on their own grids.
    options
        Options of the run.
    mask
        ``(X, Y, Z)`` on the HR grid, or None.
    hr_grid
        Grid of the result.
    reference
        Index of the guide whose field of view `hr_grid` has, or a part of it; None without a guide.
    device
        Device that computes.
    network
        Loaded network; None for other methods.
    weights_sha256
        First 16 digits of the SHA-256 of the weights; None without a network.
    error_model
        Model of the standard errors.
    problem
        Maps and guides on one pair of grids, as the solver takes them.
    poses
        Pose of each guide against the LR maps, the identity where nothing was corrected; None if none was looked for.
    fields
        Receive field that each guide was divided by, 1 where nothing was corrected; None if none was looked for.
    findings
        What was found about each guide, with a verdict.
    memory
        Estimated peak memory in bytes.
    seconds
        Estimated duration on two CPU cores.
    notices
        What was assumed about the inputs, and what was changed in them, one sentence each.

    Examples
    --------
    >>> from napari_swig_qmri import Options, degrade, make_phantom, plan
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> plan(maps, guides, Options(method="posterior")).hr_grid.voxel_size
    (4.0, 4.0, 4.0)
    """

    maps: QuantitativeMaps
    guides: tuple[WeightedImage, ...]
    options: Options
    mask: BoolArray | None
    hr_grid: VoxelGrid
    reference: int | None
    device: torch.device
    network: SwigNet | None
    weights_sha256: str | None
    error_model: ErrorFunction
    problem: Problem
    poses: tuple[Pose, ...] | None
    fields: tuple[ReceiveField, ...] | None
    findings: tuple[GuideFindings, ...]
    memory: int
    seconds: float
    notices: tuple[str, ...] = ()

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Verdict on each guide."""
        return tuple(found.verdict for found in self.findings)

    def __repr__(self) -> str:
        guides = f", guides {', '.join(guide.name for guide in self.guides)}" if self.guides else ""
        return f"<RunPlan: method {self.options.method}, {size_text(self.hr_grid.voxel_size)} mm{guides}>"


def plan(
    maps: MapsLike,
    guides: Sequence[GuideLike],
    options: Options = Options(),
    mask: MaskLike | None = None,
    *,
    units: str | None = None,
) -> RunPlan:
    """Check the inputs of a run and work out everything that can be known before it starts.

    Parameters
    ----------
    maps, guides, mask, units
        As for `super_resolve`.
    options
        Options of the run.

    Returns
    -------
    RunPlan
        Inputs in one form and on one pair of grids, device, loaded network, and estimates of memory and time.
        `super_resolve` takes it in place of the maps.

    Raises
    ------
    ValueError
        If the run cannot be started, with one sentence that says why and what to do.
    TypeError
        If an input is of a kind that is not understood.
    FileNotFoundError
        If a file does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import Guide, Options, SpinEcho, plan
    >>> t1 = (np.full((8, 8, 8), 1200.0), np.diag([2.0, 2.0, 2.0, 1.0]))
    >>> image = np.random.default_rng(0).uniform(1, 2, (16, 16, 16))
    >>> t1w = Guide((image, np.diag([1.0, 1.0, 1.0, 1.0])), SpinEcho.from_typical())
    >>> run = plan({"T1": t1}, [t1w], Options(method="regression"), units="ms")
    >>> run.hr_grid.shape, round(float(run.maps["T1"].max()), 3)
    ((16, 16, 16), 1.2)
    """
    if not isinstance(options, Options):
        raise TypeError(f"options are given as Options(...), but {type(options).__name__} came.")
    files = map_files_from(maps, units, uses_t2star=True, uses_transmit_field=options.field)
    files, images = with_t2_star(files, guides_from(guides))
    given, about_files, as_given = files.maps, files.notices, images
    measured, notices = given, about_files
    check_maps(measured)
    signals, about_origin = signals_of_maps(options, measured)
    if options.resolution:
        measured, about_resolution = at_measured_resolution(measured)
        notices += about_resolution
    check_options(options, measured, len(images))
    check_guides(images)
    if options.resolution:
        images, about_guides = guides_at_measured_resolution(images, measured.grid)
        notices += about_guides
    hr_grid = choose_hr_grid(measured, images, options.voxel_size, options.reference)
    check_detail(measured, images, hr_grid, options.voxel_size)
    reference = reference_index(images, options.reference) if images else None
    of_reference = None if reference is None else images[reference].grid
    inside, about_mask = mask_from(mask, hr_grid, measured, reference=of_reference)
    device = choose_device(options.device, options.dtype)
    is_complete = set(measured.titles) == set(QUANTITIES)
    method = options.method if is_complete or options.method == "regression" else "posterior"
    memory = _memory(options, method, hr_grid, device, len(images))
    _check_memory(memory)
    weights = weights_file(options.weights or DEFAULT_WEIGHTS) if method == "network" else None
    transmit_map, about_field = _transmit_map(options, files, measured.grid)
    prepared = drained(prepared_guides(measured, images, hr_grid, inside, signals, options, transmit_map))
    if (shift := header_shift(measured, images, prepared.poses)) is not None:
        planned = plan(with_shifted_header(given, shift), as_given, replace(options, b1=transmit_map), mask)
        return replace(planned, options=options, notices=(*about_files, shift_notice(shift), *planned.notices))
    problem, settings, blurs = drained(_examined(prepared, options, measured, images))
    if options.correct_sequence and any(check.better for check in settings):
        planned = plan(
            given, with_fitted(images, settings), replace(options, correct_sequence=False, b1=transmit_map), mask
        )
        planned = replace(planned, notices=(*about_files, *planned.notices))
        return _as_corrected(planned, settings, options)
    findings = findings_of(images, prepared, settings, blurs)
    if options.resolution:
        problem = drained(with_open_ends(problem))
    return RunPlan(
        maps=measured,
        guides=images,
        options=options,
        mask=inside,
        hr_grid=hr_grid,
        reference=reference,
        device=device,
        network=None if weights is None else SwigNet.from_pretrained(weights),
        weights_sha256=None if weights is None else fingerprint(weights),
        error_model=ErrorModel.pretrained(),
        problem=problem,
        poses=prepared.poses,
        fields=prepared.fields,
        findings=findings,
        memory=memory,
        seconds=_seconds(options, method, hr_grid, len(images)),
        notices=(
            *notices,
            *about_origin,
            *about_field,
            *_about(images),
            *hr_grid_notices(measured, prepared.kept, hr_grid),
            *departures(findings),
            *about_mask,
            *problem.notices,
            *_about_missing(options, measured, len(images)),
        ),
    )


def _as_corrected(planned: RunPlan, settings: Sequence[SettingCheck], options: Options) -> RunPlan:
    """Plan with corrected sequences that tells what `settings` of the guides as they came made it correct."""
    findings = tuple(
        replace(found, settings=check, is_sequence_corrected=True) if check.better else found
        for found, check in zip(planned.findings, settings, strict=True)
    )
    others = (notice for notice in planned.notices if notice not in planned.verdicts)
    return replace(planned, options=options, findings=findings, notices=(*others, *departures(findings)))


def _examined(
    prepared: PreparedGuides, options: Options, maps: QuantitativeMaps, guides: Sequence[WeightedImage]
) -> Generator[None, None, tuple[Problem, tuple[SettingCheck, ...], Mapping[int, float]]]:
    """Problem with what a part of the head tells of its images, how sequences fit, and the blur of guides in mm.

    The problem has the blur of guides, windows of the LR maps, and the signals that they were fitted to.
    """
    problem, part = prepared.problem, prepared.part
    is_open = options.maps_from == AUTO and maps.protocol is None
    if not can_be_examined(problem):
        return problem, (SettingCheck(),) * len(guides), {}
    part = part or (yield from solved_part(problem))
    settings = checked_settings(problem, part, [guide.name for guide in guides])
    blurs: Mapping[int, float] = {}
    yield
    signals = lr_signals(UNKNOWN, dtype=problem.lr_maps.dtype) if is_open else None
    settings = yield from refined_settings(problem, (yield from solved_settings(problem, settings, signals)))
    problem = replace(problem, doubts=tuple(check.doubt for check in settings))
    if options.resolution:
        unexplained = [guide for guide, check in enumerate(settings) if check.departs]
        problem, part, blurs = yield from with_guide_blur(problem, part, unexplained)
    fitted = with_origin(problem, part, signals) if signals else problem
    if options.resolution and fitted is problem:  # maps fitted to averaged signals look smoothed or averaged, too
        return (yield from with_measured_response(problem, part))[0], settings, blurs
    return fitted, settings, blurs


def _transmit_map(options: Options, files: MapFiles, grid: VoxelGrid) -> tuple[Volume | None, tuple[str, ...]]:
    """Map of the transmit field that was given or found beside the maps, and notices on it; None without one.

    One that was found is left out, with a notice, if it cannot be used.
    """
    given = files.transmit_map if options.b1 is None else options.b1
    if given is None:
        return None, ()
    try:
        volume = as_transmit_map(volume_from(given, name="transmit field"))
        check_place(f"the B1+ map {volume.source!r}", volume.grid, grid, "the maps")
    except ValueError as refusal:
        if options.b1 is not None:
            raise
        return None, (f"The map of the transmit field beside the maps is left out: {refusal}",)
    notices = tuple(f"{volume.name}: {notice}" for notice in volume.notices)
    found = f"{volume.name}: a map of the transmit field beside the maps, by which the guides are corrected."
    return volume, notices if options.b1 is not None else (*notices, found)


def _about_missing(options: Options, maps: QuantitativeMaps, n_guides: int) -> Iterator[str]:
    """Sentences on what was not measured: whether it is returned, and that the network was not trained without it."""
    missing = [name for name in QUANTITIES if name not in maps.titles]
    estimated = [name for name in QUANTITIES if name not in maps.names]
    if options.all_maps and estimated:
        yield f"Estimates of {joined(estimated)} are returned as well, marked as not measured."
    if options.method == "network" and missing and n_guides:
        are = "were" if len(missing) > 1 else "was"
        yield (
            f"The network is left out: it was trained on measured PD, T1 and T2, but {joined(missing)} {are} not "
            "measured."
        )


def _about(guides: Sequence[WeightedImage]) -> Iterator[str]:
    return (notice for guide in guides for notice in guide.notices)


def machine_memory() -> int | None:
    """Return the memory of this machine in bytes; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def _memory(options: Options, method: str, grid: VoxelGrid, device: torch.device, n_guides: int) -> int:
    """Estimated peak memory in bytes: whole volumes, and the working memory of one slab."""
    n_voxels = math.prod(grid.shape)
    n_volumes = VOLUMES[method] + 2 * n_guides + (VOLUMES_TO_ADAPT if options.adapt else 0)
    memory = 4 * n_voxels * n_volumes
    if method != "regression":
        n_planes = planes_of_a_slab(grid.shape, device, options.memory_limit)
        memory += BYTES_PER_VOXEL * n_planes * n_voxels // grid.shape[0]
    return memory


def _check_memory(needed: int) -> None:
    available = machine_memory()
    if available is not None and needed > available:
        raise TooLittleMemoryError(
            f"this needs about {needed / 1e9:.1f} GB of memory, but the machine has {available / 1e9:.1f} GB: choose a "
            "larger `voxel_size`, the `method` regression or a larger machine.",
            needed,
        )


def _seconds(options: Options, method: str, grid: VoxelGrid, n_guides: int) -> float:
    n_voxels = math.prod(grid.shape)
    adapting = SECONDS_TO_ADAPT + SECONDS_PER_VOXEL["posterior"] * n_voxels if options.adapt else 0.0
    return adapting + SECONDS_PER_VOXEL[method] * n_voxels * (1 + 0.25 * max(0, n_guides - 2))
