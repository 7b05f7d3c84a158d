import subprocess
import sys

import pytest

from medpipe.data import DATASET_READERS, dataset_reader
from medpipe.errors import RequestError


@pytest.mark.parametrize("name", DATASET_READERS)
def test_every_reader_checks_and_prepares(name: str) -> None:
    reader = dataset_reader(name)
    assert callable(reader.check)
    assert callable(reader.prepare)


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean nih_chestxray14"):
        dataset_reader("nih_chestxray")


def test_importing_the_room_loads_no_reader_and_no_heavy_library() -> None:
    heavy = (
        "numpy",
        "pydicom",
        "PIL",
        "scipy",
        "torch",
        "monai",
        "pandas",
        "h5py",
        "nibabel",
        "SimpleITK",
        "medpipe.data.siim_acr",
    )
    code = (
        f"import sys, medpipe.data, medpipe.data.lookalikes; print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
