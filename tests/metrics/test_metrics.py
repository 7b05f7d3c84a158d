"""The package of metrics as a whole."""

from __future__ import annotations

import subprocess
import sys

MODULES = ("curves", "free_response", "froc", "intervals", "jafroc", "lesions", "matching", "roc")


def test_metrics_are_importable_without_torch_monai_and_scikit_learn() -> None:
    code = (
        "import sys\n"
        + "".join(f"import medpipe.metrics.{name}\n" for name in MODULES)
        + "print([name for name in ('torch', 'monai', 'sklearn') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
