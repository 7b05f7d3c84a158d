"""Readers of registration data sets, on small files in the very layouts."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.data import DATASET_READERS, dataset_reader
from medpipe.data.lpba40 import STRUCTURES
from medpipe.data.manifests import load_manifest
from medpipe.data.rcn_hdf5 import _neighbours
from medpipe.data.registration_datalist import validate_registration_datalist
from medpipe.data.registration_pairs import pairs
from medpipe.data.registration_sets import RegistrationSet, _apart
from medpipe.data.splits import PARTS
from medpipe.data.volume_files import VolumeHeader, read_points, read_volume_file
from medpipe.errors import InputDataError, RequestError

SHAPE = (4, 5, 6)
THIRDS = (1 / 3, 1 / 3, 1 / 3)


def volume(path: Path, shape: Sequence[int] = SHAPE, affine: Any = None, value: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full(shape, value, np.uint8), np.eye(4) if affine is None else affine), path)
    return path


def codes(name: str, root: Path) -> dict[str, str]:
    return {finding.code: finding.message for finding in dataset_reader(name).check(root)}


def prepare(name: str, root: Path, **options: Any) -> dict[str, Any]:
    datalist = dataset_reader(name).prepare(root, **{"seed": 0, "fractions": THIRDS, **options})
    validate_registration_datalist(datalist, name)
    for part in (*PARTS, "reference"):
        for entry in datalist.get(part, ()):
            assert (root / entry["image"].partition("#")[0]).is_file()
    return datalist


def cases(datalist: dict[str, Any], part: str) -> list[str]:
    return [entry["case"] for entry in datalist[part]]


# ---- LiTS


@pytest.fixture
def lits(tmp_path: Path) -> Path:
    for number in (0, 1, 2, 10):
        folder = tmp_path / ("Training Batch 1" if number < 2 else "Training Batch 2")
        volume(folder / f"volume-{number}.nii")
        volume(folder / f"segmentation-{number}.nii")
    volume(tmp_path / "test" / "test-volume-0.nii")
    return tmp_path


def test_lits_pairs_volumes_and_segmentations_in_any_folder(lits: Path) -> None:
    assert codes("lits", lits) == {"counts": "found 4 of 131 labelled, 1 of 70 test"}
    datalist = prepare("lits", lits, fractions=(1, 0, 0))
    assert cases(datalist, "training") == ["volume-0", "volume-1", "volume-2", "volume-10", "test-volume-0"]
    assert datalist["training"][3]["label"] == "Training Batch 2/segmentation-10.nii"
    assert datalist["labels"] == {"1": "liver", "2": "lesion"}
    assert datalist["generated"] is False


def test_a_volume_of_the_lits_test_is_not_the_training_volume_of_its_number(lits: Path) -> None:
    entries = {entry["case"]: entry for part in PARTS for entry in prepare("lits", lits)[part]}
    assert "label" not in entries["test-volume-0"]
    assert entries["test-volume-0"]["subject"] != entries["volume-0"]["subject"]


def test_volumes_without_labels_go_to_training_where_nothing_can_be_scored_on_them(lits: Path) -> None:
    datalist = prepare("lits", lits, fractions=(0, 0.5, 0.5))
    assert cases(datalist, "training") == ["test-volume-0"]
    assert len(datalist["validation"]) == len(datalist["test"]) == 2


def test_a_lits_file_without_its_partner_is_named(lits: Path) -> None:
    (lits / "Training Batch 1" / "segmentation-1.nii").unlink()
    (lits / "Training Batch 2" / "volume-2.nii").unlink()
    found = codes("lits", lits)
    assert found["no_label"] == "no segmentation of volume 1"
    assert found["no_image"] == "no volume of segmentation 2"


def test_a_lits_volume_in_two_folders_is_an_error(lits: Path) -> None:
    volume(lits / "copy" / "volume-0.nii.gz")
    assert "2 files are the volume 'volume-0'" in codes("lits", lits)["repeated_case"]
    with pytest.raises(InputDataError, match="cannot be prepared; mend this first"):
        prepare("lits", lits)


# ---- what is the same for all


def test_a_label_of_another_size_is_an_error(lits: Path) -> None:
    volume(lits / "Training Batch 1" / "segmentation-0.nii", (4, 5, 7))
    assert "segmentation-0.nii has the shape (4, 5, 7)" in codes("lits", lits)["label_size"]


def test_a_label_that_lies_beside_its_image_is_a_warning(lits: Path) -> None:
    affine = np.eye(4)
    affine[0, 3] = 0.5
    volume(lits / "Training Batch 1" / "segmentation-0.nii", affine=affine)
    affine[0, 3] = 0.05
    volume(lits / "Training Batch 1" / "segmentation-1.nii", affine=affine)
    message = codes("lits", lits)["label_place"]
    assert message == "1 labels do not lie where their images do, by their headers: volume-0"


def test_a_volume_of_four_dimensions_is_an_error(lits: Path) -> None:
    volume(lits / "Training Batch 1" / "volume-0.nii", (4, 5, 6, 2))
    assert "volume-0.nii has the shape (4, 5, 6, 2)" in codes("lits", lits)["not_3d"]


def test_a_damaged_volume_is_an_error_that_names_it(lits: Path) -> None:
    (lits / "Training Batch 1" / "volume-0.nii").write_bytes(b"x")
    assert codes("lits", lits)["unreadable"].startswith("volume-0.nii: its header cannot be read")


def test_corners_are_compared_in_voxels_of_the_finest_axis() -> None:
    first = VolumeHeader((11, 11, 11), np.diag([1.0, 2.0, 5.0, 1.0]), True)
    second = VolumeHeader((11, 11, 11), np.diag([1.0, 2.0, 5.01, 1.0]), True)
    assert _apart(first, second) == pytest.approx(0.1)  # ten slices off by 0.01 mm each, spacing 1 mm


@pytest.mark.parametrize(
    "name", [name for name in DATASET_READERS if isinstance(dataset_reader(name), RegistrationSet)]
)
def test_an_empty_folder_is_an_error_of_every_reader(tmp_path: Path, name: str) -> None:
    reader = dataset_reader(name)
    assert any(finding.severity == "error" for finding in reader.check(tmp_path))
    with pytest.raises(InputDataError, match="mend this first"):
        reader.prepare(tmp_path, seed=0, fractions=THIRDS)
    with pytest.raises(RequestError, match="add up to 1"):
        reader.prepare(tmp_path, seed=0, fractions=(1, 1, 1))
    assert reader.name == name


@pytest.mark.parametrize("make", [lambda root: volume(root / "volume-x.nii"), lambda root: (root / "sub").mkdir()])
def test_files_of_other_names_are_no_volumes(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path)
    assert codes("lits", tmp_path) == {"no_volumes": f"no volume of lits is in {tmp_path}"}


def test_a_division_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    for number in range(12):
        volume(tmp_path / f"volume-{number}.nii")
    first, again, other = (prepare("lits", tmp_path, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert cases(first, "test") != cases(other, "test")
    assert [len(first[part]) for part in PARTS] == [4, 4, 4]


# ---- Medical Segmentation Decathlon


@pytest.fixture
def liver(tmp_path: Path) -> Path:
    about = {"labels": {"0": "background", "1": "liver", "2": "cancer"}, "modality": {"0": "CT"}}
    about["training"] = [
        {"image": f"./imagesTr/liver_{n}.nii.gz", "label": f"./labelsTr/liver_{n}.nii.gz"} for n in (0, 1, 10)
    ]
    about["test"] = ["./imagesTs/liver_132.nii.gz"]
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    for number in (0, 1, 10):
        volume(tmp_path / "imagesTr" / f"liver_{number}.nii.gz")
        volume(tmp_path / "labelsTr" / f"liver_{number}.nii.gz")
    volume(tmp_path / "imagesTs" / "liver_132.nii.gz")
    return tmp_path


def test_a_decathlon_task_gives_labels_by_the_names_of_its_json_file(liver: Path) -> None:
    datalist = prepare("msd_task03_liver", liver, fractions=(0, 0, 1))
    assert datalist["labels"] == {"1": "liver", "2": "cancer"}
    assert cases(datalist, "test") == ["liver_0", "liver_1", "liver_10"]
    assert cases(datalist, "training") == ["liver_132"]


def test_hidden_files_of_a_mac_are_no_volumes(liver: Path) -> None:
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (liver / folder / "._liver_0.nii.gz").write_bytes(b"Mac OS X")
    assert "unreadable" not in codes("msd_task03_liver", liver)
    assert len(prepare("msd_task03_liver", liver, fractions=(1, 0, 0))["training"]) == 4


def test_the_liver_task_says_that_it_is_lits(liver: Path) -> None:
    assert (
        "are the volumes of LiTS; to be tested on LiTS, train on imagesTs alone"
        in codes("msd_task03_liver", liver)["is_lits"]
    )


def test_files_against_dataset_json_are_named_with_its_dot_paths(liver: Path) -> None:
    (liver / "imagesTr" / "liver_1.nii.gz").unlink()
    volume(liver / "imagesTr" / "liver_99.nii.gz")
    found = codes("msd_task03_liver", liver)
    assert found["missing_images"] == "1 of 4 volumes of dataset.json are not on disk: liver_1"
    assert found["unlisted_images"] == "1 volumes are not in dataset.json: liver_99"
    assert found["no_image"] == "labels in labelsTr without an image: liver_1.nii.gz"


def test_the_folder_of_another_task_is_refused(liver: Path) -> None:
    assert "files of another task than pancreas" in codes("msd_task07_pancreas", liver)["wrong_task"]


def test_a_damaged_dataset_json_is_named(liver: Path) -> None:
    for text, message in (
        ("[", "dataset.json: not readable as JSON"),
        ("[" * 100_000, "dataset.json: not readable as JSON"),
        ("[]", "dataset.json: $: [] is not of type 'object'"),
        ('{"training": [{"label": "x"}]}', "dataset.json: $.training[0]: 'image' is a required property"),
    ):
        (liver / "dataset.json").write_text(text)
        assert message in codes("msd_task03_liver", liver)["layout"]


def test_subsets_in_images_and_labels_are_read_without_a_json_file(tmp_path: Path) -> None:
    volume(tmp_path / "images" / "hippocampus_001.nii.gz")
    volume(tmp_path / "labels" / "hippocampus_001.nii.gz")
    datalist = prepare("msd_task04_hippocampus", tmp_path, fractions=(1, 0, 0))
    assert datalist["training"][0]["label"] == "labels/hippocampus_001.nii.gz"
    assert datalist["labels"] == {"1": "anterior hippocampus", "2": "posterior hippocampus"}


@pytest.mark.shared_data
def test_the_real_hippocampus_volumes_are_read_and_paired(shared_data: Path) -> None:
    root = shared_data / "brain_mri" / "msd_hippocampus"
    assert codes("msd_task04_hippocampus", root) == {"counts": "found 110 of 260 labelled, 0 of 130 test"}
    datalist = prepare("msd_task04_hippocampus", root, fractions=(0.7, 0.1, 0.2))
    assert [len(datalist[part]) for part in PARTS] == [77, 11, 22]
    assert len(pairs(datalist, "training")) == 77 * 76
    fixed, moving = pairs(datalist, "test")[0]
    for entry in (fixed, moving):
        image, label = (read_volume_file(root / entry[key])[0] for key in ("image", "label"))
        assert image.shape == label.shape
        assert set(np.unique(label)) == {0, 1, 2}


# ---- SLIVER07


def meta(path: Path, name: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((6, 5, 4), np.int16)), str(path / name))


@pytest.fixture
def sliver(tmp_path: Path) -> Path:
    for number in (1, 14):
        meta(tmp_path / "scan", f"liver-orig{number:03d}.mhd")
        meta(tmp_path / "label", f"liver-seg{number:03d}.mhd")
    return tmp_path


def test_sliver_has_its_number_14_as_distributed(sliver: Path) -> None:
    assert codes("sliver07", sliver) == {"counts": "found 2 of 20 labelled"}
    datalist = prepare("sliver07", sliver, fractions=(1, 0, 0))
    assert cases(datalist, "training") == ["liver-orig001", "liver-orig014"]
    assert read_volume_file(sliver / datalist["training"][0]["image"])[0].shape == (4, 5, 6)


def test_a_sliver_header_without_its_voxels_is_an_error(sliver: Path) -> None:
    (sliver / "scan" / "liver-orig014.raw").unlink()
    assert codes("sliver07", sliver)["unreadable"] == "liver-orig014.mhd: its voxel file liver-orig014.raw is missing"


# ---- ADNI, ABIDE, ADHD-200


def test_bids_folders_give_one_subject_for_all_runs_and_sessions(tmp_path: Path) -> None:
    for place in (
        *("sub-01/ses-1/anat/sub-01_ses-1_run-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz"),
        *("sub-02/anat/sub-02_T1w.nii.gz", "sub-02/anat/sub-02_T2w.nii.gz", "sub-02/func/sub-02_bold.nii.gz"),
        "derivatives/x/y_T1w.nii.gz",
    ):
        volume(tmp_path / place)
    datalist = prepare("abide", tmp_path, fractions=(1, 0, 0))
    assert sorted(cases(datalist, "training")) == ["sub-01_ses-1_run-1", "sub-01_ses-2", "sub-02"]
    assert [entry["subject"] for entry in datalist["training"]] == ["sub-01", "sub-01", "sub-02"]
    assert len(pairs(datalist, "training")) == 4  # not the two visits of one person
    assert datalist["labels"] == {}


def test_two_sites_may_use_the_same_number_for_two_people(tmp_path: Path) -> None:
    for site in ("NYU", "KKI"):
        volume(tmp_path / site / "sub-0051456" / "anat" / "sub-0051456_T1w.nii.gz")
        volume(tmp_path / site / "0010001" / "session_1" / "anat_1" / "mprage.nii.gz")
    datalist = prepare("adhd200", tmp_path, fractions=(1, 0, 0))
    subjects = {entry["subject"] for entry in datalist["training"]}
    assert subjects == {"NYU_sub-0051456", "KKI_sub-0051456", "NYU_0010001", "KKI_0010001"}
    assert "NYU_0010001_session_1_anat_1" in cases(datalist, "training")


def test_all_visits_to_adni_are_of_one_subject(tmp_path: Path) -> None:
    for number, date in (("I13722", "2006-04-18"), ("I60001", "2007-04-01")):
        volume(tmp_path / "ADNI/002_S_0295/MP-RAGE" / date / number / f"ADNI_002_S_0295_MR_Br_S1_{number}.nii")
    volume(tmp_path / "ADNI/941_S_1194/MP-RAGE/2006/I5/ADNI_941_S_1194_MR_I5.nii")
    datalist = prepare("adni", tmp_path, fractions=(0.5, 0, 0.5))
    parts = [{entry["subject"] for entry in datalist[part]} for part in ("training", "test")]
    assert sorted(map(len, parts)) == [1, 1]
    entries = [entry for part in PARTS for entry in datalist[part]]
    assert {entry["case"] for entry in entries} == {"002_S_0295_I13722", "002_S_0295_I60001", "941_S_1194_I5"}


def test_dicom_of_adni_is_to_be_converted_first(tmp_path: Path) -> None:
    (tmp_path / "002_S_0295").mkdir()
    (tmp_path / "002_S_0295" / "x.dcm").write_bytes(b"")
    assert "medpipe convert" in codes("adni", tmp_path)["dicom"]


# ---- LPBA40


def analyze(path: Path, values: Sequence[int], shape: Sequence[int] = SHAPE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.resize(np.array(values, np.uint8), shape)
    nib.save(nib.AnalyzeImage(array, np.eye(4)), path.with_name(path.name + ".img"))


@pytest.fixture
def lpba(tmp_path: Path) -> Path:
    for subject in ("S01", "S02", "S10"):
        analyze(tmp_path / subject / f"{subject}.delineation.skullstripped", [0, 9])
        analyze(tmp_path / subject / f"{subject}.delineation.structure.label", [0, 21, 182])
        analyze(tmp_path / subject / f"{subject}.native.mri", [0, 9], (5, 5, 5))
        analyze(tmp_path / subject / f"{subject}.native.structure.label", [0, 21, 182], (5, 5, 5))
    return tmp_path


def test_lpba_has_56_structures() -> None:
    assert len(set(STRUCTURES)) == 56
    assert [int(value) for value in load_manifest("lpba40")["labels"]] == list(STRUCTURES)


def test_the_atlas_of_lpba_is_fixed_in_every_pair_and_a_scan_of_lpba_itself(lpba: Path) -> None:
    datalist = prepare("lpba40", lpba)
    assert cases(datalist, "reference") == ["S01"]
    found = [(fixed["case"], moving["case"]) for fixed, moving in pairs(datalist, "test")]
    assert found == [("S01", "S02"), ("S01", "S10")]
    assert cases(datalist, "training") == []
    assert len(datalist["labels"]) == 56


def test_image_and_label_of_lpba_are_of_one_space(lpba: Path) -> None:
    entry = prepare("lpba40", lpba)["test"][0]
    assert entry["image"] == "S02/S02.delineation.skullstripped.hdr"
    assert entry["label"] == "S02/S02.delineation.structure.label.hdr"
    assert "label_size" not in codes("lpba40", lpba)
    for path in lpba.rglob("*delineation*"):
        path.unlink()
    entry = prepare("lpba40", lpba)["test"][0]
    assert (entry["image"], entry["label"]) == ("S02/S02.native.mri.hdr", "S02/S02.native.structure.label.hdr")


def test_analyze_files_of_lpba_say_no_orientation(lpba: Path) -> None:
    assert codes("lpba40", lpba)["no_orientation"].startswith("3 files do not say how they lie")


def test_lpba_without_its_atlas_or_with_other_values_is_told(lpba: Path) -> None:
    analyze(lpba / "S02" / "S02.delineation.structure.label", [0, 21, 35])
    assert codes("lpba40", lpba)["other_values"].endswith("S02.delineation.structure.label.hdr has values 35")
    for path in (lpba / "S01").iterdir():
        path.unlink()
    assert codes("lpba40", lpba)["no_atlas"].startswith("S01, the fixed image of every pair")


# ---- OASIS


def test_two_scans_of_an_oasis_subject_are_never_divided(tmp_path: Path) -> None:
    for case in ("OASIS_OAS1_0001_MR1", "OASIS_OAS1_0001_MR2", "OASIS_OAS1_0002_MR1"):
        volume(tmp_path / case / "aligned_norm.nii.gz")
        volume(tmp_path / case / "aligned_seg35.nii.gz")
        volume(tmp_path / case / "aligned_seg4.nii.gz")
    (tmp_path / "seg35_labels.txt").write_text("0 Unknown 0 0 0\n1    Left-Cortex   245 245 245\n")
    datalist = prepare("oasis", tmp_path, fractions=(0.5, 0, 0.5))
    assert {len({entry["subject"] for entry in datalist[part]}) for part in ("training", "test")} == {1}
    assert datalist["labels"] == {"1": "Left-Cortex"}
    assert {entry["label"][-12:] for part in PARTS for entry in datalist[part]} == {"seg35.nii.gz"}
    (tmp_path / "OASIS_OAS1_0002_MR1" / "aligned_seg35.nii.gz").unlink()
    assert codes("oasis", tmp_path)["no_label"] == "no aligned_seg35.nii.gz of OASIS_OAS1_0002_MR1"


# ---- Learn2Reg


def learn2reg(root: Path, places: Sequence[str], name: str = "NAME_dataset.json", **more: Any) -> Path:
    for place in places:
        volume(root / place)
    training = [{"image": f"./{place}"} for place in places]
    (root / name).write_text(json.dumps({"training": training, "modality": {"0": "MR"}, **more}))
    return root


OASIS = [f"imagesTr/OASIS_{number:04d}_0000.nii.gz" for number in (1, 2, 3, 438, 439, 440)]


def pair(first: str, second: str) -> dict[str, str]:
    return {"fixed": f"./{first}", "moving": f"./{second}"}


def test_validation_volumes_that_are_listed_for_training_too_are_taken_out(tmp_path: Path) -> None:
    chain = [pair(OASIS[3], OASIS[4]), pair(OASIS[4], OASIS[5])]
    learn2reg(tmp_path, OASIS, registration_val=chain, labels={"0": {"0": "bg", "1": "cortex"}})
    datalist = prepare("learn2reg", tmp_path)
    assert cases(datalist, "training") == ["OASIS_0001_0000", "OASIS_0002_0000", "OASIS_0003_0000"]
    found = [(fixed["case"], moving["case"]) for fixed, moving in pairs(datalist, "validation")]
    assert found == [("OASIS_0438_0000", "OASIS_0439_0000"), ("OASIS_0439_0000", "OASIS_0440_0000")]
    assert datalist["labels"] == {"1": "cortex"}
    assert codes("learn2reg", tmp_path)["held_out"].startswith("3 volumes of 'training'")


def test_labels_and_points_lie_in_folders_named_after_the_images(tmp_path: Path) -> None:
    root = learn2reg(tmp_path / "imagesTr_all", OASIS[:2], name="dataset.json")
    volume(root / OASIS[0].replace("images", "labels"))
    (root / "keypointsTr").mkdir()
    (root / "keypointsTr" / "OASIS_0001_0000.csv").write_text("1,2,3\n")
    first, second = prepare("learn2reg", root, fractions=(1, 0, 0))["training"]
    assert first["label"] == "labelsTr/OASIS_0001_0000.nii.gz"
    np.testing.assert_array_equal(read_points(root / first["points"]), [[1, 2, 3]])
    assert not {"label", "points"} & second.keys()


def test_scans_of_a_paired_task_are_of_one_subject_and_numbered_by_direction(tmp_path: Path) -> None:
    places = [f"imagesTr/LungCT_{number:04d}_{scan:04d}.nii.gz" for number in (1, 2) for scan in (0, 1)]
    paired = [{"0": f"./{places[0]}", "1": f"./{places[1]}"}]
    learn2reg(
        tmp_path,
        places,
        training_paired_images=paired,
        registration_val=[pair(places[2], places[3])],
        registration_direction={"fixed": 1, "moving": 0},
    )
    datalist = prepare("learn2reg", tmp_path)
    assert [(f["case"], m["case"]) for f, m in pairs(datalist, "training")] == [
        ("LungCT_0001_0001", "LungCT_0001_0000")
    ]
    assert {entry["subject"] for entry in datalist["training"]} == {"LungCT_0001"}
    assert len(pairs(datalist, "validation")) == 1


def test_an_atlas_in_pairs_of_two_sections_is_outside_the_split(tmp_path: Path) -> None:
    learn2reg(
        tmp_path, OASIS, registration_val=[pair(OASIS[0], OASIS[3])], registration_test=[pair(OASIS[0], OASIS[4])]
    )
    datalist = prepare("learn2reg", tmp_path)
    assert cases(datalist, "reference") == ["OASIS_0001_0000"]
    assert [len(pairs(datalist, part)) for part in PARTS] == [6, 1, 1]


def test_without_published_pairs_subjects_are_divided_by_the_seed(tmp_path: Path) -> None:
    learn2reg(tmp_path, OASIS, registration_val=[])
    assert [len(prepare("learn2reg", tmp_path)[part]) for part in PARTS] == [2, 2, 2]


def test_volumes_of_the_json_file_that_are_missing_take_their_pairs_with_them(tmp_path: Path) -> None:
    learn2reg(tmp_path, OASIS, registration_val=[pair(OASIS[3], OASIS[4]), pair(OASIS[4], OASIS[5])])
    (tmp_path / OASIS[5]).unlink()
    assert codes("learn2reg", tmp_path)["missing_images"].startswith("1 of 6 volumes of NAME_dataset.json")
    assert len(pairs(prepare("learn2reg", tmp_path), "validation")) == 1


def test_a_validation_volume_whose_partner_is_missing_is_not_for_training(tmp_path: Path) -> None:
    learn2reg(tmp_path, OASIS, registration_val=[pair(OASIS[3], OASIS[4])])
    (tmp_path / OASIS[3]).unlink()
    datalist = prepare("learn2reg", tmp_path)
    assert cases(datalist, "validation") == ["OASIS_0439_0000"]
    assert "OASIS_0439_0000" not in cases(datalist, "training")


def test_a_paired_task_without_validation_has_its_pairs_for_training(tmp_path: Path) -> None:
    places = [f"imagesTr/LungCT_{number:04d}_{scan:04d}.nii.gz" for number in (1, 2) for scan in (0, 1)]
    learn2reg(tmp_path, places, training_paired_images=[dict(zip("01", places[:2], strict=True))])
    datalist = prepare("learn2reg", tmp_path)
    found = [(fixed["case"], moving["case"]) for fixed, moving in pairs(datalist, "training")]
    assert found == [("LungCT_0001_0000", "LungCT_0001_0001")]
    assert len(cases(datalist, "training")) == 4


def test_test_volumes_without_a_pair_are_left_out_and_told(tmp_path: Path) -> None:
    learn2reg(tmp_path, OASIS, registration_val=[pair(OASIS[3], OASIS[4])], test=["./imagesTs/OASIS_0500_0000.nii.gz"])
    volume(tmp_path / "imagesTs" / "OASIS_0500_0000.nii.gz")
    assert codes("learn2reg", tmp_path)["left_out"].endswith("left out: OASIS_0500_0000")
    entries = [entry["case"] for part in PARTS for entry in prepare("learn2reg", tmp_path)[part]]
    assert "OASIS_0500_0000" not in entries


@pytest.mark.parametrize("item", ["/etc/x.nii", "../x.nii.gz", {"image": "a/../../x.nii"}])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, item: Any) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [item]}))
    assert "dataset.json: 'training' lists" in codes("learn2reg", tmp_path)["layout"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": 3}, "dataset.json: $.training: 3 is not of type 'array'"),
        ({"training": [{"label": "x"}]}, "dataset.json: $.training[0]"),
        ({"registration_val": [["a", "b"]]}, "dataset.json: $.registration_val[0]"),
        ({"registration_test": [{"fixed": "a"}]}, "'moving' is a required property"),
        ({"modality": {"0": 1}}, "dataset.json: $.modality['0']"),
        (
            {"training_paired_images": [{"0": "a", "2": "b"}]},
            "dataset.json: training_paired_images[0] has 0, 2; expected 0 and 1",
        ),
    ],
)
def test_a_learn2reg_file_of_another_form_is_refused_with_the_place(tmp_path: Path, change: Any, message: str) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [], **change}))
    assert message in codes("learn2reg", tmp_path)["layout"]


# ---- HDF5 of Recursive Cascaded Networks


def scan(file: Any, name: str, *, size: int = 4, label: bool = True, points: bool = False) -> None:
    group = file.create_group(name)
    group["volume"] = np.zeros((size,) * 3, np.uint8)
    if label:
        group["segmentation"] = np.full((size,) * 3, 255, np.uint8)
    if points:
        group["point"] = np.full((6, 3), -1.0, np.float32)


SLIVER = ["10", "4", *(str(number) for number in (1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18, 19, 20))]
PIGS = ["2017_02_aftergas", "2017_02_pregas", "2018_15_aftergas", "2018_15_pregas"]
TRAINING = ["youyi/07_225", "youyi/07_from_1to_9", "hepaticvessel/1", "liver/132"]


@pytest.fixture
def rcn(tmp_path: Path) -> Path:
    """The authors' liver files, with fewer scans but all of SLIVER."""
    names = {"/": "msd_dataset", "youyi": "youyi_liver", "yanx": "sliver_val", "lits": "lits_val", "pigs": "lspig_val"}
    subsets = {
        "combine-train": TRAINING,
        "sliver-val": [f"yanx/{number}" for number in SLIVER],
        "lits-val": ["lits/0", "lits/10", "lits/2"],
        "lspig-val": [f"pigs/{pig}" for pig in PIGS],
    }
    schemes = {"1": {"combine-train": 1.0}, "2": {"sliver-val": 1.0}}
    schemes |= {name: {f"{name}-val": 1.0} for name in ("sliver", "lits", "lspig")}
    folder = tmp_path / "datasets"
    folder.mkdir()
    about = {"files": {key: {"type": "HDF5", "path": f"datasets/{name}.h5"} for key, name in names.items()}}
    about |= {"image_size": [4, 4, 4], "image_type": "liver", "schemes": schemes, "subsets": subsets}
    (folder / "liver.json").write_text(json.dumps(about))
    for key, name in names.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for entry in (entry for entries in subsets.values() for entry in entries):
                prefix, _, group = entry.partition("/")
                if prefix == key or (key == "/" and prefix not in names):
                    scan(file, entry if key == "/" else group, label=key not in ("/", "youyi"), points=key == "yanx")
    return tmp_path


