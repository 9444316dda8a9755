"""Guides with their sequences, read from the files that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from napari_swig_qmri.cli.guide_sequences import AUTO, GuideSequence, parse_sequence
from napari_swig_qmri.data.inputs import check_given_once, paths_of, read_guides
from napari_swig_qmri.data.interpretation import AGENT_WARNING, as_guide, is_contrast_enhanced, is_map
from napari_swig_qmri.data.recognition.sidecars import field_strength_of
from napari_swig_qmri.data.volumes import Volume, WeightedImage


def read_guides_with(paths: Sequence[Path], texts: Sequence[str]) -> tuple[list[Volume], list[WeightedImage]]:
    """Read guides, each with the sequence that the text at its place describes; the others keep that of their sidecar.

    Raises
    ------
    typer.BadParameter
        If there are more texts than guides, or one has a wrong form.
    ValueError
        If a guide cannot be read or does not fit its sequence; the message names its file.
    """
    if len(texts) > len(paths):
        raise typer.BadParameter(
            f"there are {len(texts)} for {len(paths)} guides: each --sequence belongs to the --guide at its place.",
            param_hint="'--sequence'",
        )
    told = [parse_sequence(text) for text in texts]
    told += [GuideSequence()] * (len(paths) - len(told))
    volumes: list[Volume] = []
    guides: list[WeightedImage] = []
    for path, sequence in zip(paths, told, strict=True):
        found = read_guides([path])
        if len(found) > 1 and not sequence.is_auto:
            raise ValueError(f"{path} holds {len(found)} guides: give each with a --guide and a --sequence of its own.")
        volumes += found
        guides += [_guide(volume, sequence) for volume in found]
    check_given_once(volumes)
    return volumes, guides


def sequences_of(volumes: Sequence[Volume], paths: Sequence[Path], texts: Sequence[str]) -> dict[Path, str]:
    """Files of guides that were read from `paths`, each with the text of the sequence that it was given."""
    told = dict(zip((path.resolve() for path in paths), texts, strict=False))
    return {
        path: next((told[each] for each in (path.resolve(), *path.resolve().parents) if each in told), AUTO)
        for path in paths_of(volumes)
    }


def _guide(volume: Volume, sequence: GuideSequence) -> WeightedImage:
    """Guide of a file with the sequence that is told; it keeps the notices that are not about its sequence.

    With a sequence, an image that looks like a map is a guide all the same.
    """
    if sequence.name != AUTO and is_map(volume):
        told = f"Taken as a guide because of its --sequence, although it looks like a {volume.suffix}."
        volume = replace(volume, suffix=None, unit=None, notices=(told,))
    read = as_guide(replace(volume, sidecar={**volume.sidecar, **sequence.in_sidecar}))[0]
    if read.sequence is None:  # what is told does not fit the rest, which is refused below
        read = as_guide(volume)[0]
    if sequence.is_auto and read.sequence is None:
        raise ValueError(
            f"the sequence of the guide {volume.source} is unknown: give it in the sidecar, or after its --guide as in "
            "--sequence spin-echo,TR=500ms,TE=15ms."
        )
    try:
        guide = sequence.on(read, field_strength_of(volume.sidecar))
    except ValueError as error:
        raise ValueError(f"the guide {volume.source}: {error}") from None
    if sequence.name == AUTO:
        return guide
    others = (*volume.notices, *([AGENT_WARNING] if is_contrast_enhanced(volume) else []))
    return replace(guide, notices=(*(f"{guide.name}: {notice}" for notice in others), *guide.notices))
