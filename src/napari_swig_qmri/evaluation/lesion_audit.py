"""What a result could hide or invent: lesions planted in the images of a run, and what is left of them.

A sphere is planted in the solved maps. Guides and LR maps get the change that such a lesion would have made, in both,
only in the LR maps or only in the guides, and a box around it is solved again. Gains, noise levels and errors of the
regression stay those of the run.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.evaluation.planted_lesions import BOTH, GUIDES, MAPS, changed, find_places, sphere, with_lesion
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import Progress, between, drained, mapped, with_time_left
from napari_swig_qmri.super_resolution.engine import Solution, solve, solve_inside
from napari_swig_qmri.super_resolution.solver.head_box import Box, box_of, crop_to_box, insert_box
from napari_swig_qmri.super_resolution.solver.prediction import Prediction
from napari_swig_qmri.super_resolution.solver.repeated_prediction import predict_again

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.plan import RunPlan
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

Result = TypeVar("Result")

RADII = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # mm
INFLAMED = (1.08, 0.65, 0.5)  # factors on PD, R1 and R2 of an inflamed lesion of multiple sclerosis
N_PLACES = 6
KINDS = (BOTH, MAPS, GUIDES)
RECOVERED, KEPT, INVENTED = 75.0, 75.0, 20.0  # %, limits for a change in both, only in the maps, only in the guides
MARGIN = 8  # LR voxels around a lesion
WIDTH = 2.8  # half a box over a lesion and the voxel around it, which are then 3 % of its tissue
CORE, HALF = 0.7, 0.5  # share of the sphere in voxels of its core, and in those of a sphere without such voxels
LEAST_CORE = 5  # voxels
LEAST_CHANGE = 1e-3  # relative, below which nothing was planted in a map
FLAGGED = 0.5  # conflict from which the LR maps were followed


@dataclass(frozen=True, kw_only=True)
class LesionFinding:
    """What is left of lesions of one size, planted in one kind of image.

    Attributes
    ----------
    kind
        Images that show the lesion: ``"both"``, ``"maps"`` or ``"guides"``.
    radius
        In mm.
    shares
        Share of the planted change that the core of the lesion shows in %, by map and place. NaN where a map was not
        changed.
    flagged
        Whether the conflict map marks the lesion, by place.
    """

    kind: str
    radius: float
    shares: Mapping[str, tuple[float, ...]]
    flagged: tuple[bool, ...]

    def median(self, name: str) -> float:
        """Median over the places."""
        return float(np.median(self.shares[name]))

    def worst(self, name: str) -> float:
        """Share at the worst place: the smallest, or the largest of lesions that only the guides show."""
        return (max if self.kind == GUIDES else min)(self.shares[name])

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "kind": self.kind,
            "radius_mm": self.radius,
            "shares": {
                name: {"median": self.median(name), "worst": self.worst(name), "places": list(values)}
                for name, values in self.shares.items()
            },
            "flagged": sum(self.flagged),
        }


@dataclass(frozen=True, kw_only=True)
class LesionAudit:
    """Lesions that a result could hide or invent.

    Attributes
    ----------
    places
        Centres of the lesions in mm.
    change
        Factors on PD, R1 and R2.
    findings
        One per kind and radius.
    noise_floor
        Median difference between the box solved again without a lesion and the run, in % of the planted change, by map.
    limits
        Smallest diameters in mm from which on a change is recovered, kept and not invented, by map and criterion;
        None where that holds at no radius.
    notices
        What could not be done as asked, one sentence each.

    Examples
    --------
    >>> from napari_swig_qmri import LesionAudit
    >>> limits = {"T1": {"recovered": 2.0, "kept": 3.2, "not invented": 2.6}}
    >>> audit = LesionAudit(places=(), change=(1.08, 0.65, 0.5), findings=(), noise_floor={}, limits=limits)
    >>> audit.sentence
    'Lesions like these below 3.2 mm across cannot be judged here.'
    """

    places: tuple[tuple[float, float, float], ...]
    change: tuple[float, float, float]
    findings: tuple[LesionFinding, ...]
    noise_floor: Mapping[str, float]
    limits: Mapping[str, Mapping[str, float | None]]
    notices: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What the limits mean, in one sentence."""
        found = [each for of_map in self.limits.values() for each in of_map.values()]
        if not found:
            return "Neither T1 nor T2 was measured and changed: nothing can be said about lesions."
        if None in found:
            largest = 2 * max(each.radius for each in self.findings)
            return f"Lesions like these cannot be judged here, whatever their size up to {largest:g} mm across."
        worst = max(each for each in found if each is not None)
        smallest = 2 * min((each.radius for each in self.findings), default=0.0)
        if worst <= smallest:
            return f"Lesions like these can be judged here from {smallest:.1f} mm across on, the smallest planted."
        return f"Lesions like these below {worst:.1f} mm across cannot be judged here."

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values, with the sentence."""
        return {
            "change": dict(zip(("PD", "R1", "R2"), self.change, strict=True)),
            "places_mm": [list(place) for place in self.places],
            "results": [each.to_json() for each in self.findings],
            "noise_floor_percent": dict(self.noise_floor),
            "limits_mm": {name: dict(of_map) for name, of_map in self.limits.items()},
            "sentence": self.sentence,
            "notices": list(self.notices),
        }


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What is left of lesions of one radius at one place."""

    shares: Mapping[str, Mapping[str, float]]  # %, by kind and map
    flagged: Mapping[str, bool]  # by kind
    floor: Mapping[str, float]  # %, difference without a lesion over the planted change, by map


