"""The audit of lesions as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_swig_qmri.evaluation.lesion_audit import LesionAudit

SHOWN_IN = {"both": "both", "maps": "maps only", "guides": "guides only"}
COLOURS = {"both": "#222222", "maps": "#3b6fb6", "guides": "#d1495b"}


def format_audit(audit: LesionAudit) -> str:
    """Table of what is left of the lesions, and what that means."""
    names = list(audit.findings[0].shares)
    lines = [
        "Share of the change that the result shows, median (worst place) in %:",
        "",
        "  ".join((f"{'lesion in':11} {'across':>7}", *(f"{name:>12}" for name in names), "flagged")),
    ]
    for each in audit.findings:
        shares = [f"{each.median(name):5.0f} ({each.worst(name):4.0f})" for name in names]
        flagged = f"{sum(each.flagged)} of {len(each.flagged)}"
        lines.append("  ".join((f"{SHOWN_IN[each.kind]:11} {2 * each.radius:4g} mm", *shares, flagged)))
    floors = ", ".join(f"{name} {value:.2g} %" for name, value in audit.noise_floor.items())
    lines += ["", f"Without a lesion a box differs from the run by (in % of the change): {floors}."]
    for name, limits in audit.limits.items():
        found = (f"{key} from {value:.1f} mm on" if value else f"{key} at no size" for key, value in limits.items())
        lines.append(f"{name}: {', '.join(found)}.")
    return "\n".join([*lines, *audit.notices, audit.sentence])
