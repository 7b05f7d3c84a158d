"""The pairs of a registration run in its report."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from medpipe.io.volume import Volume
from medpipe.predictions.registration_output import RegisteredPair, write_registration
from medpipe.reports.run_pairs import run_pairs_section, run_pictures_section

HEADER = "case,status,folding_pct,mean_mm,similarity_before,similarity_after,dice_before,dice_after,read_seconds,align_seconds\n"


def write_run(folder, *rows: str) -> None:
    (folder / "pairs.csv").write_text(HEADER + "\n".join(rows) + "\n")
    rng = np.random.default_rng(0)
    volume = Volume(rng.integers(0, 9, (9, 9, 9)).astype(np.int16), np.eye(4))
    pair = RegisteredPair(
        volume, volume, np.zeros((3, 5, 5, 5), np.float32), np.diag([2.0, 2, 2, 1]), np.diag([2.0, 2, 2, 1])
    )
    for row in rows:
        if ",done," in row:
            (folder / "cases" / row.split(",")[0]).mkdir(parents=True)
            write_registration(folder / "cases" / row.split(",")[0], pair, fields=[])


def test_other_runs_have_no_such_sections(tmp_path) -> None:
    assert run_pairs_section(tmp_path) is None
    assert run_pictures_section(tmp_path) is None


def test_pairs_stand_by_rising_similarity_and_those_that_failed_do_not(tmp_path) -> None:
    write_run(tmp_path, "a,done,0,1.5,0.8,0.9,,,2,1", "b,done,0.1,2,0.5,0.6,,,1,0", "c,failed,,,,,,,,")
    section = run_pairs_section(tmp_path)
    assert [row["case"] for row in section["rows"]] == ["b", "a"]
    assert section["columns"] == [
        "Folding, %",
        "Mean displacement, mm",
        "Correlation before",
        "Correlation after",
        "Seconds",
    ]
    assert section["rows"][1]["values"] == [0.0, 1.5, 0.8, 0.9, 2.0]


def test_pictures_are_cut_from_each_pairs_own(tmp_path) -> None:
    write_run(tmp_path, "a,done,0,1.5,0.8,0.9,0.4,0.5,2,1")
    (pair,) = run_pictures_section(tmp_path)["pairs"]
    assert pair["kinds"] == ["fixed", "before", "after", "checkerboard"]
    assert [plane["plane"] for plane in pair["planes"]] == ["axial", "coronal", "sagittal"]
    assert pair["values"][1] == {"name": "Dice", "before": 0.4, "after": 0.5}
    tiles = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))) for code in pair["planes"][0]["pictures"].values()
    ]
    assert {tile.shape for tile in tiles} == {(240, 240)}
    assert np.abs(tiles[0].astype(float) - tiles[2]).mean() < 1  # the image registered to itself, but for rounding
    assert np.abs(tiles[0].astype(float) - tiles[0].T).mean() > 20
    assert tiles[0].std() > 20


def test_a_damaged_picture_costs_only_itself(tmp_path) -> None:
    write_run(tmp_path, "a,done,0,1.5,0.8,0.9,,,2,1", "b,done,0,1.5,0.8,0.95,,,2,1")
    (tmp_path / "cases" / "a" / "marks.png").write_bytes(b"x")
    assert [pair["case"] for pair in run_pictures_section(tmp_path)["pairs"]] == ["b"]
