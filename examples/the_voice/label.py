"""Labels for messages that nobody has read: KMeans into the known categories, guided by a small hand-labelled set."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

SPLIT = re.compile(r"[.!?:\n]+|[#@]\w+|[★☆]+")
BOILERPLATE_SHARE = 0.01  # a sentence in more messages than this is a greeting, a signature or a sigh, not the point
TOPICS = 300
SURE_SHARE = 0.9  # the rest lies between two clusters, and would teach the classifier mistakes


@dataclass(frozen=True, slots=True)
class Labelling:
    """What KMeans found: one entry per message."""

    clusters: NDArray[np.int64]
    labels: list[str]
    sure: NDArray[np.bool_]  # hand-labelled, or clearly nearer to its own cluster than to the next


def label(texts: Sequence[str], hand_labelled: Mapping[int, str], categories: Sequence[str]) -> Labelling:
    """Cluster messages into as many clusters as there are categories, and name the clusters.

    The hand-labelled messages do three things: they tell which directions of the topic space separate categories, where
    the clusters start, and which cluster is which category (the assignment that agrees with most of them).

    :param hand_labelled: index in ``texts`` to category; at least two messages of every category.
    :raises ValueError: a category has fewer than two hand-labelled messages; the message names them.
    """
    known = Counter(hand_labelled.values())
    if short := [name for name in categories if known[name] < 2]:
        raise ValueError(f"fewer than two hand-labelled messages of {', '.join(short)}; label more of them")
    read = np.array(sorted(hand_labelled))
    truth = np.array([categories.index(hand_labelled[i]) for i in read])

    space = _category_space(texts, read, truth)
    starts = np.stack([space[read[truth == k]].mean(axis=0) for k in range(len(categories))])
    means = KMeans(len(categories), init=starts, n_init=1, random_state=0).fit(space)
    clusters: NDArray[np.int64] = means.labels_.astype(np.int64)

    agreement = np.zeros((len(categories), len(categories)), dtype=np.int64)
    np.add.at(agreement, (clusters[read], truth), 1)
    _, category_of = linear_sum_assignment(-agreement)
    named = category_of[clusters]
    named[read] = truth

    distances = np.sort(means.transform(space), axis=1)
    margin = distances[:, 1] - distances[:, 0]
    sure = margin >= np.quantile(margin, 1 - SURE_SHARE)
    sure[read] = True
    return Labelling(clusters, [categories[k] for k in named], sure)


def purity(clusters: NDArray[np.int64], truth: Sequence[str]) -> float:
    """Share of messages that lie in a cluster most of whose messages are of their own category, 0 to 1."""
    members: dict[int, Counter[str]] = {}
    for cluster, category in zip(clusters.tolist(), truth, strict=True):
        members.setdefault(cluster, Counter())[category] += 1
    return sum(max(count.values()) for count in members.values()) / len(truth)


def without_boilerplate(texts: Sequence[str]) -> list[str]:
    """The messages without handles, tags, stars, and the sentences that many customers share."""
    sentences = [[part.strip() for part in SPLIT.split(text) if part and part.strip()] for text in texts]
    seen = Counter(key for parts in sentences for key in {_key(part) for part in parts})
    limit = max(2.0, BOILERPLATE_SHARE * len(texts))
    kept = (" ".join(part for part in parts if seen[_key(part)] < limit) for parts in sentences)
    return [point or text for point, text in zip(kept, texts, strict=True)]


def _key(sentence: str) -> str:
    return re.sub(r"[^a-z]+", " ", sentence.lower()).strip()


def _category_space(texts: Sequence[str], read: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """TF-IDF, its ``TOPICS`` strongest directions, and of those the ones that tell hand-labelled categories apart."""
    words = TfidfVectorizer(min_df=2, max_df=0.2, sublinear_tf=True, strip_accents="unicode")
    counts = words.fit_transform(without_boilerplate(texts))
    topics = normalize(TruncatedSVD(TOPICS, n_iter=3, random_state=0).fit_transform(counts))
    separate = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1).fit(topics[read], truth)
    space: NDArray[np.float64] = normalize(separate.transform(topics))
    return space
