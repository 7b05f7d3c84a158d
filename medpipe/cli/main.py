"""The ``medpipe`` command. Help, list and info load neither torch nor MONAI."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from medpipe import __version__
from medpipe.cli import (
    check,
    convert,
    data,
    deidentify,
    demo,
    doctor,
    evaluate,
    export,
    fetch,
    import_weights,
    infer,
    info,
    inspect_input,
    list_bundles,
    node,
    report,
    reproduce,
    score,
    train,
)
from medpipe.cli.common import EXIT, say
from medpipe.errors import InterruptedRunError, MedpipeError
from medpipe.io.privacy import without_quotes
from medpipe.io.quiet import quiet_libraries
from medpipe.predictions.persistence import is_fault_of_disk

__all__ = ["app", "invoke", "main"]

# Typer brings click along, under a name of its own in some releases.
_UsageFault = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    name="medpipe",
    help="Run published imaging methods, process DICOM and NIfTI in batches, and say how good it is. "
    "For research; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all cases done, 3 some failed, 4 none could be done, 2 wrong request (nothing touched), "
    "1 internal fault, 130 interrupted (train, infer, evaluate and reproduce go on when run again).",
)

app.command("list")(list_bundles.run)
app.command("info")(info.run)
app.command("check")(check.run)
app.command("train")(train.run)
app.command("evaluate")(evaluate.run)
app.command("infer")(infer.run)
app.command("reproduce")(reproduce.run)
app.command("inspect")(inspect_input.run)
app.command("convert")(convert.run)
app.add_typer(data.app, name="data")
app.command("deidentify")(deidentify.run)
app.add_typer(score.app, name="score")
app.command("report")(report.run)
app.command("export")(export.run)
app.command("fetch")(fetch.run)
app.command("node")(node.run)
app.command("import-weights")(import_weights.run)
app.command("demo")(demo.run)
app.command("doctor")(doctor.run)


def _version(value: bool) -> None:
    if value:
        print(f"medpipe {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; it may name a patient.")
    ] = False,
) -> None:
    if debug:
        os.environ["MEDPIPE_DEBUG"] = "1"


def main() -> None:
    """Run the command line and exit with its code."""
    # Idle OpenMP threads that spin keep the cores from the processes that decode: on two busy cores a network ran
    # 7 times slower. It must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors become one line each.

    Without ``--debug`` no traceback is shown, and of an internal error nothing that it quotes: header values and paths can
    name a patient.
    """
    try:
        with quiet_libraries():
            code = int(app(arguments, standalone_mode=False) or 0)
        if code == EXIT["interrupted"]:
            raise KeyboardInterrupt
        return code
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted; train, infer, evaluate and reproduce go on when the same command is run again")
        return EXIT["interrupted"]
    except InterruptedRunError as error:
        return _fail(f"interrupted: {error}", EXIT["interrupted"])
    except MedpipeError as error:
        return _fail(f"error: {error}", EXIT["request"])
    except Exception as error:
        if isinstance(error, _UsageFault):
            return _fail(f"error: {error.format_message()}", EXIT["request"])  # type: ignore[attr-defined]
        root = _root_cause(error)
        if is_fault_of_disk(error):  # a run that writes nothing half is taken up again
            fault = f"interrupted: a disk is full or fails ({getattr(root, 'strerror', None) or type(root).__name__})"
            return _fail(f"{fault}; when that is mended, run the same command again to go on", EXIT["interrupted"])
        text = without_quotes(str(root).strip().split("\n", 1)[0])
        line = f"internal error: {type(root).__name__}: {text}"
        return _fail(f"{line}\nPlease report it with the output of 'medpipe --debug ...'.", EXIT["internal"])


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _fail(text: str, code: int) -> int:
    if os.environ.get("MEDPIPE_DEBUG"):
        traceback.print_exc()
    say(text)
    return code


if __name__ == "__main__":
    main()