def test_an_entry_without_a_file_of_its_key_is_in_the_default_file_under_its_whole_name(rcn: Path) -> None:
    entries = {entry["case"]: entry for entry in prepare("rcn_sliver", rcn)["training"]}
    assert list(entries) == ["youyi_07_225", "youyi_07_from_1to_9", "hepaticvessel_1", "liver_132"]
    assert entries["hepaticvessel_1"]["image"] == "datasets/msd_dataset.h5#hepaticvessel/1/volume"
    assert entries["youyi_07_225"]["image"] == "datasets/youyi_liver.h5#07_225/volume"
    assert "label" not in entries["liver_132"]
    for entry in entries.values():
        assert read_volume_file(rcn / entry["image"])[0].shape == (4, 4, 4)


def test_sliver_lacks_number_14_and_has_19_scans_in_342_pairs(rcn: Path) -> None:
    datalist = prepare("rcn_sliver", rcn)
    found = cases(datalist, "test")
    assert len(found) == 19
    assert "yanx_14" not in found
    assert len(pairs(datalist, "test")) == 19 * 18  # not the 20 * 19 of the README
    assert {count["value"] for key, count in load_manifest("rcn_sliver")["counts"].items() if key == "test"} == {19}


def test_sliver_is_not_validated_on_its_own_test_scans(rcn: Path) -> None:
    assert cases(prepare("rcn_sliver", rcn), "validation") == []
    assert len(cases(prepare("rcn_lits", rcn), "validation")) == 19


