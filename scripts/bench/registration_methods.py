"""Time and overlap of registration methods on one real pair, side by side on one CPU thread.

    python scripts/bench/registration_methods.py FIXED MOVING FIXED_LABELS MOVING_LABELS [--affine affine] [--size 128]
        [--methods demons bspline syn] [--steps 0 30 60] [--bundle brain_mri_registration_ldr] [--runs 3]

Both volumes are cropped to the brain, aligned if asked for, and brought to SIZE^3 voxels, as the bundle does. The bundle's shipped
student works on half that size, as shipped, and its field is interpolated back (`CoarseRegistration`); each number of steps
refines the field there by so many gradient steps. Classical methods run at the full size and at half of it. Every row's
field is applied to the full-size moving labels. Seconds are CPU seconds of this process, medians of runs in turns (classical
methods once); reading, cropping and alignment are left out, being the same for all.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medpipe.bundles import build_workflow, find_bundle
from medpipe.io.sampling import on_grid
from medpipe.networks.blocks.displacement import jacobian_determinant, resample_field
from medpipe.networks.blocks.warp import warp
from medpipe.networks.classical_registration import CLASSICAL_METHODS
from medpipe.networks.registration_methods import RegistrationMethod
from medpipe.transforms.registration import registration_preprocessing


def prepare(options: argparse.Namespace) -> tuple[Tensor, Tensor, np.ndarray, Tensor]:
    """Fixed and moving images (1, 1, n, n, n), and both label maps on the grid."""
    transform = registration_preprocessing(
        options.size, body_part="brain", intensity="percentiles", affine=options.affine, crop_by_labels=False
    )
    paths = [options.fixed, options.moving, options.moving_labels, options.fixed_labels, ""]  # in the order of ROLES
    case = transform({"image": paths, "reason": "", "case": "pair"})
    image, shape = case["image"], [options.size] * 3
    labels = [
        on_grid(case[f"{role}_labels"].array, case[f"{role}_labels"].affine, case[f"{role}_grid"], shape, nearest=True)
        for role in ("fixed", "moving")
    ]
    return image[None, :1], image[None, 1:], labels[0].astype(np.int32), torch.from_numpy(labels[1].astype(np.int32))


def dice(fixed: np.ndarray, moved: np.ndarray) -> float:
    """Mean over the labels of the fixed map."""
    values = np.unique(fixed[fixed > 0])
    return float(
        np.mean(
            [2 * ((fixed == v) & (moved == v)).sum() / max((fixed == v).sum() + (moved == v).sum(), 1) for v in values]
        )
    )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
        parser.add_argument(name)
    parser.add_argument("--affine", default="none")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--methods", nargs="*", default=["demons", "bspline"])
    parser.add_argument("--steps", type=int, nargs="*", default=[0, 30, 60])
    parser.add_argument("--bundle", default="brain_mri_registration_ldr")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    fixed, moving, fixed_labels, moving_labels = prepare(options)
    shape, small = tuple(fixed.shape[2:]), [F.avg_pool3d(image, 2) for image in (fixed, moving)]

    def by_network(steps: int) -> Callable[[], Tensor]:
        bundle = find_bundle(options.bundle)
        half = {"refine": steps, "image_size": options.size // 2}
        workflow = build_workflow(bundle, "infer", half)
        method: RegistrationMethod = workflow.parser.get_parsed_content("network")
        # Averaging to half the size and interpolating back belong to the method.
        return lambda: resample_field(
            method(F.avg_pool3d(fixed, 2), F.avg_pool3d(moving, 2)), shape, align_corners=False
        )

    def classical(name: str, images: list[Tensor]) -> Callable[[], Tensor]:
        volumes = [image[0, 0].numpy() for image in images]
        return lambda: resample_field(
            torch.from_numpy(CLASSICAL_METHODS[name](*volumes))[None], shape, align_corners=False
        )

    rows = {"before": lambda: torch.zeros(1, 3, *shape)}
    rows |= {f"student{f' + {n} steps' if n else ''}": by_network(n) for n in options.steps}
    quick = list(rows)
    for name in options.methods:
        rows[f"{name} at half the size"], rows[name] = classical(name, small), classical(name, [fixed, moving])
    fields = {name: run() for name, run in rows.items()}
    times: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(options.runs):
        for name, run in rows.items():
            if name in quick or turn == 0:
                start = time.process_time()
                run()
                times[name].append(time.process_time() - start)
    print(f"{options.size}^3, one thread")
    for name, field in fields.items():
        moved = warp(moving_labels[None, None], field, mode="nearest")[0, 0].numpy()
        folded = 100 * float((jacobian_determinant(field) <= 0).float().mean())
        overlap = dice(fixed_labels, moved)
        seconds = statistics.median(times[name])
        print(f"  {name:28} {seconds:8.3f} s CPU   Dice {overlap:.4f}   folding {folded:.3f} %")


if __name__ == "__main__":
    main()
