import json
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from medpipe.data import dataset_reader
from medpipe.data.lookalikes.deformable_shapes import field_between, warp
from medpipe.data.lookalikes.registration_phantoms import plan_phantoms, write_registration_phantoms
from medpipe.data.registration_datalist import validate_registration_datalist
from medpipe.data.registration_pairs import pairs
from medpipe.data.teacher_fields import read_teacher_field
from medpipe.data.volume_files import read_points, read_volume_file
from medpipe.errors import RequestError

CASES, SIZE, SEED = 8, 32, 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "set"
    write_registration_phantoms(out, cases=CASES, seed=SEED, size=SIZE)
    return out


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "brains"
    write_registration_phantoms(out, cases=5, seed=SEED, size=24, anatomy="brain", same_contrast=True)
    return out


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def table(root: Path, name: str) -> dict[str, Any]:
    return json.loads((root / name).read_text())


def template_field(root: Path, name: str) -> np.ndarray:
    with np.load(root / "template_fields" / f"{name}.npz") as record:
        return record["displacement"]


def scans(root: Path) -> dict[str, dict[str, np.ndarray]]:
    with h5py.File(root / "rcn" / "phantoms.h5") as file:
        return {f"phantom_{key}": {name: values[()] for name, values in file[key].items()} for key in file}


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def assert_carried(fixed: np.ndarray, moved: np.ndarray) -> None:
    """Two masks differ at their border alone: each nearest-neighbour look-up may take a neighbouring voxel."""
    around = np.ones((3, 3, 3))
    assert (moved | ~ndimage.binary_erosion(fixed, around, 2, border_value=1)).all()
    assert (~moved | ndimage.binary_dilation(fixed, around, 2)).all()


def test_each_scan_is_in_both_layouts_with_the_same_voxels(root: Path) -> None:
    for plan in plan_phantoms(cases=CASES, seed=SEED, anatomy="liver"):
        known = scans(root)[plan.name]
        assert {name: values.dtype for name, values in known.items()} == {
            **{"volume": np.uint8, "segmentation": np.uint8, "point": np.float32}
        }
        assert known["volume"].shape == (SIZE, SIZE, SIZE)
        assert set(np.unique(known["segmentation"])) == {0, 255}
        stored = np.asarray(nib.load(root / f"learn2reg/imagesTr/{plan.name}_0000.nii.gz").dataobj)
        np.testing.assert_array_equal(np.flip(stored, plan.stored_flips), known["volume"])
        labels = np.asarray(nib.load(root / f"learn2reg/labelsTr/{plan.name}_0000.nii.gz").dataobj)
        liver = np.isin(np.flip(labels, plan.stored_flips), (2, 6))
        np.testing.assert_array_equal(liver, known["segmentation"] == 255)


def test_volumes_lie_in_four_ways_in_the_patient(root: Path) -> None:
    images = [nib.load(path) for path in sorted((root / "learn2reg" / "imagesTr").iterdir())]
    upright, anisotropic, lps, oblique = (image.affine for image in images[:4])
    assert ["".join(nib.aff2axcodes(image.affine)) for image in images[:3]] == ["RAS", "RAS", "LPS"]
    np.testing.assert_allclose(nib.affines.voxel_sizes(anisotropic), [1.2, 1.5, 2.1], rtol=1e-6)
    np.testing.assert_allclose(np.abs(lps[:3, :3]), np.abs(upright[:3, :3]), atol=1e-6)
    np.testing.assert_allclose(oblique[:3, :3].T @ oblique[:3, :3], 1.5**2 * np.eye(3), atol=1e-5)
    assert np.rad2deg(nib.affines.obliquity(oblique)).max() == pytest.approx(14, abs=1)
    middle = np.array([(SIZE - 1) / 2] * 3 + [1])
    for image in images:
        np.testing.assert_allclose((image.affine @ middle)[:3], [3, -7, 11], atol=1e-4)


