"""Inferers for the ``inferer`` of MONAI's engines and bundles, where MONAI's own do not do."""

from medpipe.engines.inferers.label_windows import SlidingWindowLabelInferer

__all__ = ["SlidingWindowLabelInferer"]
