"""The detection quickstart's job in PyTorch: the figure that warmstart is held against.

    ./quickstart detect
    python bench/detection_pytorch.py --data quickstart-data/sprites \\
        --weights quickstart-data/mobilenet_v2-b0353104.pth

SSDLite at 320 x 320 on torchvision's MobileNetV2 learns a set in COCO's layout: first with the
backbone frozen, then all of it, the backbone at a tenth of the learning rate. Model, loss, anchor
scales and augmentation are torchvision's own for SSD and SSDLite; AdamW, warm-up and cosine in each
phase; channels_last. After every epoch pycocotools evaluates the validation images.

One JSON object is printed for each epoch: epoch, phase, train_loss, map (mAP@[.5:.95]) and map50
(fractions of one), seconds_training (steps with their loading), seconds_evaluation, seconds_wall
(since the start of the program), peak_memory_mb (of the process so far).

It is faster with jemalloc, where the machine has it:

    LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2 \\
    MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1 python bench/detection_pytorch.py ...

Needs torch, torchvision, pillow and pycocotools.
"""

import time

STARTED = time.perf_counter()

import argparse
import contextlib
import io
import json
import math
import resource
from collections import OrderedDict
from functools import partial
from pathlib import Path

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, tv_tensors
from torchvision.io import ImageReadMode, decode_image
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, SSDLiteHead
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE_SIZE = 320
# The first block of stride 32; its expansion is SSDLite's map of stride 16.
LAST_STRIDED_BLOCK = 14
# Of torchvision's SSD300 for COCO. SSDLite's default begins at 0.2, 64 pixels, too big for small objects.
ANCHOR_SCALES = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True,
                        help="folder with train/, val/ and annotations/instances_*.json")
    parser.add_argument("--weights", help="torchvision's mobilenet_v2 state dict")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--pretrained", action="store_true", help="begin with --weights (the default)")
    start.add_argument("--random", action="store_true", help="random weights, nothing frozen")
    parser.add_argument("--freeze-epochs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30, help="of both phases together")
    parser.add_argument("--freeze-batch", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16, help="of the thaw")
    parser.add_argument("--lr", type=float, default=3e-3, help="of neck and head; the backbone has a tenth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="loader processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf,
                        help="begin no epoch after so many minutes; the schedule stays that of all epochs")
    arguments = parser.parse_args()
    if not arguments.random and not arguments.weights:
        parser.error("give --weights FILE or --random")
    return arguments


class Images(Dataset):
    """One split: an image (uint8, [3, height, width]) and its boxes, labels from 1, and COCO id."""

    def __init__(self, folder, split, transform):
        # pycocotools prints what it does.
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(folder / "annotations" / f"instances_{split}.json")
        self.folder = folder / split
        self.transform = transform
        self.ids = sorted(self.coco.imgs)
        self.categories = sorted(self.coco.cats)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        entry = self.coco.imgs[self.ids[index]]
        picture = decode_image(self.folder / entry["file_name"], ImageReadMode.RGB)
        objects = [item for item in self.coco.imgToAnns[entry["id"]] if not item["iscrowd"]]
        boxes = torch.tensor([item["bbox"] for item in objects], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=picture.shape[1:]),
            "labels": torch.tensor([self.categories.index(item["category_id"]) + 1 for item in objects],
                                   dtype=torch.int64),
            "image_id": entry["id"],
        }
        return self.transform(tv_tensors.Image(picture), target)


def transforms(train):
    """torchvision's SSD augmentation. Its zoom out to a quarter makes objects no validation image has."""
    augmentation = [
        v2.RandomPhotometricDistort(),
        v2.RandomZoomOut(fill=[round(255 * mean) for mean in MEAN], side_range=(1, 2)),
        v2.RandomIoUCrop(),
        v2.RandomHorizontalFlip(),
        v2.SanitizeBoundingBoxes(),
    ]
    return v2.Compose((augmentation if train else []) + [v2.ToDtype(torch.float32, scale=True),
                                                         v2.ToPureTensor()])


def lists(samples):
    """A batch: the images and the targets."""
    return tuple(zip(*samples))


