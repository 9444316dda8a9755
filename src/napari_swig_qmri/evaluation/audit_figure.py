"""Figure of an audit of lesions: what the result shows of lesions of every size.

Needs matplotlib, which the extra `figures` installs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.storage.output import replacing
from napari_swig_qmri.evaluation.audit_text import COLOURS, SHOWN_IN
from napari_swig_qmri.evaluation.lesion_audit import INVENTED, KEPT

if TYPE_CHECKING:
    from napari_swig_qmri.evaluation.lesion_audit import LesionAudit

WIDTH, HEIGHT, DPI = 3.6, 3.6, 150  # inch, of the curves of a map
SHOWN = (-20, 140)  # %


def draw_audit(path: Path, audit: LesionAudit) -> Path:
    """Draw the figure into a file, and return it."""
    with replacing() as part:
        audit_figure(audit).savefig(part(path), dpi=DPI, facecolor="white")
    return path


def audit_figure(audit: LesionAudit) -> Figure:
    """Figure with a panel per map: shares over the diameter, medians as lines and the worst places dotted."""
    names = list(audit.findings[0].shares)
    figure = Figure(figsize=(WIDTH * len(names), HEIGHT), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for name, axes in zip(names, panels, strict=True):
        for kind, label in SHOWN_IN.items():
            found = [each for each in audit.findings if each.kind == kind]
            diameters = [2 * each.radius for each in found]
            axes.plot(diameters, [each.median(name) for each in found], "o-", color=COLOURS[kind], label=label)
            axes.plot(diameters, [each.worst(name) for each in found], ":", color=COLOURS[kind])
        for level in (KEPT, INVENTED):
            axes.axhline(level, color="#aaaaaa", linewidth=0.8)
        axes.set(title=name, xlabel="diameter in mm", ylim=SHOWN)
    panels[0].set_ylabel("change that the result shows, %")
    panels[0].legend(title="lesion in", fontsize=8, title_fontsize=8)
    figure.suptitle(audit.sentence, fontsize=9)
    figure.supxlabel(RESEARCH_NOTICE, fontsize=7, color="#777777")
    return figure
