"""MTI-Net, Table 5: comparison with the state of the art, PASCAL-Context.

ASTMT is quoted: two of its rows are copied from its paper, the third is a combination that nobody released.
"""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import COMPLETE, HRNET18, R18_FPN, R50_FPN, mti_net, pad_net, single_task

BACKBONES = {"R18-FPN": R18_FPN, "R50-FPN": R50_FPN, "HRNet-18": HRNET18}

TABLE = Table(
    paper="mti_net",
    dataset="pascal_context",
    id="5",
    rows=[
        Row("HRNet-18", single_task(HRNET18, COMPLETE), panel="PAD-Net [47]/ST"),
        Row("HRNet-18", pad_net((), HRNET18, COMPLETE), panel="PAD-Net [47]/MT"),
        *(Row(name, single_task(backbone, COMPLETE), panel="Ours/ST") for name, backbone in BACKBONES.items()),
        *(Row(name, mti_net((), backbone, COMPLETE), panel="Ours/MT") for name, backbone in BACKBONES.items()),
    ],
)
