"""Table of the scores of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari.layers import Image

from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri.evaluation.comparison import ContrastComparison, ContrastScores

METHOD = (
    "SSIM (7 × 7) and HFEN (LoG, sigma 1.5 voxels) are those of axial slices, with signals clipped to the 99.5th "
    "percentile of the reference. NRMSE is not clipped. Brain tissue excludes CSF."
)
REGIONS = {"tissue": "brain tissue", "WM": "white matter", "GM": "grey matter", "CSF": "CSF"}


def was_guide(image: Image, t1_map: Image) -> bool:
    """Whether an image was a guide of a super-resolved map, judged by the recorded guide names and source files."""
    guide, result = (LayerRecord.of(layer).volume for layer in (image, t1_map))
    sidecar, path = result.sidecar, guide.path
    if (guide.name or image.name) in sidecar.get("Guides", ()):
        return True
    folder = Path(result.path or ".").parent
    sources = sidecar.get("Sources", ()) if "Parameters" in sidecar else ()
    return path is not None and Path(path).resolve() in [(folder / source).resolve() for source in sources]


def scores_table(comparison: ContrastComparison, guided: Sequence[str] = ()) -> str:
    """Scores as a rich-text table with one block per map set.

    Parameters
    ----------
    comparison
        Scores by map set and region.
    guided
        Labels of the map sets for which the reference was a guide; their blocks say so.
    """
    head = "".join(f"<td align='right'><b>{name}</b></td>" for name in ("SSIM", "HFEN", "NRMSE"))
    rows = [f"<tr><td></td>{head}</tr>"]
    for label, regions in comparison.scores.items():
        rows.append(f"<tr><td colspan='4'><b>{label} against {comparison.reference}</b></td></tr>")
        if label in guided:
            caveat = f"The image was a guide of {label}: the scores measure the fit to it, not the accuracy."
            rows.append(f"<tr><td colspan='4'><i>{caveat}</i></td></tr>")
        rows += [f"<tr><td>{REGIONS.get(name, name)}</td>{_cells(scores)}</tr>" for name, scores in regions.items()]
    return f"<table cellspacing='0' cellpadding='2' width='100%'>{''.join(rows)}</table>"


def _cells(scores: ContrastScores) -> str:
    texts = (f"{scores.ssim:.3f}", f"{scores.hfen:.3f}", f"{100 * scores.nrmse:.1f} %")
    return "".join(f"<td align='right'>{text}</td>" for text in texts)
