from __future__ import annotations

import numpy as np
import pytest
from monai.transforms import LoadImage

from medpipe.errors import CaseFailedError
from medpipe.io.reader import RadiographReader


def test_monai_loads_rows_and_columns_with_spacing(write_dicom, ramp) -> None:
    path = write_dicom("a.dcm", ramp, PixelSpacing=[0.2, 0.3])
    image = LoadImage(reader=RadiographReader(), image_only=True, ensure_channel_first=True)(path)
    assert tuple(image.shape) == (1, 96, 80)
    np.testing.assert_allclose(np.diag(image.affine)[:2], (0.2, 0.3))
    np.testing.assert_allclose(image.meta["spacing_mm"], (0.2, 0.3))


def test_a_damaged_file_is_never_passed_to_another_reader(write_dicom, ramp) -> None:
    path = write_dicom("a.dcm", ramp)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CaseFailedError, match="cut short"):
        LoadImage(reader=RadiographReader(), image_only=True)(path)
