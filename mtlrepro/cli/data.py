"""`mtlrepro data`: what a dataset on disk needs, whether it is complete, how to make it, and a stand-in for it."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from mtlrepro.cli.base import Verb, size
from mtlrepro.errors import DataError, SpecError, StoreError
from mtlrepro.progress import ProgressLine

NAME = "dataset key, folder name of its release, or a description file (.toml)"
GENERATED = ("scenes", "streets", "drives", "scenes_taskonomy", "scenes_pascal")
LARGEST_PICTURE = 4096


class Check(Verb):
    """Look over a dataset."""

    interrupted = "interrupted; a check-up changes nothing of the dataset, and it begins anew when started again"
    summary = "is everything there, and does it look as it should?"
    examples = """examples:
  mtlrepro data check nyuv2 --data-root /data
  mtlrepro data check cityscapes_7 --samples 16 --picture samples.png --json check.json
  mtlrepro data check my_dataset.toml

exit code 1 if something is missing or suspicious"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help=NAME)
        _add_data_root(parser)
        parser.add_argument(
            "--samples", type=int, default=None, metavar="N", help="read N of every split (default: all)"
        )
        parser.add_argument("--picture", type=_path, metavar="PNG", help="draw some of them with all their labels")
        parser.add_argument("--json", type=_path, metavar="FILE", help="write what was found as JSON")
        parser.add_argument(
            "--runs",
            type=_path,
            metavar="DIR",
            help="run store, in whose cache readers remember what took long to find out, as runs do (default: none)",
        )

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.data.disk.checkup import checkup
        from mtlrepro.data.disk.checkup.sheet import sheet
        from mtlrepro.data.disk.names import dataset_key
        from mtlrepro.data.disk.synthesize import RAW
        from mtlrepro.files import write_json
        from mtlrepro.suite.session import MANIFESTS

        if options.name.casefold() in RAW:
            problem = "is the raw form that `mtlrepro data prepare` starts from, no dataset to check"
            mend = "Prepare nyuv2 or nyuv2_13 from it, and check that"
            raise SpecError(problem, file=options.name, mend=mend)
        for file in (options.json, options.picture):
            _check_output(file)
        _check_picture(options.picture)
        cache = options.runs and options.runs / MANIFESTS
        found = checkup(dataset_key(options.name), options.data_root, options.samples, _line(), cache)
        print(found.text(), end="")
        if options.json:
            write_json(options.json, found.json())
        if options.picture:
            sheet(found, options.picture)
        for file in (options.json, options.picture):
            if file:
                print(file)
        return 0 if found.ok else 1


class Info(Verb):
    """What a dataset is."""

    summary = "where a dataset comes from, its licence and size, every file it needs, how to place it"
    examples = """examples:
  mtlrepro data info                   all datasets, and which of their folders are here
  mtlrepro data info nyuv2
  mtlrepro data info nyud_mt           the same, by the folder of its release
  mtlrepro data info folder            how to describe a dataset of your own"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        help = f'{NAME}, or "folder" for the format of such a file (default: list all)'
        parser.add_argument("name", nargs="?", metavar="NAME", help=help)
        _add_data_root(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.data.disk.information import inform, overview
        from mtlrepro.data.disk.manual import FORMAT
        from mtlrepro.data.disk.names import dataset_key

        if options.name is None:
            text = overview(options.data_root)
        else:
            text = FORMAT if options.name == "folder" else inform(dataset_key(options.name))
        print(text, end="")
        return 0


class Prepare(Verb):
    """Derive a dataset from a public raw form."""

    interrupted = "interrupted; what is made so far is kept aside, and it goes on there when started again"
    summary = "build a dataset from the raw form that is public; goes on where it was interrupted"
    examples = """examples:
  mtlrepro data prepare nyuv2 --from nyu_depth_v2 --data-root /data
  mtlrepro data prepare cityscapes_7 --from cityscapes --data-root /data

