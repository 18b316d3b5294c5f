"""The TOML file that describes a dataset on disk, parsed and checked. `FORMAT` is its manual."""

from __future__ import annotations

import colorsys
import dataclasses
import hashlib
import json
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError, unknown

FORMAT = """\
A dataset of your own is a folder of images and label maps, and one TOML file that describes it:

    name = "street"                          # shown in reports
    root = "."                               # where the files are, relative to this file (default: beside it)
    image = "image/{split}/{id}.jpg"         # RGB or grey, 8 bit

    [splits]                                 # default: train = "train", val = "val"
    train = "train"                          # what {split} stands for; ids are then found by listing files,
    val = "lists/val.txt"                    # or a text file with one id a line

    [counts]                                 # optional: the number of samples each split must have
    train = 367

    [tasks.semseg]
    path = "semseg/{split}/{id}.png"         # 8-bit PNG of class ids (grey or palette indices)
    classes = ["sky", "building", "road"]    # names, in id order
    ignore = [11]                            # stored values that mean "no label"; 255 always does
    offset = 0                               # added to stored values, -1 where classes are stored from 1
    palette = [[0, 0, 255], [90, 90, 90], [128, 64, 128]]   # optional, RGB 0..255 a class

    [tasks.depth]
    path = "depth/{split}/{id}.npy"          # .npy (H, W) or 8/16-bit grey .png; 0 = no measurement
    unit = 1.0                               # metres a stored 1 stands for (0.001 for millimetres); .png needs it

    [tasks.normals]
    path = "normals/{split}/{id}.npy"        # .npy (H, W, 3) unit vectors, x right, y down, z forward; zero = invalid
                                             # or RGB .png holding (v + 1) / 2 * 255; black or mid-grey = invalid

    [tasks.edges]
    path = "edges/{split}/{id}.png"          # .npy or grey .png with 0 and 1 (or 255)
    # or, in place of path:
    # from = "semseg"                        # boundaries of the label map
    tolerance = 0.0075                       # how far odsF lets a boundary be off, a fraction of the diagonal

Give the tasks you have. An id may contain "/" (a sub-folder). Every label has the size of its image.
Top-level `max_depth` (metres, default 10) is the far end of the colour map in pictures.
"""

TASK_KEYS = {
    "semseg": {"path", "classes", "ignore", "offset", "palette"},
    "depth": {"path", "unit"},
    "normals": {"path"},
    "edges": {"path", "from", "tolerance"},
}
SUFFIXES = {"semseg": (".png",), "depth": (".npy", ".png"), "normals": (".npy", ".png"), "edges": (".npy", ".png")}
TOP_KEYS = {"name", "root", "image", "max_depth", "splits", "counts", "tasks"}
SPLITS = ("train", "val")
DERIVED_FROM = "semseg"
"""The one task that `from` may name."""


@dataclass(frozen=True)
class Labels:
    """How one task's labels are stored.

    Attributes:
        path: pattern of the label files, relative to the root; None if derived from `semseg`.
        ignore: stored values that mean "no label" (semseg).
        offset: added to stored values to give class ids (semseg).
        unit: metres a stored 1 stands for (depth).
        tolerance: how far a boundary may be off, a fraction of the image diagonal (edges).
    """

    path: str | None
    ignore: tuple[int, ...] = ()
    offset: int = 0
    unit: float = 1.0
    tolerance: float = DatasetInfo.edge_tolerance


@dataclass(frozen=True)
class Description:
    """A parsed description file. Patterns hold `{id}` and may hold `{split}`.

    Attributes:
        file: the description file.
        name: the dataset's name in reports.
        root: where the files are, as written.
        image: pattern of the images, relative to the root.
        splits: split -> a value for `{split}`, or the path of an id list (`.txt`).
        counts: split -> number of samples it must have.
        tasks: task -> storage of its labels, in the file's order.
        classes: class names in id order.
        palette: RGB a class.
        max_depth: far end of the depth colour map, metres.
    """

    file: Path
    name: str
    root: str
    image: str
    splits: dict[str, str]
    counts: dict[str, int]
    tasks: dict[str, Labels]
    classes: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    max_depth: float = 10.0

    @property
    def info(self) -> DatasetInfo:
        """What models, metrics and pictures need to know."""
        edges = self.tasks.get("edges", Labels(None))
        return DatasetInfo(
            self.name, tuple(self.tasks), self.classes, self.palette, self.max_depth, edge_tolerance=edges.tolerance
        )

    def digest(self) -> str:
        """Hex SHA-256 of what the description says about samples: not of comments, names, places or colours."""
        said = dataclasses.asdict(self)
        for silent in ("file", "name", "root", "counts", "palette", "max_depth"):
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


