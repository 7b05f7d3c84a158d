"""Damaged DICOM files against the readers: what comes back must be an image or one family of errors, and soon.

    python scripts/fuzz_dicom.py [--cases 20000] [--seed 0] [FILES...]

Each case is a sound file (pydicom's samples without any FILES) with 1 to 64 bytes set, length fields inflated, parts cut
out, doubled or cut off. It is read as a volume (policy "warn") and as a radiograph in a worker with bounded memory; a
worker that dies or takes longer than 30 seconds for a case is counted and replaced. The figures that must hold: no
death of this program, no hang, no exception but CaseError and RequestError. Deaths of workers are given with their case
numbers, which reproduce them.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import re
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

MEMORY = 3 << 30
"""Address space of a worker; what a case may take beside the libraries."""

PATIENCE = 30.0
"""Seconds for a case."""

LARGEST_SEED = 400_000
"""Larger sample files only slow the campaign down."""


def seed_files() -> list[Path]:
    """pydicom's samples that lie in its package, and none that it would fetch."""
    import pydicom.data

    folder = Path(pydicom.data.__file__).parent / "test_files"
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size < LARGEST_SEED]
    return [path for path in found if path.suffix.lower() in ("", ".dcm") and path.name != "DICOMDIR"]


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """A damaged copy."""
    data = bytearray(content)
    header = min(len(data), 4096)
    in_header = rng.choice([0.0, 0.1, 0.6])  # a file whose header falls apart tries no decoder
    for _ in range(int(2 ** rng.uniform(0, 6))):
        place = int(rng.integers(132, header) if header > 132 and rng.random() < in_header else rng.integers(len(data)))
        data[place] = int(rng.integers(0, 256))
    if rng.random() < 0.15:
        place = int(rng.integers(132, max(header - 4, 133)))
        data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\x00\x00\x00\x80", bytes(4)])
    if rng.random() < 0.1:
        start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 512))
        part = bytes(data[start : start + length])
        data[start : start + length] = part * 2 if rng.random() < 0.5 else b""
    if rng.random() < 0.2:
        del data[int(rng.integers(0, max(len(data), 1))) :]
    return bytes(data)


def try_readers(content: bytes) -> list[str]:
    """What each reader makes of a file: "read", or the name of its error (with "!" where it is none of ours)."""
    from medpipe.errors import CaseError, RequestError
    from medpipe.io import dicom_radiograph
    from medpipe.io.dicom_images import read_instance
    from medpipe.io.sources import Source
    from medpipe.io.stacks import build_stacks
    from medpipe.io.volume import read_volume

    class Bytes(Source):
        def open(self) -> io.BytesIO:  # type: ignore[override]
            return io.BytesIO(content)

    def volume() -> None:
        instance = read_instance(io.BytesIO(content), Bytes(Path("fuzz")), "fuzz", len(content))
        for stack in build_stacks(instance.images):
            read_volume(stack, "warn")

    outcomes = []
    for read in (volume, lambda: dicom_radiograph.decode(io.BytesIO(content))):
        try:
            read()
            outcomes.append("read")
        except (CaseError, RequestError) as error:
            outcomes.append(type(error).__name__)
        except BaseException as error:
            outcomes.append(f"!{type(error).__name__}: {str(error)[:80]}")
    return outcomes


def _work(pipe: Connection, files: list[Path], seed: int, numbers: Sequence[int]) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    contents = [path.read_bytes() for path in files]
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        content = mutate(contents[int(rng.integers(len(contents)))], rng)
        start = time.perf_counter()
        outcomes = try_readers(content)
        # Of this program alone: getrusage counts what the parent held when it started this process.
        peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) // 1024
        pipe.send((number, outcomes, time.perf_counter() - start, peak))
    pipe.close()


def campaign(files: list[Path], seed: int, numbers: Sequence[int]) -> tuple[Counter[str], float, int]:
    """Outcomes of the cases, the slowest one's seconds, and the largest worker's MiB."""
    counts: Counter[str] = Counter()
    slowest, peak = 0.0, 0
    context = multiprocessing.get_context("spawn")
    left = list(numbers)
    while left:
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(theirs, files, seed, left), daemon=True)
        worker.start()
        theirs.close()
        try:
            while left:
                if not ours.poll(PATIENCE):
                    counts[f"HANG in case {left[0]}"] += 1
                    break
                number, outcomes, seconds, mebibytes = ours.recv()
                counts.update(outcomes)
                slowest, peak = max(slowest, seconds), max(peak, mebibytes)
                left.remove(number)
        except EOFError:
            worker.join(10)
            counts[f"DEATH of the worker in case {left[0]} (exit {worker.exitcode})"] += 1
        worker.kill()
        worker.join()
        left = left[1:] if left else left
    return counts, slowest, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="Number of the first case.")
    options = parser.parse_args()
    files = options.files or seed_files()
    start = time.perf_counter()
    counts, slowest, peak = campaign(files, options.seed, range(options.first, options.first + options.cases))
    for outcome, count in counts.most_common():
        print(f"{count:8} {outcome}")
    print(f"{options.cases} cases of {len(files)} files in {time.perf_counter() - start:.0f} s;", end=" ")
    print(f"slowest {slowest:.1f} s; largest worker {peak} MiB")
    bad = sum(count for outcome, count in counts.items() if outcome.startswith(("!", "HANG")))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
