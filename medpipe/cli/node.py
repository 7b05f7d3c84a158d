"""medpipe node"""

from __future__ import annotations

import logging
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.cli.common import EXIT, JsonOption, say, show_json


def run(
    routes: Annotated[
        Path, typer.Option("--routes", help="Routing file (YAML): which studies, which bundle, where to.")
    ],
    spool: Annotated[
        Path, typer.Option("--spool", help="Folder for received studies and results; kept over restarts.")
    ],
    ae_title: Annotated[str, typer.Option("--ae-title", help="Application entity title of this node.")] = "MEDPIPE",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 11112,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="Title of a system that may send; may be given again.")
    ] = None,
    quiet: Annotated[
        float, typer.Option("--quiet", min=0, help="A study is complete when nothing came for so many seconds.")
    ] = 60.0,
    retry: Annotated[
        float, typer.Option("--retry", min=0, help="Seconds before a second attempt; doubles each time.")
    ] = 30.0,
    attempts: Annotated[int, typer.Option("--attempts", min=1, help="How often a study is tried.")] = 8,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try studies again that were given up.")] = False,
    idle: Annotated[
        float | None, typer.Option("--idle", min=0, help="End when there was nothing to do for so many seconds.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Receive studies by C-STORE, run bundles on them, and send the results back.

    A study is run when nothing more comes; what comes later is run, too. A node that was stopped or killed takes up where it
    was. DICOM's protocol is not encrypted: let trusted systems alone reach the port. Beyond the loopback interface --allow is
    needed.

        routes:
          - name: chest
            when: {Modality: [CR, DX]}
            bundle: cxr_pneumothorax_acm
            dicom: [sr, seg]
            send: [{ae_title: ORTHANC, host: 127.0.0.1, port: 4242}]

    Example: [bold]medpipe node --routes routes.yaml --spool /srv/medpipe --quiet 60[/bold]
    """
    from medpipe.bundles import find_bundle
    from medpipe.pacs.node import Node, Waits
    from medpipe.pacs.receive import Receiver
    from medpipe.pacs.routes import read_routes
    from medpipe.pacs.spool import Spool

    rules = read_routes(routes)
    for rule in rules:
        find_bundle(rule.bundle)
    store = Spool(spool)
    if retry_failed:
        say(f"{store.retry_failed()} studies are tried again")
    tempfile.tempdir = str(
        store.incoming
    )  # for what comes in: on the spool's disk, for its owner alone, swept after a kill
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    waits = Waits(quiet=quiet, retry=retry, attempts=attempts)
    node = Node(store, Receiver(store, ae_title, host, port, allow or ()), rules, waits)

    def stop(number: int, frame: Any) -> None:
        say("stopping after the study in hand; start the node again to go on")
        node.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    node.run(idle)
    states: dict[str, int] = {}
    for study in store.studies():
        states[study.state] = states.get(study.state, 0) + 1
    store.close()
    if as_json:
        show_json({"spool": str(spool), "studies": states})
    else:
        say("studies: " + (", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"))
    raise typer.Exit(EXIT["some failed"] if states.get("failed") else EXIT["done"])
