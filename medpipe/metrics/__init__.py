"""Metrics: arrays in, numbers out. Nothing here imports torch.

Modules
    lesions         one truth lesion, and a mask split into lesions
    matching        marks and lesions of one image -> which mark found what
    free_response   the marks of one reader on all cases (FROC data, ROC as a special case)
    jafroc          figures of merit: AFROC, wAFROC, ... with intervals
    froc            operating curves and sensitivities at fixed false positives per image
    roc             area under the ROC curve, DeLong intervals and comparisons
    curves          an operating curve and its area
    intervals       an estimate with its interval; the patient bootstrap; proportions

Everywhere a higher rating means more suspicious, and what is undefined on a sample is NaN with a reason.
"""

from __future__ import annotations

__all__: list[str] = []
