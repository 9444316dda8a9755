"""BIDS suffixes of images, and the units of those that are maps."""

from __future__ import annotations

MAP_UNITS = {  # suffix of a map -> unit after reading
    "T1map": "s",
    "T2map": "s",
    "T2starmap": "s",
    "R1map": "1/s",
    "R2map": "1/s",
    "R2starmap": "1/s",
    "PDmap": "arbitrary",
    "S0map": "arbitrary",
    "M0map": "arbitrary",
    "TB1map": "arbitrary",  # fraction of the nominal flip angle
}
QUANTITY_OF_SUFFIX = {
    **{"PDmap": "PD", "M0map": "PD", "S0map": "PD"},
    **{"T1map": "T1", "R1map": "T1", "T2map": "T2", "R2map": "T2"},
}
RESIDUAL_UNITS = {"PDresidual": "arbitrary", "T1residual": "s", "T2residual": "s", "T2starresidual": "s"}
ERROR_UNITS = {"PDerror": "arbitrary", "T1error": "s", "T2error": "s", "T2starerror": "s"}  # standard errors
ERROR_DESCRIPTION = "swigsd"  # of files of standard errors, whose names end in the suffix of the map
EVIDENCE = ("PDevidence", "T1evidence", "T2evidence", "T2starevidence")  # shares of the LR maps, in percent
RESULTS = (
    *RESIDUAL_UNITS,
    *ERROR_UNITS,
    *EVIDENCE,
    "residual",
    "conflict",
)  # written by a super-resolution run in addition to its maps
CONTRASTS = ("T1w", "T2w", "PDw", "T2starw", "FLAIR", "STIR", "UNIT1", "PDT2", "inplaneT1", "inplaneT2")
METHODS = ("MP2RAGE", "IRT1", "MESE", "MEGRE", "VFA", "MPM")  # also words in names of maps
WEIGHTED = (*CONTRASTS, *METHODS)
LABELS = ("mask", "dseg")
USED = (*MAP_UNITS, *WEIGHTED, *LABELS)  # kinds that some command or dock uses
OTHER = (  # of images that are read and shown, but not used
    *("angio", "bold", "boldref", "sbref", "dwi", "asl", "m0scan", "cbv", "phase", "epi", "xfm", "probseg"),
    *("magnitude", "magnitude1", "magnitude2", "phase1", "phase2", "phasediff", "fieldmap", "probtissue"),
    *("RB1map", "RB1COR", "TB1TFL", "TB1AFI", "TB1DAM", "TB1EPI", "TB1RFM", "TB1SRGE", "MTS", "MTR"),
    *("MTRmap", "MTsat", "MTVmap", "MWFmap", "Chimap", "ADC", "FA", "TRACE"),
)
SUFFIXES = (*USED, *OTHER, *RESULTS)
SUFFIX_KEY = "Suffix"  # sidecar key for the BIDS suffix; it overrides the name
