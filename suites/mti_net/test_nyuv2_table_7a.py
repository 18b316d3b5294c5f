"""MTI-Net, Table 7a: parameters, multiply-accumulates and multi-task performance, NYUD-v2, HRNet-18.

The printed resources of MTI-Net do not follow from the released architecture: the readings that were tried are counted.
"""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import NE, N, mti_net, multi_task, pad_net, single_task

OURS = "MTI-Net (Ours)"
READINGS = {
    "propagation unreduced": mti_net(fpm_reduction=1),
    "propagation reduced by 2": mti_net(fpm_reduction=2),
    "with normals": mti_net(N),
    "with normals and edges": mti_net(NE),
}

TABLE = Table(
    paper="mti_net",
    dataset="nyuv2",
    id="7a",
    rows=[
        Row("Single Task", single_task()),
        Row("Multi-Task", multi_task()),
        Row("PAD-Net", pad_net()),
        Row(OURS, mti_net()),
        *(Row(f"MTI-Net, {name}", specs, reading_of=OURS, counted=True) for name, specs in READINGS.items()),
    ],
)
