"""medpipe score: one module per kind of score"""

from __future__ import annotations

import typer

from medpipe.cli.score import froc, mrmc, multilabel, registration, roc, vqa

__all__ = ["app"]

app = typer.Typer(help="Score anybody's predictions against truth, with intervals and a report.", no_args_is_help=True)
app.command("roc")(roc.run)
app.command("froc")(froc.run)
app.command("mrmc")(mrmc.run)
app.command("multilabel")(multilabel.run)
app.command("registration")(registration.run)
app.command("vqa")(vqa.run)
