"""The TOML file that describes a dataset on disk, parsed and checked. `mtlrepro.data.manual` says what it may hold."""

from __future__ import annotations

import colorsys
import dataclasses
import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError, unknown

MAPS = ("occlusion", "reshading", "keypoints", "texture")
"""Tasks whose labels are maps of one standardised value."""

TASK_KEYS = {
    "semseg": {"path", "classes", "ignore", "offset", "palette"},
    "depth": {"path", "unit", "limit"},
    "normals": {"path", "mask"},
    "edges": {"path", "from", "tolerance"},
    **{task: {"path", "mean", "deviation", "mask"} for task in MAPS},
}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".npy", ".h5")
SUFFIXES = {
    "semseg": (".png", ".npy"),
    "depth": (".npy", ".png", ".h5"),
    "normals": (".npy", ".png"),
    "edges": (".npy", ".png"),
    **dict.fromkeys(MAPS, (".png",)),
}
TOP_KEYS = {
    *("name", "root", "image", "max_depth", "inverse_depth", "numbered"),
    *("splits", "counts", "about", "tasks"),
}
SPLITS = ("train", "val")
DERIVED_FROM = "semseg"
"""The one task that `from` may name."""

MASKED_BY = "depth"
"""The one task that `mask` may name."""


@dataclass(frozen=True)
class Labels:
    """How one task's labels are stored.

    Attributes:
        path: pattern of the label files, relative to the root; None if derived from `semseg`.
        ignore: stored values that mean "no label" (semseg).
        offset: added to stored values to give class ids (semseg).
        unit: metres a stored 1 stands for (depth).
        tolerance: how far a boundary may be off, a fraction of the image diagonal (edges).
        limit: stored values from here on mean "no measurement" (depth).
        mean: what is subtracted from stored values (maps of one value).
        deviation: what the difference is divided by (maps of one value).
        mask: the task whose invalid pixels are invalid here too (normals, maps of one value).
    """

    path: str | None
    ignore: tuple[int, ...] = ()
    offset: int = 0
    unit: float = 1.0
    tolerance: float = DatasetInfo.edge_tolerance
    limit: int | None = None
    mean: float = 0.0
    deviation: float = 1.0
    mask: str | None = None


@dataclass(frozen=True)
class Description:
    """A parsed description file. Patterns hold `{id}` and may hold `{split}`; see `variants` for `{id}[...]`.

    Attributes:
        file: the description file.
        name: the dataset's name in reports.
        root: where the files are, as written.
        image: pattern of the images, relative to the root.
        splits: split -> a value for `{split}`, the path of an id list (`.txt`), or the folders its ids lie in.
        counts: split -> number of samples it must have.
        tasks: task -> storage of its labels, in the file's order.
        classes: class names in id order.
        palette: RGB a class.
        max_depth: far end of the depth colour map, metres.
        inverse_depth: "depth" is a disparity.
        numbered: the ids of a split are 0, 1, 2 ... without a gap, and its samples come in that order.
        about: split -> roughly how many samples it has, where `counts` is not known.
    """

    file: Path
    name: str
    root: str
    image: str
    splits: dict[str, str | tuple[str, ...]]
    counts: dict[str, int]
    tasks: dict[str, Labels]
    classes: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    max_depth: float = 10.0
    inverse_depth: bool = False
    numbered: bool = False
    about: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def info(self) -> DatasetInfo:
        """What models, metrics and pictures need to know."""
        edges = self.tasks.get("edges", Labels(None))
        return DatasetInfo(
            self.name,
            tuple(self.tasks),
            self.classes,
            self.palette,
            self.max_depth,
            edge_tolerance=edges.tolerance,
            inverse_depth=self.inverse_depth,
        )

    def digest(self) -> str:
        """Hex SHA-256 of what the description says about samples: not of comments, names, places or colours."""
        said = dataclasses.asdict(self)
        for silent in ("file", "name", "root", "counts", "about", "palette", "max_depth"):
            del said[silent]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def load(file: Path | str) -> Description:
    """Read a description file.

    Raises:
        DataError: missing, not TOML, a key missing or of the wrong type.
        SpecError: an unknown key or task, with the nearest known ones.
    """
    file = Path(file)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        mend = "Give the path of an existing .toml file; `mtlrepro data --describe folder` shows its format"
        raise DataError("no such description file", file=file, mend=mend) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text ({error})", file=file, mend="Give a UTF-8 TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not valid TOML: {error}", file=file, mend="Correct that line") from None
    return _Reader(file).description(table)


def variants(pattern: str) -> tuple[str, ...]:
    """The patterns that one with an optional text stands for.

    Example:
        >>> variants("rgb/{id}[_domain_rgb].png")
        ('rgb/{id}_domain_rgb.png', 'rgb/{id}.png')
    """
    both = (re.sub(r"\{id\}\[([^\[\]/]*)\]", text, pattern) for text in (r"{id}\1", "{id}"))
    return tuple(dict.fromkeys(both))


