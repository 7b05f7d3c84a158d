from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.study_csv import read_study_csv, write_study_csv
from medpipe.metrics.reader_study import ReaderStudy

TRUTH = "case,lesion,weight,patient\na,1,0.6,p\nb,,,q\na,left,0.4,p\nc,1,,q\n"
RATINGS = "modality,reader,case,lesion,rating\nct,2,a,left,4\nct,2,a,,2\nct,10,b,,1\nct,10,b,,1\n"
LABELS = "case,label\na,1\nb,0\n"
SCORES = "modality,reader,case,rating\nct,2,a,4\nct,2,b,3\nct,10,a,1\nct,10,b,2\n"


def stored(folder: Path, ratings: str, truth: str) -> tuple[Path, Path]:
    (folder / "ratings.csv").write_text(ratings, encoding="utf-8")
    (folder / "truth.csv").write_text(truth, encoding="utf-8")
    return folder / "ratings.csv", folder / "truth.csv"


def test_rows_are_lesions_and_marks(tmp_path) -> None:
    study = read_study_csv(*stored(tmp_path, RATINGS, TRUTH))
    assert (study.modalities, study.readers) == (("ct",), ("2", "10"))
    two, ten = study.readings[0]
    assert (two.case_ids, two.patients) == (("b", "a", "c"), ("q", "p", "q"))
    assert two.lesions_per_case.tolist() == [2, 1]
    assert two.lesion_weights.tolist() == [0.6, 0.4, 1]
    assert two.lesion_rating.tolist() == [-np.inf, 4, -np.inf]
    assert two.highest_nl.tolist() == [-np.inf, 2, -np.inf]
    assert ten.nl_rating.tolist() == [1, 1]  # two marks of one rating are two marks


def test_an_roc_study_has_one_rating_per_case(tmp_path) -> None:
    study = read_study_csv(*stored(tmp_path, SCORES, LABELS))
    assert study.is_roc
    assert [reading.highest_rating.tolist() for reading in study.readings[0]] == [[3, 4], [2, 1]]
    assert study.figures("Wilcoxon").tolist() == [[1, 0]]


@pytest.mark.parametrize("weights", [",,", "0,0,0", None])
def test_lesions_without_weights_count_alike(tmp_path, weights: str | None) -> None:
    parts = [""] * 3 if weights is None else weights.split(",")
    column = "" if weights is None else ",weight"
    lines = [f"a,{n}{column and ',' + part}" for n, part in enumerate(parts, start=1)]
    truth = f"case,lesion{column}\n" + "\n".join(lines) + "\n"
    study = read_study_csv(*stored(tmp_path, "modality,reader,case,lesion,rating\nct,r,a,1,4\n", truth))
    assert study.readings[0][0].lesion_weights == pytest.approx([1 / 3] * 3)


def test_weights_with_few_digits_are_brought_to_a_sum_of_one(tmp_path) -> None:
    truth = "case,lesion,weight\na,1,0.33\na,2,0.33\na,3,0.33\n"
    study = read_study_csv(*stored(tmp_path, "modality,reader,case,lesion,rating\nct,r,a,1,4\n", truth))
    assert study.readings[0][0].lesion_weights == pytest.approx([1 / 3] * 3)


def test_a_study_is_read_as_it_was_written(tmp_path, study, roc_study, assert_same) -> None:
    write_study_csv(tmp_path, study)
    back = read_study_csv(tmp_path / "ratings.csv", tmp_path / "truth.csv")
    assert_same(back, ReaderStudy(("10", "film, old"), ("=r2", "r,3", "r1"), _by_name(study)))
    write_study_csv(tmp_path, roc_study)
    assert (tmp_path / "truth.csv").read_text().splitlines()[:2] == ["case,label,patient", "0,0,"]
    assert_same(read_study_csv(tmp_path / "ratings.csv", tmp_path / "truth.csv"), roc_study, names=False)


def _by_name(study: ReaderStudy) -> tuple:
    """Readings in the order of the names, in which a table is read."""
    (old_1, old_2, old_3), (ten_1, ten_2, ten_3) = study.readings
    return (ten_2, ten_3, ten_1), (old_2, old_3, old_1)


