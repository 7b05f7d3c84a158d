"""Registration of real volumes of subjects that no network saw: Dice, folding and time of each method.

    python scripts/registration_real_data.py hippocampus ROOT OUT [--pairs 40] [--methods network,demons,...] [key=value ...]
    python scripts/registration_real_data.py brains DATA OUT ...
    python scripts/registration_real_data.py colin|slabs|ct DATA OUT ...
    python scripts/registration_real_data.py training|training_ct DATA OUT

"hippocampus" takes the test section of `medpipe data prepare msd_task04_hippocampus ROOT`. "brains" takes the real scan of
VoxelMorph's repository (DATA/brain_mri/voxelmorph) and the second label map of SynthSeg's (DATA/brain_mri/synthseg_labelmaps),
painted in the greys of T1, both ways; their labels are FreeSurfer's. "colin" takes that scan and Colin27 without its skull, both ways, with the twelve
deep grey structures that FreeSurfer and the AAL atlas both name, which the two draw differently: no method reaches 1. "slabs"
takes the slabs of four children (PTBP) in all twelve pairs, with four tissues. "ct" deforms TotalSegmentator's example by twelve known
fields of up to 4 voxels and adds noise to both images; 500 points of the body are carried along exactly; the bundle is
the liver's, and crops without sight of the labels. Intervals are over the fields: it is one scan. "training" writes the
images that the shipped brain weights learnt from as the data set OUT/datalist.json: the other label map, painted, and its mirror
image, the MNI152 and the average of SPM12, a FLASH image, and 24 hippocampus crops of training subjects (--hippocampus), for
validation another label map and the crops of validation subjects. Labels of hippocampi are not those of the label maps. "training_ct" writes
parts of a chest CT for the liver's. Each method is `medpipe infer
brain_mri_registration_ldr --pairs ...` followed by `medpipe score registration`; "network+30" refines each field by 30
gradient steps, "affine:network" aligns beforehand. What is finished in OUT is not
done again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from medpipe.data.lookalikes.deformable_shapes import paint
from medpipe.data.registration_datalist import (
    entry_below,
    load_registration_datalist,
    write_registration_datalist,
)
from medpipe.data.registration_pairs import pairs
from medpipe.io.nifti import write_nifti

COLUMNS = (
    *("case", "fixed", "moving", "fixed_labels", "moving_labels", "fixed_points", "moving_points"),
    *("fixed_subject", "moving_subject"),
)
AAL = {17: 37, 53: 38, 18: 41, 54: 42, 11: 71, 50: 72, 12: 73, 51: 74, 13: 75, 52: 76, 10: 77, 49: 78}
"""FreeSurfer's label and the atlas' of hippocampus, amygdala, caudate, putamen, pallidum and thalamus."""
NOISE = 20
"""Standard deviation of what is added to both images of a CT pair, in HU."""
GREYS = {
    **dict.fromkeys((2, 41, 7, 46), 0.8),  # white matter
    **dict.fromkeys((3, 42, 8, 47, 17, 53, 18, 54), 0.5),  # cortex, hippocampus, amygdala
    **dict.fromkeys((4, 43, 5, 44, 14, 15), 0.12),  # ventricles
    **dict.fromkeys((10, 49), 0.62),
    **dict.fromkeys((11, 50), 0.52),
    **dict.fromkeys((26, 58), 0.53),
    **dict.fromkeys((12, 51), 0.56),
    **dict.fromkeys((13, 52), 0.68),
    **dict.fromkeys((28, 60, 85), 0.7),
    16: 0.75,
}
"""In T1, of FreeSurfer's labels."""
IMAGES = {
    "mni152": "mni152_2mm/inst/extdata/MNI152_T1_2mm_Brain.nii.gz",
    "mni152_head": "mni152_2mm/inst/extdata/MNI152_T1_2mm.nii.gz",
    "average152": "spm12_single_subj/canonical/avg152T1.nii",
    "flash": "rniftyreg/inst/extdata/flash_t1.nii.gz",
}
CHEST = "Testing/Baselines/3DCT_lung.mha"
SEGMENTED = [1, 2, 3, 5, 6, 7]
"""TotalSegmentator's spleen, kidneys, liver, stomach and pancreas."""
STRUCTURES = [2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 28, 41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 60]
METHODS = "network,network+30,affine:network+30,affine,demons,bspline"


