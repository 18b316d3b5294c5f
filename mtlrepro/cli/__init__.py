"""The command line: `mtlrepro VERB`, one class a verb."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from mtlrepro import __version__
from mtlrepro.cli.audit import Audit
from mtlrepro.cli.base import Verb, take_plugins
from mtlrepro.cli.compare import Compare
from mtlrepro.cli.data import Data
from mtlrepro.cli.diff import Diff
from mtlrepro.cli.evaluate import Eval
from mtlrepro.cli.expected import Expected
from mtlrepro.cli.findings import Findings
from mtlrepro.cli.listing import List
from mtlrepro.cli.profile import Profile
from mtlrepro.cli.report import Report
from mtlrepro.cli.run import Run
from mtlrepro.cli.status import Status
from mtlrepro.cli.submit import Submit
from mtlrepro.errors import ReproError, unknown

VERBS: dict[str, type[Verb]] = {
    "list": List,
    "run": Run,
    "submit": Submit,
    "status": Status,
    "compare": Compare,
    "report": Report,
    "diff": Diff,
    "audit": Audit,
    "findings": Findings,
    "expected": Expected,
    "profile": Profile,
    "eval": Eval,
    "data": Data,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 fine, 1 a row does not hold, 2 bad input or nothing to run."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks Δ or an arrow shows a question mark
    parser = argparse.ArgumentParser(
        "mtlrepro", description="Does the table hold? Reproduce multi-task dense-prediction tables."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        sub = verbs.add_parser(
            name,
            help=verb.summary,
            description=verb.summary,
            epilog=verb.examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if arguments[:1] == [name]:  # the arguments of some verbs take seconds of imports
            verb.add_arguments(sub)
    chosen: Verb | None = None
    try:
        if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
            raise unknown("verb", arguments[0], VERBS)
        options = parser.parse_args(arguments)
        take_plugins(options)
        chosen = VERBS[options.verb]()
        return chosen.run(options)
    except ReproError as error:
        print(f"mtlrepro: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"mtlrepro: {(chosen or Verb).interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
