from __future__ import annotations

import torch

from mtlrepro.models.outputs import Outputs


def test_parts_of_a_batch_keep_final_stages_and_features_apart() -> None:
    rows = torch.arange(6.0).view(6, 1, 1, 1)
    outputs = Outputs({"depth": rows}, {"initial": {"depth": rows + 10}, "scale": {"normals": rows + 20}}, [rows + 30])
    parts = outputs.split(3)
    assert [p.final["depth"].flatten().tolist() for p in parts] == [[0, 1], [2, 3], [4, 5]]
    assert [p.stages["initial"]["depth"].flatten().tolist() for p in parts] == [[10, 11], [12, 13], [14, 15]]
    assert [p.stages["scale"]["normals"][0].item() for p in parts] == [20, 22, 24]
    assert [p.features[0][1].item() for p in parts] == [31, 33, 35]
    assert Outputs({}).split(2)[1].final == {}
