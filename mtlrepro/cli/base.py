"""What a verb is, and the arguments several share."""

from __future__ import annotations

import argparse
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from mtlrepro.plugins import PLUGINS_ENV


class Verb(ABC):
    """One verb: its help, its arguments, its work."""

    summary: ClassVar[str]
    examples: ClassVar[str]
    interrupted: str = "interrupted"
    """What is said after Ctrl-C."""

    @staticmethod
    @abstractmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the verb's arguments."""

    @abstractmethod
    def run(self, options: argparse.Namespace) -> int:
        """Do the work; return the exit code. Raises ReproError on bad input."""


def add_suites(parser: argparse.ArgumentParser) -> None:
    """`--suites`."""
    parser.add_argument(
        "--suites", type=Path, default=Path("suites"), help="folder of the suite files (default: suites/)"
    )


def add_expected(parser: argparse.ArgumentParser) -> None:
    """`--expected`."""
    parser.add_argument(
        "--expected", type=Path, default=None, metavar="DIR", help="folder of the printed tables (default: expected/)"
    )


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """`--plugin`; what it names is in use when the verb begins (`take_plugins`)."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="a file that defines MODELS, OBJECTIVES, WEIGHTINGS or DATASETS of your own, see docs/own-method.md; "
        "may be given several times (or set $MTLREPRO_PLUGINS)",
    )


def take_plugins(options: argparse.Namespace) -> None:
    """Take plugin files into use, those of the command line and of the environment (ReproError if one is wrong)."""
    if "plugin" in options and (options.plugin or os.environ.get(PLUGINS_ENV)):
        from mtlrepro.suite.plugged import use_plugins

        use_plugins(options.plugin)


def add_store(parser: argparse.ArgumentParser) -> None:
    """`--runs --report --data-root`."""
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="run store (default: runs/)")
    parser.add_argument("--report", type=Path, default=Path("report"), help="folder of the report (default: report/)")
    parser.add_argument(
        "--data-root", type=Path, default=None, help="folder of the papers' datasets (default: $MTLREPRO_DATA)"
    )


def size(text: str) -> tuple[int, int]:
    """Parse "HEIGHTxWIDTH", both multiples of 32."""
    try:
        height, width = (int(n) for n in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 480x640") from None
    if height % 32 or width % 32 or height <= 0 or width <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: height and width must be multiples of 32")
    return height, width
