"""What the figures of merit are, in one sentence each, for results and reports."""

from __future__ import annotations

__all__ = ["FIGURE_DEFINITIONS"]

_UNMARKED = "an unmarked lesion or case has rating minus infinity, ties count half"
_ALL_CASES = "false positives on cases with lesions count too"

FIGURE_DEFINITIONS = {
    "Wilcoxon": "area under the empirical ROC curve: how often a diseased case is rated above a non-diseased one, "
    "ties count half",
    "HrAuc": "area under the inferred ROC curve: a case's rating is its highest mark's; a case without marks has "
    "minus infinity, ties count half",
    "AFROC": "AFROC figure of merit (JAFROC): how often a lesion's rating exceeds the highest false-positive rating of "
    f"a case without lesions; all lesions count alike; {_UNMARKED}",
    "wAFROC": "weighted AFROC figure of merit: as AFROC, each diseased case counts alike however many lesions it has",
    "AFROC1": f"as AFROC, against the highest false-positive rating of every case: {_ALL_CASES}",
    "wAFROC1": f"as wAFROC, against the highest false-positive rating of every case: {_ALL_CASES}",
    "FROC": "area under the empirical FROC curve up to its last point; grows with false positives and may exceed 1: "
    "a description, not a measure of how good a reader is",
    "MaxLLF": "share of lesions found, every mark counted",
    "MaxNLF": "false positives per case without lesions, every mark counted",
    "MaxNLFAllCases": "false positives per case, every mark counted",
    "HrSe": "share of diseased cases with any mark",
    "HrSp": "share of non-diseased cases without a mark",
}
"""One sentence for every figure of merit."""
