"""Commands that compute weighted contrasts from maps: ``synthesize`` and ``sheet``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_swig_qmri.cli.console import Report, drain, plan_report
from napari_swig_qmri.cli.contrast_inputs import read_contrast_maps
from napari_swig_qmri.cli.contrast_options import settings_text
from napari_swig_qmri.cli.statements import map_statements
from napari_swig_qmri.data.inputs import subject_of
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, made_here, relative_sources
from napari_swig_qmri.data.recognition.sidecars import field_strength_of, to_sidecar
from napari_swig_qmri.data.storage.files import write_volume
from napari_swig_qmri.data.storage.image_files import split_extension
from napari_swig_qmri.data.storage.output import check_output
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.progress import staged
from napari_swig_qmri.synthesis.lazy_contrast import lazy_contrast
from napari_swig_qmri.synthesis.protocol import read_protocol
from napari_swig_qmri.synthesis.rendering import PLAIN, Rendering
from napari_swig_qmri.synthesis.sequence_tables import shown_settings
from napari_swig_qmri.synthesis.sheets import check_formats, check_sheet, render, write_sheet

if TYPE_CHECKING:
    from napari_swig_qmri.cli.parameters import MapArguments
    from napari_swig_qmri.physics.sequence import Contrast


def synthesize_file(
    arguments: MapArguments,
    sequence: Contrast,
    output: Path,
    t2star_path: Path | None = None,
    b1_path: Path | None = None,
    *,
    rendering: Rendering = PLAIN,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Report:
    """Write the weighted image of a sequence or user equation to `output`, with its sidecar.

    With `dry_run`, only report what would be written.
    """
    rendering.check(sequence, has_map=b1_path is not None)
    stem, _ = split_extension(output, to_write=True)  # another extension is refused before the computation
    remedy = "choose another name or use `overwrite`"
    check_output(output.parent, [output.name, f"{stem}.json"], overwrite=overwrite, remedy=remedy)
    given, maps, other_paths = read_contrast_maps(arguments, t2star_path, b1_path)
    if dry_run:
        statements = (*map_statements(given), f"{settings_text(sequence)}.", f"Would write {output}.")
        return plan_report(statements, given.notices, sequence=shown_settings(sequence))
    rendered = lazy_contrast(maps, sequence, rendering).rendered()
    data = drain(staged(rendered, 0.0, 1.0, f"Synthesising {sequence.title}"))
    sidecar = {
        **to_sidecar(sequence),
        **rendering.with_map(maps.transmit_map).to_sidecar(),
        **made_here(**relative_sources([*given.paths, *other_paths], output.parent)),
    }
    image = Volume(data=data, grid=given.maps.grid, name=output.name, sidecar=sidecar)
    output.parent.mkdir(parents=True, exist_ok=True)
    files = write_volume(image, output, overwrite=overwrite)
    text = f"{sequence.title} written to {output}."
    return {"outputs": files, "sidecar": sidecar, "notices": given.notices, "text": text}


def sheet_files(
    protocol_path: Path,
    arguments: MapArguments,
    output: Path,
    formats: Sequence[str],
    b1_path: Path | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Report:
    """Write every contrast of a protocol in each of the `formats`; with `dry_run`, only report them."""
    protocol = read_protocol(protocol_path)
    check_formats(formats)
    check_output(output)
    given, maps, other_paths = read_contrast_maps(arguments, None, b1_path)
    if dry_run:
        lines = [f"{each.name}: {settings_text(each.sequence)}." for each in protocol.contrasts]
        statements = (*map_statements(given), *lines, f"Would write {', '.join(formats)} files to {output}.")
        return plan_report(statements, given.notices)
    subject = subject_of(given.volumes)
    check_sheet(protocol, subject, output, formats, overwrite)
    tesla = field_strength_of(*(volume.sidecar for volume in given.volumes))
    strength = {} if tesla is None else {"MagneticFieldStrength": tesla}
    origin = {**strength, "Sources": [str(path.absolute()) for path in (*given.paths, *other_paths)]}
    sheet = drain(render(maps, protocol, subject, origin))
    files = drain(write_sheet(sheet, output, formats, overwrite))
    names = ", ".join(contrast.name for contrast in protocol.contrasts)
    text = f"{names} of {sheet.subject} written to {output}: {RESEARCH_NOTICE} only."
    return {"outputs": files, "subject": sheet.subject, "notices": given.notices, "text": text}
