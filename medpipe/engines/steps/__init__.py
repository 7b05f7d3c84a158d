"""Iterations that differ from MONAI's supervised ones."""