def test_pigs_are_paired_with_themselves_before_and_after_both_ways(rcn: Path) -> None:
    datalist = prepare("rcn_lspig", rcn)
    found = [(fixed["case"][5:], moving["case"][5:]) for fixed, moving in pairs(datalist, "test")]
    assert found == [
        *(("2017_02_aftergas", "2017_02_pregas"), ("2017_02_pregas", "2017_02_aftergas")),
        *(("2018_15_aftergas", "2018_15_pregas"), ("2018_15_pregas", "2018_15_aftergas")),
    ]
    assert {entry["subject"] for entry in datalist["test"]} == {"pigs_2017_02", "pigs_2018_15"}


def test_a_pig_that_lost_a_scan_does_not_shift_the_neighbours_of_the_others() -> None:
    assert _neighbours(["a_pregas", "b_aftergas", "b_pregas"]) == [
        ["b_aftergas", "b_pregas"],
        ["b_pregas", "b_aftergas"],
    ]


def test_training_pairs_are_of_scans_and_patients_stay_together(rcn: Path) -> None:
    datalist = prepare("rcn_lits", rcn)
    assert len(pairs(datalist, "training")) == 4 * 3
    assert [entry["subject"] for entry in datalist["training"]] == [
        *("youyi_07", "youyi_07", "hepaticvessel_1", "lits_132")
    ]