def audit_lesions(
    planned: RunPlan,
    solution: Solution | None = None,
    *,
    radii: Sequence[float] = RADII,
    change: Sequence[float] = INFLAMED,
    n_places: int = N_PLACES,
    seed: int = 0,
) -> Generator[Progress, None, LesionAudit]:
    """Plant lesions in the images of a run, solve boxes around them again, and report what is left of them.

    The arguments are checked at the call.

    Parameters
    ----------
    planned
        The run.
    solution
        Its solution; solved for if None.
    radii
        Radii of the lesions in mm.
    change
        Factors on PD, R1 and R2 inside.
    n_places
        Number of places in flat tissue.
    seed
        Of the choice of the places.

    Yields
    ------
    Progress
        Fraction, stage and time left.

    Raises
    ------
    ValueError
        If there is no guide, or a radius, the change or the number of places is impossible.

    Examples
    --------
    >>> from napari_swig_qmri import Options, audit_lesions, degrade, make_phantom, plan
    >>> maps, guides = degrade(make_phantom(2.0, extent=((-40, 40), (-60, 20), (0, 48))).maps, 2)
    >>> run = plan(maps, guides[:2], Options(method="posterior"))
    >>> steps = audit_lesions(run, radii=[4], n_places=1)
    >>> next(steps).fraction
    0.0
    """
    radii, factors = tuple(sorted(map(float, radii))), tuple(map(float, change))
    if not planned.problem.sequences:
        raise ValueError("without a guide nothing can be hidden or invented: choose a weighted image as a `guide`.")
    if not radii or not all(0 < each < math.inf for each in radii):
        raise ValueError(f"every `radius` must be a number of mm above 0, but they are {list(radii)}.")
    if len(factors) != 3 or not all(0 < each < math.inf for each in factors):
        raise ValueError(f"the `change` is three factors above 0, on PD, R1 and R2, but it is {list(factors)}.")
    if n_places < 1:
        raise ValueError(f"the number of `places` must be 1 or more, but it is {n_places}.")
    return with_time_left(_audit(planned, solution, radii, (factors[0], factors[1], factors[2]), n_places, seed))


def _audit(
    planned: RunPlan,
    solution: Solution | None,
    radii: tuple[float, ...],
    change: tuple[float, float, float],
    n_places: int,
    seed: int,
) -> Generator[Progress, None, LesionAudit]:
    yield Progress(0.0, "solving the run")
    solution = solution or (yield from mapped(solve(planned), between(0.0, 0.15)))
    problem = planned.problem
    voxels = find_places(problem, solution.conflict, radii[-1], n_places, seed)
    whole = drained(predict_again(problem, solution.noise, solution.covariance))
    known = _with_gains(planned, solution)
    cases = [(voxel, radius) for voxel in voxels for radius in radii]
    weights = np.cumsum([0.0, *(_n_voxels(_box_around(problem, *case)) for case in cases)])
    weights = 0.2 + 0.8 * weights / weights[-1]
    outcomes: dict[float, list[_Outcome]] = {radius: [] for radius in radii}
    for (voxel, radius), start, end in zip(cases, weights[:-1].tolist(), weights[1:].tolist(), strict=True):
        steps = _at(known, solution, whole, voxel, radius, change)
        outcomes[radius].append((yield from mapped(steps, between(start, end))))
    names = [name for name in QUANTITIES if name in planned.maps.names]
    findings = tuple(_finding(kind, radius, outcomes[radius], names) for kind in KINDS for radius in radii)
    too_few = (f"Flat tissue has room for {len(voxels)} of {n_places} places.",) if len(voxels) < n_places else ()
    floors = {name: [each.floor[name] for of_radius in outcomes.values() for each in of_radius] for name in names}
    timed = [name for name in names if name != "PD" and not math.isnan(findings[0].median(name))]
    return LesionAudit(
        places=tuple(_world(problem, voxel) for voxel in voxels),
        change=change,
        findings=findings,
        noise_floor={name: float(np.median(values)) for name, values in floors.items()},
        limits={name: _limits(findings, name) for name in timed},
        notices=too_few,
    )


def _finding(kind: str, radius: float, outcomes: Sequence[_Outcome], names: Sequence[str]) -> LesionFinding:
    return LesionFinding(
        kind=kind,
        radius=radius,
        shares={name: tuple(each.shares[kind][name] for each in outcomes) for name in names},
        flagged=tuple(each.flagged[kind] for each in outcomes),
    )


