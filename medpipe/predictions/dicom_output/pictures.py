"""Marks for the eye: a secondary capture that shows them in its pixels, and a presentation state that a viewer lays over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.predictions.dicom_output.producer import DISCLAIMER, MAKER, Producer, new_uid, source_uids
from medpipe.predictions.heat_maps import map_panel
from medpipe.predictions.overlays import marked_picture

__all__ = ["presentation_state", "secondary_capture"]

LONGEST_SIDE = 1024
"""Of a secondary capture, in pixels."""

_LONGEST_TILE = 512
"""Of the image in a picture with maps."""

_MOST = 5
"""Marks that are drawn, the strongest."""


def secondary_capture(
    source: Any,
    pixels: npt.NDArray[np.float32],
    marks: Sequence[dict[str, Any]],
    producer: Producer,
    maps: Mapping[str, npt.NDArray[np.float32]] | None = None,
) -> Any:
    """A colour picture of the image with a ring and the score at its strongest marks, and beside it one for each map.

    Args:
        source: Header of the image.
        pixels: (rows, columns) display values in [0, 1].
        marks: By falling score, with "x", "y" (pixels of the source) and "score".
        producer: The run.
        maps: A title to (rows, columns) from 0 to 1 over the image, of any size.
    """
    import highdicom as hd
    from PIL import Image, ImageDraw

    longest = _LONGEST_TILE if maps else LONGEST_SIDE
    scale = min(1.0, longest / max(pixels.shape))
    size = tuple(max(1, round(side * scale)) for side in reversed(pixels.shape))
    grey = Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    picture = marked_picture(np.asarray(grey), marks, scale=scale, most=_MOST).convert("RGB")
    if maps:
        resized = {title: np.asarray(Image.fromarray(values).resize(size)) for title, values in maps.items()}
        picture = map_panel(picture, np.asarray(grey), resized)
    ImageDraw.Draw(picture).text((8, 8), f"{producer.name}: {DISCLAIMER}", fill=(255, 176, 0))
    content = [
        source_uids([source]),
        list(marks),
        producer.name,
        producer.version,
        producer.weights_sha256,
        *(maps or ()),
    ]
    capture = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=np.asarray(picture),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=new_uid("sc series", *content),
        series_number=9903,
        sop_instance_uid=new_uid("sc", *content),
        instance_number=1,
        manufacturer=MAKER,
        patient_orientation=_orientation(source),
        transfer_syntax_uid="1.2.840.10008.1.2.1",  # read by everything, dcm2json too
    )
    capture.BurnedInAnnotation = "NO"  # what is drawn names no one
    capture.ImageComments = DISCLAIMER
    capture.DerivationDescription = "Marks of an algorithm drawn into the image"
    capture.SourceImageSequence = _references([source])
    return capture


def _orientation(source: Any) -> tuple[str, str]:
    given = [str(value) for value in source.get("PatientOrientation") or ()]
    return (given[0], given[1]) if len(given) == 2 and all(given) else ("L", "F")


def _references(sources: Sequence[Any]) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    items = []
    for source in sources:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
        items.append(item)
    return Items(items)


def presentation_state(source: Any, marks: Sequence[dict[str, Any]], producer: Producer) -> Any:
    """A Grayscale Softcopy Presentation State: rings and scores of the strongest marks, laid over the image by a viewer.

    Args:
        source: Header of the image.
        marks: By falling score, with "x", "y" (pixels of the source), "label" and "score".
        producer: The run.
    """
    import highdicom as hd

    layer = hd.pr.GraphicLayer(layer_name="MARKS", order=1, description=f"{producer.name}. {DISCLAIMER}"[:64])
    radius = max(int(source.Rows), int(source.Columns)) / 28
    size = int(source.Columns), int(source.Rows)
    drawn = [_annotation(mark, radius, size) for mark in marks[:_MOST]]
    annotations = [
        hd.pr.GraphicAnnotation(
            referenced_images=[source],
            graphic_layer=layer,
            graphic_objects=[ring for ring, _ in drawn] or None,
            text_objects=[*(text for _, text in drawn), _notice(producer)],
        )
    ]
    content = [source_uids([source]), list(marks), producer.name, producer.version, producer.weights_sha256]
    return hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[source],
        series_instance_uid=new_uid("pr series", *content),
        series_number=9904,
        sop_instance_uid=new_uid("pr", *content),
        instance_number=1,
        content_label="MARKS",
        content_description=f"{producer.name}. {DISCLAIMER}"[:64],
        graphic_annotations=annotations,
        graphic_layers=[layer],
        concept_name=None,
        content_creator_name=MAKER,
        **producer.equipment(),
    )


def _annotation(mark: dict[str, Any], radius: float, size: tuple[int, int]) -> tuple[Any, Any]:
    import highdicom as hd

    # Presentation states count pixels from 1 (PS3.3 C.10.5): the centre of the first is (1, 1). All points that are named
    # must lie in the image: the ring may reach over its edge, its point and its text may not.
    x, y = (min(float(mark[axis]) + 1, limit) for axis, limit in zip("xy", size, strict=True))
    right, below = (v + radius if v + radius <= limit else v - radius for v, limit in zip((x, y), size, strict=True))
    ring = hd.pr.GraphicObject("CIRCLE", np.array([[x, y], [right, y]]), "PIXEL")
    text = hd.pr.TextObject(f"{mark['label']} {float(mark['score']):.2f}", "PIXEL", anchor_point=(x, below))
    return ring, text


def _notice(producer: Producer) -> Any:
    import highdicom as hd

    return hd.pr.TextObject(f"{producer.name}: {DISCLAIMER}", "DISPLAY", bounding_box=(0.02, 0.02, 0.6, 0.06))