SOURCE is a folder; `mtlrepro data info NAME` says which files it must hold."""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="dataset key, or folder name of its release")
        parser.add_argument(
            "--from", dest="source", type=_path, required=True, metavar="SOURCE", help="folder of the raw files"
        )
        _add_data_root(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.data import DATA_ENV, data_root_of
        from mtlrepro.data.disk.names import dataset_key
        from mtlrepro.data.disk.prepare import prepare, target_of

        name, root = dataset_key(options.name), data_root_of(options.data_root)
        if root is None:
            mend = f"Set {DATA_ENV} or give --data-root"
            raise DataError("no folder of datasets is known to write to", file=name, mend=mend)
        line, before = _line(), os.path.lexists(target_of(name, root))
        try:
            made = prepare(name, options.source, root, lambda n, of: line.show(f"{n}/{of} samples of {name}"))
        finally:
            line.clear()
        print(f"{made} is there already, made of the same source" if before else made)
        return 0


class Synthesize(Verb):
    """Write the embedded scenes in a dataset's layout."""

    interrupted = "interrupted; what was not finished is removed, finished copies are kept"
    summary = "write embedded scenes to disk exactly as a dataset is laid out, to rehearse without a licence"
    examples = """examples:
  mtlrepro data synthesize --layout nyuv2 --n 40 rehearsal           40 training and 10 validation samples
  mtlrepro data synthesize --layout taskonomy --n 50 --size 128x128 rehearsal
  mtlrepro data synthesize --layout all --n 4 --verify rehearsal     what do the readers lose of what was rendered?
  mtlrepro data synthesize --layout nyu_depth_v2 --n 4 raw           the .mat files that `prepare nyuv2` starts from
  mtlrepro run nyuv2 --tier full --data-root rehearsal"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("directory", type=_path, metavar="DIR", help="data root to write to")
        parser.add_argument(
            "--layout",
            required=True,
            metavar="NAME",
            help="dataset key, folder name of its release, nyu_depth_v2, or all",
        )
        parser.add_argument("--n", type=int, default=40, help="training samples (default 40)")
        parser.add_argument("--val", type=int, metavar="M", help="validation samples (default: a quarter, at least 2)")
        parser.add_argument("--size", type=_pixels, metavar="HxW", help="size of the images (default: the release's)")
        parser.add_argument("--seed", type=_natural, default=0, help="another seed, other scenes (default 0)")
        parser.add_argument(
            "--verify", action="store_true", help="read everything back and tell the largest error of every target"
        )

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.data.disk.names import dataset_key
        from mtlrepro.data.disk.synthesize import RAW, WRITERS, synthesize
        from mtlrepro.data.disk.synthesize.roundtrip import roundtrip, table

        every = options.layout == "all"
        layouts = list(WRITERS) if every else [dataset_key(options.layout, WRITERS)]
        counts = {"train": options.n, "val": max(2, options.n // 4) if options.val is None else options.val}
        for name in layouts:
            print(synthesize(name, options.directory, counts, options.size, options.seed, _line()))
        if options.verify:
            read = [name for name in layouts if name not in RAW]
            print(table([row for name in read for row in roundtrip(name, options.directory, _line())]))
        return 0


class Preview(Verb):
    """Draw embedded scenes."""

    interrupted = "interrupted; nothing was written"
    summary = "a contact sheet of embedded scenes with all their labels"
    examples = """examples:
  mtlrepro data preview scenes.png
  mtlrepro data preview people.png --dataset scenes_pascal
  mtlrepro data preview streets.png --dataset streets --size 128x256
  mtlrepro data preview game.png --dataset drives --style game --size 128x256"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("png", type=_path, metavar="PNG", help="file to write")
        parser.add_argument("--dataset", choices=GENERATED, default="scenes", help="which scenes (default: scenes)")
        parser.add_argument("--scenes", type=_positive, default=6, help="how many (default 6)")
        parser.add_argument(
            "--size", type=_picture_size, default=(192, 256), metavar="HxW", help="size of a picture (default 192x256)"
        )
        parser.add_argument("--seed", type=_natural, default=0, help="of the scenes (default 0)")
        parser.add_argument("--style", help="of drives: photo, game or kitti (default photo)")

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.data.scenes.sheet import contact_sheet

        _check_output(options.png)
        _check_picture(options.png)
        drives = options.dataset == "drives"
        chosen = (("frames", True), ("style", options.style or "photo")) if drives else ()
        if options.style is not None and not drives:
            raise SpecError(f"{options.dataset} have no styles", field="--style", mend="Add --dataset drives")
        contact_sheet(options.png, options.scenes, options.size, options.seed, options.dataset, chosen)
        print(options.png)
        return 0


ACTIONS: dict[str, type[Verb]] = {
    "check": Check,
    "info": Info,
    "prepare": Prepare,
    "synthesize": Synthesize,
    "preview": Preview,
}


class Data(Verb):
    """Data questions."""

    summary = "what a dataset on disk needs, whether it is complete; build one, or a synthetic stand-in"
    examples = """examples:
  mtlrepro data info                                    all datasets, and which of their folders are here
  mtlrepro data info nyuv2                              every file, format and count the nyuv2 tables need
  mtlrepro data info folder                             how to describe a dataset of your own
  mtlrepro data check nyuv2 --data-root /data           is everything there, and readable?
  mtlrepro data synthesize --layout nyuv2 rehearsal     embedded scenes in the same layout, no licence needed
  mtlrepro data preview scenes.png                      a contact sheet of the embedded scenes
  mtlrepro data synthesize --help                       more on one of them"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        for name, action in ACTIONS.items():
            sub = actions.add_parser(
                name,
                help=action.summary,
                description=action.summary,
                epilog=action.examples,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            action.add_arguments(sub)

    def run(self, options: argparse.Namespace) -> int:
        action = ACTIONS[options.action]()
        self.interrupted = action.interrupted
        return action.run(options)


def _add_data_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-root", type=_path, default=None, help="folder of the papers' datasets (default: $MTLREPRO_DATA)"
    )


def _line() -> ProgressLine:
    return ProgressLine(width=shutil.get_terminal_size().columns)


def _path(text: str) -> Path:
    """A path whose ~ is the home folder: shells leave it in `--json=~/check.json`."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r}: no such home folder") from None


def _natural(text: str, least: int = 0) -> int:
    """Parse a whole number, at least 0."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is below {least}")
    return number


def _positive(text: str) -> int:
    """Parse a whole number, at least 1."""
    return _natural(text, 1)


def _pixels(text: str) -> tuple[int, int]:
    """Parse "HEIGHTxWIDTH"."""
    try:
        height, width = (int(n) for n in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 480x640") from None
    return height, width


def _picture_size(text: str) -> tuple[int, int]:
    """Parse "HEIGHTxWIDTH" of a picture on a contact sheet."""
    height, width = size(text)
    if max(height, width) > LARGEST_PICTURE:
        raise argparse.ArgumentTypeError(f"{text!r}: height and width may be {LARGEST_PICTURE} at most")
    return height, width


def _check_picture(file: Path | None) -> None:
    """Pictures are PNG files."""
    if file is not None and file.suffix.lower() != ".png":
        raise SpecError(f"a picture is a .png file, not {file.suffix or 'one without a suffix'}", file=file)


def _check_output(file: Path | None) -> None:
    """A file must be writable before hours go into what it is to hold."""
    if file is None:
        return
    if file.is_dir():
        raise StoreError("is a folder", file=file, mend="Name a file in it")
    folder = next(parent for parent in file.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"cannot be written: {folder} is no writable folder", file=file, mend="Choose another place")