def test_a_decathlon_liver_that_is_a_lits_volume_of_the_test_is_found_out(rcn: Path) -> None:
    about = json.loads((rcn / "datasets" / "liver.json").read_text())
    about["subsets"]["combine-train"].append("liver/10")
    (rcn / "datasets" / "liver.json").write_text(json.dumps(about))
    with h5py.File(rcn / "datasets" / "msd_dataset.h5", "a") as file:
        scan(file, "liver/10")
    with pytest.raises(InputDataError, match=r"training and test share subjects \(lits_10\)"):
        prepare("rcn_lits", rcn)


def test_livers_are_labelled_255_and_a_missing_point_is_no_number(rcn: Path) -> None:
    datalist = prepare("rcn_sliver", rcn)
    assert datalist["labels"] == {"255": "liver"}
    entry = datalist["test"][0]
    assert set(np.unique(read_volume_file(rcn / entry["label"])[0])) == {255}
    assert np.isnan(read_points(rcn / entry["points"])).all()


def test_files_that_may_not_be_passed_on_can_be_absent(rcn: Path) -> None:
    (rcn / "datasets" / "youyi_liver.h5").unlink()
    found = codes("rcn_lits", rcn)
    assert found["missing_file"] == "datasets/youyi_liver.h5 of liver.json is missing"
    assert cases(prepare("rcn_lits", rcn), "training") == ["hepaticvessel_1", "liver_132"]


