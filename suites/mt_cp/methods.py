"""MT-CP's experiments as run specs (paper section 4; its public implementation where the paper is silent).

Where the two contradict each other, rows mostly follow the paper in what is minimised, and its implementation in all
else (`docs/mt-cp.md`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Options, Recipe, RunSpec, WeightingSpec, options
from mtlrepro.suite.table import Row

Specs = tuple[RunSpec, ...]

NYUD = DataSpec("nyuv2", (480, 640), "flip_zoom")
PASCAL = DataSpec("pascal_context", (512, 512), "flip_rotate")

# AdamW at 5e-5 and 1e-4, batches of 2 (section 4.2); 100 epochs, a rate an epoch: the public implementation. It judges
# epochs 10, 20 ... 90 and all of the last ten on NYUD-v2, 25, 50, 75 and the last ten on PASCAL-Context.
RECIPE = Recipe("adamw", 5e-5, 1e-4, batch=2, epochs=100, schedule="poly", evaluate_every=10)

NETWORK = ModelSpec("mt_cp", "mask2former_swin_s", (), weights="facebook/mask2former-swin-small-ade-semantic")

TASKS = {
    NYUD.name: {"Semseg": "semseg", "Depth": "depth", "Normal": "normals"},
    PASCAL.name: {"Semseg": "semseg", "Parsing": "parts", "Saliency": "saliency"},
}
"""Tasks of a dataset, as single-task rows name them."""

HEADS: dict[str, Options] = {PASCAL.name: options(heads="pascal")}
"""The two networks differ in their heads; those of NYUD-v2 are the default."""

LOSSES = {"depth": "l1_near"}
"""Labels of 6.5535 m and more are not learnt, as they are not judged."""
SQUARED = {**LOSSES, "normals": "squared"}
"""Normals not normalised, by their squared error, as the released code learns its final predictions."""

LPS = WeightingSpec("lps")
"""The paper's: log(1 + w) L, H = 3, κ = 2.5."""
LPS_L = WeightingSpec("lps", options(log="losses"))
WIDE = WeightingSpec("lps", options(kappa=7.5))
PRIORITY = WeightingSpec("lps", options(log="none"))
LOG = WeightingSpec("log")
EQUAL = WeightingSpec("equal")
PLAIN_SUM = WeightingSpec()
"""How the released code adds task losses up, whatever weights it computes."""


def mt_cp(
    data: DataSpec = NYUD, scheme: WeightingSpec = LPS, losses: Mapping[str, str] = LOSSES, **modules: bool
) -> Specs:
    """MT-CP; `cfm=False` and `srm=False` leave modules out (table 3)."""
    tasks = tuple(TASKS[data.name].values())
    model = replace(NETWORK, main=tasks, options=options(**dict(HEADS.get(data.name, ())), **modules))
    return (RunSpec(data, model, RECIPE, ObjectiveSpec("coherence", losses=_of(tasks, losses), weighting=scheme)),)


def single_task(data: DataSpec = NYUD) -> list[Row]:
    """Backbone, task decoder and head of one task, a row each; parts are learnt on images with people alone."""
    return [Row(f"STL {name}", (_single(data, task),)) for name, task in TASKS[data.name].items()]


def _single(data: DataSpec, task: str) -> RunSpec:
    model = replace(NETWORK, arch="mt_cp_single", main=(task,), options=HEADS.get(data.name, ()))
    data = replace(data, options=options(with_people=True)) if task == "parts" else data
    return RunSpec(data, model, RECIPE, ObjectiveSpec(losses=_of((task,), LOSSES)))


def _of(tasks: Sequence[str], losses: Mapping[str, str]) -> Options:
    return tuple((task, losses[task]) for task in tasks if task in losses)
