"""What programs and scanners call their files: FreeSurfer, SPM, mapping tools, DICOM image types."""

from __future__ import annotations

import re

from napari_swig_qmri.data.recognition.evidence import LONGEST_TEXT, Evidence
from napari_swig_qmri.data.recognition.units import parse_unit, unit_in
from napari_swig_qmri.data.recognition.words import found, prepared

_OTHER_IMAGE_TYPES = {
    **dict.fromkeys(("MIP", "MINIP", "MNIP", "PROJECTION IMAGE"), "a projection"),
    **dict.fromkeys(("DIFFUSION", "ADC", "TRACEW", "FA"), "diffusion"),
    **dict.fromkeys(("ASL", "PERFUSION"), "perfusion"),
}
_GREY_OF_FREESURFER = (  # files of its stream, by kind
    (
        "T1w",
        r"t1|orig(?:_nu)?|rawavg|nu(?:[._].*)?|norm(?:\..*)?|brain(?:\..*)?|brainmask(?:\..*)?|antsdn\..*|synthsr.*",
    ),
    ("T2w", r"t2(?:\..*)?"),
    ("FLAIR", r"flair(?:\..*)?"),
)
_LABELS_OF_FREESURFER = (
    r"(?:aseg|aparc|wmparc|filled|ribbon|[lr]h\.ribbon|[lr]h\.[a-z]*labels|thalamicnuclei|brainstem|synthseg).*"
    r"|wm(?:\.seg|\.asegedit)?"
)
_SPM_TISSUE = r"^(?!mp2rage)(?:u_|m0|[smwr]){0,5}(?:c[1-6]|p[0-6])(?=[a-z])"
_SPM_FIELD = r"^(?:w?j|i?y|u|v|def|bias|rp)_(?=.)"
_LESION_TOOL = r"^(?:ples|lesion)_(?:lpa|lga|lbm)"
_SPM_STEPS = (  # keep the kind of an image; before its kind, or small before the capital of a person's name
    r"^(?:(?i:[rwmsabiu]{1,3}(?=(?:3d_?)?(?:t1|t2|pd|flair|mprage|stir)(?![a-z]{3})))|[rwmsabiu]{1,3}(?=[A-Z][a-z0-9]))"
)


def of_freesurfer(evidence: Evidence) -> str | None:
    """BIDS suffix of a file of FreeSurfer, which are named by the step of its stream that wrote them; else None."""
    is_mgz = evidence.path is not None and evidence.path.name.lower().endswith((".mgz", ".mgh"))
    stem = evidence.stem.lower()
    if not is_mgz and evidence.folder != "mri":
        return None
    grey = next((suffix for suffix, pattern in _GREY_OF_FREESURFER if re.fullmatch(pattern, stem)), None)
    return grey or ("dseg" if re.fullmatch(_LABELS_OF_FREESURFER, stem) else None)


def made_by_spm(name: str) -> str | None:
    """Meaning of the prefix that SPM and its toolboxes put before a name; None if the prefix keeps the kind."""
    if re.match(_SPM_TISSUE, name):
        return "a tissue map of SPM"
    if re.match(_SPM_FIELD, name):
        return "a deformation or correction of SPM"
    return "a lesion probability" if re.match(_LESION_TOOL, name) else None


def without_spm_steps(name: str) -> str:
    """Name without the prefix of steps of SPM that keep the kind of an image, such as ``m``, ``w`` and ``r``."""
    return re.sub(_SPM_STEPS, "registered_", name)


def maker_of(text: str, evidence: Evidence) -> str | None:
    """What makes a plain T1 a map: a program, a unit, or a description; None if nothing does."""
    about = f"{evidence.series} {evidence.header_text}"[:LONGEST_TEXT].lower()
    words = prepared(text, with_acquisition=True)
    by_program = found("maker", words) or found("maker", prepared(about, with_acquisition=True))
    if by_program:
        return by_program[-1][2].meaning
    if re.search(r"(?<![a-z0-9])mp2rage(?![a-z0-9])", words):
        return "MP2RAGE"
    if is_first_of_fit(words) and re.fullmatch(r"[a-z0-9]+_(?:t1|t2|pd|b1|m0)", words):
        return "QUIT"
    if evidence.folder == "fitresults":
        return "qMRLab"
    named_unit = re.search(r"(?:[Tt][12])[-_ (\[]+(?:ms|msec|sec)(?![A-Za-z0-9])", text)  # "MS" is the disease
    if parse_unit(evidence.sidecar.get("Units")) or unit_in(about, "s") or named_unit:
        return "its unit"
    return "its description" if re.search(r"(?<![a-z0-9])maps?(?![a-z0-9])", about) else None


def is_first_of_fit(words: str) -> bool:
    """Whether a prepared name begins with what QUIT calls a method of fitting."""
    return any(hit[1] == 0 for hit in found("fit", words))


def other_image_type(evidence: Evidence) -> str | None:
    """What an image is if its DICOM image type says a projection, diffusion or perfusion; else None."""
    tokens = evidence.image_type.upper().split("/")
    return next((meaning for token, meaning in _OTHER_IMAGE_TYPES.items() if token in tokens), None)


def suffix_of_image_type(evidence: Evidence) -> str | None:
    """Suffix of the map or synthetic contrast in the DICOM image type of a derived image (SyMRI, scanners)."""
    if not evidence.image_type:
        return None
    tokens = [token.strip().lower().replace("_", " ") for token in evidence.image_type.split("/")]
    text = " ".join(tokens)
    if re.search("multi qmap|myc", text):
        return None
    if "synthetic" in text:
        contrast = re.search(r"(?<![a-z0-9])(?:(flair|stir)|(t1|t2|pd)w?)(?![a-z0-9])", text)
        return contrast and (contrast[1].upper() if contrast[1] else f"{contrast[2].upper()}w")
    if "uni" in tokens:
        return "UNIT1"
    maps = [re.fullmatch(r"(r[12]|b1)|(t2 ?star|t2 ?\*|t1|t2|pd|r1|r2|b1) ?map", token) for token in tokens]
    named = next((match for match in maps if match), None)
    if named is None and ("qmap" in tokens or maker_of(evidence.stem, evidence)) and "derived" in tokens:
        named = next((re.fullmatch(r"(t1|t2|pd)", token) for token in tokens if token in ("t1", "t2", "pd")), None)
    quantity = named and (named[1] or named[2])
    if not quantity:
        return None
    if quantity.startswith("t2") and quantity != "t2":
        return "T2starmap"
    return {"b1": "TB1map"}.get(quantity, f"{quantity.upper()}map")
