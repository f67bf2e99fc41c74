"""Losses as loops over numbers in float64, written from the papers' formulas."""

from __future__ import annotations

import math

import torch


def _dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def contrastive(
    u,
    groups,
    *,
    temperature=0.1,
    base=None,
    multiply=False,
    first_only=False,
    decoupled=False,
):
    """Mean over anchors of -(mean over positives of log p), p a softmax over the rest."""
    rows, names, is_first = [], [], []
    for sample, group in zip(u.double().tolist(), groups, strict=True):
        for view, row in enumerate(sample):
            rows.append(row)
            names.append(group)
            is_first.append(view == 0)
    losses = []
    for i, anchor in enumerate(rows):
        if first_only and not is_first[i]:
            continue
        s = [
            _dot(anchor, other) * temperature if multiply else _dot(anchor, other) / temperature
            for other in rows
        ]
        positives = [j for j in range(len(rows)) if j != i and names[j] == names[i]]
        below = [j for j in range(len(rows)) if j != i and not (decoupled and j in positives)]
        total = sum(math.exp(s[j]) for j in below)
        losses.append(-sum(math.log(math.exp(s[p]) / total) for p in positives) / len(positives))
    factor = 1.0 if base is None else temperature / base
    return factor * sum(losses) / len(losses)


def vicreg(x, y, invariance=25.0, variance=25.0, covariance=1.0):
    """VICReg of two views as its authors' code computes it."""
    n, d = x.shape
    distance = sum((float(x[i, k]) - float(y[i, k])) ** 2 for i in range(n) for k in range(d))
    hinge = spread = 0.0
    for view in (x.double(), y.double()):
        mean = [sum(float(view[i, k]) for i in range(n)) / n for k in range(d)]
        for k in range(d):
            for m in range(d):
                c = sum(
                    (float(view[i, k]) - mean[k]) * (float(view[i, m]) - mean[m]) for i in range(n)
                ) / (n - 1)
                if k == m:
                    hinge += max(0.0, 1.0 - math.sqrt(c + 1e-4)) / d / 2
                else:
                    spread += c * c / d
    return {
        "invariance": invariance * distance / (n * d),
        "variance": variance * hinge,
        "covariance": covariance * spread,
    }


def cross_entropy(logits, label):
    """-log softmax of one row."""
    values = [float(v) for v in logits]
    return math.log(sum(math.exp(v) for v in values)) - values[label]


def random_units(*shape, seed=0):
    """Rows of length 1, float64."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return u / u.norm(dim=-1, keepdim=True)
