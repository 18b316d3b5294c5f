"""Datasets by name or by description file, without importing any of them before it is used.

A *generated* dataset needs no files (`scenes`, `scenes_pascal`, `scenes_taskonomy`, `streets`, `drives`). A dataset *on
disk* is one description in TOML (`mtlrepro.data.disk.description`): the built-in ones lie in `layouts/`, a user's own
is named by its path. A *plugged* dataset is of a class of the user's own (`mtlrepro.data.plugged`).
"""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtlrepro.errors import DataError, ReproError, SpecError, unknown
from mtlrepro.registry import Registry

if TYPE_CHECKING:
    from mtlrepro.data.sample import Dataset, DatasetInfo
    from mtlrepro.spec import DataSpec, Options

DATA_ENV = "MTLREPRO_DATA"
"""Environment variable that names the folder of all datasets on disk."""

LAYOUTS = Path(__file__).parent / "disk" / "layouts"

DATASETS = Registry(
    "dataset",
    {
        "scenes": "mtlrepro.data.scenes.dataset:Scenes",
        "scenes_pascal": "mtlrepro.data.scenes.pascal:PascalScenes",
        "scenes_taskonomy": "mtlrepro.data.scenes.taskonomy:TaskonomyScenes",
        "streets": "mtlrepro.data.scenes.streets.dataset:Streets",
        "drives": "mtlrepro.data.scenes.drives.dataset:Drives",
        "nyuv2": "mtlrepro.data.disk.folder:Folder",
        "nyuv2_invpt": "mtlrepro.data.disk.readers.nyuv2_invpt:InvptNYUD",
        "nyuv2_13": "mtlrepro.data.disk.folder:Folder",
        "nyuv2_depth": "mtlrepro.data.disk.folder:Folder",
        "nyuv2_video": "mtlrepro.data.disk.readers.nyuv2_video:VideoPairs",
        "pascal_context": "mtlrepro.data.disk.readers.pascal_context:PascalContext",
        "cityscapes": "mtlrepro.data.disk.readers.cityscapes:Cityscapes",
        "cityscapes_sequence": "mtlrepro.data.disk.readers.cityscapes_sequence:CityscapesSequence",
        "cityscapes_7": "mtlrepro.data.disk.folder:Folder",
        "taskonomy": "mtlrepro.data.disk.folder:Folder",
        "synthia": "mtlrepro.data.disk.readers.synthia:Synthia",
        "virtual_kitti2": "mtlrepro.data.disk.readers.virtual_kitti2:VirtualKitti2",
    },
    group="datasets",
)

GENERATED_LENGTH = {"train": 795, "val": 654}
"""Samples of a generated split whose `DataSpec` names no number: as many as NYUD-v2 has (795 / 654)."""

_FROM_CALLER = {"self", "description", "split", "root", "length", "cache"}


def target(name: str) -> str:
    """The `"module:attribute"` of the class that serves a dataset name or description path (nothing is imported)."""
    return DATASETS.target("nyuv2") if name.endswith(".toml") else DATASETS.target(name)


def dataset_class(name: str) -> Any:
    """The class that serves a dataset name or description path.

    Raises:
        SpecError: unknown dataset name.
    """
    return DATASETS["nyuv2" if name.endswith(".toml") else name]


def description_file(name: str) -> Path | None:
    """The description behind a dataset: a built-in layout or the user's own file; None for a generated dataset.

    One of a class of the user's own has none.
    """
    if name.endswith(".toml"):
        return Path(name)
    DATASETS.target(name)
    if is_plugged(name):
        return None
    layout = LAYOUTS / f"{name}.toml"
    return layout if layout.is_file() else None


def is_plugged(name: str) -> bool:
    """Whether a dataset is of a class from outside this package."""
    return not name.endswith(".toml") and name not in DATASETS


def data_root_of(data_root: Path | str | None) -> Path | None:
    """`data_root`, else the folder named by the environment variable `MTLREPRO_DATA`, else None."""
    chosen = data_root or os.environ.get(DATA_ENV)
    return Path(chosen).expanduser() if chosen else None


