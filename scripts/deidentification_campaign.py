"""De-identifies thousands of instances full of planted identity and counts right actions and leaks.

Each instance holds every attribute of Table E.1-1 once on top and a third of them nested, with private groups, overlays,
curves, free text, preamble, meta header and file names (tests/io/deidentify/planted.py). The options change from instance
to instance.

    python scripts/deidentification_campaign.py [--instances 5000] [--first 0]
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import pydicom

from medpipe.io.deidentify.files import Settings, deidentify_bytes
from medpipe.io.deidentify.table import Profile, action_rows

OPTIONS = ("clean_descriptors", "modified_dates", "retain_uids")


def planted() -> Any:
    path = Path(__file__).parent.parent / "tests" / "io" / "deidentify" / "planted.py"
    spec = importlib.util.spec_from_file_location("planted", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--instances", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    generator, rows, key = planted(), action_rows(), bytes(range(32))
    judges = {
        chosen: generator.Judge(rows, tuple(name for name, on in zip(OPTIONS, chosen, strict=True) if on))
        for chosen in product((False, True), repeat=3)
    }
    leaks, tagged, seconds = 0, 0, 0.0
    for instance in range(arguments.first, arguments.first + arguments.instances):
        chosen = list(judges)[instance % 8]
        profile = Profile(**dict(zip(OPTIONS, chosen, strict=True)))
        content = generator.as_file(generator.identified(instance, rows), implicit=instance % 16 >= 8)
        start = time.perf_counter()
        name, written, _ = deidentify_bytes(content, Settings(Path("unused"), profile, key))
        seconds += time.perf_counter() - start
        leaks += len(generator.canaries(written + name.encode(), uids=not profile.retain_uids))
        after = pydicom.dcmread(io.BytesIO(written))
        judges[chosen].compare(pydicom.dcmread(io.BytesIO(content)), after)
        tagged += all(
            name in after
            for name in (
                "PatientIdentityRemoved",
                "DeidentificationMethod",
                "DeidentificationMethodCodeSequence",
                "LongitudinalTemporalInformationModified",
            )
        )
    right, wrong = (
        sum(j.right for j in judges.values()),
        sum((j.wrong for j in judges.values()), start=type(judges[next(iter(judges))].wrong)()),
    )
    actions = right + wrong.total()
    uids = [targets for judge in judges.values() for targets in judge.uids.values()]
    shifts = [days for judge in judges.values() for days in judge.shifts.values()]
    print(f"instances {arguments.instances}, positions {max(len(j.positions) for j in judges.values())}")
    print(f"actions {actions:,}, right {right / actions:.6%}, wrong {wrong.most_common(5)}")
    print(f"planted strings in outputs: {leaks}; required attributes set: {tagged / arguments.instances:.2%}")
    print(f"UIDs mapped one to one: {sum(len(t) == 1 for t in uids)} of {len(uids)}")
    print(f"patients with one date shift: {sum(len(d) == 1 for d in shifts)} of {len(shifts)}")
    print(f"{1000 * seconds / arguments.instances:.1f} ms per instance")


if __name__ == "__main__":
    main()