def test_scans_that_are_not_in_their_file_and_wrong_sizes_are_named(rcn: Path) -> None:
    with h5py.File(rcn / "datasets" / "lits_val.h5", "a") as file:
        del file["10"], file["2"]
        scan(file, "2", size=5)
    found = codes("rcn_lits", rcn)
    assert found["missing_scans"] == "1 scans of liver.json are not in their files: lits/10"
    assert found["size"].startswith("lits/2: its")


def test_hdf5_files_beside_the_json_file_are_found_by_name_and_none_elsewhere(rcn: Path) -> None:
    about = json.loads((rcn / "datasets" / "liver.json").read_text())
    for file in about["files"].values():
        file["path"] = f"/data/{file['path']}"
    (rcn / "datasets" / "liver.json").write_text(json.dumps(about))
    assert prepare("rcn_lits", rcn)["test"][0]["image"] == "datasets/lits_val.h5#0/volume"


def test_a_damaged_hdf5_file_is_an_error(rcn: Path) -> None:
    (rcn / "datasets" / "lits_val.h5").write_bytes(b"x")
    assert codes("rcn_lits", rcn)["unreadable"].startswith("lits_val.h5: cannot be read as HDF5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("schemes"), "liver.json: $: 'schemes' is a required property"),
        (lambda a: a["subsets"].update(x=[3]), "liver.json: $.subsets.x[0]: 3 is not of type 'string'"),
        (lambda a: a["files"].update(x="a.h5"), "liver.json: $.files.x: 'a.h5' is not of type 'object'"),
        (lambda a: a["schemes"].pop("lits"), "has no scheme 'lits'; found 1, 2, sliver, lspig"),
        (lambda a: a["schemes"]["lits"].update(x=1), "scheme 'lits' names no subset: x"),
        (lambda a: a.update(image_type="brain"), "no JSON file with 'subsets' and the image_type liver"),
    ],
)
def test_a_json_file_that_lacks_something_is_refused_by_name(rcn: Path, change: Any, message: str) -> None:
    about = json.loads((rcn / "datasets" / "liver.json").read_text())
    change(about)
    (rcn / "datasets" / "liver.json").write_text(json.dumps(about))
    assert message in codes("rcn_lits", rcn)["layout"]


