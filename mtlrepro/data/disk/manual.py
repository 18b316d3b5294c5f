"""What a description of a dataset on disk may hold, and what one of them asks for, in plain text."""

from __future__ import annotations

import textwrap
from pathlib import Path

from mtlrepro.data.disk.description import BOUNDARIES_OF, MAPS, READER, Description, Labels, load

FORMAT = """\
A dataset of your own is a folder of images and label maps, and one TOML file that describes it:

    name = "street"                          # shown in reports
    root = "."                               # where the files are, relative to this file (default: beside it)
    image = "image/{split}/{id}.jpg"         # RGB or grey, 8 bit; .npy (H, W, 3), floats in [0, 1] or 8 bit;
                                             # or .h5 holding `rgb` (3, H, W), 8 bit
    max_depth = 10.0                         # metres, the far end of the colour map in pictures
    inverse_depth = false                    # true: "depth" is a disparity, near is large; 0 is invalid all the same
    numbered = false                         # true: ids are 0, 1, 2 ... without a gap, samples come in that order
                                             # (else in the order of their ids as text)

    [splits]                                 # default: train = "train", val = "val"
    train = "train"                          # what {split} stands for; ids are then found by listing files,
    val = "lists/val.txt"                    # or a text file with one id a line,
                                             # or a list of folders: ["night", "day"] has ids "night/0", "day/0" ...,
                                             # or "" if there is no such split

    [counts]                                 # optional: the number of samples each split must have
    train = 367

    [about]                                  # optional, where that is not known: roughly how many
    val = 100

    [origin]                                 # optional: where the dataset comes from, in words; all keys are optional
    title = "Streets at Night"               # besides these: size, get (how to get it), notes
    url = "https://example.org/street"
    licence = "CC BY 4.0"

    [tasks.semseg]
    path = "semseg/{split}/{id}.png"         # 8-bit PNG of class ids (grey or palette indices) or .npy (H, W)
    classes = ["sky", "building", "road"]    # names, in id order
    ignore = [11]                            # stored values that mean "no label"; 255 always does
    offset = 0                               # added to stored values, -1 where classes are stored from 1
    palette = [[0, 0, 255], [90, 90, 90], [128, 64, 128]]   # optional, RGB 0..255 a class
    # or, in place of ignore and offset, with "no label" everywhere else:
    # map = {7 = 2, 11 = 1, 23 = 0}          # the class id of each stored value; PNG may have 16 bits then;
                                             # with ignore, too, stored values that neither names are errors
    # colours = [[0, 0, 255], [90, 90, 90], [128, 64, 128]]   # RGB .png: the colour of each class
    # channel = 0                            # which channel, if the PNG has several of 8 or 16 bits; so in depth

    [tasks.parts]                            # of persons: 0 background, 1 head, 2 torso, 3 upper arm, 4 lower arm,
    path = "parts/{split}/{id}.png"          # 5 upper leg, 6 lower leg, 255 no label; 8-bit .png or .npy (H, W).
                                             # A map without a part is not used: persons may be there, unlabelled

    [tasks.saliency]
    path = "saliency/{split}/{id}.png"       # 8-bit grey .png or .npy (H, W) in [0, 1]
    threshold = 0.5                          # above it is foreground; 0 if a PNG holds 0 and 1

    [tasks.depth]
    path = "depth/{split}/{id}.npy"          # .npy (H, W), 8/16-bit grey .png, .h5 holding `depth`; 0 = no measurement
    unit = 1.0                               # metres a stored 1 stands for (0.001 for millimetres); integers need it
    limit = 65535                            # optional: stored values from here on mean "no measurement" too

    [tasks.normals]
    path = "normals/{split}/{id}.npy"        # .npy (H, W, 3) unit vectors, x right, y down, z forward; zero = invalid
                                             # or RGB .png holding (v + 1) / 2 * 255; black or mid-grey = invalid
    mask = "depth"                           # optional: invalid wherever depth is

    [tasks.edges]
    path = "edges/{split}/{id}.png"          # .npy or grey .png with 0 and 1 (or 255)
    # or, in place of path:
    # from = "semseg"                        # boundaries of the label map
    tolerance = 0.0075                       # how far odsF lets a boundary be off, a fraction of the diagonal

    [tasks.occlusion]                        # likewise keypoints, texture and reshading: maps of one value
    path = "occlusion/{split}/{id}.png"      # 16-bit grey .png; reshading: 8-bit RGB .png, mean of the channels / 255
    mean = 56.0                              # labels are (value - mean) / deviation
    deviation = 239.0
    mask = "depth"                           # optional, as for normals

Give the tasks you have. An id may contain "/" (a sub-folder). Every label has the size of its image.
A text in brackets behind {id} is one that file names may lack: "depth/{id}[_depth].png".
A path may be a list, path = ["depth/{id}.npy", "depth/{id}.png"]: for each id the first that exists is taken.

Datasets that come with this package may have a reader of their own. It may need further files, which a table [files]
lists, name = "folder/{id}.txt", and the camera, a table [camera] of width, height, fx, fy, cx and cy in pixels (centres
at +0.5). A task may say from = "reader" in place of path if the reader makes its labels of other files.
"""


