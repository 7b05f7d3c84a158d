"""medpipe list"""

from __future__ import annotations

from typing import Any

from medpipe.bundles import Bundle, list_bundles
from medpipe.cli.common import JsonOption, show_json


def run(as_json: JsonOption = False) -> None:
    """List the bundles.

    Example: [bold]medpipe list[/bold]
    """
    rows = [_row(bundle) for bundle in list_bundles()]
    if as_json:
        show_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("bundle", "task", "weights", box=None, header_style="bold")
    for row in rows:
        table.add_row(row["name"], row["task"], row["weights"])
    Console().print(table)


def _row(bundle: Bundle) -> dict[str, Any]:
    metadata = bundle.metadata()
    weights = f"trained on {metadata.get('weights_trained_on', 'unnamed data')}" if bundle.weights.is_file() else "none"
    return {
        "name": bundle.name,
        "task": metadata.get("task", ""),
        "version": metadata.get("version", ""),
        "weights": weights,
        "path": str(bundle.root),
    }
