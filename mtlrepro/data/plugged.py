"""Datasets of classes from outside this package, for what a description of files cannot say.

Such a class is built as `MyData(split="train" or "val", length=number of samples, or None for all, **options)`, with
`size=(height, width)` of the network's input where it has that parameter. It finds its files by itself and is a
`mtlrepro.data.sample.Dataset`. What it shows is told by a class method `info_of(**options)` if it has one, which needs
no files then, else by its first sample's split "val".
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlrepro.data.sample import Dataset, DatasetInfo
from mtlrepro.errors import ReproError, SpecError

ANY_SIZE = (32, 32)
"""The input size of a dataset that is looked at and not trained on."""


def build(name: str, cls: Any, size: tuple[int, int], **arguments: Any) -> Dataset:
    """One split.

    Args:
        name: as the spec has it.
        cls: the class.
        size: see the module.
        arguments: the other ones.

    Raises:
        SpecError: its constructor does not take these, or something that every dataset has is missing.
    """
    sized = {"size": size} if "size" in inspect.signature(cls.__init__).parameters else {}
    try:
        dataset = cls(**sized, **arguments)
    except ReproError:
        raise
    except (Exception, SystemExit) as error:  # whatever it does wrong, its author wants one line that names it
        problem = f"cannot be built: {type(error).__name__}: {error}"
        mend = "A dataset's class takes split and length, and finds its files by itself; see docs/own-method.md"
        raise SpecError(problem, file=f"dataset {name}", field=cls.__name__, mend=mend) from error
    lacks = [what for what in ("info", "__len__", "__getitem__", "digest") if not hasattr(dataset, what)]
    if lacks:
        mend = "See mtlrepro.data.sample.Dataset"
        raise SpecError(f"has no {', no '.join(lacks)}", file=f"dataset {name}", field=cls.__name__, mend=mend)
    return dataset


def info(name: str, cls: Any, options: Mapping[str, Any]) -> DatasetInfo:
    """What it predicts and shows (SpecError as `build`)."""
    known = {k: v for k, v in options.items() if k != "size"}
    found = cls.info_of(**known) if hasattr(cls, "info_of") else build(name, cls, ANY_SIZE, **_first(), **known).info
    if not isinstance(found, DatasetInfo):
        mend = "Return a mtlrepro.data.sample.DatasetInfo"
        raise SpecError(f"is a {type(found).__name__}", file=f"dataset {name}", field=f"{cls.__name__}.info", mend=mend)
    return found


def find(name: str, cls: Any) -> Path | str:
    """The folder of its class, or the reason why it gives no sample."""
    try:
        build(name, cls, ANY_SIZE, **_first())
    except ReproError as error:
        return str(error)
    return Path(inspect.getfile(cls)).parent


def _first() -> dict[str, Any]:
    return {"split": "val", "length": 1}
