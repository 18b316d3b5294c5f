"""Random numbers that are a pure function of their key: no state to save, none to restore.

A key such as (seed, epoch, index) always gives the same numbers, on every machine, with every version of torch
or numpy, in every worker process. That makes a training batch a function of its step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of uniform numbers for one key (BLAKE2b in counter mode).

    Args:
        key: anything with a stable text form: integers and strings.

    Example:
        >>> Draws("flip", 0, 1).uniform() == Draws("flip", 0, 1).uniform()
        True
    """

    def __init__(self, *key: int | str):
        self._key = hashlib.blake2b(repr(key).encode())
        self._count = 0

    def uniform(self) -> float:
        """The next number of [0, 1), with 53 random bits."""
        block = self._key.copy()
        block.update(self._count.to_bytes(8, "little"))
        self._count += 1
        return (int.from_bytes(block.digest()[:8], "little") >> 11) * 2.0**-53

    def choice(self, values: Sequence[T]) -> T:
        """One of `values`, all equally likely."""
        return values[int(self.uniform() * len(values))]


def permutation(n: int, *key: int | str) -> list[int]:
    """The numbers 0 … n-1 in an order that depends on the key alone."""
    draws = Draws(*key)
    order = [draws.uniform() for _ in range(n)]
    return sorted(range(n), key=order.__getitem__)