def _world(problem: Problem, voxel: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = problem.hr_grid.world(np.asarray(voxel)).tolist()
    return x, y, z


def _n_voxels(box: Box) -> int:
    return math.prod(each.stop - each.start for each in box.hr)


def _with_gains(planned: RunPlan, solution: Solution) -> RunPlan:
    """Plan whose options hold the gains of a solution, per unit of the PD map."""
    gains = (solution.gains / planned.problem.gain_units).tolist()
    return replace(planned, options=replace(planned.options, gains=gains))


def _at(
    planned: RunPlan,
    solution: Solution,
    whole: Prediction,
    voxel: Sequence[float],
    radius: float,
    change: Sequence[float],
) -> Generator[Progress, None, _Outcome]:
    """What is left of lesions of every kind with one radius at one place."""
    box = _box_around(planned.problem, voxel, radius)
    hr = (slice(None), *box.hr)
    solved, held = solution.maps[hr], insert_box(whole.maps[hr], box, solution.maps)
    part, inside = crop_to_box(planned.problem, replace(whole, maps=held), box)
    spot = sphere(part.hr_grid, [place - each.start for place, each in zip(voxel, box.hr, strict=True)], radius)
    lesioned, core = changed(solved, spot, change), _core(spot)
    start = yield from _silent(predict_again(part, whole.noise, whole.covariance), 0.0)
    healthy, _ = yield from _silent(solve_inside(planned, part, inside), 0.1)
    shares, flagged = {}, {}
    for number, kind in enumerate(KINDS, start=1):
        done = number / (1 + len(KINDS))
        changed_part = with_lesion(part, kind, solved, lesioned, solution.gains)
        again = yield from _silent(predict_again(changed_part, whole.noise, whole.covariance), done)
        moved = replace(inside, maps=inside.maps * (again.maps / start.maps))
        maps, conflict = yield from _silent(solve_inside(planned, changed_part, moved), done)
        shares[kind] = _shares(maps - healthy, lesioned - solved, core)
        flagged[kind] = bool((conflict[core] > FLAGGED).any())
    floor = _shares((healthy - solved).abs(), (lesioned - solved).abs(), core)
    return _Outcome(shares=shares, flagged=flagged, floor=floor)


def _silent(steps: Generator[Any, None, Result], fraction: float) -> Generator[Progress, None, Result]:
    """Run a generator whose steps do not change the progress."""
    return (yield from mapped(steps, lambda _: Progress(fraction, "solving boxes with and without a lesion")))


def _box_around(problem: Problem, voxel: Sequence[float], radius: float) -> Box:
    """Box of LR voxels around an HR voxel, in which a sphere of a radius in mm is a small part.

    Conflicts are found by the 95th percentile of residuals in a box, which a lesion must not determine.
    """
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    lr = []
    for place, begin, step, edge, n in zip(
        voxel, first, spacing, problem.lr_grid.voxel_size, problem.lr_grid.shape, strict=True
    ):
        middle, own = round((place - begin) / step), radius / edge
        half = math.ceil(max(own + MARGIN, WIDTH * (own + 1)))
        lr.append(slice(max(0, middle - half), min(n, middle + half + 1)))
    return box_of(problem, (lr[0], lr[1], lr[2]))


def _core(spot: Tensor) -> Tensor:
    """Voxels ``(X, Y, Z)`` that lie mostly in a sphere, boolean; the nearest one if there is none."""
    core = spot > CORE
    core = core if int(core.sum()) >= LEAST_CORE else spot > HALF
    return core if core.any() else spot == spot.max()


def _shares(shown: Tensor, planted: Tensor, core: Tensor) -> dict[str, float]:
    """Median over a core of changes over planted changes, both ``(3, X, Y, Z)``, in % by map; NaN if not planted."""
    shares = {}
    for name, change, whole in zip(QUANTITIES, shown, planted, strict=True):
        is_planted = float(whole[core].abs().max()) > LEAST_CHANGE * 0.05
        shares[name] = 100 * float((change / whole)[core].median()) if is_planted else math.nan
    return shares


def _limits(findings: Sequence[LesionFinding], name: str) -> dict[str, float | None]:
    """Smallest diameters in mm from which on lesions are recovered, kept and not invented in a map."""
    criteria = {"recovered": (BOTH, RECOVERED, 1), "kept": (MAPS, KEPT, 1), "not invented": (GUIDES, INVENTED, -1)}
    limits = {}
    for criterion, (kind, limit, sign) in criteria.items():
        of_kind = [(each.radius, sign * (each.median(name) - limit)) for each in findings if each.kind == kind]
        limits[criterion] = smallest_diameter(*zip(*of_kind, strict=True))
    return limits


def smallest_diameter(radii: Sequence[float], excess: Sequence[float]) -> float | None:
    """Diameter from which on the `excess` stays at 0 or above, by linear interpolation between rising radii.

    None if it is below 0 at the largest radius.
    """
    if excess[-1] < 0:
        return None
    below = [index for index, each in enumerate(excess) if each < 0]
    if not below:
        return 2 * radii[0]
    last = below[-1]
    part = -excess[last] / (excess[last + 1] - excess[last])
    return 2 * (radii[last] + part * (radii[last + 1] - radii[last]))
