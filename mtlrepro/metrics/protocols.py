"""Every protocol by its id, task by task, imported on first use; the first is what `mtlrepro eval` uses unless told."""

from __future__ import annotations

from mtlrepro.registry import Registry

PROTOCOLS: dict[str, Registry] = {
    task: Registry(f"protocol of {task}", {k: f"mtlrepro.metrics.{v}" for k, v in targets.items()})
    for task, targets in {
        "semseg": {
            "miou/dataset@1": "segmentation:MeanIoU",
            "miou/present@1": "segmentation:MeanIoUPresent",
            "miou/strict@1": "segmentation:MeanIoUStrict",
            "miou/foreground@1": "segmentation:MeanIoUForeground",
            "iou/class@1": "segmentation:ClassIoU",
        },
        "parts": {"parts/dataset@1": "parts:Parts"},
        "saliency": {
            "saliency/f03@1": "saliency:SaliencyF03",
            "saliency/f03-sigmoid@1": "saliency:SaliencyF03Sigmoid",
            "saliency/f03-image@1": "saliency:SaliencyF03Image",
            "saliency/f1-image@1": "saliency:SaliencyF1",
            "saliency/jaccard@1": "saliency:SaliencyJaccard",
        },
        "depth": {
            "depth/pooled@1": "depth:PooledDepth",
            "depth/cap655@1": "depth:CappedDepth",
            "depth/inverse@1": "depth:InverseDepth",
            "depth/image-mean@1": "depth_images:ImageMeanDepth",
            "depth/images@1": "depth_images:ImageDepth",
            "depth/images-median@1": "depth_images:ImageDepthMedian",
        },
        "normals": {
            "normals/pooled@1": "normals:PooledNormals",
            "normals/columns@1": "normals_columns:ColumnNormals",
        },
        "edges": {
            "odsf/nms@1": "odsf:BoundaryNMS",
            "odsf/png@1": "odsf:BoundaryPNG",
            "odsf/bsds@1": "odsf:BoundaryBSDS",
            "edges/pixels@1": "edges:PixelEdges",
            "edges/f1-macro@1": "edges:MacroF1",
            "edges/bce@1": "edges:EdgeBCE",
        },
        "error maps": {"errors/l1@1": "absolute:AbsoluteError"},
    }.items()
}
