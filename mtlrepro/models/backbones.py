"""The backbones by name. A new one is a configuration in its family's file and a line here."""

from __future__ import annotations

from mtlrepro.registry import Registry

BACKBONES = Registry(
    "backbone",
    {
        "hrnet18": "mtlrepro.models.hrnet:HRNET18",
        "hrnet48": "mtlrepro.models.hrnet:HRNET48",
        "hrnet_nano": "mtlrepro.models.hrnet:HRNET_NANO",
        "segnet": "mtlrepro.models.segnet:SEGNET",
        "segnet_nano": "mtlrepro.models.segnet:SEGNET_NANO",
        "resnet18_os8": "mtlrepro.models.resnet:RESNET18_OS8",
        "resnet50_os8": "mtlrepro.models.resnet:RESNET50_OS8",
        "resnet50_os16": "mtlrepro.models.resnet:RESNET50_OS16",
        "resnet101_os16": "mtlrepro.models.resnet:RESNET101_OS16",
        "resnet_nano": "mtlrepro.models.resnet:RESNET_NANO",
        "resnet_nano_os16": "mtlrepro.models.resnet:RESNET_NANO_OS16",
        "resnet18_fpn": "mtlrepro.models.fpn:RESNET18_FPN",
        "resnet50_fpn": "mtlrepro.models.fpn:RESNET50_FPN",
        "fpn_nano": "mtlrepro.models.fpn:FPN_NANO",
        "vit_l16": "mtlrepro.models.vit:VIT_L16",
        "vit_b16": "mtlrepro.models.vit:VIT_B16",
        "vit_nano": "mtlrepro.models.vit:VIT_NANO",
        "mask2former_swin_s": "mtlrepro.models.mask2former:MASK2FORMER_SWIN_S",
        "mask2former_nano": "mtlrepro.models.mask2former:MASK2FORMER_NANO",
    },
)
