"""The public matcher of the BSDS evaluation as a test oracle: an assignment through links drawn at random.

Its result is a random number; here the generator has a seed, there it is the clock.
"""

from __future__ import annotations

import math

import numpy as np
from boundary_maps import diagonal, joined
from numpy.random import RandomState
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

LINKS = 6
"""Unmatched partners a pixel may choose from."""


def drawn(rs, nodes, population, count, others=False):
    """(nodes, links) pairs of node and partner, `count` different partners each; `others`: never its own number."""
    chance = rs.rand(nodes, population)
    if others:
        np.fill_diagonal(chance, 2)
    partners = np.argsort(chance, axis=1)[:, :count]
    return np.repeat(np.arange(nodes), count), partners.reshape(-1)


def random_pairs(p, g, max_dist, seed):
    """Pairs that one run finds between two thinned maps.

    Side A holds the n1 matchable predicted pixels, then an outlier for each of the n2 matchable true ones; side B
    the true pixels, then an outlier for each predicted one. The cheapest perfect matching of A to B counts.
    """
    rs = RandomState(seed)
    reach = max_dist * diagonal(p)
    squared, near = joined(p, g, reach)
    rows, columns = near.any(1), near.any(0)
    squared, near = squared[rows][:, columns], near[rows][:, columns]
    n1, n2 = near.shape
    if not n1:
        return 0
    outlier = math.ceil(100 * 100 * reach)
    a, b = np.nonzero(near)
    edges = [(a, b, np.rint(100 * np.sqrt(squared[a, b])))]

    def link(a, b, cost):
        edges.append((a, b, np.full(len(a), float(cost))))

    node, other = drawn(rs, n1, n1, min(LINKS, n1 - 1), others=True)
    link(node, n2 + other, outlier)
    node, other = drawn(rs, n2, n2, min(LINKS, n2 - 1), others=True)
    link(n1 + other, node, outlier)
    many, few = drawn(rs, max(n1, n2), min(n1, n2), min(LINKS, n1, n2))
    if n2 > n1:
        link(n1 + many, n2 + few, outlier)
    else:
        link(n1 + few, n2 + many, outlier)
    link(np.arange(n1), n2 + np.arange(n1), 100 * outlier)
    link(n1 + np.arange(n2), np.arange(n2), 100 * outlier)
    a, b, cost = (np.concatenate(v) for v in zip(*edges, strict=True))
    graph = csr_matrix((cost + 1, (a, b)), shape=(n1 + n2, n1 + n2))  # plus 1: a stored zero is taken for no edge
    left, right = min_weight_full_bipartite_matching(graph)
    return int(((left < n1) & (right < n2)).sum())
