"""The TOML file that describes a dataset on disk, parsed and checked; `manual` beside this says what it may hold."""

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

from mtlrepro.data.disk.paths import lies_below
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError, unknown

MAPS = ("occlusion", "reshading", "keypoints", "texture")
"""Tasks whose labels are maps of one standardised value."""

TASK_KEYS = {
    "semseg": {"path", "from", "classes", "ignore", "offset", "palette", "map", "colours", "channel"},
    "parts": {"path", "from"},
    "saliency": {"path", "from", "threshold"},
    "depth": {"path", "from", "unit", "limit", "channel"},
    "normals": {"path", "from", "mask"},
    "edges": {"path", "from", "tolerance"},
    **{task: {"path", "from", "mean", "deviation", "mask"} for task in MAPS},
}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".npy", ".h5")
SUFFIXES = {
    "semseg": (".png", ".npy"),
    "parts": (".png", ".npy"),
    "saliency": (".png", ".npy"),
    "depth": (".npy", ".png", ".h5"),
    "normals": (".npy", ".png"),
    "edges": (".npy", ".png"),
    **dict.fromkeys(MAPS, (".png",)),
}
TOP_KEYS = {
    *("name", "root", "image", "max_depth", "inverse_depth", "numbered"),
    *("splits", "counts", "about", "files", "camera", "origin", "tasks"),
}
SPLITS = ("train", "val")
CAMERA_KEYS = ("width", "height", "fx", "fy", "cx", "cy")
MAX_PIXELS = 1_000_000
ORIGIN_KEYS = ("title", "url", "licence", "size", "get", "notes")

READER = "reader"
"""What `from` names where labels have no file of their own: the dataset's reader makes them of other files."""

BOUNDARIES_OF = "semseg"
"""The one task that `from` may name, for edges: they are the boundaries of its label map."""

SOURCES = {"edges": (BOUNDARIES_OF, READER)}
"""What `from` may name, for tasks with more than a reader to come from."""

MASKED_BY = "depth"
"""The one task that `mask` may name."""


@dataclass(frozen=True)
class Labels:
    """How one task's labels are stored.

    Attributes:
        path: pattern of the label files, relative to the root; None if there are no files of this task.
        others: further patterns; for each id the first of all that exists counts.
        derived: where labels without files come from: `"semseg"` or `"reader"`.
        ignore: stored values that mean "no label" (semseg). Beside a `map`, see there.
        offset: added to stored values to give class ids (semseg).
        map: (stored value, class id) pairs; every other stored value means "no label", or is an error if there is an
            `ignore` that does not hold it (semseg).
        colours: the RGB that stands for each class; every other colour means "no label" (semseg).
        channel: which channel of a PNG of several holds the values (semseg, depth).
        threshold: values above it are foreground, as a fraction of 255 where stored as PNG (saliency).
        unit: metres a stored 1 stands for (depth); None if the description says nothing, as it may where floats are
            stored in metres.
        tolerance: how far a boundary may be off, a fraction of the image diagonal (edges).
        limit: stored values from here on mean "no measurement" (depth).
        mean: what is subtracted from stored values (maps of one value).
        deviation: what the difference is divided by (maps of one value).
        mask: the task whose invalid pixels are invalid here too (normals, maps of one value).
    """

    path: str | None
    others: tuple[str, ...] = ()
    derived: str | None = None
    ignore: tuple[int, ...] = ()
    offset: int = 0
    map: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    channel: int | None = None
    threshold: float = 0.5
    unit: float | None = None
    tolerance: float = DatasetInfo.edge_tolerance
    limit: int | None = None
    mean: float = 0.0
    deviation: float = 1.0
    mask: str | None = None

    @property
    def scale(self) -> float:
        """What stored values are multiplied with to give metres (depth)."""
        return 1.0 if self.unit is None else self.unit

    @property
    def paths(self) -> tuple[str, ...]:
        """All patterns of the label files, the first choice first; none if there are no files of this task."""
        return () if self.path is None else (self.path, *self.others)


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
        files: name -> pattern of a further file that the dataset's reader needs of every sample.
        camera: width and height of the pictures that fx, fy, cx and cy belong to, all in pixels; or empty.
        origin: where the dataset comes from, in words: title, url, licence, size, get and notes, as far as given.
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
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    camera: dict[str, float] = dataclasses.field(default_factory=dict)
    origin: dict[str, str] = dataclasses.field(default_factory=dict)

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
        """Hex SHA-256 of what the description says about samples: not of comments, names, places or palettes."""
        said = dataclasses.asdict(self)
        for silent in ("file", "name", "root", "counts", "about", "palette", "max_depth", "origin"):
            del said[silent]
        for task, labels in self.tasks.items():
            said["tasks"][task]["unit"] = labels.scale
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
        mend = "Give the path of an existing .toml file; `mtlrepro data info folder` shows its format"
        raise DataError("no such description file", file=file, mend=mend) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text ({error})", file=file, mend="Give a UTF-8 TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not valid TOML: {error}", file=file, mend="Correct that line") from None
    return _Reader(file).description(table)


