"""What is measured of a registration, in which unit, and by which protocol.

medpipe   millimetres and the geometry of the files: labels by nearest neighbour, HD95 by surface voxels, folding and
          volume change of the map between the two images' world coordinates
rcn       as recursive cascaded networks are reported: masks warped trilinearly and cut, landmarks in voxels, the spread
          of the determinant itself
l2r       as Learn2Reg's evaluation counts, faults included
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MEASURES", "PROTOCOLS", "Measure", "Protocol"]

Protocol = Literal["medpipe", "rcn", "l2r"]

PROTOCOLS: dict[str, str] = {
    "medpipe": "labels warped by nearest neighbour (0 outside the moving image); distances in millimetres; landmarks through "
    "both images' affines, the field sampled trilinearly; Jacobian determinants by forward differences, in world coordinates",
    "rcn": "each label's mask warped trilinearly with border values and cut at half; landmarks and displacements in voxels; "
    "Jacobian determinants by forward differences, in voxels (recursive cascaded networks)",
    "l2r": "labels warped by nearest neighbour (0 outside); HD95 by surface area at a spacing of 1; SDlogJ by central "
    "differences of det J + 3; landmarks by cubic splines, in the moving image's millimetres (Learn2Reg)",
}
"""What each protocol does, in words."""


@dataclass(frozen=True)
class Measure:
    """A figure of a pair.

    Attributes:
        name: What a person reads.
        definition: In one sentence.
        unit: Of the number, empty where it has none.
        better: Which way is better; empty where neither is.
        by_structure: Whether every structure has one, of which the pair has the mean.
        registered: Whether it is of the field alone, so that there is none before registration.
    """

    name: str
    definition: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = "lower"
    by_structure: bool = False
    registered: bool = False


MEASURES: dict[str, Measure] = {
    "dice": Measure(
        "Dice", "2 |A and B| / (|A| + |B|) of a structure in the fixed and the warped image", "", "higher", True
    ),
    "jaccard": Measure(
        "Jaccard", "|A and B| / |A or B| of a structure in the fixed and the warped image", "", "higher", True
    ),
    "hd95": Measure(
        "HD95, mm",
        "the larger 95th percentile of the distances between the two surfaces, both ways, each surface voxel counting alike; "
        "a structure that is lost costs the diagonal of the volume",
        "mm",
        by_structure=True,
    ),
    "hd95_voxel": Measure(
        "HD95, voxels",
        "the larger 95th percentile of the distances between the two surfaces, both ways, by surface area, at a spacing of 1; "
        "a structure that is lost costs the diagonal of the volume",
        "voxels",
        by_structure=True,
    ),
    "assd": Measure(
        "ASSD, mm",
        "mean distance between the two surfaces, both ways; a structure that is lost costs the diagonal of the volume",
        "mm",
        by_structure=True,
    ),
    "tre": Measure(
        "Landmark error, mm", "mean distance of moved fixed landmarks from their partners, in millimetres", "mm"
    ),
    "tre_voxel": Measure(
        "Landmark error, voxels",
        "mean distance of moved fixed landmarks from their partners, in voxels of the moving image",
        "voxels",
    ),
    "fold_pct": Measure(
        "Folding, %", "share of the voxels where the Jacobian determinant is 0 or below", "%", registered=True
    ),
    "fold_pct_foreground": Measure(
        "Folding in structures, %",
        "share of the voxels of the fixed image's structures where the Jacobian determinant is 0 or below",
        "%",
        registered=True,
    ),
    "sdlogj": Measure("SDlogJ", "standard deviation of the logarithm of the Jacobian determinant", "", registered=True),
    "sdlogj_l2r": Measure(
        "SDlogJ (Learn2Reg)", "standard deviation of log(det J + 3), central differences", "", registered=True
    ),
    "jacobian_sd": Measure("SD of det J", "standard deviation of the Jacobian determinant itself", "", registered=True),
    "mean_displacement": Measure("Mean displacement, mm", "mean length of the displacement", "mm", "", registered=True),
    "max_displacement": Measure(
        "Largest displacement, mm", "largest length of the displacement in the pair", "mm", "", registered=True
    ),
    "mean_displacement_voxel": Measure(
        "Mean displacement, voxels", "mean length of the displacement", "voxels", "", registered=True
    ),
    "max_displacement_voxel": Measure(
        "Largest displacement, voxels", "largest length of the displacement in the pair", "voxels", "", registered=True
    ),
    "seconds": Measure("Run time, s", "seconds that the registration took, as its table says", "s", registered=True),
    "memory_mb": Measure(
        "Peak memory, MB", "largest memory of the registration, as its table says", "MB", registered=True
    ),
}
"""By key, in the order of reports."""
