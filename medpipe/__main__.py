"""``python -m medpipe``, as ``torchrun -m medpipe`` needs it."""

from __future__ import annotations

from medpipe.cli.main import main

if __name__ == "__main__":
    main()
