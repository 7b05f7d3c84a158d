"""medpipe: published medical-imaging methods as MONAI bundles, batch processing, and clinical evaluation.

Importing the package imports neither torch nor MONAI; its rooms are imported where they are used.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
