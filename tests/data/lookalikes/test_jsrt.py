import json
from pathlib import Path

import numpy as np
import pytest

from medpipe.data.datalist import load_datalist, write_datalist
from medpipe.data.jsrt import check, prepare
from medpipe.data.lookalikes.jsrt import write_jsrt_lookalike
from medpipe.data.lookalikes.nodules import plan_nodule_cases
from medpipe.data.splits import PARTS
from medpipe.errors import RequestError
from medpipe.io.radiograph import read_radiograph

CASES, SIZE, SEED = 24, 64, 7
TABLES = "Clinical_Information"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("jsrt") / "set"
    write_jsrt_lookalike(out, cases=CASES, seed=SEED, size=SIZE)
    return out


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_half_of_the_films_have_a_nodule_and_names_that_say_so(root: Path) -> None:
    names = sorted(path.name for path in (root / "All247images").iterdir())
    expected = [f"JPC{letter}N{number:03d}.IMG" for letter in "LN" for number in range(1, CASES // 2 + 1)]
    assert names == expected


def test_films_are_squares_of_big_endian_12_bit_densities_without_a_header(root: Path) -> None:
    plans = plan_nodule_cases("jsrt", cases=CASES, seed=SEED, size=SIZE, parts={1: 0.5, 0: 0.5})
    for plan in plans[:6]:
        path = root / "All247images" / f"JPC{'L' if plan.nodules else 'N'}N{plan.number:03d}.IMG"
        assert path.stat().st_size == 2 * SIZE * SIZE
        densities = np.frombuffer(path.read_bytes(), ">u2").reshape(SIZE, SIZE)
        assert densities.max() < 4096
        assert densities[33, 20] > densities[33, 32]  # lungs are dense
        np.testing.assert_allclose(read_radiograph(str(path)).pixels, plan.draw().image, atol=1.01 / 4096)


def test_the_table_has_the_stray_tabs_blanks_and_unknown_ages_of_the_published_one(root: Path) -> None:
    lines = (root / TABLES / "CLNDAT_EN.txt").read_bytes().decode().split("\r\n")
    assert lines.pop() == ""
    assert len(lines) == CASES // 2
    assert all(line.startswith(f"JPCLN{number:03d}.IMG\t") for number, line in enumerate(lines, 1))
    assert any("\t\t" in line for line in lines)
    assert any(" \t" in line for line in lines)
    assert any("\t?\t" in line for line in lines)


def test_the_other_table_names_the_films_without_a_nodule(root: Path) -> None:
    lines = (root / TABLES / "CNNDAT_EN.TXT").read_text().splitlines()
    assert len(lines) == CASES // 2
    assert all(line.startswith("JPCNN") and line.endswith("\tnon-nodule") for line in lines)


def test_the_reader_reads_it_back_and_boxes_surround_the_nodules(root: Path, tmp_path: Path) -> None:
    assert {(finding.code, finding.severity) for finding in check(root)} == {
        ("look_alike", "info"),
        ("unknown_age", "info"),
    }
    datalist = prepare(root, seed=2, fractions=(0.5, 0.2, 0.3))
    write_datalist(datalist, tmp_path / "list.json")
    assert load_datalist(tmp_path / "list.json") == datalist
    assert datalist["generated"] is True
    assert datalist["labels"]["1"] == "one blob brighter than the others"
    found = {entry["case"]: entry for part in PARTS for entry in datalist[part]}
    assert len(found) == CASES
    for plan in plan_nodule_cases("jsrt", cases=CASES, seed=SEED, size=SIZE, parts={1: 0.5, 0: 0.5}):
        entry = found[f"JPC{'L' if plan.nodules else 'N'}N{plan.number:03d}"]
        drawn = [(nodule.x, nodule.y, 2 * nodule.radius) for nodule in plan.draw().nodules]
        boxed = [(x + width / 2, y + height / 2, width) for x, y, width, height in entry["boxes"]]
        assert (entry["label"], entry["rows"], np.shape(boxed)) == (plan.nodules, SIZE, np.shape(drawn))
        np.testing.assert_allclose(boxed, drawn, atol=0.1)  # whole millimetres and whole pixels of the published grid
        assert ("subtlety" in entry, "malignancy" in entry) == (bool(drawn), bool(drawn))


def test_a_nodule_among_bright_blobs_is_more_subtle(root: Path) -> None:
    datalist = prepare(root, fractions=(0, 0, 1))
    subtlety = {entry["case"]: entry.get("subtlety") for entry in datalist["test"]}
    plans = plan_nodule_cases("jsrt", cases=CASES, seed=SEED, size=SIZE, parts={1: 0.5, 0: 0.5})
    by_amplitude = sorted((plan.draw().amplitude, f"JPCLN{plan.number:03d}") for plan in plans if plan.nodules)
    values = [subtlety[name] for _, name in by_amplitude]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_equal_seeds_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("a", 1), ("b", 2)):
        write_jsrt_lookalike(tmp_path / folder, cases=9, seed=3, size=64, workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    write_jsrt_lookalike(tmp_path / "c", cases=9, seed=4, size=64)
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_wrong_requests_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="size 63"):
        write_jsrt_lookalike(tmp_path / "a", cases=1, seed=0, size=63)
    assert not (tmp_path / "a").exists()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="not empty"):
        write_jsrt_lookalike(tmp_path, cases=2, seed=0, size=64)


def test_an_interrupted_set_is_marked_as_generated_and_has_no_tables(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_jsrt_lookalike(tmp_path / "a", cases=5, seed=0, size=64, progress=stop)
    assert list((tmp_path / "a" / TABLES).iterdir()) == []
    assert json.loads((tmp_path / "a/LOOKALIKE.json").read_text())["generated"] is True
