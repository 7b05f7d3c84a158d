"""Metrics: arrays in, numbers out. Nothing here imports torch.

Modules
    lesions               one truth lesion, and a mask split into lesions
    matching              marks and lesions of one image -> which mark found what
    conventions           how published challenges match and count (LUNA16, CAMELYON16, NODE21)
    free_response         the marks of one reader on all cases (FROC data, ROC as a special case)
    pairs, case_ratio     the two kinds of sums that figures of merit are made of
    jafroc                figures of merit: AFROC, wAFROC, ... with bootstrap or analytic intervals
    froc                  operating curves and sensitivities at fixed false positives per image
    curves, bands         an operating curve and its area; its confidence band
    roc                   area under the ROC curve, DeLong intervals and comparisons
    precision_recall      precision against recall, average precision, of images and of marks
    operating_points      counts at a threshold: given, at a sensitivity, at a specificity, by Youden's index
    calibration           whether scores come true as often as they say
    multilabel            areas of several labels and their mean
    vqa                   accuracy of answers to questions about images
    subgroups             one figure by sex, age, site, ...
    reader_study          every reader has read every case in every modality
    jackknife             figures of merit without each case in turn, pseudovalues, covariances
    obuchowski_rockette   tests and intervals of a reader study, by covariances of figures
    dbm                   the same by analysis of variance of pseudovalues (Dorfman, Berbaum, Metz)
    mrmc, anova           what the two have in common
    reader_bootstrap      a reader study by resampling cases, or cases and readers
    study_size            how many readers and cases a future study needs
    repeats               repeated trainings: mean, spread, paired difference
    intervals             an estimate with its interval; the patient bootstrap; proportions

Everywhere a higher rating means more suspicious, and what is undefined on a sample is NaN with a reason.
"""

from __future__ import annotations

__all__: list[str] = []
