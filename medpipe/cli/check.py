"""medpipe check"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from medpipe.bundle_check import BundleFinding, check_bundle
from medpipe.bundles import Bundle, bundles_folder, find_bundle, hush
from medpipe.cli.common import EXIT, JsonOption, show_json
from medpipe.errors import CaseError, RequestError


def run(
    path: Annotated[str, typer.Argument(help="Bundle name, folder, or zip archive.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Also run MONAI's own checks, which execute its code.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a bundle: files, metadata, and every piece of code that its configs name outside an allow-list.

    Nothing of a foreign bundle is executed without --trust. Ours, and trusted ones, also pass through MONAI's property
    and network checks.

    Example: [bold]medpipe check some_bundle.zip[/bold]
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = _unpack(Path(path), Path(folder)) if path.lower().endswith(".zip") else find_bundle(path)
        findings = check_bundle(bundle)
        own = bundles_folder().resolve() in bundle.root.resolve().parents
        if (own or trust) and not any(f.severity == "error" for f in findings):
            findings += _monai_findings(bundle)
    _show(bundle.name, findings, as_json=as_json)
    raise typer.Exit(EXIT["request"] if any(f.severity in ("error", "code") for f in findings) else EXIT["done"])


def _unpack(path: Path, folder: Path) -> Bundle:
    from medpipe.io.sources import MAX_FILE_BYTES, zip_members

    if not path.is_file():
        raise RequestError(f"bundle '{path}' does not exist")
    try:
        members = zip_members(path)
    except CaseError as error:
        raise RequestError(f"bundle '{path}': {error}") from error
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > MAX_FILE_BYTES:
            raise RequestError(f"bundle '{path}' unpacks to more than {MAX_FILE_BYTES:,} bytes")
        for member in members:
            archive.extract(member, folder)
    found = sorted(folder.rglob("configs/metadata.json"))
    if not found:
        raise RequestError(f"'{path}' holds no bundle: configs/metadata.json is missing")
    return Bundle(found[0].parents[1])


def _monai_findings(bundle: Bundle) -> list[BundleFinding]:
    """MONAI's required properties of each mode, and its network check against metadata.json."""
    hush()
    from monai.bundle import ConfigWorkflow, verify_net_in_out

    findings = []
    for mode, kind in (("train", "train"), ("infer", "infer"), ("evaluate", "eval")):
        try:
            files = [str(file) for file in bundle.config_files(mode)]
        except RequestError as error:
            findings.append(BundleFinding("note", mode, str(error)))
            continue
        workflow = ConfigWorkflow(files, workflow_type=kind, bundle_root=str(bundle.root), logging_file=False)
        # MONAI's own check builds every property, data sets included; whether it is there can be told without data.
        for name, facts in workflow.properties.items():
            if facts["required"] and "id" in facts and facts["id"] not in workflow.parser:
                findings.append(BundleFinding("error", mode, f"MONAI's property '{name}' ({facts['id']}) is missing"))
    if "image" not in bundle.metadata()["network_data_format"]["inputs"]:
        findings.append(
            BundleFinding("note", "network_def", "takes several inputs, which MONAI's network check cannot")
        )
        return findings
    try:
        verify_net_in_out(
            "network_def",
            meta_file=str(bundle.root / "configs" / "metadata.json"),
            config_file=str(bundle.config_files("infer")[0]),
            device="cpu",
        )
    except Exception as error:  # whatever the network raises is the finding
        findings.append(BundleFinding("error", "network_def", f"does not do what metadata.json says: {error}"))
    return findings


def _show(name: str, findings: list[BundleFinding], *, as_json: bool) -> None:
    if as_json:
        show_json([vars(finding) for finding in findings])
        return
    for finding in findings:
        print(f"{finding.severity:5}  {finding.place}: {finding.message}")
    code = sum(finding.severity == "code" for finding in findings)
    errors = sum(finding.severity == "error" for finding in findings)
    verdict = "sound" if not errors and not code else f"{errors} errors, {code} pieces of code outside the allow-list"
    print(f"{name}: {verdict}")
