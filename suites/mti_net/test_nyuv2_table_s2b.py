"""MTI-Net, Table S2b: the runs of Table 2a, more metrics of semantic segmentation."""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import NE, N, mti_net, multi_task, pad_net, single_task

TABLE = Table(
    paper="mti_net",
    dataset="nyuv2",
    id="S2b",
    rows=[
        Row("Single task", single_task()),
        Row("MTL", multi_task()),
        Row("PAD-Net", pad_net()),
        Row("PAD-Net (N)", pad_net(N)),
        Row("PAD-Net (N+E)", pad_net(NE)),
        Row("Ours - w/o FPM", mti_net(fpm=False)),
        Row("Ours - w/o FPM (N)", mti_net(N, fpm=False)),
        Row("Ours - w/o FPM (N+E)", mti_net(NE, fpm=False)),
        Row("Ours - w/ FPM", mti_net()),
        Row("Ours - w/ FPM (N)", mti_net(N)),
        Row("Ours - w/ FPM (N+E)", mti_net(NE)),
    ],
)
