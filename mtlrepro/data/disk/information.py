"""What a user needs to know of a dataset before it is there: where it comes from, its licence, its exact tree."""

from __future__ import annotations

import inspect
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from mtlrepro.data import DATA_ENV, DATASETS, LAYOUTS, data_root_of, dataset_class, description_file
from mtlrepro.data.disk.description import Description, load
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.manual import describe
from mtlrepro.data.disk.marker import read_marker
from mtlrepro.data.disk.origin import PREPARED, SYNTHETIC
from mtlrepro.data.disk.prepare import PREPARATIONS
from mtlrepro.data.disk.prepare.record import read_record
from mtlrepro.data.disk.synthesize import WRITERS
from mtlrepro.errors import DataError

WIDTH = 100

_LISTED = re.compile(r"\d+\. ")
"""How an item of a numbered list begins."""

_COLLECTED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

SEE_THE_PAGE = "see the page; nothing is downloaded or passed on here"
NOT_STATED = "not known here; see the page"

CHOOSE = "for the runs of a table: mtlrepro run TABLE --data-option NAME=VALUE"

_REFERENCE = re.compile(r",? (\(`mtlrepro\.[\w.]+`\)|see `mtlrepro\.[\w.]+`)")
"""Where a docstring points at a module, which is no help in a terminal."""


def inform(name: str) -> str:
    """Plain text on one dataset: origin, licence, size, tree with formats and counts, how to place or rehearse it.

    Args:
        name: dataset key, or the path of a description file.

    Raises:
        SpecError: unknown dataset.
        DataError: the description file is missing or wrong.
    """
    file = description_file(name)
    if file is None:
        return "\n\n".join([_generated(name), _options(name)]) + "\n"
    d = load(file)
    blocks = [
        _origin(name, d),
        describe(file).rstrip(),
        _place(name, d),
        _prepare(name),
        _rehearse(name),
        _options(name),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def overview(data_root: Path | str | None = None) -> str:
    """A table of all datasets: key, samples, tasks, and where their folder is.

    Only names in that folder are looked at: `mtlrepro data check` tells whether a dataset is complete.

    Args:
        data_root: folder of the datasets; by default what `MTLREPRO_DATA` names.
    """
    root = data_root_of(data_root)
    rows = [("dataset", "train/val", "tasks", "folder")] + [_row(name, root) for name in DATASETS]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows]
    if root is None:
        lines.append(f"No folder of datasets is known: set {DATA_ENV} or give --data-root.")
    return "\n".join(lines) + "\n"


def _row(name: str, data_root: Path | None) -> tuple[str, str, str, str]:
    file = description_file(name)
    if file is None:
        return name, "any", ", ".join(dataset_class(name)("val", (32, 32), 1).info.tasks), "generated, needs no files"
    d = load(file)
    counts = (d.counts.get(s, d.about.get(s)) if s in d.splits else 0 for s in ("train", "val"))
    samples = "/".join("?" if n is None else str(n) for n in counts)
    if data_root is None:
        return name, samples, ", ".join(d.tasks), f"{d.root} (not found)"
    root = data_root / Path(d.root).expanduser()
    try:
        said = ", ".join(_state(name, d, root))
    except (DataError, OSError) as error:
        said = str(error)
    return name, samples, ", ".join(d.tasks), f"{root} ({said})" if said else str(root)


def _state(name: str, d: Description, root: Path) -> Iterator[str]:
    """What a glance at a dataset's folder shows."""
    if not root.is_dir():
        yield "not found"
        return
    marker = read_marker(root)
    if marker:
        yield SYNTHETIC if marker.dataset == name else f"{SYNTHETIC} of {marker.dataset}"
    if read_record(root):
        yield PREPARED
    lists = [value for value in d.splits.values() if isinstance(value, str) and value.endswith(".txt")]
    labels = [task.path for task in d.tasks.values() if task.path]
    there = [entry.name for entry in os.scandir(root)]
    for first in dict.fromkeys(path.partition("/")[0] for path in (d.image, *labels, *d.files.values(), *lists)):
        # a name may go on: copies at another size lie in leftImg8bit_small
        if "{" not in first and not any(entry.startswith(first) for entry in there):
            yield f"lacks {first}"


def _generated(name: str) -> str:
    words = inspect.getdoc(dataset_class(name)) or name
    return f"{name}: generated while it is used; needs no files and no download.\n{words.splitlines()[0]}"


