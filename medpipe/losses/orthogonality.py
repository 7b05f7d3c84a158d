"""The orthogonality term of "Learning Visual Context by Comparison".

Paper: M Kim et al., ECCV 2020, https://arxiv.org/abs/2007.07506; the absolute value is in the authors' code
    only,
https://github.com/mk-minchul/attend-and-compare.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ORTHOGONALITY_FORMS", "OrthogonalityLoss"]

ORTHOGONALITY_FORMS = ("abs_total", "abs_each", "raw")


class OrthogonalityLoss(nn.Module):
    """Keeps the two pooled vectors of attend-and-compare modules from being alike.

    With ``d`` the mean over channels of K * Q, per image and module:

    - ``abs_total``: ``|mean over images of sum over modules of d|``, as in the authors' code. Images and
      modules of opposite sign cancel.
    - ``abs_each``: ``mean over images of sum over modules of |d|``; nothing cancels.
    - ``raw``: ``mean over images of sum over modules of d``, as the paper writes it. It has no lower bound.

    Args:
        form: One of the three.

    Raises:
        ValueError: The form is unknown.
    """

    def __init__(self, form: str = "abs_total") -> None:
        super().__init__()
        if form not in ORTHOGONALITY_FORMS:
            raise ValueError(f"form must be one of {', '.join(ORTHOGONALITY_FORMS)}, found {form!r}")
        self.form = form

    def forward(self, values: Tensor) -> Tensor:
        """Reduce the values of a batch.

        Args:
            values: (B, M), image by module, M may be 0; except for ``abs_each`` also (B,), already summed
                over the modules.

        Returns:
            A scalar; 0 without modules.

        Raises:
            ValueError: The shape is another, or the batch is empty.
        """
        if values.ndim not in (1, 2) or values.shape[0] == 0:
            raise ValueError(f"expected values (B,) or (B, modules) with B > 0, found {tuple(values.shape)}")
        if values.ndim == 1 and self.form == "abs_each":
            raise ValueError("form abs_each needs values per module, (B, modules), found (B,)")
        if self.form == "abs_each":
            return values.abs().sum(dim=1).mean()
        total = (values.sum(dim=1) if values.ndim == 2 else values).mean()
        return total.abs() if self.form == "abs_total" else total