def build_dataset(
    spec: DataSpec, split: str, data_root: Path | str | None = None, cache: Path | str | None = None
) -> Dataset:
    """One split of the dataset that a `DataSpec` names.

    `spec.train` / `spec.val` keep the first n samples of the split, in the dataset's own order (order of the id
    list, or of sorted ids). `spec.options` are keyword arguments of the dataset's class.

    Args:
        spec: name or path of a `.toml` description, number of samples, options.
        split: "train" or "val".
        data_root: folder that holds the built-in datasets; by default what `MTLREPRO_DATA` names. A user's own
            description finds its files by itself.
        cache: folder for the hashes of dataset files, so that `digest` reads each file once; None keeps none.

    Raises:
        SpecError: unknown dataset, split or option.
        DataError: the dataset is not there, or not as described.
    """
    if split not in GENERATED_LENGTH:
        raise unknown("split", split, GENERATED_LENGTH)
    cls = dataset_class(spec.name)
    options = _options(spec.name, cls, spec.options)
    length = {"train": spec.train, "val": spec.val}[split]
    if length is not None and length < 1:
        raise SpecError(f"{length} samples", field=f"data.{split}", mend="Give a positive number, or none for all")
    if is_plugged(spec.name):
        return _plugged().build(spec.name, cls, tuple(spec.size), split=split, length=length, **options)
    description = description_file(spec.name)
    if "size" in inspect.signature(cls.__init__).parameters:
        options = {"size": tuple(spec.size), **options}
    if description is None:
        return cls(split=split, length=GENERATED_LENGTH[split] if length is None else length, **options)
    root = _root(spec.name, data_root)
    return cls(description=description, split=split, root=root, length=length, cache=cache, **options)


def dataset_info(name: str, options: Options = ()) -> DatasetInfo:
    """What a dataset predicts and shows, without its files being there.

    Raises:
        SpecError: unknown dataset name or option.
        DataError: a user's description is missing or wrong.
    """
    description = description_file(name)
    cls = dataset_class(name)
    known = _options(name, cls, options)
    if is_plugged(name):
        return _plugged().info(name, cls, known)
    known.pop("size", None)
    if description is None:
        return cls("val", (32, 32), 1, **known).info
    return cls.info_of(importlib.import_module("mtlrepro.data.disk.description").load(description), **known)


def dataset_length(name: str, split: str) -> int | None:
    """The number of samples of a whole split, without its files: exact where the description knows it, else about.

    None where the description says nothing, or there is no such split.

    Raises:
        SpecError: unknown dataset name or split.
        DataError: a user's description is missing or wrong.
    """
    if split not in GENERATED_LENGTH:
        raise unknown("split", split, GENERATED_LENGTH)
    file = description_file(name)
    if file is None:
        return None if is_plugged(name) else GENERATED_LENGTH[split]
    description = importlib.import_module("mtlrepro.data.disk.description").load(file)
    return (description.about | description.counts).get(split)


def find_dataset(name: str, data_root: Path | str | None = None, cache: Path | str | None = None) -> Path | str:
    """Where a dataset lies, or the reason (one line of text) why it cannot be used.

    All files of every split must be there (names only, and one sample of each split is decoded). A generated
    dataset lies in this package.

    Args:
        name: dataset key or path of a description.
        data_root: see `build_dataset`.
        cache: folder for what a reader finds out about files, so that it looks into each once.

    Raises:
        SpecError: unknown dataset name.
    """
    description = description_file(name)
    if is_plugged(name):
        return _plugged().find(name, dataset_class(name))
    if description is None:
        return Path(__file__).parent.joinpath(*target(name).split(":")[0].split(".")[2:-1])
    try:
        return dataset_class(name).check(description, _root(name, data_root), cache)
    except ReproError as error:
        return str(error) if str(error).startswith(name) else f"{name}: {error}"


def _plugged() -> Any:
    """The functions for plugged datasets, which import torch."""
    return importlib.import_module("mtlrepro.data.plugged")


def _options(name: str, cls: Any, options: Options) -> dict[str, Any]:
    """`options` as keywords, all of which the dataset's class takes."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    known = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} - _FROM_CALLER
    for option, _ in options:
        if option not in known:
            raise unknown("option", option, known, file=f"dataset {name}", field="options")
    return dict(options)


def _root(name: str, data_root: Path | str | None) -> Path | None:
    """The folder a description's `root` is relative to; None means the description's own folder."""
    if name.endswith(".toml"):
        return None
    root = data_root_of(data_root)
    if root is None:
        raise DataError(
            "not found: no folder of datasets is known",
            file=name,
            mend=f"Set {DATA_ENV} or give --data-root; `mtlrepro data info {name}` lists the files it needs",
        )
    return root
