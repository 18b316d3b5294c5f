"""Metric protocols, one file a task: a pure core (sums in, figures out) and an accumulator beside it."""