def medpipe(*arguments: object) -> int:
    """Run one command; what it refuses ends this program."""
    code = subprocess.run([sys.executable, "-m", "medpipe", *map(str, arguments)], check=False).returncode
    if code not in (0, 3):
        sys.exit(f"medpipe {arguments[0]} ended with code {code}")
    return code


def hippocampus_table(root: Path, out: Path, count: int) -> Path:
    """Pairs of test subjects, drawn with a fixed seed."""
    datalist = out / "datalist.json"
    if not datalist.is_file():
        medpipe("data", "prepare", "msd_task04_hippocampus", root, "-o", datalist)
    content = load_registration_datalist(datalist)
    found = pairs(content, "test")
    rows = []
    for index in np.random.default_rng(0).permutation(len(found))[:count]:
        fixed, moving = (entry_below(entry, root) for entry in found[int(index)])
        rows.append(
            {
                "case": f"{fixed['case']}-{moving['case']}",
                "fixed": fixed["image"],
                "moving": moving["image"],
                "fixed_labels": fixed["label"],
                "moving_labels": moving["label"],
                "fixed_subject": fixed["subject"],
                "moving_subject": moving["subject"],
            }
        )
    write(out / "pairs.csv", rows, COLUMNS)
    return out / "pairs.csv"


def brains_table(data: Path, out: Path) -> Path:
    """A real scan and a painted label map, each as the fixed image of the other."""
    folder = out / "volumes"
    folder.mkdir(exist_ok=True)
    scan(data, folder)
    image = nib.load(data / "brain_mri/synthseg_labelmaps/data/training_label_maps/training_seg_02.nii.gz")
    labels = np.asarray(image.dataobj).astype(np.int16)
    labels[~np.isin(labels, [*GREYS])] = 0
    greys = np.zeros(labels.max() + 1)
    greys[[*GREYS]] = [*GREYS.values()]
    write_nifti(folder / "painted.nii.gz", paint(np.random.default_rng(0), labels, greys), image.affine)
    write_nifti(folder / "painted_labels.nii.gz", only(labels), image.affine)
    return table_of(out, [("scan", "painted"), ("painted", "scan")])


def scan(data: Path, folder: Path) -> np.ndarray:
    """VoxelMorph's scan as a NIfTI file with its labels, which are returned."""
    arrays = np.load(data / "brain_mri/voxelmorph/data/test_scan.npz")
    to_ras = np.array(
        [[-1.0, 0, 0, 160], [0, 0, 1, 0], [0, -1, 0, 192], [0, 0, 0, 1]]
    )  # its axes run left, down, forward
    write_nifti(folder / "scan.nii.gz", arrays["vol"].astype(np.float32), to_ras)
    labels = arrays["seg"].astype(np.int16)
    write_nifti(folder / "scan_labels.nii.gz", only(labels), to_ras)
    return labels


def colin_table(data: Path, out: Path) -> Path:
    """The scan and Colin27, each as the fixed image of the other."""
    folder = out / "volumes"
    folder.mkdir(exist_ok=True)
    labels = scan(data, folder)
    affine = nib.load(folder / "scan.nii.gz").affine
    write_nifti(folder / "scan_labels.nii.gz", np.where(np.isin(labels, [*AAL]), labels, 0), affine)
    home = data / "brain_mri/colin27_aal/Resources/templates"
    image, atlas = nib.load(home / "ch2.nii.gz"), nib.load(home / "aal.nii.gz")
    brain = np.asarray(atlas.dataobj)
    renamed = np.zeros(brain.shape, np.int16)
    for own, theirs in AAL.items():
        renamed[brain == theirs] = own
    # The scan is without its skull; Colin27 loses it to the atlas, closed and filled.
    inside = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(brain > 0, 8), iterations=6))
    inside = ndimage.binary_dilation(inside, iterations=2)[tuple(slice(8, -8) for _ in range(3))]
    write_nifti(
        folder / "colin.nii.gz", np.where(inside, np.asarray(image.dataobj), 0).astype(np.float32), image.affine
    )
    write_nifti(folder / "colin_labels.nii.gz", renamed, atlas.affine)
    return table_of(out, [("scan", "colin"), ("colin", "scan")])