def test_the_atlas_of_the_brains_is_fixed_in_training_and_test(tmp_path: Path) -> None:
    about = {
        "files": {key: {"type": "HDF5", "path": f"{key}.h5"} for key in ("lpba", "abide")},
        "image_size": [4, 4, 4],
        "image_type": "brain",
        "atlas": "lpba/S01",
        "segmentation_class_value": {str(value): value for value in STRUCTURES},
        "schemes": {"1": {"combine-train": 1.0}, "2": {"lpba-val": 1.0}},
        "subsets": {"combine-train": ["abide/GU_1-28741"], "lpba-val": ["lpba/S02", "lpba/S03"]},
    }
    (tmp_path / "brain.json").write_text(json.dumps(about))
    for key, groups in (("lpba", ("S01", "S02", "S03")), ("abide", ("GU_1-28741",))):
        with h5py.File(tmp_path / f"{key}.h5", "w") as file:
            for group in groups:
                scan(file, group)
    datalist = prepare("rcn_lpba", tmp_path)
    found = [(f["case"], m["case"]) for part in PARTS for f, m in pairs(datalist, part)]
    assert found == [
        *(("lpba_S01", "abide_GU_1-28741"), ("lpba_S01", "lpba_S02"), ("lpba_S01", "lpba_S03")),
    ]
    assert len(datalist["labels"]) == 56
    (tmp_path / "lpba.h5").unlink()
    assert codes("rcn_lpba", tmp_path)["no_atlas"] == "the atlas lpba/S01 of brain.json is not on disk"


