"""`mtlrepro data`: look at the embedded scenes, learn what a dataset on disk needs, check one."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtlrepro.cli.base import Verb, size


class Data(Verb):
    """Data questions."""

    summary = "draw the embedded scenes, say what a dataset on disk needs, or check that one is complete"
    examples = """examples:
  mtlrepro data --preview scenes.png       a contact sheet of the embedded scenes with all their labels
  mtlrepro data --describe nyuv2           every file, format and count the nyuv2 tables need
  mtlrepro data --describe folder          how to describe a dataset of your own
  mtlrepro data --check my_dataset.toml    is everything there, and readable?"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--preview", type=Path, metavar="PNG", help="write a contact sheet of embedded scenes")
        what.add_argument(
            "--describe", metavar="NAME", help="what a dataset needs: nyuv2, folder, or a description file"
        )
        what.add_argument("--check", metavar="NAME", help="check a dataset: nyuv2 or a description file")
        parser.add_argument(
            "--data-root", type=Path, default=None, help="folder of the papers' datasets (default: $MTLREPRO_DATA)"
        )
        parser.add_argument("--scenes", type=int, default=6, help="scenes of the preview (default 6)")
        parser.add_argument(
            "--size",
            type=size,
            default=(192, 256),
            metavar="HxW",
            help="size of the preview's pictures (default 192x256)",
        )
        parser.add_argument("--seed", type=int, default=0, help="seed of the preview")

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.data import data_root_of, describe, find_dataset
        from mtlrepro.errors import DataError

        if options.preview:
            from mtlrepro.data.scenes.sheet import contact_sheet

            contact_sheet(options.preview, n=options.scenes, size=options.size, seed=options.seed)
            print(options.preview)
        elif options.describe:
            print(describe(options.describe))
        else:
            found = find_dataset(options.check, data_root_of(options.data_root))
            if isinstance(found, str):
                raise DataError(found, mend=f"`mtlrepro data --describe {options.check}` says what is needed")
            print(f"{options.check}: complete at {found}")
        return 0
