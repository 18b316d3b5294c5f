"""MTI-Net's experiments on NYUD-v2 as run specs (paper sections 3.1 and A.2)."""

from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec, options
from mtlrepro.suite.table import Row

NYUD = DataSpec("nyuv2", size=(480, 640), augment="flip_zoom")
# A.2: Adam, 1e-4, batches of 6, 80 epochs, poly decay. The weight decay is that of the public reference implementation.
RECIPE = Recipe("adam", lr=1e-4, weight_decay=1e-4, batch=6, epochs=80, schedule="poly")

MAIN = ("semseg", "depth")
NONE: tuple[str, ...] = ()
N = ("normals",)
NE = ("normals", "edges")


NO_PASCAL = "the recipes on PASCAL-Context are not declared yet"
NO_FPN = "the ResNet-FPN backbones are not implemented yet"
NO_HRNET48 = "the recipes for HRNet-48 are not declared yet"


def _run(arch: str, main: tuple[str, ...], aux: tuple[str, ...] = (), **settings: object) -> RunSpec:
    model = ModelSpec(arch, "hrnet18", main, aux, weights="hrnet_w18_small_v2.ms_in1k", options=options(**settings))
    return RunSpec(NYUD, model, RECIPE)


def single_task() -> tuple[RunSpec, ...]:
    """One network a task."""
    return tuple(_run("stl", (task,)) for task in MAIN)


def multi_task() -> tuple[RunSpec, ...]:
    """Shared encoder, task-specific heads."""
    return (_run("mtl", MAIN),)


def pad_net(extra: tuple[str, ...] = NONE) -> tuple[RunSpec, ...]:
    """PAD-Net with auxiliary tasks besides the main ones."""
    return (_run("padnet", MAIN, _front_end(extra)),)


def mti_net(extra: tuple[str, ...] = NONE, **settings: object) -> tuple[RunSpec, ...]:
    """MTI-Net; `fpm=False` leaves the feature propagation out, `scales=n` keeps the n finest scales."""
    return (_run("mti_net", MAIN, _front_end(extra), **settings),)


def _front_end(extra: tuple[str, ...]) -> tuple[str, ...]:
    # The order in which task features are concatenated: semseg, normals, edges, depth.
    return ("semseg", *extra, "depth")


def ablation(without_fpm: str, with_fpm: str) -> list[Row]:
    """The rows that Tables 2a, S2a and S2b share; the tables spell MTI-Net's two variants differently."""
    return [
        Row("Single task", single_task()),
        Row("MTL", multi_task()),
        Row("PAD-Net", pad_net()),
        Row("PAD-Net (N)", pad_net(N)),
        Row("PAD-Net (N+E)", pad_net(NE)),
        Row(without_fpm, mti_net(fpm=False)),
        Row(f"{without_fpm} (N)", mti_net(N, fpm=False)),
        Row(f"{without_fpm} (N+E)", mti_net(NE, fpm=False)),
        Row(with_fpm, mti_net()),
        Row(f"{with_fpm} (N)", mti_net(N)),
        Row(f"{with_fpm} (N+E)", mti_net(NE)),
    ]
