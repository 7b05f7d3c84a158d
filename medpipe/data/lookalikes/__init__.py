"""Look-alikes: small generated data sets in the real layouts, whose images contain what a method exploits.

Importing this room is light; a writer is imported when :func:`lookalike_writer` is asked for it.
"""

from __future__ import annotations

from .writers import LOOKALIKES, LookalikeWriter, lookalike_writer

__all__ = ["LOOKALIKES", "LookalikeWriter", "lookalike_writer"]