# ---- tables of any form

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.text("a/._0-", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("01abfixed", max_size=5), inner, max_size=3),
    max_leaves=5,
)
TABLES = {
    "rcn_lits": {
        "files": {"/": {"type": "HDF5", "path": "a.h5"}, "lits": {"type": "HDF5", "path": "b.h5"}},
        "image_size": [4, 4, 4],
        "image_type": "liver",
        "schemes": {"1": {"train": 1.0}, "2": {"train": 1.0}, "lits": {"lits-val": 1.0}},
        "subsets": {"train": ["liver/132"], "lits-val": ["lits/1"]},
    },
    "learn2reg": {
        "training": [{"image": f"./{OASIS[0]}"}, f"./{OASIS[1]}"],
        "training_paired_images": [{"0": f"./{OASIS[0]}", "1": f"./{OASIS[1]}"}],
        "registration_val": [pair(OASIS[2], OASIS[3])],
        "registration_direction": {"fixed": 0, "moving": 1},
        "modality": {"0": "CT"},
        "labels": {"0": {"1": "liver"}},
    },
    "msd_task03_liver": {"labels": {"1": "liver"}, "training": [{"image": "a"}], "test": ["b"]},
}


def changed(data: st.DataObject, node: Any) -> Any:
    """The same with one part, at any depth, put in another form."""
    if isinstance(node, dict | list) and node and data.draw(st.integers(0, 3)):
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
        copy = node.copy()
        copy[key] = changed(data, node[key])
        return copy
    return data.draw(JSON)


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_table_of_any_form_is_read_or_refused_and_nothing_else(tmp_path: Path, name: str, data: Any) -> None:
    if not any(tmp_path.iterdir()):
        for place in OASIS[:4]:
            volume(tmp_path / place)
        volume(tmp_path / "imagesTr" / "liver_132.nii.gz")
        for file, group in (("a.h5", "liver/132"), ("b.h5", "1")):
            with h5py.File(tmp_path / file, "w") as opened:
                scan(opened, group)
    (tmp_path / "dataset.json").write_text(json.dumps(changed(data, TABLES[name])))
    findings = dataset_reader(name).check(tmp_path)
    try:
        datalist = dataset_reader(name).prepare(tmp_path, seed=0, fractions=THIRDS)
        validate_registration_datalist(datalist, name)
    except InputDataError:
        return
    assert not any(finding.severity == "error" for finding in findings)