def build(arguments, classes):
    """SSDLite on MobileNetV2, in channels_last."""
    backbone = models.mobilenet_v2()
    if not arguments.random:
        backbone.load_state_dict(torch.load(arguments.weights, weights_only=True))
    blocks = backbone.features
    # torchvision's extractor looks for the name that MobileNetV3 gives to a block's layers.
    blocks[LAST_STRIDED_BLOCK].block = blocks[LAST_STRIDED_BLOCK].conv
    # torchvision's momentum for SSDLite, 0.03, makes the statistics lag by epochs in a run this short.
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.1)
    extractor = SSDLiteFeatureExtractorMobileNet(blocks, LAST_STRIDED_BLOCK, norm)
    channels = [blocks[LAST_STRIDED_BLOCK].conv[0].out_channels, blocks[-1].out_channels, 512, 256, 256, 128]
    anchors = DefaultBoxGenerator([[2, 3] for _ in channels], scales=ANCHOR_SCALES)
    head = SSDLiteHead(channels, anchors.num_anchors_per_location(), classes + 1, norm)
    # The thresholds are those of torchvision's SSDLite320.
    model = SSD(extractor, anchors, (IMAGE_SIZE, IMAGE_SIZE), classes + 1, head=head, image_mean=MEAN,
                image_std=STD, score_thresh=0.001, nms_thresh=0.55, detections_per_img=300, topk_candidates=300)
    return model.to(memory_format=torch.channels_last)


def set_mode(model, frozen):
    """Training mode; a frozen backbone stays in evaluation mode, so its statistics hold still."""
    model.train()
    if frozen:
        model.backbone.features.eval()


def optimizer_of(model, learning_rate):
    """AdamW over what is trained: no decay of norms and biases, the backbone at a tenth of the rate."""
    backbone = {id(parameter) for parameter in model.backbone.features.parameters()}
    groups = []
    for of_backbone, rate in ((False, learning_rate), (True, learning_rate / 10)):
        parameters = [parameter for parameter in model.parameters()
                      if parameter.requires_grad and (id(parameter) in backbone) == of_backbone]
        groups.append({"params": [one for one in parameters if one.dim() > 1], "lr": rate})
        groups.append({"params": [one for one in parameters if one.dim() <= 1], "lr": rate, "weight_decay": 0.0})
    return torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.05, fused=True)


def rate_at(steps, step):
    """The share of the learning rate: a linear warm-up in a twentieth of the phase, then a cosine."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def train_epoch(model, loader, optimizer, schedule, frozen):
    """One pass over the training set; the mean loss."""
    set_mode(model, frozen)
    total, images = 0.0, 0
    for pictures, targets in loader:
        loss = sum(model(pictures, targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item() * len(pictures)
        images += len(pictures)
    return total / images


@torch.inference_mode()
def evaluate(model, loader):
    """mAP@[.5:.95] and mAP at 0.5 of the validation set."""
    model.eval()
    data, found = loader.dataset, []
    for pictures, targets in loader:
        for target, answer in zip(targets, model(pictures)):
            boxes = answer["boxes"].clone()
            boxes[:, 2:] -= boxes[:, :2]
            for box, score, label in zip(boxes.tolist(), answer["scores"].tolist(), answer["labels"].tolist()):
                found.append({"image_id": target["image_id"], "bbox": box, "score": score,
                              "category_id": data.categories[label - 1]})
    if not found:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(data.coco, data.coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[1]


def run_phase(model, data, arguments, phase, epochs, batch):
    """Train for the given epochs with a fresh optimizer, and print each."""
    frozen = phase == "freeze"
    model.backbone.features.requires_grad_(not frozen)
    # A last batch of one image would stop batch norm on the map of one pixel.
    train_loader = DataLoader(data["train"], min(batch, len(data["train"])), shuffle=True, drop_last=True,
                              num_workers=arguments.workers, collate_fn=lists)
    validation_loader = DataLoader(data["val"], 32, num_workers=arguments.workers, collate_fn=lists)
    optimizer = optimizer_of(model, arguments.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate_at, len(epochs) * len(train_loader)))
    for epoch in epochs:
        started = time.perf_counter()
        if started - STARTED > 60 * arguments.minutes:
            return
        loss = train_epoch(model, train_loader, optimizer, schedule, frozen)
        trained = time.perf_counter()
        precision, precision_at_half = evaluate(model, validation_loader)
        ended = time.perf_counter()
        figures = {
            "epoch": epoch,
            "phase": phase,
            "train_loss": round(loss, 4),
            "map": round(float(precision), 4),
            "map50": round(float(precision_at_half), 4),
            "seconds_training": round(trained - started, 1),
            "seconds_evaluation": round(ended - trained, 1),
            "seconds_wall": round(ended - STARTED, 1),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(figures), flush=True)


def main():
    """Freeze, thaw."""
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    data = {split: Images(arguments.data, split, transforms(split == "train")) for split in ("train", "val")}
    model = build(arguments, len(data["train"].categories))
    frozen = 0 if arguments.random else min(arguments.freeze_epochs, arguments.epochs)
    run_phase(model, data, arguments, "freeze", range(1, frozen + 1), arguments.freeze_batch)
    run_phase(model, data, arguments, "thaw", range(frozen + 1, arguments.epochs + 1), arguments.batch)


if __name__ == "__main__":
    main()