def default_palette(n: int) -> tuple[tuple[int, int, int], ...]:
    """n distinct colours: hues a golden ratio apart, in three brightnesses."""
    colours = (colorsys.hsv_to_rgb((i * 0.618034) % 1, 0.75, (1.0, 0.75, 0.5)[i % 3]) for i in range(n))
    return tuple((round(r * 255), round(g * 255), round(b * 255)) for r, g, b in colours)


class _Reader:
    """Typed access to the tables of one file, with errors that name file and key."""

    def __init__(self, file: Path):
        self.file = file

    def description(self, table: dict[str, Any]) -> Description:
        self._known("key", table, TOP_KEYS, None)
        tasks = self._get(table, "", "tasks", dict)
        self._known("task", tasks, TASK_KEYS, "tasks")
        if not tasks:
            raise self._error("tasks", "no task is described", "Add a table such as [tasks.semseg]")
        parsed = {name: self._labels(name, labels) for name, labels in tasks.items()}
        for name, labels in parsed.items():
            if labels.path is None and DERIVED_FROM not in parsed:
                mend = f"Describe [tasks.{DERIVED_FROM}] or give a path"
                raise self._error(f"tasks.{name}.from", f"there is no {DERIVED_FROM} task", mend)
            if labels.mask is not None and labels.mask not in parsed:
                mend = f"Describe [tasks.{MASKED_BY}] or leave the mask out"
                raise self._error(f"tasks.{name}.mask", f"there is no {MASKED_BY} task", mend)
        semseg = tasks.get("semseg", {})
        classes = tuple(semseg.get("classes", ()))
        palette = tuple(tuple(colour) for colour in semseg.get("palette", ())) or default_palette(len(classes))
        image = self._pattern(table, "", "image", IMAGE_SUFFIXES)
        numbered = self._get(table, "", "numbered", bool, False)
        splits = self._splits(table, image, numbered)
        max_depth = float(self._get(table, "", "max_depth", (int, float), 10.0))
        if not 0 < max_depth < float("inf"):
            raise self._error("max_depth", f"{max_depth} is not a positive number of metres", "Correct it")
        return Description(
            file=self.file,
            name=self._get(table, "", "name", str),
            root=self._get(table, "", "root", str, "."),
            image=image,
            splits=splits,
            counts=self._numbers(table, "counts"),
            tasks=parsed,
            classes=classes,
            palette=palette,
            max_depth=max_depth,
            inverse_depth=self._get(table, "", "inverse_depth", bool, False),
            numbered=numbered,
            about=self._numbers(table, "about"),
        )

    def _splits(self, table: dict[str, Any], image: str, numbered: bool) -> dict[str, str | tuple[str, ...]]:
        """What each split is; one that the file sets to "" does not exist."""
        given = {split: split for split in SPLITS} | self._get(table, "", "splits", dict, {})
        self._known("split", given, SPLITS, "splits")
        splits: dict[str, str | tuple[str, ...]] = {}
        for split in given:
            value = self._get(given, "splits", split, (str, list))
            field, plain = f"splits.{split}", isinstance(value, str) and not value.endswith(".txt")
            if isinstance(value, list) and not (value and all(isinstance(v, str) and v for v in value)):
                raise self._error(field, f"{value!r} holds something else than folders", 'Write ["night", "day"]')
            if plain and value and "{split}" not in image:
                mend = f'Put {{split}} into image, or name an id list: {split} = "lists/{split}.txt"'
                raise self._error(field, f"image = {image!r} is the same for every split", mend)
            if numbered and not plain:
                raise self._error(field, "the ids of a list or of folders cannot be numbered", "Take numbered out")
            if value:
                splits[split] = value if isinstance(value, str) else tuple(value)
        if not splits:
            raise self._error("splits", "there is no split", "Give train or val a value")
        folders = [folder for value in splits.values() if isinstance(value, tuple) for folder in value]
        twice = next((folder for folder in folders if folders.count(folder) > 1), None)
        if twice is not None:
            raise self._error("splits", f"folder {twice!r} is listed twice", "List every folder once")
        return splits

    def _numbers(self, table: dict[str, Any], field: str) -> dict[str, int]:
        values = self._get(table, "", field, dict, {})
        self._known("split", values, SPLITS, field)
        return {split: self._get(values, field, split, int) for split in values}

    def _labels(self, task: str, table: Any) -> Labels:
        field = f"tasks.{task}"
        if not isinstance(table, dict):
            raise self._error(field, f"expected a table, got {table!r}", f"Write [{field}]")
        self._known("key", table, TASK_KEYS[task], field)
        if task == "semseg":
            self._check_classes(table)
        tolerance = float(self._get(table, field, "tolerance", (int, float), Labels.tolerance))
        if not 0 < tolerance < 1:
            raise self._error(f"{field}.tolerance", f"{tolerance} is not a fraction of the diagonal", "Give 0.0075")
        if "from" in table:
            if table["from"] != DERIVED_FROM:
                raise unknown("source", str(table["from"]), [DERIVED_FROM], file=self.file, field=f"{field}.from")
            if "path" in table:
                raise self._error(field, "both path and from are given", "Keep one of them")
            return Labels(path=None, tolerance=tolerance)
        path = self._pattern(table, field, "path", SUFFIXES[task])
        if task == "depth" and path.lower().endswith(".png") and "unit" not in table:
            raise self._error(f"{field}.unit", "missing for PNG depth", "Add unit = 0.001 if it is in millimetres")
        unit = float(self._get(table, field, "unit", (int, float), 1.0))
        if not 0 < unit < float("inf"):
            raise self._error(f"{field}.unit", f"{unit} is not a positive number of metres", "Correct it")
        ignore = self._get(table, field, "ignore", list, [])
        if not all(type(v) is int and -1 <= v <= 255 for v in ignore):
            raise self._error(f"{field}.ignore", f"{ignore} holds something else than ids -1..255", "Correct it")
        limit = self._get(table, field, "limit", int) if "limit" in table else None
        if limit is not None and limit < 1:
            raise self._error(f"{field}.limit", f"{limit} leaves no value valid", "Give the first invalid value")
        mean, deviation = (
            (float(self._get(table, field, k, (int, float))) for k in ("mean", "deviation"))
            if task in MAPS
            else (0.0, 1.0)
        )
        if not abs(mean) < float("inf") or not 0 < deviation < float("inf"):
            raise self._error(f"{field}.deviation", f"({mean}, {deviation}) are no mean and deviation", "Correct them")
        mask = table.get("mask")
        if mask not in (None, MASKED_BY):
            raise unknown("mask", str(mask), [MASKED_BY], file=self.file, field=f"{field}.mask")
        return Labels(
            path,
            ignore=tuple(sorted({*ignore, 255})) if task == "semseg" else (),
            offset=self._get(table, field, "offset", int, 0),
            unit=unit,
            tolerance=tolerance,
            limit=limit,
            mean=mean,
            deviation=deviation,
            mask=mask,
        )

    def _check_classes(self, table: dict[str, Any]) -> None:
        field = "tasks.semseg"
        classes = self._get(table, field, "classes", list)
        if not 1 <= len(classes) <= 255 or not all(isinstance(c, str) for c in classes):
            raise self._error(f"{field}.classes", "expected 1 to 255 class names", 'Write classes = ["sky", "road"]')
        palette = self._get(table, field, "palette", list, [])
        good = all(
            isinstance(c, list) and len(c) == 3 and all(type(v) is int and 0 <= v <= 255 for v in c) for c in palette
        )
        if palette and (not good or len(palette) != len(classes)):
            problem = f"expected one [red, green, blue] of 0..255 for each of {len(classes)} classes"
            raise self._error(f"{field}.palette", problem, "Correct it, or leave it out for automatic colours")

    def _pattern(self, table: dict[str, Any], field: str, key: str, suffixes: tuple[str, ...]) -> str:
        pattern = self._get(table, field, key, str)
        where = f"{field}.{key}" if field else key
        if pattern.count("{id}") != 1 or pattern.replace("{id}", "").replace("{split}", "").count("{"):
            problem = f"{pattern!r} must hold {{id}} once, and no placeholder but {{id}} and {{split}}"
            raise self._error(where, problem, f'Write something like {key} = "folder/{{split}}/{{id}}{suffixes[0]}"')
        if PurePosixPath(pattern).is_absolute():
            raise self._error(where, f"{pattern!r} is not relative to root", "Name its folder in root")
        if PurePosixPath(pattern).suffix.lower() not in suffixes:
            raise self._error(where, f"{pattern!r} is not a {' or '.join(suffixes)} file", f"Use {suffixes[0]} files")
        return pattern

    def _get(self, table: dict[str, Any], field: str, key: str, kind: Any, default: Any = None) -> Any:
        where = f"{field}.{key}" if field else key
        if key not in table:
            if default is None:
                mend = "Add it; `mtlrepro data --describe folder` shows the format"
                raise self._error(where, "missing", mend)
            return default
        value = table[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self._error(where, f"expected {' or '.join(k.__name__ for k in kinds)}, got {value!r}", "Correct it")
        return value

    def _known(self, kind: str, table: dict[str, Any], known: Any, field: str | None) -> None:
        for key in table:
            if key not in known:
                raise unknown(kind, key, known, file=self.file, field=field)

    def _error(self, field: str, problem: str, mend: str) -> DataError:
        return DataError(problem, file=self.file, field=field, mend=mend)
