"""All registries that plugins can add to, and taking plugins into use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mtlrepro import plugins
from mtlrepro.data import DATASETS
from mtlrepro.models import MODELS
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.objectives.weighting import WEIGHTINGS

REGISTRIES = (MODELS, OBJECTIVES, WEIGHTINGS, DATASETS)


def use_plugins(files: Iterable[Path | str]) -> None:
    """Take plugin files into use, with everything that they bring looked at; see `mtlrepro.plugins.use`.

    Raises:
        SpecError: a file that is missing or cannot be imported, or brings nothing, what is not of its kind, or a name
            that something else has.
    """
    plugins.use(files)
    for registry in REGISTRIES:
        for name, entry in registry.plugged().items():
            if Path(entry.file).is_absolute():  # a package is not imported before it is asked for
                registry[name]