def slabs_table(data: Path, out: Path) -> Path:
    """All pairs of the four children."""
    folder = out / "volumes"
    folder.mkdir(exist_ok=True)
    for number in range(1, 5):
        for name, to in (("ilist", ""), ("slist", "_labels")):
            image = nib.load(data / f"brain_mri/ptbp_slabs/data/JLF/{name}{number}.nii.gz")
            values = np.asarray(image.dataobj)
            write_nifti(
                folder / f"child{number}{to}.nii.gz", values.astype(np.int16 if to else np.float32), image.affine
            )
    names = [f"child{number}" for number in range(1, 5)]
    return table_of(out, [(fixed, moving) for fixed in names for moving in names if fixed != moving])


def ct_table(data: Path, out: Path, count: int = 12) -> Path:
    """One scan and deformed copies of it; moving(x) is fixed(x + u(x)), so a point x of the copy lies at x + u(x)."""
    folder = out / "volumes"
    folder.mkdir(exist_ok=True)
    home = data / "ct/totalsegmentator"
    image, labels = nib.load(home / "example_ct_sm.nii.gz"), np.asarray(nib.load(home / "example_seg.nii.gz").dataobj)
    values, draw = np.asarray(image.dataobj).astype(np.float32), np.random.default_rng(0)
    kept = np.where(np.isin(labels, SEGMENTED), labels, 0).astype(np.int16)
    body = ndimage.binary_erosion(ndimage.binary_opening(values > -300, iterations=2), iterations=4)
    for number in range(count):
        # Not by splines, from which the liver network learnt.
        field = np.stack([ndimage.gaussian_filter(part, (8, 8, 5)) for part in draw.normal(size=(3, *values.shape))])
        field *= 4 / np.abs(field).max()
        at = np.indices(values.shape) + field
        warped = ndimage.map_coordinates(values, at, order=1, mode="nearest")
        inside = np.argwhere(body)
        points = inside[draw.choice(len(inside), 500, replace=False)].astype(float)
        partners = points + field[(slice(None), *points.astype(int).T)].T
        for name, array in (("fixed", values), ("moving", warped)):
            noisy = array + draw.normal(0, NOISE, array.shape).astype(np.float32)
            write_nifti(folder / f"{name}{number}.nii.gz", noisy, image.affine)
        write_nifti(folder / f"fixed{number}_labels.nii.gz", kept, image.affine)
        moved = ndimage.map_coordinates(kept, at, order=0, mode="nearest")
        write_nifti(folder / f"moving{number}_labels.nii.gz", moved, image.affine)
        for name, places in (("fixed", partners), ("moving", points)):
            rows = [{"x": x, "y": y, "z": z} for x, y, z in places.tolist()]
            write(folder / f"{name}{number}.csv", rows, ("x", "y", "z"))
    return table_of(out, [(f"fixed{number}", f"moving{number}") for number in range(count)], points=True)


def table_of(out: Path, named: list[tuple[str, str]], *, points: bool = False) -> Path:
    """The table of pairs of volumes that lie in OUT/volumes under these names."""
    rows = []
    for fixed, moving in named:
        roles = (("fixed", fixed), ("moving", moving))
        files = {
            f"{role}{what}": out / "volumes" / f"{name}{what}.nii.gz"
            for role, name in roles
            for what in ("", "_labels")
        }
        if points:
            files |= {f"{role}_points": out / "volumes" / f"{name}.csv" for role, name in roles}
        rows.append({"case": f"{fixed}-{moving}", "fixed_subject": fixed, "moving_subject": moving, **files})
    write(out / "pairs.csv", rows, COLUMNS)
    return out / "pairs.csv"


