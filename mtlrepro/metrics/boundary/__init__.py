"""Boundary evaluation without MATLAB, from soft maps to matched counts: one file a step of the protocol.

`suppression` (non-maximum suppression) -> `thinning` -> `truth` (boundaries of label maps) -> `matching` (one-to-one
correspondence) -> `counts` (one image, all thresholds) -> `summary` (odsF, oisF, AP). The accumulators that use them
are in `mtlrepro.metrics.odsf`. Everything here is numpy and numba on the CPU. The loops release the interpreter
lock, so images can be spread over threads; `assignment`, for several annotators, holds it.
"""
