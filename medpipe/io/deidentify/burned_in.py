"""Whether an image may show the patient's name in its pixels.

No program sees that in a header. A file is held back where its header says so (Burned In Annotation, PS3.3 C.7.6.1), or
where it says nothing and the kind of image commonly has text burned in: ultrasound, fluoroscopy, endoscopy, photographs,
screen captures, scanned paper, documents.
"""

from __future__ import annotations

from typing import Any

__all__ = ["burned_in_risk", "recognisable_face"]

RISKY_MODALITIES = frozenset(
    {"US", "IVUS", "BDUS", "SC", "XA", "XC", "RF", "ES", "GM", "SM", "OP", "OT", "DOC", "ECG", "HD", "IO", "PX", "DMS"}
)
_RISKY_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture, single and multi-frame
    "1.2.840.10008.5.1.4.1.1.104.",  # encapsulated documents
    "1.2.840.10008.5.1.4.1.1.77.1.",  # visible light
)
_CAPTURED = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREENSHOT", "REPORT", "DOSE_INFO"})


def burned_in_risk(dataset: Any) -> str:
    """Why the pixels may hold text that identifies the patient, or "" where nothing speaks for it.

    Args:
        dataset: A pydicom data set.
    """
    stated = _word(dataset, "BurnedInAnnotation")
    if stated == "YES":
        return "BurnedInAnnotation is YES"
    if not (_has_pixels(dataset) or "EncapsulatedDocument" in dataset) or stated == "NO":
        return ""
    modality, kind = _word(dataset, "Modality"), str(dataset.get("SOPClassUID", ""))
    if modality in RISKY_MODALITIES:
        return f"modality {modality} without BurnedInAnnotation"
    if kind.startswith(_RISKY_CLASSES):
        return "secondary capture, photograph or document without BurnedInAnnotation"
    if _image_type(dataset) & _CAPTURED:
        return "ImageType of a screen capture without BurnedInAnnotation"
    return "" if modality else "no modality and no BurnedInAnnotation"


def recognisable_face(dataset: Any) -> bool:
    """Whether a face could be made out: the header says so, or it is a volume of the head or neck by its own words."""
    stated = _word(dataset, "RecognizableVisualFeatures")
    if stated in ("YES", "NO"):
        return stated == "YES"
    part = _word(dataset, "BodyPartExamined")
    return _word(dataset, "Modality") in ("CT", "MR", "PT") and any(
        word in part for word in ("HEAD", "BRAIN", "FACE", "SKULL", "NECK")
    )


def _word(dataset: Any, name: str) -> str:
    return str(dataset.get(name, "") or "").strip().upper()


def _image_type(dataset: Any) -> set[str]:
    value = dataset.get("ImageType") or []
    return {str(part).strip().upper() for part in ([value] if isinstance(value, str) else value)}


def _has_pixels(dataset: Any) -> bool:
    return any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
