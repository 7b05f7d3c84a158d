"""A methods paragraph with references, ready to paste."""

from __future__ import annotations

from typing import Any

__all__ = ["methods_text"]

_DELONG = (
    "E.R. DeLong, D.M. DeLong, D.L. Clarke-Pearson. Comparing the areas under two or more correlated receiver operating "
    "characteristic curves. Biometrics 1988;44:837-845."
)
_JAFROC = (
    "D.P. Chakraborty, K.S. Berbaum. Observer studies involving detection and localization: modeling, analysis, and "
    "validation. Med Phys 2004;31:2313-2330."
)
_LUNA16 = (
    "A.A.A. Setio et al. Validation, comparison, and combination of algorithms for automatic detection of pulmonary "
    "nodules: the LUNA16 challenge. Med Image Anal 2017;42:1-13."
)
_MONAI = "M.J. Cardoso et al. MONAI: an open-source framework for deep learning in healthcare. arXiv:2211.02701, 2022."


def methods_text(
    run: dict[str, Any] | None, results: dict[str, Any] | None, metadata: dict[str, Any]
) -> dict[str, list[str]]:
    """Paragraphs and references that describe how the page's numbers came about."""
    paragraphs: list[str] = []
    references: list[str] = []
    if run is not None:
        paragraphs.append(_inference(run, metadata))
        references += [*metadata.get("references", []), _MONAI]
    if results is not None:
        paragraphs += _scores(results)
        references.append(_DELONG)
        if results.get("froc"):
            references += [_JAFROC, _LUNA16]
    return {"paragraphs": paragraphs, "references": references}


def _inference(run: dict[str, Any], metadata: dict[str, Any]) -> str:
    identity, versions = run["identity"], run["versions"]
    options = ", ".join(f"{key} {value}" for key, value in identity["options"].items())
    return (
        f"Images were read and scored with medpipe {versions['medpipe']} and its bundle {identity['bundle']} "
        f"{metadata.get('version', '')} ({options}; weights with SHA-256 {identity['weights_sha256'][:16]}...) on PyTorch "
        f"{versions.get('torch', '?')} and MONAI {versions.get('monai', '?')}. DICOM pixels passed through the modality "
        "and VOI transformations of the standard, MONOCHROME1 was inverted, and grey values were scaled between the 1st "
        "and 99th percentile."
    )


def _scores(results: dict[str, Any]) -> list[str]:
    cohort = results["cohort"]
    text = (
        f"Of {cohort['listed']} cases listed, {cohort['analysed']} of {cohort['patients']} patients were analysed: "
        f"{cohort['diseased']} with and {cohort['nondiseased']} without disease. "
    )
    text += " ".join(f"{f['name']}: {f['definition']}; interval by {f['method']}." for f in results["headline"])
    paragraphs = [text]
    if results.get("froc"):
        paragraphs.append(
            f"{results['hit_rule']} Free-response curves count all marks that hit no lesion, on all images; sensitivities at "
            f"given false positives per image are interpolated ({results['froc']['interpolation']}) between operating "
            f"points. {cohort['lesions']} lesions counted; {cohort['diseased_without_known_place']} diseased images whose "
            "lesions have no known place were left out of the free-response analysis."
        )
        if results["data"].get("minimum_lesion"):
            paragraphs[-1] += f" Mask components below {results['data']['minimum_lesion']:g} of an image were left out."
    return paragraphs
