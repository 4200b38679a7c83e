"""The area under the ROC curve: how probably a text of a class gets more of it than one of another class."""

import numpy as np


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """The area, 0 to 1; equals scikit-learn's.

    Of two classes it is that of the second; of more, the unweighted mean over the classes that occur, each
    against all the others.

    Args:
        probabilities: float [texts, classes].
        labels: int [texts], the true class numbers.

    Returns:
        None where it is not defined: a single class occurs.
    """
    found = auroc_influence(probabilities, labels)
    return found[0] if found else None


def auroc_influence(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The area, and how much of it each text is answerable for, float [texts].

    Weighting the texts (weights with a mean of 1) changes the area, to first order, by the mean of weight
    times influence; the variance that follows is that of DeLong, DeLong and Clarke-Pearson 1988.
    """
    occurring = np.unique(labels)
    if len(occurring) < 2:
        return None
    classes = [1] if probabilities.shape[1] == 2 else occurring.tolist()
    area, influence = 0.0, np.zeros(len(labels))
    for number in classes:
        own = labels == number
        above, below = _placements(probabilities[own, number], probabilities[~own, number])
        area += above.mean() / len(classes)
        influence[own] += (above - above.mean()) * (len(labels) / len(above) / len(classes))
        influence[~own] += (below - above.mean()) * (len(labels) / len(below) / len(classes))
    return float(area), influence


def _placements(own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `own`, the share of `others` below it; for each of `others`, that of `own` above it.

    Equal ones count by half.
    """
    return _share_below(own, others), 1 - _share_below(others, own)


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    ordered = np.sort(others)
    ties = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return ties / (2 * len(others))