def training_set(data: Path, out: Path, hippocampi: Path | None) -> None:
    """Painted label maps with the labels in order from 0 on, the first for training, the second for choosing among epochs,
    and real images of nobody that is tested."""
    values = [0, *sorted(GREYS)]
    order = np.zeros(1000, np.uint8)
    order[values] = range(len(values))
    entries: dict[str, list[dict[str, str]]] = {"1": [], "2": []}
    for subject in entries:
        path = data / f"brain_mri/synthseg_labelmaps/data/training_label_maps/training_seg_0{subject}.nii.gz"
        image = nib.as_closest_canonical(nib.load(path))
        labels = order[np.asarray(image.dataobj).astype(int)]
        inside = np.argwhere(labels)
        first, last = np.maximum(inside.min(0) - 6, 0), inside.max(0) + 7
        labels = labels[tuple(map(slice, first, last))]
        for name, turned in ((f"ss{subject}", labels), (f"ss{subject}m", labels[::-1])):
            greys = np.array([0, *(GREYS[value] for value in values[1:])], np.float32)
            write_nifti(out / f"{name}_label.nii.gz", turned, np.eye(4))
            write_nifti(out / f"{name}.nii.gz", greys[turned], np.eye(4))
            files = {"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz"}
            entries[subject].append({"case": name, "subject": subject, **files, "modality": "MR"})
    for name, path in IMAGES.items():
        image = nib.as_closest_canonical(nib.load(data / "brain_mri" / path))
        values = np.asarray(image.dataobj).astype(np.float32)
        inside = np.argwhere(values > 0.1 * np.quantile(values, 0.99))
        box = tuple(slice(max(a - 3, 0), b + 4) for a, b in zip(inside.min(0), inside.max(0), strict=True))
        write_nifti(out / f"{name}.nii.gz", values[box], np.eye(4))
        entries["1"].append({"case": name, "subject": name, "image": f"{name}.nii.gz", "modality": "MR"})
    if hippocampi is not None:
        datalist = out / "hippocampus.json"
        medpipe("data", "prepare", "msd_task04_hippocampus", hippocampi, "-o", datalist)
        known = load_registration_datalist(datalist)
        for section, subject in (("training", "1"), ("validation", "2")):
            for entry in known[section][:24]:
                full = entry_below(entry, hippocampi)
                for what, suffix in (("image", ""), ("label", "_label")):
                    volume = nib.load(full[what])
                    name = f"{entry['case']}{suffix}.nii.gz"
                    values = np.asarray(volume.dataobj).astype(np.uint8 if suffix else np.float32)
                    write_nifti(out / name, values, volume.affine)
                files = {"image": f"{entry['case']}.nii.gz", "label": f"{entry['case']}_label.nii.gz"}
                entries[subject].append({"case": entry["case"], "subject": entry["case"], **files, "modality": "MR"})
    labels_by_name = {str(number): str(value) for number, value in enumerate(values) if number}
    head = {"name": "brain_label_maps", "description": "painted label maps", "generated": True, "split": "by subject"}
    listed = {  # of hippocampi, which have a label in the same sense
        section: [
            [a["case"], b["case"]] for a in entries[key] for b in entries[key] if a is not b and _both_crops(a, b)
        ]
        for section, key in (("training", "1"), ("validation", "2"))
    }
    rules = {section: {"how": "listed", "pairs": named} for section, named in listed.items() if named}
    parts = {"training": entries["1"], "validation": entries["2"], "test": [], "pairs": rules}
    write_registration_datalist({**head, "labels": labels_by_name, **parts}, out / "datalist.json")


