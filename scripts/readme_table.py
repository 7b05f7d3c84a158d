"""Write the table of bundles in README.md from the bundles' metadata; with --check only tell whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from medpipe.bundles import Bundle, list_bundles

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- made by scripts/readme_table.py -->\n", "<!-- end -->"


def row(bundle: Bundle) -> str:
    """One line of the table."""
    metadata = bundle.metadata()
    weights = f"trained on {metadata['weights_trained_on']}" if bundle.weights.is_file() else "none"
    link = f"[{bundle.name}](bundles/{bundle.name}/docs/README.md)"
    return f"| {link} | {metadata['task']} | {metadata['references'][0]} | {weights} |\n"


def main() -> int:
    """Rewrite or check; returns 1 when a check finds the table out of date."""
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(START)
    tail = rest.split(END, 1)[1]
    table = "| bundle | task | method | weights |\n| --- | --- | --- | --- |\n" + "".join(map(row, list_bundles()))
    new = head + START + table + END + tail
    if "--check" in sys.argv:
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
