"""Results as DICOM objects in the patient's study: segmentations, structured reports, pictures, presentation states."""

from __future__ import annotations

from medpipe.predictions.dicom_output.producer import Producer
from medpipe.predictions.dicom_output.write import KINDS, write_dicom_results

__all__ = ["KINDS", "Producer", "write_dicom_results"]
