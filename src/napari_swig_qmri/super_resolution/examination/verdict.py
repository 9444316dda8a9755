"""What was found about a guide, and the verdict on it in one sentence with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.data.wording import joined, size_text
from napari_swig_qmri.super_resolution.examination.pose import unmoved
from napari_swig_qmri.super_resolution.examination.settings.findings import SettingCheck

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import WeightedImage
    from napari_swig_qmri.super_resolution.examination.prepared_guides import PreparedGuides
    from napari_swig_qmri.super_resolution.examination.solution_check import SolutionCheck
    from napari_swig_qmri.super_resolution.examination.transmit_field import TransmitField

THICK = 1.25  # ratio of the largest to the next edge of voxels from which they are slices
REMEDY = "Check its sequence and settings, that it shows the same head, and what was switched off."
DECIMALS = 4  # of the numbers in the JSON


@dataclass(frozen=True, kw_only=True)
class GuideFindings:
    """Departures of a guide from what was assumed; 0 or None where there is none, or none was looked for."""

    guide: str
    is_placed: bool = False  # whether its pose was looked for
    coarse: tuple[float, ...] = ()  # mm, edges of voxels whose detail was taken from another guide
    blur: float | None = None  # mm
    moved: float = 0.0  # mm
    turned: float = 0.0  # degrees
    warped: float = 0.0  # mm
    transmit_field: TransmitField | None = None
    receive_field: float | None = None  # half the range over tissue, relative; None if it was not looked for
    settings: SettingCheck = field(default_factory=SettingCheck)
    is_sequence_corrected: bool = False
    after: SolutionCheck | None = None  # what the solution leaves of it; None before a run

    @property
    def verdict(self) -> str:
        """Everything that was found, in one sentence."""
        return f"{self.guide}: {'; '.join(self._parts()) or 'not examined'}."

    @property
    def departs(self) -> bool:
        """Whether anything was found that a reader should know."""
        place = (self.coarse, self.blur, self.moved, self.turned, self.warped)
        return any((*place, self.transmit_field, self.receive_field, self.settings.departs))

    @property
    def is_doubtful(self) -> bool:
        """Whether its sequence or settings are to be confirmed."""
        return self.settings.departs and not (self.is_sequence_corrected and self.settings.better)

    def to_json(self) -> dict[str, Any]:
        """The verdict and its numbers: lengths in mm, times in s, fields as fractions."""
        lengths = {"blur_mm": self.blur, "receive_field": self.receive_field}
        numbers = {name: round(value, DECIMALS) for name, value in lengths.items() if value is not None}
        transmit = {"transmit_field": self.transmit_field.to_json()} if self.transmit_field else {}
        after = {"after": self.after.to_json()} if self.after else {}
        coarse = {"coarse_voxels_mm": [round(edge, DECIMALS) for edge in self.coarse]} if self.coarse else {}
        return {"verdict": self.verdict, **coarse, **numbers, **transmit, **self.settings.to_json(), **after}

    def _parts(self) -> Iterator[str]:
        place = [*self._voxels(), *self._moves()]
        if place:
            yield f"{', '.join(place)}: corrected"
        elif self.is_placed:
            yield "in place"
        if self.blur:
            yield f"blurred to about {self.blur:.1f} mm: sharpened, and compared at this resolution"
        if self.transmit_field:
            low, high = (100 * (each - 1) for each in (self.transmit_field.lowest, self.transmit_field.highest))
            yield f"B1+ {low:+.0f} to {high:+.0f} %: corrected"
        if self.receive_field:
            yield f"receive field ±{100 * self.receive_field:.0f} %: corrected"
        yield from self.settings.words(is_corrected=self.is_sequence_corrected)
        if self.after and self.after.words():
            yield self.after.words()

    def _voxels(self) -> Iterator[str]:
        if not self.coarse:
            return
        *_, second, largest = sorted(self.coarse)
        is_thick = largest > THICK * second
        yield f"{largest:.1f} mm slices" if is_thick else f"voxels of {size_text(self.coarse)} mm"

    def _moves(self) -> Iterator[str]:
        moves = [f"moved {self.moved:.1f} mm", f"turned {self.turned:.1f} degrees"] if self.moved or self.turned else []
        moves += [f"warped by up to {self.warped:.1f} mm"] if self.warped else []
        if moves:
            yield f"{joined(moves)} against the maps"


def findings_of(
    guides: Sequence[WeightedImage],
    prepared: PreparedGuides,
    settings: Sequence[SettingCheck],
    blurs: Mapping[int, float],
) -> tuple[GuideFindings, ...]:
    """What was found about each guide."""
    findings = []
    for number, (guide, check) in enumerate(zip(guides, settings, strict=True)):
        pose = prepared.poses[number] if prepared.poses else unmoved()
        is_sharpened = not any(guide is kept for kept in prepared.kept)
        findings.append(
            GuideFindings(
                guide=guide.name,
                is_placed=prepared.poses is not None,
                coarse=guide.grid.voxel_size if is_sharpened else (),
                blur=blurs.get(number),
                moved=float(np.linalg.norm(pose.shift)),
                turned=pose.degrees if pose.is_corrected else 0.0,
                warped=pose.warped.largest if pose.warped else 0.0,
                transmit_field=prepared.transmit_field,
                receive_field=prepared.fields[number].strength if prepared.fields else None,
                settings=check,
            )
        )
    return tuple(findings)


def departures(findings: Sequence[GuideFindings]) -> list[str]:
    """Verdicts on the guides that depart from what was assumed."""
    return [found.verdict for found in findings if found.departs]


def departures_after(findings: Sequence[GuideFindings]) -> Iterator[str]:
    """Sentences on the guides that do not fit the solution, unless they are to be confirmed anyway."""
    for found in findings:
        if found.after and found.after.is_off and not found.is_doubtful:
            yield f"{found.guide} does not fit: {found.after.words()}. {REMEDY}"