def check_own_files(description: Description) -> None:
    """Refuse labels that only a dataset's own reader can make, for a dataset that has none.

    Raises:
        DataError: a task says `from = "reader"`.
    """
    for task, labels in description.tasks.items():
        if labels.derived == READER:
            problem = f"{READER!r} asks for a reader of this dataset's own, and it has none"
            mend = "Give a path; only datasets that come with this package have readers"
            raise DataError(problem, file=description.file, field=f"tasks.{task}.from", mend=mend)


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
            if labels.derived == BOUNDARIES_OF and BOUNDARIES_OF not in parsed:
                mend = f"Describe [tasks.{BOUNDARIES_OF}] or give a path"
                raise self._error(f"tasks.{name}.from", f"there is no {BOUNDARIES_OF} task", mend)
            if labels.mask is not None and labels.mask not in parsed:
                mend = f"Describe [tasks.{MASKED_BY}] or leave the mask out"
                raise self._error(f"tasks.{name}.mask", f"there is no {MASKED_BY} task", mend)
        semseg = tasks.get("semseg", {})
        classes = tuple(semseg.get("classes", ()))
        given = semseg.get("palette") or semseg.get("colours", ())
        palette = tuple(tuple(colour) for colour in given) or default_palette(len(classes))
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
            files=self._files(table),
            camera=self._camera(table),
            origin=self._origin(table),
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
            folders = [value] if plain else value if isinstance(value, list) else []
            outside = next((folder for folder in folders if not lies_below(folder)), None)
            if outside is not None:
                mend = "Name a folder below that of the images, with forward slashes and without .. in it"
                raise self._error(field, f"{outside!r} is no path below a folder", mend)
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
        derived = self._derived(task, table)
        paths = () if derived else self._patterns(table, field, "path", SUFFIXES[task])
        suffixes = {PurePosixPath(path).suffix.lower() for path in paths}
        tolerance = float(self._get(table, field, "tolerance", (int, float), Labels.tolerance))
        if not 0 < tolerance < 1:
            raise self._error(f"{field}.tolerance", f"{tolerance} is not a fraction of the diagonal", "Give 0.0075")
        threshold = float(self._get(table, field, "threshold", (int, float), Labels.threshold))
        if not 0 <= threshold < 1:
            raise self._error(f"{field}.threshold", f"{threshold} is not in [0, 1)", "Give 0.5")
        if task == "depth" and ".png" in suffixes and "unit" not in table:
            raise self._error(f"{field}.unit", "missing for PNG depth", "Add unit = 0.001 if it is in millimetres")
        unit = float(self._get(table, field, "unit", (int, float))) if "unit" in table else None
        if unit is not None and not 0 < unit < float("inf"):
            raise self._error(f"{field}.unit", f"{unit} is not a positive number of metres", "Correct it")
        limit = self._get(table, field, "limit", int) if "limit" in table else None
        if limit is not None and limit < 1:
            raise self._error(f"{field}.limit", f"{limit} leaves no value valid", "Give the first invalid value")
        channel = self._get(table, field, "channel", int) if "channel" in table else None
        if channel is not None and (not 0 <= channel <= 3 or suffixes - {".png"}):
            problem = f"{channel} is not a channel of a PNG file"
            raise self._error(f"{field}.channel", problem, "Give 0 to 3, and PNG files; else leave it out")
        mean, deviation = (
            (float(self._get(table, field, k, (int, float))) for k in ("mean", "deviation"))
            if task in MAPS and paths
            else (0.0, 1.0)
        )
        if not abs(mean) < float("inf") or not 0 < deviation < float("inf"):
            raise self._error(f"{field}.deviation", f"({mean}, {deviation}) are no mean and deviation", "Correct them")
        mask = table.get("mask")
        if mask not in (None, MASKED_BY):
            raise unknown("mask", str(mask), [MASKED_BY], file=self.file, field=f"{field}.mask")
        return Labels(
            paths[0] if paths else None,
            others=paths[1:],
            derived=derived,
            unit=unit,
            tolerance=tolerance,
            threshold=threshold,
            limit=limit,
            channel=channel,
            mean=mean,
            deviation=deviation,
            mask=mask,
            **(self._class_ids(table, suffixes) if task == "semseg" else {}),
        )

    def _derived(self, task: str, table: dict[str, Any]) -> str | None:
        """What labels without files come from."""
        field = f"tasks.{task}"
        if "from" not in table:
            return None
        known = SOURCES.get(task, (READER,))
        if table["from"] not in known:
            raise unknown("source", str(table["from"]), known, file=self.file, field=f"{field}.from")
        if "path" in table:
            raise self._error(field, "both path and from are given", "Keep one of them")
        return table["from"]

    def _class_ids(self, table: dict[str, Any], suffixes: set[str]) -> dict[str, Any]:
        """How stored values become class ids: with `ignore` and `offset`, or by a `map`, or by `colours`."""
        field, classes = "tasks.semseg", len(table["classes"])
        rules = {"map": ("colours", "offset"), "colours": ("ignore", "offset", "channel")}
        for rule, excluded in rules.items():
            other = next((key for key in excluded if rule in table and key in table), None)
            if other is not None:
                raise self._error(f"{field}.{other}", f"has no meaning beside {rule}", "Keep one of the two")
        if "colours" in table:
            colours = tuple(tuple(colour) for colour in table["colours"])
            if len(set(colours)) < len(colours) or suffixes - {".png"}:
                problem = "two classes share a colour" if not suffixes - {".png"} else "only PNG files hold colours"
                raise self._error(f"{field}.colours", problem, "Correct it")
            return {"colours": colours}
        if "map" in table:
            pairs = self._get(table, field, "map", dict)
            for stored, class_id in pairs.items():
                if not (re.fullmatch("0|[1-9][0-9]{0,4}", stored) and int(stored) < 2**16):
                    problem = f"{stored!r} is not a stored value of 0..65535"
                    raise self._error(f"{field}.map", problem, "Write map = {7 = 0, 8 = 1}")
                if type(class_id) is not int or not 0 <= class_id < classes:
                    problem = f"{class_id!r}, which {stored} stands for, is not one of {classes} class ids"
                    raise self._error(f"{field}.map", problem, f"Give 0 to {classes - 1}")
            if not pairs:
                raise self._error(f"{field}.map", "is empty", "Write map = {7 = 0, 8 = 1}")
            by_id = {int(stored): class_id for stored, class_id in pairs.items()}
            ignore = self._ignored(table, 2**16 - 1) if "ignore" in table else ()
            both = next((stored for stored in table.get("ignore", ()) if stored in by_id), None)
            if both is not None:
                raise self._error(f"{field}.ignore", f"{both} has a class in map", "Take it out of one of the two")
            return {"map": tuple(sorted(by_id.items())), "ignore": ignore}
        return {"ignore": self._ignored(table, 255), "offset": self._get(table, field, "offset", int, 0)}

    def _ignored(self, table: dict[str, Any], top: int) -> tuple[int, ...]:
        """Stored values up to `top` that mean "no label"; 255 always does."""
        field = "tasks.semseg.ignore"
        ignore = self._get(table, "tasks.semseg", "ignore", list, [])
        if not all(type(v) is int and -1 <= v <= top for v in ignore):
            raise self._error(field, f"{ignore} holds something else than ids -1..{top}", "Correct it")
        return tuple(sorted({*ignore, 255}))

    def _check_classes(self, table: dict[str, Any]) -> None:
        field = "tasks.semseg"
        classes = self._get(table, field, "classes", list)
        if not 1 <= len(classes) <= 255 or not all(isinstance(c, str) for c in classes):
            raise self._error(f"{field}.classes", "expected 1 to 255 class names", 'Write classes = ["sky", "road"]')
        for key in ("palette", "colours"):
            colours = self._get(table, field, key, list, [])
            good = len(colours) == len(classes) and all(map(_is_colour, colours))
            if key in table and not good and (colours or key == "colours"):
                problem = f"expected one [red, green, blue] of 0..255 for each of {len(classes)} classes"
                mend = "Correct it" if key == "colours" else "Correct it, or leave it out for automatic colours"
                raise self._error(f"{field}.{key}", problem, mend)

    def _files(self, table: dict[str, Any]) -> dict[str, str]:
        """Further files of every sample, whatever their format."""
        given = self._get(table, "", "files", dict, {})
        taken = next((name for name in given if name == "image" or name in TASK_KEYS), None)
        if taken is not None:
            raise self._error(f"files.{taken}", f"{taken!r} has a place of its own", "Choose another name")
        return {name: self._pattern(given, "files", name) for name in given}

    def _camera(self, table: dict[str, Any]) -> dict[str, float]:
        given = self._get(table, "", "camera", dict, {})
        self._known("key", given, CAMERA_KEYS, "camera")
        camera = {key: float(self._get(given, "camera", key, (int, float))) for key in CAMERA_KEYS if given}
        for key, value in camera.items():
            if not 0 < value < MAX_PIXELS:
                problem = f"{value} is not a positive number of pixels below {MAX_PIXELS}"
                raise self._error(f"camera.{key}", problem, "Correct it")
        return camera

    def _origin(self, table: dict[str, Any]) -> dict[str, str]:
        given = self._get(table, "", "origin", dict, {})
        self._known("key", given, ORIGIN_KEYS, "origin")
        return {key: self._get(given, "origin", key, str) for key in given}

    def _patterns(self, table: dict[str, Any], field: str, key: str, suffixes: tuple[str, ...]) -> tuple[str, ...]:
        """One pattern, or several of which the first that exists counts."""
        value, where = self._get(table, field, key, (str, list)), f"{field}.{key}"
        if isinstance(value, str):
            return (self._pattern(table, field, key, suffixes),)
        if not value or not all(isinstance(pattern, str) for pattern in value) or len({*value}) < len(value):
            raise self._error(where, f"{value!r} are not different paths", f'Write {key} = ["a/{{id}}{suffixes[0]}"]')
        return tuple(self._pattern({key: pattern}, field, key, suffixes) for pattern in value)

    def _pattern(self, table: dict[str, Any], field: str, key: str, suffixes: tuple[str, ...] = ()) -> str:
        pattern = self._get(table, field, key, str)
        where = f"{field}.{key}" if field else key
        if pattern.count("{id}") != 1 or pattern.replace("{id}", "").replace("{split}", "").count("{"):
            problem = f"{pattern!r} must hold {{id}} once, and no placeholder but {{id}} and {{split}}"
            suffix = suffixes[0] if suffixes else ".txt"
            raise self._error(where, problem, f'Write something like {key} = "folder/{{split}}/{{id}}{suffix}"')
        if PurePosixPath(pattern).is_absolute():
            raise self._error(where, f"{pattern!r} is not relative to root", "Name its folder in root")
        if not lies_below(pattern):
            mend = "Use forward slashes and no .., and give the folder that holds all files as root"
            raise self._error(where, f"{pattern!r} is no path below root", mend)
        if suffixes and PurePosixPath(pattern).suffix.lower() not in suffixes:
            raise self._error(where, f"{pattern!r} is not a {' or '.join(suffixes)} file", f"Use {suffixes[0]} files")
        return pattern

    def _get(self, table: dict[str, Any], field: str, key: str, kind: Any, default: Any = None) -> Any:
        where = f"{field}.{key}" if field else key
        if key not in table:
            if default is None:
                mend = "Add it; `mtlrepro data info folder` shows the format"
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


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)
