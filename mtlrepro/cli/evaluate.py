"""`mtlrepro eval`: judge predictions that any framework saved in a folder, by a named protocol."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mtlrepro.cli.base import Verb


class Eval(Verb):
    """Saved predictions against a folder of truths."""

    summary = "judge predictions saved by any framework: odsF without MATLAB, mIoU, depth, normals, saliency, parts"
    examples = """examples:
  mtlrepro eval edges --pred out/edge --gt labels/edge --max-dist 0.011 --truth thin
  mtlrepro eval edges --pred 'out/{id}.png' --gt 'BSDS500/groundTruth/test/{id}.mat' --protocol odsf/bsds@1
  mtlrepro eval semseg --pred out/semseg --gt labels/semseg --classes 40 --gt-offset -1 --ignore 0 255
  mtlrepro eval depth --pred out/depth --gt labels/depth --gt-unit 0.001 --protocol depth/pooled@1 depth/images@1"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        from mtlrepro.metrics.protocols import PROTOCOLS
        from mtlrepro.offline.kinds import KINDS

        tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
        for name, kind in KINDS.items():
            known = tuple(PROTOCOLS[name])
            sub = tasks.add_parser(
                name, help=kind.summary, description=f"Judge {kind.summary}.", epilog=f"Files hold {kind.stored}."
            )
            place = "folder of maps, or a path with {id} in it"
            sub.add_argument("--pred", required=True, metavar="DIR", help=f"predictions: {place}")
            sub.add_argument("--gt", required=True, metavar="DIR", help=f"truths: {place}")
            sub.add_argument(
                "--protocol",
                nargs="+",
                default=[known[0]],
                metavar="ID",
                help=f"one or more of {', '.join(known)} (default {known[0]})",
            )
            sub.add_argument("--ids", type=Path, metavar="FILE", help="names to evaluate, one a line (default: all)")
            sub.add_argument("--pred-key", metavar="NAME", help="variable of the predictions' .mat files")
            sub.add_argument("--gt-key", metavar="NAME", help="variable of the truths' .mat files")
            sub.add_argument(
                "--ignore",
                nargs="*",
                type=float,
                default=list(kind.ignore),
                metavar="VALUE",
                help="stored truth values that mean no label"
                + (f" (default {' '.join(f'{v:g}' for v in kind.ignore)})" if kind.ignore else ""),
            )
            sub.add_argument("--out", type=Path, default=Path("eval"), help="folder of the result (default: eval/)")
            sub.add_argument(
                "--workers", type=int, default=_cores(), help="threads (default: one a core this process may use)"
            )
            kind.add_arguments(sub)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.offline.pictures import draw
        from mtlrepro.offline.result import check_writable, write
        from mtlrepro.offline.session import judge

        check_writable(options.out)
        result, counts = judge(options)
        files = write(result, counts, draw(result), options.out)
        print(result.text())
        print("\n" + "\n".join(str(file) for file in files))
        return 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