def test_the_stored_answer_joins_labels_and_points(root: Path) -> None:
    found = scans(root)
    gains = []
    for path in sorted((root / "rcn" / "fields").iterdir()):
        fixed, moving = (found[name] for name in path.stem.split("-"))
        field = read_teacher_field(path).astype(np.float32)
        masks = [scan["segmentation"] == 255 for scan in (fixed, moving)]
        moved = warp(masks[1].astype(np.uint8), field, order=0) == 1
        assert_carried(masks[0], moved)
        gains.append(dice(masks[0], moved) - dice(*masks))
        points = fixed["point"][:5].astype(float)
        moved = np.stack([ndimage.map_coordinates(part, points.T, order=1, mode="nearest") for part in field], 1)
        np.testing.assert_allclose(points + moved, moving["point"][:5], atol=0.25)
    assert len(gains) >= 8
    assert min(gains) > 0
    assert np.mean(gains) > 0.04


def test_the_answer_misses_its_equation_by_less_than_a_twentieth_of_a_voxel(root: Path) -> None:
    for path in sorted((root / "rcn" / "fields").iterdir()):
        first, second = (template_field(root, name) for name in path.stem.split("-"))
        field = read_teacher_field(path).astype(np.float32)
        assert np.sqrt(((field + warp(second, field) - first) ** 2).sum(0)).max() < 0.05


def test_the_answer_of_any_other_pair_follows_from_two_template_fields(root: Path) -> None:
    found = scans(root)
    first, second = (template_field(root, f"phantom_000{number}") for number in (1, 4))
    assert not (root / "rcn" / "fields" / "phantom_0001-phantom_0004.npz").exists()
    field, missed = field_between(first, second)
    masks = [found[f"phantom_000{number}"]["segmentation"] == 255 for number in (1, 4)]
    assert missed < 0.05
    assert_carried(masks[0], warp(masks[1].astype(np.uint8), field, order=0) == 1)


def test_learn2reg_fields_join_the_arrays_as_they_are_stored(root: Path) -> None:
    about = table(root, "learn2reg/dataset.json")
    flipped = 0
    for item in about["known_fields"]:
        labels = [
            np.asarray(nib.load(root / "learn2reg" / item[key].replace("images", "labels")).dataobj)
            for key in ("fixed", "moving")
        ]
        image = nib.load(root / "learn2reg" / item["field"])
        fixed = nib.load(root / "learn2reg" / item["fixed"])
        np.testing.assert_allclose(image.affine, fixed.affine, atol=1e-5)
        field = np.asarray(image.dataobj)
        assert field.shape == (SIZE, SIZE, SIZE, 3)
        moved = ndimage.map_coordinates(labels[1], np.indices(labels[0].shape) + np.moveaxis(field, -1, 0), order=0)
        for organ in ((2, 6), (3,)):  # liver and spleen each lie on one side, so a lost flip would miss them
            assert_carried(np.isin(labels[0], organ), np.isin(moved, organ))
            assert (np.isin(labels[0], organ) & np.isin(moved, organ)).any()
        flipped += int(np.abs(field).max() > SIZE / 2)
    assert flipped >= 2


def test_keypoints_of_two_volumes_are_joined_by_the_field_between_them(root: Path) -> None:
    for item in table(root, "learn2reg/dataset.json")["known_fields"]:
        names = [Path(item[key]).name.removesuffix(".nii.gz") for key in ("fixed", "moving")]
        first, second = (read_points(root / "learn2reg" / "keypointsTr" / f"{name}.csv") for name in names)
        field = np.moveaxis(np.asarray(nib.load(root / "learn2reg" / item["field"]).dataobj), -1, 0)
        moved = np.stack([ndimage.map_coordinates(part, first.T, order=1, mode="nearest") for part in field], 1)
        assert first.shape == (6, 3)
        np.testing.assert_allclose(first + moved, second, atol=0.25)


def test_every_fourth_scan_lacks_its_last_point_in_the_hdf5_file(root: Path) -> None:
    missing = [name for name, scan in scans(root).items() if (scan["point"] == -1).all(1).any()]
    assert missing == ["phantom_0004", "phantom_0008"]
    np.testing.assert_array_equal(read_points(f"{root}/rcn/phantoms.h5#0004/point")[5], np.nan)


def test_greys_differ_from_scan_to_scan_unless_asked_for(root: Path, brains: Path) -> None:
    def grey(folder: Path, values: tuple[int, ...]) -> list[float]:
        return [
            float(np.median(scan["volume"][np.isin(scan["segmentation"], values)])) for scan in scans(folder).values()
        ]

    assert np.std(grey(root, (255,))) > 15
    assert np.std(grey(brains, (2,))) < 12  # the bias is left