def describe(file: Path | str) -> str:
    """Plain text: every path, format and expected count of the dataset that a description file describes."""
    d = load(file)
    lines = [f"{d.name}: a dataset on disk, described by {d.file.name}", "", f"{d.root}/"]
    rows = [_describe_split(d, split) for split in d.splits]
    rows.append((d.image, _IMAGES.get(_suffix(d.image), "RGB image, 8 bit")))
    for task, labels in d.tasks.items():
        rows.append((labels.path or f"({task})", f"{task}: {_describe_task(d, task, labels)}"))
        rows += [(f"or {path}", f"{task}: {_stored(d, task, labels, path)}") for path in labels.others]
    rows += [(path, f"{name}: needed for reading") for name, path in d.files.items()]
    width = max(len(path) for path, _ in rows)
    lines += [f"  {path:<{width}}  {text}" for path, text in rows]
    if any("]" in path for path, _ in rows):
        lines += ["", "Text in [] is one that file names may lack."]
    if d.numbered:
        lines += ["", "Ids are 0, 1, 2 ... without a gap; samples come in that order."]
    for split, value in d.splits.items():
        if isinstance(value, tuple):
            lines += ["", *_wrapped(f"{len(value)} folders of the {split} split: {', '.join(value)}")]
    if d.camera:
        c = {key: f"{value:.10g}" for key, value in d.camera.items()}
        focus = f"focal lengths {c['fx']} and {c['fy']}, principal point ({c['cx']}, {c['cy']})"
        lines += ["", f"Camera, in pixels of {c['width']}x{c['height']} pictures: {focus}."]
    if d.classes:
        colours = d.tasks["semseg"].colours
        names = [f"{name} {rgb}" for name, rgb in zip(d.classes, colours, strict=True)] if colours else d.classes
        lines += ["", *_wrapped(f"{len(d.classes)} classes: {', '.join(names)}")]
    return "\n".join(lines) + "\n"


def _describe_split(d: Description, split: str) -> tuple[str, str]:
    value = d.splits[split]
    count = f", {d.counts[split]} of them" if split in d.counts else ""
    count = f", about {d.about[split]}" if split in d.about else count
    if isinstance(value, tuple):
        return d.image.replace("{split}", split), f"images of the {split} split{count}, in the folders named below"
    if value.endswith(".txt"):
        return value, f"ids of the {split} split, one a line{count}"
    return d.image.replace("{split}", value), f"images of the {split} split{count}"


_IMAGES = {
    ".npy": "RGB image, npy (H, W, 3), floats in [0, 1] or 8 bit",
    ".h5": "RGB image, HDF5 array rgb (3, H, W), 8 bit",
}


def _describe_task(d: Description, task: str, labels: Labels) -> str:
    if labels.path is None:
        return _DERIVED[str(labels.derived)]
    return _stored(d, task, labels, labels.path)


_DERIVED = {
    BOUNDARIES_OF: f"boundaries of the {BOUNDARIES_OF} labels, needs no file",
    READER: "made of the other files when they are read",
}


def _stored(d: Description, task: str, labels: Labels, path: str) -> str:
    suffix = _suffix(path)
    value = f"value x {labels.scale:.10g}{' (inverse depth)' if d.inverse_depth else ' m'}"
    invalid = "0" if labels.limit is None else f"0 and from {labels.limit} on"
    standardised = f"(value - {labels.mean:.10g}) / {labels.deviation:.10g}"
    masked = f"; invalid where {labels.mask} is" if labels.mask else ""
    vectors = {".npy": "npy (H, W, 3), unit vectors in [-1, 1], (0, 0, 0) = invalid"}
    grey = "PNG" if labels.channel is None else f"PNG, channel {labels.channel}"
    texts = {
        "semseg": f"{'npy (H, W)' if suffix == '.npy' else f'{_BITS[bool(labels.map)]} {grey}'}, {_class_ids(labels)}",
        "parts": f"{'npy (H, W)' if suffix == '.npy' else '8-bit PNG'}, class id = stored value 0..6; 255 = no label",
        "saliency": f"{'npy (H, W)' if suffix == '.npy' else '8-bit grey PNG, value / 255'}, "
        f"foreground above {labels.threshold:.10g}",
        "depth": f"{_DEPTHS[suffix].format(grey)}, {value}, {invalid} = invalid",
        "normals": vectors.get(suffix, "RGB PNG, (v + 1) / 2 * 255, black or mid-grey = invalid") + masked,
        "edges": "npy (H, W), 0 and 1" if suffix == ".npy" else "grey PNG, 0 and 255 (or 1)",
        **dict.fromkeys(MAPS, f"16-bit grey PNG, {standardised}{masked}"),
        "reshading": f"RGB PNG, mean of the channels / 255, then {standardised}{masked}",
    }
    return texts[task]


_BITS = {False: "8-bit", True: "8- or 16-bit"}
"""What a PNG of class ids may be, by whether a map makes them of stored values."""


def _class_ids(labels: Labels) -> str:
    if labels.colours:
        return "a colour a class, as below; every other = no label"
    if labels.map:
        pairs = ", ".join(f"{stored} -> {class_id}" for stored, class_id in labels.map)
        others = ", ".join(map(str, labels.ignore)) if labels.ignore else "every other"
        return f"stored value -> class id {pairs}; {others} = no label"
    return f"class id = {_value(labels.offset)}; {', '.join(map(str, labels.ignore))} = no label"


_DEPTHS = {".png": "grey {}", ".npy": "npy (H, W)", ".h5": "HDF5 array depth (H, W)"}


def _suffix(pattern: str) -> str:
    return Path(pattern).suffix.lower()


def _value(offset: int) -> str:
    return f"stored value {offset:+d}" if offset else "stored value"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, subsequent_indent="  ")