def _origin(name: str, d: Description) -> str:
    origin = d.origin
    own = d.file.parent != LAYOUTS
    if own and not origin:
        return ""
    lines = [f"{name}: {origin.get('title', d.name)}", ""]
    said = {
        "page": origin.get("url", ""),
        "licence": origin.get("licence", SEE_THE_PAGE),
        "size": origin.get("size", "" if own else NOT_STATED),
        "get it": origin.get("get", ""),
        "note": origin.get("notes", ""),
    }
    for label, words in said.items():
        if words:
            lines += _item(label, words)
    return "\n".join(lines)


def _place(name: str, d: Description) -> str:
    if name.endswith(".toml"):
        where = f"The files are sought in {(d.file.parent / Path(d.root).expanduser())}."
    else:
        where = (
            f"Put the folder {d.root} into one folder with the other datasets, say DATA, and pass --data-root DATA or "
            f"set MTLREPRO_DATA=DATA."
        )
        if dataset_class(name).candidates is Folder.candidates:  # else paths are not those of the description alone
            where = f"{where[:-1]}: images are then DATA/{d.root}/{_first(d)}."
    return "\n".join([*_wrapped(where), f"Then: mtlrepro data check {name}"])


def _first(d: Description) -> str:
    split, value = next(iter(d.splits.items()))
    stands_for = value if isinstance(value, str) and not value.endswith(".txt") else split
    return d.image.replace("{split}", stands_for).replace("{id}", "<id>")


def _prepare(name: str) -> str:
    if name not in PREPARATIONS:
        return ""
    how = PREPARATIONS[name]
    lines = [*_wrapped(f"It can be made of the public raw form: {how.help}. Needed in a folder SOURCE:")]
    for file, words in how.needs.items():
        lines += [f"  {file}", *textwrap.wrap(words, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)]
    return "\n".join([*lines, f"Then: mtlrepro data prepare {name} --from SOURCE --data-root DATA"])


def _rehearse(name: str) -> str:
    if name not in WRITERS:
        return ""
    words = (
        "Without it: the embedded scenes write themselves to disk in this layout, byte formats included, so that "
        "everything can be rehearsed; results on such a copy say nothing about a paper."
    )
    return "\n".join([*_wrapped(words), f"  mtlrepro data synthesize --layout {name} --n 40 DIR"])


def _options(name: str) -> str:
    """Options of the reader with their meaning, from its docstring."""
    cls = dataset_class(name)
    parameters = inspect.signature(cls.__init__).parameters
    caller = {"self", "description", "split", "root", "length", "cache", "size"}
    known = {key: p for key, p in parameters.items() if key not in caller and p.kind not in _COLLECTED}
    if not known:
        return ""
    meaning: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        meaning |= _arguments(inspect.cleandoc(base.__doc__ or ""))
    # One without a value of its own is a size, which tables give.
    chosen = description_file(name) is not None and any(p.default is not None for p in known.values())
    lines = [f"Options of the reader ({CHOOSE}):" if chosen else "Options of the reader:"]
    for key, parameter in known.items():
        default = "" if parameter.default is parameter.empty else f" (default {parameter.default!r})"
        lines += _item(key, f"{meaning.get(key, '')}{default}".strip())
    return "\n".join(lines)


def _arguments(doc: str) -> dict[str, str]:
    """Name -> meaning, from the `Args:` of a docstring."""
    body = doc.partition("Args:\n")[2].split("\n\n")[0]
    meaning: dict[str, str] = {}
    key = ""
    for line in textwrap.dedent(body).splitlines():
        if not line.startswith(" ") and ":" in line:
            key, _, words = line.partition(":")
            meaning[key] = words.strip()
        elif key:
            meaning[key] += " " + line.strip()
    return {key: _REFERENCE.sub("", words) for key, words in meaning.items()}


def _item(label: str, words: str) -> list[str]:
    """A labelled text. Its paragraphs are wrapped; lines that begin with a space stay as they are, list items apart."""
    paragraphs: list[str] = []
    for line in words.strip().splitlines():
        apart = not paragraphs or not line or not paragraphs[-1] or line[0] == " " or paragraphs[-1][0] == " "
        if apart or _LISTED.match(line):
            paragraphs.append(line)
        else:
            paragraphs[-1] += " " + line
    lines = [out for text in paragraphs for out in ([text] if text[:1] == " " else _wrapped(text, WIDTH - 12) or [""])]
    return [f"  {label + ':':<9} {lines[0]}", *(f"  {'':<9} {line}".rstrip() for line in lines[1:])]


def _wrapped(words: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)
