"""Super-resolution of quantitative maps, from inputs to result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

from napari_swig_qmri.progress import Progress, between, drained, mapped, staged, with_time_left
from napari_swig_qmri.super_resolution.engine import solve
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.outcome import result_of
from napari_swig_qmri.super_resolution.plan import RunPlan, plan
from napari_swig_qmri.super_resolution.solver.one_scale_up import rehearse

if TYPE_CHECKING:
    from napari_swig_qmri.data.coercion import GuideLike, MapsLike, MaskLike
    from napari_swig_qmri.super_resolution.results import SuperResolution


def super_resolve(
    maps: MapsLike | RunPlan,
    guides: Sequence[GuideLike] = (),
    options: Options | None = None,
    *,
    units: str | None = None,
    mask: MaskLike | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> SuperResolution:
    """Super-resolve quantitative maps with weighted images of the same head.

    Parameters
    ----------
    maps
        Measured LR maps, any of PD (arbitrary unit), T1 and T2: by name (``{"T1": image, ...}``, also ``"R1"`` and
        ``"R2"`` in 1/s), as a folder, as a list of files or volumes, or as `QuantitativeMaps`. An image is a
        path, a nibabel image, a pair of an array ``(x, y, z)`` and an affine ``(4, 4)`` to RAS+ mm, or a `Volume`.
        NaN and voxels that are 0 in all maps count as not measured. Or a `RunPlan`, which holds guides, options, units
        and mask as well.
    guides
        Up to five weighted images, each as `Guide`, `WeightedImage`, or an image as above. A path without a
        sequence beside it takes the sequence from its JSON sidecar.
    options
        Options of the run. By default ``Options()``.
    units
        Unit of T1 and T2 maps that bring none of their own, ``"s"`` or ``"ms"``. By default it is guessed from the
        values, and a notice of the result says so.
    mask
        Where to solve: an image as above, which its affine brings to the HR grid, or an array ``(X, Y, Z)`` on that
        grid. The maps are 0 outside.
    progress
        Called with the `Progress` of the run after every step.

    Returns
    -------
    SuperResolution
        SR maps (T1 and T2 in s), residuals, synthesised guides, and every setting of the run.

    Raises
    ------
    ValueError
        If an input cannot be used, with one sentence that says why and what to do.
    TypeError
        If an input is of a kind that is not understood, or something is given beside a plan.
    FileNotFoundError
        If a file does not exist.

    Examples
    --------
    >>> from napari_swig_qmri import Options, degrade, make_phantom, super_resolve
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> super_resolve(maps, guides[:2], Options(method="posterior"))
    <SuperResolution: PD, T1, T2 on 20 x 24 x 8 voxels of 4 x 4 x 4 mm, method posterior, guides T1w, T2w; verdict good>
    """
    return drained(super_resolution_steps(maps, guides, options, units=units, mask=mask), progress)


def super_resolution_steps(
    maps: MapsLike | RunPlan,
    guides: Sequence[GuideLike] = (),
    options: Options | None = None,
    *,
    units: str | None = None,
    mask: MaskLike | None = None,
) -> Generator[Progress, None, SuperResolution]:
    """Super-resolve step by step, for callers that show progress or cancel.

    Inputs are checked at the call, before the first step. Closing the generator cancels the run.

    Parameters
    ----------
    maps, guides, options, units, mask
        As for `super_resolve`, which also names the errors.

    Yields
    ------
    Progress
        Fraction, stage and time left.

    Returns
    -------
    SuperResolution
        The value of `StopIteration`, and of ``yield from``.

    Examples
    --------
    >>> from napari_swig_qmri import Options, degrade, make_phantom, super_resolution_steps
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> next(super_resolution_steps(maps, guides, Options(method="regression"))).fraction
    0.0

    A plan is run as it is:

    >>> from napari_swig_qmri import plan
    >>> planned = plan(maps, guides[:1], Options(method="regression"))
    >>> for step in super_resolution_steps(planned):
    ...     fraction = step.fraction
    >>> fraction
    1.0
    """
    if not isinstance(maps, RunPlan):
        return _run(plan(maps, guides, Options() if options is None else options, mask, units=units))
    if len(guides) or any(each is not None for each in (options, units, mask)):
        raise TypeError("a plan holds its guides, options, units and mask: give it alone, or plan again with others.")
    return _run(maps)


def _run(planned: RunPlan) -> Generator[Progress, None, SuperResolution]:
    yield Progress(0.0, "local regression on the guides")
    solution = yield from with_time_left(mapped(solve(planned), between(0.0, 0.94)))
    refined = None if solution.conflict is None else solution.maps
    testing = rehearse(planned.problem, solution.gains, solution.covariance, refined)
    rehearsal = yield from staged(testing, 0.94, 1.0, "testing the guides one scale up")
    yield Progress(1.0, "comparing the result with the images")
    return result_of(solution, rehearsal, planned)