def ct_training_set(data: Path, out: Path) -> None:
    """Eight overlapping parts of elastix's chest CT, of nobody that is tested; the last for choosing among epochs."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(data / "ct/elastix_lung" / CHEST))
    values = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)[::-1, ::-1]  # to right, anterior
    entries: list[dict[str, str]] = []
    halves = [(slice(0, int(0.6 * n)), slice(int(0.4 * n), n)) for n in values.shape]
    for number, box in enumerate(itertools.product(*halves)):
        name = f"chest{number}"
        write_nifti(out / f"{name}.nii.gz", values[box], np.diag([*image.GetSpacing(), 1.0]))
        entries.append({"case": name, "subject": name, "image": f"{name}.nii.gz", "modality": "CT"})
    head = {"name": "chest_ct", "description": "parts of one chest CT", "generated": False, "split": "by part"}
    parts = {"training": entries[:7], "validation": entries[7:], "test": [], "pairs": {}, "labels": {}}
    write_registration_datalist({**head, **parts}, out / "datalist.json")


def _both_crops(one: dict[str, str], two: dict[str, str]) -> bool:
    return all(entry["case"].startswith("hippocampus") for entry in (one, two))


def only(labels: np.ndarray) -> np.ndarray:
    """The structures that are scored; the rest is background."""
    return np.where(np.isin(labels, STRUCTURES), labels, 0)


def write(path: Path, rows: list[dict], columns: tuple[str, ...]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def run(bundle: str, method: str, table: Path, out: Path, more: list[str]) -> Path:
    """Register all pairs by a method and score them; returns results.json."""
    name, _, steps = method.rpartition(":")[2].partition("+")
    aligned = method.rpartition(":")[0]
    folder = out / method.replace(":", "_").replace("+", "_")
    options = ["--method", name, "--refine", steps or 0, "--affine", aligned or "none", "--workers", 0]
    medpipe("infer", bundle, "--pairs", table, *options, "-o", folder, "fields=warp", *more)
    seconds = {row["case"]: row for row in read(folder / "pairs.csv")}
    rows = []
    for row in read(table):
        field = folder / "cases" / row["case"] / "field_Warp.nii.gz"
        own = {name: str(Path(row[name]).absolute()) for name in COLUMNS[1:7] if row.get(name)}
        stages = seconds.get(row["case"], {})
        time = sum(float(stages.get(f"{stage}_seconds") or 0) for stage in ("align", "network", "refine"))
        rows.append(
            {**row, **own, "pair": row["case"], "field": str(field) if field.is_file() else "", "seconds": time}
        )
    scored = out / f"{folder.name}_score"
    columns = ("pair", *COLUMNS[1:], "field", "seconds")
    write(out / f"{folder.name}.csv", rows, columns)
    if not (scored / "results.json").is_file():
        medpipe("score", "registration", out / f"{folder.name}.csv", "-o", scored)
    return scored / "results.json"


TABLES = {"brains": brains_table, "colin": colin_table, "slabs": slabs_table, "ct": ct_table}


def main() -> None:
    """Register, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["hippocampus", *TABLES, "training", "training_ct"])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--hippocampus", type=Path, help="the hippocampus data set, for 'training'")
    given = parser.parse_intermixed_args()
    given.out = given.out.absolute()
    given.out.mkdir(parents=True, exist_ok=True)
    more = list(given.overrides)
    if given.kind == "training_ct":
        ct_training_set(given.source, given.out)
        return
    if given.kind == "training":
        training_set(given.source, given.out, given.hippocampus)
        return
    if given.kind == "hippocampus":
        table = hippocampus_table(given.source, given.out, given.pairs)
        more.append("body_part=whole")
    else:
        table = TABLES[given.kind](given.source, given.out)
        more.append("crop_by_labels=false")
    bundle = "liver_ct_registration_ldr" if given.kind == "ct" else "brain_mri_registration_ldr"
    for method in given.methods.split(","):
        results = json.loads(run(bundle, method, table, given.out, more).read_text(encoding="utf-8"))
        for estimate in results["headline"]:
            print(method, estimate["text"])


if __name__ == "__main__":
    main()