@pytest.mark.parametrize("layout", ["rcn", "learn2reg"])
def test_the_readers_read_it_back_with_the_same_sections(root: Path, layout: str) -> None:
    name, folder = ("registration_phantoms", root) if layout == "rcn" else ("learn2reg", root / "learn2reg")
    reader = dataset_reader(name)
    assert {finding.severity for finding in reader.check(folder)} == {"info"}
    datalist = reader.prepare(folder, seed=0, fractions=(0.7, 0.1, 0.2))
    validate_registration_datalist(datalist, layout)
    assert datalist["generated"] is True
    assert [len(datalist[part]) for part in ("training", "validation", "test")] == [6, 0, 2]
    assert len(pairs(datalist, "training")) == 30
    assert len(pairs(datalist, "test")) == 2
    for entry in datalist["test"]:
        assert read_volume_file(folder / entry["image"])[0].shape == (SIZE, SIZE, SIZE)
        assert read_points(folder / entry["points"]).shape == (6, 3)
    assert {entry["case"][:12] for entry in datalist["test"]} == {"phantom_0007", "phantom_0008"}


@pytest.mark.parametrize("layout", ["rcn", "learn2reg"])
def test_the_atlas_of_brains_is_fixed_in_every_answer_and_outside_the_split(brains: Path, layout: str) -> None:
    assert {path.name.split("-")[0] for path in (brains / "rcn" / "fields").iterdir()} == {"phantom_0001"}
    name, folder = ("registration_phantoms", brains) if layout == "rcn" else ("learn2reg", brains / "learn2reg")
    datalist = dataset_reader(name).prepare(folder, seed=0, fractions=(0.7, 0.1, 0.2))
    validate_registration_datalist(datalist, layout)
    if layout == "rcn":
        assert [entry["case"] for entry in datalist["reference"]] == ["phantom_0001"]
        assert datalist["labels"] == {
            **{"1": "cortex", "2": "white matter", "3": "ventricles", "4": "deep grey matter", "5": "hippocampi"}
        }
    fixed = {pair[0]["case"][:12] for part in ("validation", "test") for pair in pairs(datalist, part)}
    assert fixed <= {"phantom_0001"}


def test_equal_seeds_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("a", 1), ("b", 2)):
        write_registration_phantoms(tmp_path / folder, cases=4, seed=3, size=16, workers=workers)
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert first.keys() == second.keys()
    assert first == second


def test_another_seed_gives_other_volumes_and_no_two_scans_are_alike(tmp_path: Path, root: Path) -> None:
    write_registration_phantoms(tmp_path / "a", cases=1, seed=SEED + 1, size=SIZE)
    volumes = [scan["volume"] for scan in (*scans(root).values(), *scans(tmp_path / "a").values())]
    assert all((first != second).mean() > 0.3 for first, second in combinations(volumes, 2))


@pytest.mark.parametrize("cases", [1, 2, 3, 5])
@pytest.mark.parametrize("anatomy", ["liver", "brain"])
def test_no_scan_is_alone_in_its_section(cases: int, anatomy: str) -> None:
    plans = plan_phantoms(cases=cases, seed=0, anatomy=anatomy)
    assert len(plans) == cases
    for part in ("validation", "test"):
        assert sum(plan.section == part for plan in plans) != 1


@pytest.mark.parametrize(
    "options",
    [{"cases": 0}, {"cases": 10_000}, {"size": 8}, {"size": 512}, {"anatomy": "knee"}, {"seed": -1}, {"workers": 0}],
)
def test_a_wrong_number_is_refused_before_the_folder_is_made(tmp_path: Path, options: Any) -> None:
    with pytest.raises(RequestError):
        write_registration_phantoms(tmp_path / "a", **{"cases": 2, "seed": 0, "size": 16, **options})
    assert not (tmp_path / "a").exists()


def test_an_interrupted_set_is_marked_and_has_no_table(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_registration_phantoms(tmp_path / "a", cases=4, seed=0, size=16, progress=stop)
    assert (tmp_path / "a" / "LOOKALIKE.json").is_file()
    assert not list((tmp_path / "a").rglob("phantoms.*"))
    assert not list((tmp_path / "a").rglob("dataset.json"))


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="not empty"):
        write_registration_phantoms(tmp_path, cases=2, seed=0, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
