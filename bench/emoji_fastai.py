"""The quickstart's training job with fast.ai's `fine_tune`: the peer with discriminative learning rates.

    ./quickstart --data-only
    python bench/emoji_fastai.py --data quickstart-data/emoji \\
        --weights quickstart-data/mobilenet_v2-b0353104.pth

torchvision's MobileNetV2 from its ImageNet weights, fast.ai's head, `fine_tune(2, 3e-3, freeze_epochs=3)` in batches of 16
with random resized crops (no less than 0.35 of the picture) and fast.ai's usual augmentation, or with `--flips-only`
flips alone, as the plain script: three frozen epochs and two thawed, one-cycle schedules, lower layers slower. fast.ai
prints a line for each epoch. Transparent pictures are put on white first, as `bench/emoji_baseline.py` does. Needs
fastai 2, torch, torchvision and pillow.
"""

import argparse
import pathlib
import tempfile

import torch
from emoji_baseline import MEAN, STD, on_white
from fastai.vision.all import (
    Flip, ImageDataLoaders, Learner, Normalize, RandomResizedCrop, accuracy, apply_init, aug_transforms, create_head,
    default_split, set_seed)
from torch import nn
from torchvision import models


def main():
    """Trains, and prints what fast.ai does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder with train/ and val/")
    parser.add_argument("--weights", required=True, help="torchvision's mobilenet_v2 state dict")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--flips-only", action="store_true", help="without turns, zooms, warps and light")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    set_seed(arguments.seed, reproducible=True)

    network = models.mobilenet_v2()
    network.load_state_dict(torch.load(arguments.weights, weights_only=True))
    with tempfile.TemporaryDirectory() as folder:
        for picture in arguments.data.glob("*/*/*.png"):
            copy = pathlib.Path(folder) / picture.relative_to(arguments.data)
            copy.parent.mkdir(parents=True, exist_ok=True)
            on_white(picture).save(copy)
        data = ImageDataLoaders.from_folder(
            folder, train="train", valid="val", bs=16, num_workers=0,
            item_tfms=RandomResizedCrop(224, min_scale=0.35),
            batch_tfms=[*([Flip()] if arguments.flips_only else aug_transforms()), Normalize.from_stats(MEAN, STD)])
        # What `vision_learner` does with an architecture that it knows: its head, and layers in two groups.
        head = create_head(network.last_channel, data.c)
        apply_init(head, nn.init.kaiming_normal_)
        learner = Learner(data, nn.Sequential(network.features, head), splitter=default_split, metrics=accuracy)
        with learner.no_bar():
            learner.fine_tune(2, 3e-3, freeze_epochs=3)


if __name__ == "__main__":
    main()
