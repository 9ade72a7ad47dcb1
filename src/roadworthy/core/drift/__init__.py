"""Drift: whether two tables of rows come from one distribution, by how much not, and in which columns.

    kolmogorov_smirnov   numbers, and a model's own score      p-value
    chi_square           texts, and shares of missing values   p-value
    rank                 held-out scores of a classifier       p-value
    effect               PSI, Jensen-Shannon, Wasserstein      how large, never whether
    season               which earlier hours to compare with

P-values are for one look at one window; several are combined by Bonferroni. What is guaranteed, and what is not:
docs/drift.md.
"""

from roadworthy.core.drift import chi_square, effect, kolmogorov_smirnov, rank, season

__all__ = ["bonferroni", "chi_square", "effect", "kolmogorov_smirnov", "rank", "season"]


def bonferroni(p_values: list[float]) -> float:
    """The p-value of "none of these differ": the least, times their number, at most 1; 1 for none."""
    return min(1.0, min(p_values) * len(p_values)) if p_values else 1.0
