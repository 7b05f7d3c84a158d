"""Pictures in colour; what has none is shown as grey."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError
from medpipe.io.dicom_file import short
from medpipe.io.radiograph import check_pixel_count, file_kind, read_radiograph
from medpipe.io.sources import Source

__all__ = ["read_colours"]

_COLOURED = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


def read_colours(source: Source | str) -> npt.NDArray[np.float32]:
    """Read a picture as (rows, columns, 3), red, green and blue in [0, 1].

    A PNG or JPEG in colour is read on its full scale, upright as its EXIF orientation says, without its alpha channel. All
    else is what ``read_radiograph`` makes of it, in all three colours.

    Args:
        source: A file, or the one-string form of ``medpipe.io.sources``.

    Raises:
        CaseFailedError: The file cannot be read, or its size is absurd.
        CaseSkippedError: It is sound, but no single two-dimensional image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    source = Source.parse(source) if isinstance(source, str) else source
    with source.open() as stream:
        head = stream.read(132)
        stream.seek(0)
        if file_kind(head, source.name) in ("png", "jpeg"):
            try:
                with Image.open(stream, formats=("PNG", "JPEG")) as picture:
                    check_pixel_count(picture.height, picture.width)
                    if picture.mode in _COLOURED:
                        upright = ImageOps.exif_transpose(picture).convert("RGB")
                        return np.asarray(upright, np.float32) / np.float32(255)
            except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise CaseFailedError(f"damaged picture ({short(error)}); export it again") from error
    return np.repeat(read_radiograph(source).pixels[:, :, None], 3, axis=2)
