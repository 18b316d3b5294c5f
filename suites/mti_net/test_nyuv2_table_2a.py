"""MTI-Net, Table 2a: ablation study on NYUD-v2, HRNet-18.

The other readings: attention across tasks, as the paper writes it, and the public implementation's weights of auxiliary
losses, by the paper's recipe and by its own.
"""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import NE, ablation, mti_net, pad_net, released, weighted

PAD_NET, OURS = "PAD-Net (N+E)", "Ours (w/ FPM)"

TABLE = Table(
    paper="mti_net",
    dataset="nyuv2",
    id="2a",
    rows=[
        *ablation("Ours (w/o FPM)", OURS),
        Row(f"{PAD_NET}, weighted", weighted(pad_net(NE)), reading_of=PAD_NET),
        Row(f"{PAD_NET}, weighted, released recipe", released(weighted(pad_net(NE))), reading_of=PAD_NET),
        Row(f"{OURS}, softmax over tasks", mti_net(fpm_softmax="tasks"), reading_of=OURS),
        Row(f"{OURS} (N+E), weighted", weighted(mti_net(NE)), reading_of=f"{OURS} (N+E)"),
        Row(f"{OURS} (N+E), weighted, released recipe", released(weighted(mti_net(NE))), reading_of=f"{OURS} (N+E)"),
    ],
)
