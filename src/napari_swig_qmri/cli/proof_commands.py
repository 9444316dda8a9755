"""Proofs of a run: what it predicts of data it has not seen, what it could hide, and whether it can be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from napari_swig_qmri.cli.commands import planned_run, read_run_maps, run_plan_report, run_record, super_resolve_files
from napari_swig_qmri.cli.console import Report, drain, finite, say
from napari_swig_qmri.cli.guide_inputs import sequences_of
from napari_swig_qmri.cli.parameters import MapArguments
from napari_swig_qmri.cli.statements import guide_statements, map_statements
from napari_swig_qmri.data.provenance import SOFTWARE, version_of
from napari_swig_qmri.data.storage.input_files import FoundFile, InputFile, find_again
from napari_swig_qmri.data.storage.output import check_output, write_text
from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.evaluation.report.proofs import AUDIT_FILE, VALIDATION_FILE
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.options import Options

if TYPE_CHECKING:
    from napari_swig_qmri.super_resolution.plan import RunPlan

AUDIT_FIGURE = "audit.png"
BIT_EQUAL = "bit-equal"


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

    planned, run, dry = _planned(arguments, [VALIDATION_FILE], _would_leave_out)
    if dry is not None:
        return dry
    found = drain(hold_out(planned))
    files = _written(arguments.output, {VALIDATION_FILE: {**found.to_json(), "Run": run}})
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

    planned, run, dry = _planned(arguments, [AUDIT_FILE, AUDIT_FIGURE], would_plant)
    steps = audit_lesions(planned, radii=radii or RADII, change=change or INFLAMED, n_places=n_places)
    if dry is not None:
        return dry
    audit = drain(steps)
    files = _written(arguments.output, {AUDIT_FILE: {**audit.to_json(), "Run": run}})
    if arguments.output is not None:
        files.append(draw_audit(arguments.output / AUDIT_FIGURE, audit))
    return _report(audit.to_json(), format_audit(audit), files)


def rerun(sidecar: Path, output: Path, folders: Sequence[Path], *, changed_inputs: bool, overwrite: bool) -> Report:
    """Repeat the run of a result from its sidecar, write the new result, and compare their maps.

    Inputs are looked for where they were, and in `folders`. One with another checksum is refused unless
    `changed_inputs`. Raises ValueError or FileNotFoundError if there is one that cannot be used.
    """
    told = _sidecar_of_run(sidecar)
    found = [find_again(InputFile.from_json(each), sidecar.parent, folders) for each in told["Run"]["Inputs"]]
    changed = list(dict.fromkeys(each.record.name for each in found if each.has_changed))
    if changed and not changed_inputs:
        raise ValueError(
            f"{joined(changed)} changed since the run (another checksum of the image or its sidecar): name the folder "
            "of the originals with `inputs`, or take what is there with `changed_inputs`."
        )
    report = _repeated(told["Run"], found, output, overwrite=overwrite)
    maps = _compared(sidecar, [Path(each) for each in report["outputs"]])
    is_equal = all(each == BIT_EQUAL for each in maps.values())
    differences = [*(f"{name} changed since the run." for name in changed), *_other_versions(told, report)]
    if not is_equal and not differences:
        differences = ["Inputs and versions are the same: another processor or number of threads rounds otherwise."]
    lines = [report["text"], *differences, *(f"{name}: {each}" for name, each in maps.items())]
    comparison = {"bit_equal": is_equal, "differences": differences, "compared": maps}
    return {**report, **comparison, "text": "\n".join(lines)}


def _sidecar_of_run(sidecar: Path) -> dict[str, Any]:
    """Content of the sidecar of a result that the command line has made; ValueError if it is none."""
    if not sidecar.is_file():
        raise FileNotFoundError(f"{sidecar} does not exist: check the name.")
    try:
        told = json.loads(sidecar.read_text(encoding="utf-8"))
    except ValueError:
        told = None
    if not isinstance(told, dict) or "Parameters" not in told:
        raise ValueError(f"{sidecar} is no sidecar of a result: choose the JSON file beside a super-resolved map.")
    if "Run" not in told:
        raise ValueError(
            f"{sidecar} does not say which files its run has read, as of a run from Python or the window: only results "
            "of `swig-qmri super-resolve` can be repeated."
        )
    return told


def _repeated(run: Mapping[str, Any], found: Sequence[FoundFile], output: Path, *, overwrite: bool) -> Report:
    """Report of a run with recorded options and the files that were found."""
    of_roles: dict[str, list[FoundFile]] = {}
    for each in found:
        of_roles.setdefault(each.record.role, []).append(each)
    options = dict(run["Options"])
    options |= {role: of_roles[role][0].path for role in ("b1", "weights") if role in of_roles}
    guides = of_roles.get("guide", [])
    return super_resolve_files(
        MapArguments(
            paths=[each.path for each in of_roles.get("map", [])],
            named={name: of_roles[name][0].path for name in QUANTITIES if name in of_roles},
            units=run["Units"],
        ),
        [each.path for each in guides],
        [each.record.sequence for each in guides],
        output,
        Options(**options),
        of_roles["mask"][0].path if "mask" in of_roles else None,
        overwrite=overwrite,
    )


def _compared(sidecar: Path, outputs: Sequence[Path]) -> dict[str, str]:
    """Whether the maps beside a sidecar and those of a new run are equal, by name of the file."""
    stem = sidecar.name.split("_desc-")[0]
    written = {path.name: path for path in outputs}
    earlier = sorted(sidecar.parent.glob(f"{stem}_desc-swig_*map.nii.gz"))
    return {path.name: _difference(path, written.get(path.name)) for path in earlier}


def _difference(earlier: Path, later: Path | None) -> str:
    """Words on the difference of two maps."""
    if later is None:
        return "is missing in the new result"
    old, new = (nib.Nifti1Image.from_filename(path).get_fdata() for path in (earlier, later))
    if old.shape != new.shape:
        return f"has {new.shape} voxels instead of {old.shape}"
    if np.array_equal(old, new, equal_nan=True):
        return BIT_EQUAL
    both = (old > 0) & (new > 0)
    change = np.abs(new[both] / old[both] - 1) if both.any() else np.array([np.nan])
    return f"differs by {np.median(change):.2g} of its value in the median, and by {np.max(change):.2g} at most"


def _other_versions(told: Mapping[str, Any], report: Report) -> list[str]:
    """Sentences on versions and the device of two runs, where they are not the same."""
    versions = {name: version_of(name) for name in SOFTWARE}
    earlier = told.get("PackageVersions", {})
    changed = [
        f"{name} is {version}, and was {earlier.get(name, 'not recorded')}."
        for name, version in versions.items()
        if earlier.get(name) != version
    ]
    device, before = report["parameters"]["device"], told["Parameters"].get("device")
    return [*changed, *([f"The device is {device}, and was {before}."] if device != before else [])]


def _planned(
    arguments: RunArguments, files: Sequence[str], would: Callable[[RunPlan], str]
) -> tuple[RunPlan, dict[str, Any], Report | None]:
    """Plan of a run and the record of its inputs, with the report of a dry run if it is one."""
    given = read_run_maps(arguments.maps, arguments.options)
    if arguments.output is not None and not arguments.dry_run:
        check_output(arguments.output, files, overwrite=arguments.overwrite)
    volumes, guides, planned = planned_run(
        given, arguments.guides, arguments.sequences, arguments.options, arguments.mask
    )
    told = sequences_of(volumes, arguments.guides, arguments.sequences)
    folder = arguments.output or Path()
    run = run_record(arguments.maps, given, told, arguments.options, arguments.mask, folder)
    if given.transmit_map is not None and any(found.transmit_field for found in planned.findings):
        planned = replace(planned, options=replace(planned.options, b1=given.transmit_map))
    if not arguments.dry_run:
        say(*planned.notices)
        return planned, run, None
    statements = (*map_statements(given), *guide_statements(volumes, guides), *planned.notices, would(planned))
    return planned, run, run_plan_report(planned, statements)


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
