"""The commands ``validate`` and ``audit``: what a run predicts of data it has not seen, and what it could hide."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_swig_qmri.cli.commands import planned_run, read_run_maps, run_plan_report
from napari_swig_qmri.cli.console import Report, drain, finite, say
from napari_swig_qmri.cli.statements import guide_statements, map_statements
from napari_swig_qmri.data.storage.output import check_output, write_text

if TYPE_CHECKING:
    from napari_swig_qmri.cli.parameters import MapArguments
    from napari_swig_qmri.super_resolution.options import Options
    from napari_swig_qmri.super_resolution.plan import RunPlan

VALIDATION_FILE, AUDIT_FILE, AUDIT_FIGURE = "validation.json", "audit.json", "audit.png"


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """A run as it is named on the command line, and where its report goes."""

    maps: MapArguments
    guides: Sequence[Path]
    sequences: Sequence[str]  # of the guides in their order, see `guide_sequences`
    options: Options
    mask: Path | None
    output: Path | None  # folder; None to write nothing
    overwrite: bool
    dry_run: bool


def validate_run(arguments: RunArguments) -> Report:
    """Score guides and frequencies of the maps that are left out; with `dry_run`, only report what would be."""
    from napari_swig_qmri.evaluation.held_out import format_held_out, hold_out  # loads torch: over a second

    planned, dry = _planned(arguments, [VALIDATION_FILE], _would_leave_out)
    if dry is not None:
        return dry
    found = drain(hold_out(planned))
    files = _written(arguments.output, {VALIDATION_FILE: found.to_json()})
    return _report(found.to_json(), format_held_out(found), files)


def audit_run(arguments: RunArguments, radii: Sequence[float], change: Sequence[float] | None, n_places: int) -> Report:
    """Report which lesions a run would hide or invent; with `dry_run`, only how many would be planted.

    Radii are in mm, and `change` has factors on PD, R1 and R2; without them the usual ones.
    """
    if arguments.output is not None and not arguments.dry_run:
        from napari_swig_qmri.evaluation.audit_figure import draw_audit  # first, because matplotlib may be missing
    from napari_swig_qmri.evaluation.audit_text import format_audit
    from napari_swig_qmri.evaluation.lesion_audit import INFLAMED, KINDS, RADII, audit_lesions  # loads torch

    def would_plant(_: RunPlan) -> str:
        n = n_places * len(KINDS) * len(radii or RADII)
        return f"Would solve {n} small boxes with a lesion in them."

    planned, dry = _planned(arguments, [AUDIT_FILE, AUDIT_FIGURE], would_plant)
    steps = audit_lesions(planned, radii=radii or RADII, change=change or INFLAMED, n_places=n_places)
    if dry is not None:
        return dry
    audit = drain(steps)
    files = _written(arguments.output, {AUDIT_FILE: audit.to_json()})
    if arguments.output is not None:
        files.append(draw_audit(arguments.output / AUDIT_FIGURE, audit))
    return _report(audit.to_json(), format_audit(audit), files)


def _planned(
    arguments: RunArguments, files: Sequence[str], would: Callable[[RunPlan], str]
) -> tuple[RunPlan, Report | None]:
    """Plan of a run, with the report of a dry run if it is one."""
    given = read_run_maps(arguments.maps, arguments.options)
    if arguments.output is not None and not arguments.dry_run:
        check_output(arguments.output, files, overwrite=arguments.overwrite)
    volumes, guides, planned = planned_run(
        given, arguments.guides, arguments.sequences, arguments.options, arguments.mask
    )
    if given.transmit_map is not None and any(found.transmit_field for found in planned.findings):
        planned = replace(planned, options=replace(planned.options, b1=given.transmit_map))
    if not arguments.dry_run:
        say(*planned.notices)
        return planned, None
    statements = (*map_statements(given), *guide_statements(volumes, guides), *planned.notices, would(planned))
    return planned, run_plan_report(planned, statements)


def _would_leave_out(planned: RunPlan) -> str:
    names = [guide.name for guide in planned.guides]
    return f"Would leave out {', '.join(names)} and high frequencies of the maps, and solve {len(names) + 1} times."


def _written(folder: Path | None, contents: dict[str, dict[str, Any]]) -> list[Path]:
    """Write JSON objects into a folder, if there is one, and return the files."""
    if folder is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    return [write_text(json.dumps(finite(each), indent=2) + "\n", folder / name) for name, each in contents.items()]


def _report(content: dict[str, Any], text: str, files: Sequence[Path]) -> Report:
    return {"outputs": list(files), **content, "text": "\n".join((text, *(f"wrote {path}" for path in files)))}
