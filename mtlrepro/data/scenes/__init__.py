"""Embedded scenes: procedural indoor rooms by analytic ray casting, with every label exact."""