@pytest.mark.parametrize(
    ("ratings", "truth", "message"),
    [
        (RATINGS, "", "truth.csv' is empty"),
        (RATINGS, "case,lesion,weight\n", "truth.csv' lists no cases"),
        (RATINGS, "name,lesion\na,1\n", "truth.csv' lacks the column 'case'"),
        (RATINGS, "case,weight\na,1\n", "truth.csv' lacks the column 'lesion' \\(or, for an ROC study, 'label'\\)"),
        (RATINGS, "case,lesion,label\na,1,1\n", "both columns 'label' \\(ROC\\) and 'lesion'"),
        (RATINGS, TRUTH + "b,1,,q\n", "truth.csv', line 6, column 'lesion': case 'b' has rows with and without"),
        (RATINGS, TRUTH + "b,,,q\n", "line 6, column 'lesion': case 'b' .* twice none"),
        (RATINGS, TRUTH + "c,1,,q\n", "line 6: lesion '1' of case 'c' stands twice"),
        (RATINGS, TRUTH + "c,2,,r\n", "line 6, column 'patient': case 'c' has several patients"),
        (RATINGS, TRUTH + "\nc,2,1,q\n", "line 7, column 'weight': 1 of the 2 lesions of case 'c' have a weight"),
        (RATINGS, TRUTH + ",1,,q\n", "line 6, column 'case': '', expected a name"),
        (RATINGS, TRUTH.replace("0.6", "0.7"), "line 4, column 'weight': the lesion weights of case 'a' sum to 1.1"),
        (RATINGS, TRUTH.replace("0.6", "-0.6"), "line 4, column 'weight': weight -0.6 of case 'a' must be finite, not"),
        (RATINGS, TRUTH.replace("0.6", "much"), "line 2, column 'weight': 'much' must be a finite number"),
        (RATINGS, "case,lesion\nb,\n", "none of its 1 cases has a lesion"),
        ("", TRUTH, "ratings.csv' is empty"),
        (RATINGS.splitlines()[0], TRUTH, "ratings.csv' holds no rating"),
        (RATINGS.replace("reader", "who"), TRUTH, "ratings.csv' lacks the column 'reader'"),
        (SCORES, TRUTH, "ratings.csv' lacks the column 'lesion'"),
        (RATINGS, LABELS, "ratings.csv' has a column 'lesion', but the truth has labels alone"),
        (RATINGS + "ct,2,z,,1\n", TRUTH, "ratings.csv', line 6, column 'case': case 'z' is not in the truth"),
        (
            RATINGS + "ct,2,c,2,1\n",
            TRUTH,
            "line 6, column 'lesion': lesion '2' of case 'c' is not in the truth, .* '1'",
        ),
        (RATINGS + "ct,2,b,1,1\n", TRUTH, "lesion '1' of case 'b' is not in the truth, which has none"),
        (RATINGS + "ct,2,a,left,1\n", TRUTH, "line 6: reader '2' in modality 'ct' rates lesion 'left' .* line 2"),
        (RATINGS + "ct,2,a,,nan\n", TRUTH, "line 6, column 'rating': 'nan' must be a finite number"),
        (RATINGS + "ct,2,a,,-inf\n", TRUTH, "line 6, column 'rating': '-inf' must be a finite number"),
        (RATINGS + "ct,2,a,,high\n", TRUTH, "line 6, column 'rating': 'high' must be a finite number"),
        (RATINGS + "ct,2,a,\n", TRUTH, "line 6: 4 fields, but 5 columns"),
        (RATINGS + ",2,a,,1\n", TRUTH, "line 6, column 'modality': '', expected a name"),
        (RATINGS + "mr,2,a,,1\n", TRUTH, "reader '10' has no mark in modality 'mr'"),
        (RATINGS + "ct,2,a\0,,1\n", TRUTH, "ratings.csv'"),
        (SCORES, LABELS + "c,2\n", "truth.csv', line 4, column 'label': '2' must be 0 or 1"),
        (SCORES, LABELS + "a,1\n", "truth.csv', line 4: case 'a' stands twice; see .* line 2"),
        (SCORES, LABELS + "c,0\n", "reader '2' has no rating in modality 'ct' for 1 of 3 cases \\(first: 'c'\\)"),
        (SCORES + "ct,2,a,4\n", LABELS, "line 6: reader '2' in modality 'ct' rates lesion '1' of case 'a' twice"),
        (SCORES + "ct,2,b,4\n", LABELS, "line 6: reader '2' in modality 'ct' rates case 'b' twice; see .* line 3"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_column(tmp_path, ratings: str, truth: str, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        read_study_csv(*stored(tmp_path, ratings, truth))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_tables_are_read_or_refused_with_a_reason(tmp_path, data: st.DataObject) -> None:
    texts = list(data.draw(st.sampled_from([(RATINGS, TRUTH), (SCORES, LABELS)])))
    for _ in range(data.draw(st.integers(1, 3))):
        which = data.draw(st.integers(0, 1))
        rows = [line.split(",") for line in texts[which].split("\n") if line]
        if not rows:
            continue
        row = data.draw(st.sampled_from(rows))
        value = st.sampled_from(
            ["", " ", "a", "1", "0", "ct", "nan", "1e999", "-1", '"', "\n", "case", "lesion", "label"]
        )
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(
            value | st.text(st.characters(codec="utf-8"), max_size=4)
        )
        texts[which] = "\n".join(",".join(cells) for cells in rows)
    try:
        found: object = read_study_csv(*stored(tmp_path, *texts))
    except InputDataError as error:
        found = str(error)
    assert isinstance(found, ReaderStudy) or ".csv" in str(found)
