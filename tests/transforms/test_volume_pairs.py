from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from medpipe.data.registration_datalist import write_registration_datalist
from medpipe.data.teacher_fields import field_path, write_teacher_field
from medpipe.errors import InputDataError, RequestError
from medpipe.transforms.volume_on_grid import VolumeOnGrid
from medpipe.transforms.volume_pairs import PairVolumes, ReadTeacherFieldd, augment_moving, label_maps

ON_GRID = VolumeOnGrid(16, body_part="whole", intensity="percentiles")
CASES = {"training": ["a", "b", "c"], "validation": ["d", "e"], "test": []}


def datalist(root, unlabelled=()) -> dict:
    rng = np.random.default_rng(0)
    known: dict = {"name": "x", "description": "x", "generated": True, "split": "x", "labels": {"1": "x"}, "pairs": {}}
    for section, cases in CASES.items():
        known[section] = []
        for case in cases:
            image = rng.normal(100, 10, (10, 11, 12)).astype(np.float32)
            label = np.zeros((10, 11, 12), np.uint8)
            label[2:6, 3:8, 4:9] = ord(case) - 96
            for name, array in (("image", image), ("label", label)):
                nib.save(nib.Nifti1Image(array, np.diag([1, 1, 1.5, 1])), root / f"{case}_{name}.nii")
            entry = {"case": case, "subject": case, "image": f"{case}_image.nii", "modality": "MR"}
            known[section].append(entry if case in unlabelled else {**entry, "label": f"{case}_label.nii"})
    return known


@pytest.fixture
def data(tmp_path):
    write_registration_datalist(datalist(tmp_path), tmp_path / "datalist.json")
    return tmp_path


def volumes(data, section="training", **options) -> PairVolumes:
    return PairVolumes(data / "datalist.json", data, section, on_grid=ON_GRID, num_workers=0, **options)


def test_all_ordered_pairs_are_there_with_their_own_volumes(data) -> None:
    found = volumes(data)
    names = [(pair["fixed_case"], pair["moving_case"]) for pair in found]
    assert sorted(names) == [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]
    assert names == list(found.names)
    for pair in found:
        for role in ("fixed", "moving"):
            assert pair[role].shape == (1, 16, 16, 16)
            assert (float(pair[role].min()), float(pair[role].max())) == (0, 1)
            assert pair[f"{role}_label"].unique().tolist() == [0, ord(pair[f"{role}_case"]) - 96]


def test_a_volume_is_read_once(data) -> None:
    read = []

    def on_grid(entry):
        read.append(entry["case"])
        return ON_GRID(entry)

    found = PairVolumes(data / "datalist.json", data, "training", on_grid=on_grid, num_workers=0)
    for _ in range(2):
        assert len(list(found)) == 6
    assert sorted(read) == ["a", "b", "c"]


def test_an_atlas_is_fixed_in_every_pair(data) -> None:
    known = datalist(data)
    known["pairs"]["training"] = {"how": "atlas", "fixed": "b"}
    (data / "datalist.json").unlink()
    write_registration_datalist(known, data / "datalist.json")
    assert list(volumes(data).names) == [("b", "a"), ("b", "c")]


def test_fewer_pairs_are_spread_over_all(data) -> None:
    every, some = volumes(data), volumes(data, most=3)
    assert list(some.names) == [every.names[0], every.names[2], every.names[5]]
    assert len(volumes(data, most=100)) == 6


def test_pairs_that_have_a_field_can_be_left_out(data) -> None:
    write_teacher_field(field_path(data, "a", "c"), np.zeros((3, 4, 4, 4)), "a-c")
    found = volumes(data, without_record=data)
    assert len(found) == 5
    assert ("a", "c") not in [(pair["fixed_case"], pair["moving_case"]) for pair in found]
    assert len(found.names) == 6


def test_sections_without_a_pair_or_with_some_labels_are_refused(data) -> None:
    with pytest.raises(InputDataError, match="section 'test' has no pair"):
        volumes(data, "test")
    (data / "datalist.json").unlink()
    write_registration_datalist(datalist(data, unlabelled=("b",)), data / "datalist.json")
    with pytest.raises(InputDataError, match="section 'training' has labels, but case 'b' has none"):
        volumes(data)


def test_without_labels_pairs_have_none(data) -> None:
    (data / "datalist.json").unlink()
    write_registration_datalist(datalist(data, unlabelled=("a", "b", "c")), data / "datalist.json")
    assert set(volumes(data)[0]) == {"fixed", "moving", "fixed_case", "moving_case"}


