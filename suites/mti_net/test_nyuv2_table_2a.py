"""MTI-Net, Table 2a: ablation study on NYUD-v2, HRNet-18.

The other readings: attention across tasks, as the paper writes it, and the public implementation's task weights.
"""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import CODE_WEIGHTS, NE, ablation, mti_net, pad_net

OURS = "Ours (w/ FPM)"

TABLE = Table(
    paper="mti_net",
    dataset="nyuv2",
    id="2a",
    rows=[
        *ablation("Ours (w/o FPM)", OURS),
        Row("PAD-Net (N+E), weighted", pad_net(NE, weights=CODE_WEIGHTS), reading_of="PAD-Net (N+E)"),
        Row("Ours (w/ FPM), softmax over tasks", mti_net(fpm_softmax="tasks"), reading_of=OURS),
        Row("Ours (w/ FPM) (N+E), weighted", mti_net(NE, weights=CODE_WEIGHTS), reading_of=f"{OURS} (N+E)"),
    ],
)