def describe(file: Path | str) -> str:
    """Plain text: every path, format and expected count of the dataset that a description file describes."""
    d = load(file)
    lines = [f"{d.name}: a dataset on disk, described by {d.file.name}", "", f"{d.root}/"]
    rows = []
    for split, value in d.splits.items():
        count = f", {d.counts[split]} of them" if split in d.counts else ""
        if value.endswith(".txt"):
            rows.append((value, f"ids of the {split} split, one a line{count}"))
        else:
            rows.append((d.image.replace("{split}", value), f"images of the {split} split{count}"))
    rows.append((d.image, "RGB image, 8 bit"))
    rows += [_describe_task(d, task, labels) for task, labels in d.tasks.items()]
    width = max(len(path) for path, _ in rows)
    lines += [f"  {path:<{width}}  {text}" for path, text in rows]
    if d.classes:
        lines += ["", *textwrap.wrap(f"{len(d.classes)} classes: {', '.join(d.classes)}", 100, subsequent_indent="  ")]
    return "\n".join(lines) + "\n"


def _describe_task(d: Description, task: str, labels: Labels) -> tuple[str, str]:
    if labels.path is None:
        return f"({task})", f"{task}: boundaries of the {DERIVED_FROM} labels, needs no file"
    png = labels.path.lower().endswith(".png")
    texts = {
        "semseg": f"8-bit PNG, class id = {_value(labels.offset)}; {', '.join(map(str, labels.ignore))} = no label",
        "depth": f"{'grey PNG' if png else 'npy (H, W)'}, value x {labels.unit:g} m, 0 = invalid",
        "normals": "RGB PNG, (v + 1) / 2 * 255, black or mid-grey = invalid"
        if png
        else "npy (H, W, 3), unit vectors in [-1, 1], (0, 0, 0) = invalid",
        "edges": f"{'grey PNG, 0 and 255 (or 1)' if png else 'npy (H, W), 0 and 1'}",
    }
    return labels.path, f"{task}: {texts[task]}"


def _value(offset: int) -> str:
    return f"stored value {offset:+d}" if offset else "stored value"


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
        splits = {s: s for s in SPLITS} | self._get(table, "", "splits", dict, {})
        counts = self._get(table, "", "counts", dict, {})
        for field, values, kind in (("splits", splits, str), ("counts", counts, int)):
            self._known("split", values, SPLITS, field)
            for key in values:
                self._get(values, field, key, kind)
        parsed = {name: self._labels(name, labels) for name, labels in tasks.items()}
        if any(labels.path is None for labels in parsed.values()) and DERIVED_FROM not in parsed:
            raise self._error("tasks.edges.from", "there is no semseg task", "Describe [tasks.semseg] or give a path")
        semseg = tasks.get("semseg", {})
        classes = tuple(semseg.get("classes", ()))
        palette = tuple(tuple(colour) for colour in semseg.get("palette", ())) or default_palette(len(classes))
        image = self._pattern(table, "", "image", (".jpg", ".jpeg", ".png"))
        for split, value in splits.items():
            if not value.endswith(".txt") and "{split}" not in image:
                mend = f'Put {{split}} into image, or name an id list: {split} = "lists/{split}.txt"'
                raise self._error(f"splits.{split}", f"image = {image!r} is the same for every split", mend)
        max_depth = float(self._get(table, "", "max_depth", (int, float), 10.0))
        if not 0 < max_depth < float("inf"):
            raise self._error("max_depth", f"{max_depth} is not a positive number of metres", "Correct it")
        return Description(
            file=self.file,
            name=self._get(table, "", "name", str),
            root=self._get(table, "", "root", str, "."),
            image=image,
            splits=splits,
            counts=counts,
            tasks=parsed,
            classes=classes,
            palette=palette,
            max_depth=max_depth,
        )

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
        if not all(type(v) is int and 0 <= v <= 255 for v in ignore):
            raise self._error(f"{field}.ignore", f"{ignore} holds something else than ids 0..255", "Correct it")
        offset = self._get(table, field, "offset", int, 0)
        return Labels(path, tuple(sorted({*ignore, 255})) if task == "semseg" else (), offset, unit, tolerance)

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
        if not isinstance(value, kind) or isinstance(value, bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise self._error(where, f"expected {' or '.join(k.__name__ for k in kinds)}, got {value!r}", "Correct it")
        return value

    def _known(self, kind: str, table: dict[str, Any], known: Any, field: str | None) -> None:
        for key in table:
            if key not in known:
                raise unknown(kind, key, known, file=self.file, field=field)

    def _error(self, field: str, problem: str, mend: str) -> DataError:
        return DataError(problem, file=self.file, field=field, mend=mend)