def test_a_teachers_field_is_added_to_its_pair(data) -> None:
    field = np.random.default_rng(0).normal(size=(3, 16, 16, 16)).astype(np.float16)
    write_teacher_field(field_path(data, "a", "b"), field, "a-b")
    first, second = (ReadTeacherFieldd(folder=data)(volumes(data)[number]) for number in (0, 1))
    assert first["field_given"]
    np.testing.assert_array_equal(first["field"].numpy(), field.astype(np.float32))
    assert not second["field_given"]
    assert second["field"].shape == (3, 16, 16, 16)
    with pytest.raises(InputDataError, match="a-c.npz: this pair has no field"):
        ReadTeacherFieldd(folder=data, required=True)(volumes(data)[1])


def test_a_field_of_another_size_and_a_folder_without_fields_are_refused(data) -> None:
    with pytest.raises(RequestError, match="holds no fields"):
        ReadTeacherFieldd(folder=data)
    write_teacher_field(field_path(data, "a", "b"), np.zeros((3, 8, 8, 8)), "a-b")
    with pytest.raises(InputDataError, match=r"size \(8, 8, 8\) for volumes of size \(16, 16, 16\)"):
        ReadTeacherFieldd(folder=data)(volumes(data)[0])


def test_only_the_augmented_copies_are_deformed(data) -> None:
    transform = augment_moving()
    transform.set_random_state(0)
    before = volumes(data)[0]
    after = transform(before)
    for name in before:
        assert after[name] is before[name] or torch.equal(after[name], before[name])
    assert not torch.equal(after["augmented"], before["moving"])
    assert after["augmented_label"].unique().tolist() == before["moving_label"].unique().tolist()
    assert set(augment_moving()({"fixed": before["fixed"], "moving": before["moving"]})) == {
        "fixed",
        "moving",
        "augmented",
    }


def test_label_maps_come_from_the_volumes_or_are_random(data) -> None:
    options = {"count": 2, "image_size": 16, "seed": 0}
    real = label_maps("datalist", **options, datalist=data / "datalist.json", root=data, on_grid=ON_GRID)
    assert [each["label"].unique().tolist() for each in real] == [[0, 1], [0, 2]]
    assert len(label_maps("shapes", **options)) == 2
    with pytest.raises(RequestError, match="label_maps=datalist needs a data set"):
        label_maps("datalist", **options)


def test_images_and_pairs_are_taken_as_they_are_and_kinds_in_turn(data) -> None:
    known = {"datalist": data / "datalist.json", "root": data, "on_grid": ON_GRID}
    options = {"count": 3, "image_size": 16, "seed": 0, **known}
    kinds = {kind: label_maps(kind, **options) for kind in ("images", "pairs", "shapes")}
    assert [sorted(each[0]) for each in kinds.values()] == [
        ["image", "label"],
        ["fixed_image", "fixed_label", "image", "label"],
        ["label"],
    ]
    pair, made = volumes(data)[0], kinds["pairs"][0]
    for ours, theirs in (("image", "moving"), ("label", "moving_label"), ("fixed_image", "fixed")):
        assert torch.equal(made[ours], pair[theirs])
    mixed = label_maps(["images", "shapes"], **options)
    assert ["image" in each for each in mixed] == [True, False] * 3
    assert torch.equal(mixed[1]["label"], kinds["shapes"][0]["label"])


def test_the_grid_is_that_of_inference(data) -> None:
    from medpipe.transforms.registration import registration_preprocessing

    paths = [str(data / f"{case}_image.nii") for case in "ab"]
    inference = registration_preprocessing(16, body_part="whole", intensity="percentiles")
    found = inference({"image": [*paths, "", "", ""], "reason": ""})["image"]
    pair = volumes(data)[0]
    torch.testing.assert_close(found, torch.cat([pair["fixed"], pair["moving"]]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "message"), [(np.zeros((4, 4, 4)), "one value"), (np.full((4, 4, 4), np.nan), "finite")]
)
def test_a_volume_that_cannot_be_used_is_named(tmp_path, array, message) -> None:
    nib.save(nib.Nifti1Image(array.astype(np.float32), np.eye(4)), tmp_path / "odd.nii")
    with pytest.raises(InputDataError, match=f"odd.nii.*{message}"):
        ON_GRID({"image": str(tmp_path / "odd.nii")})
