"""PyTorch's side of bench/detectors: RTMDet-tiny or YOLOX-Nano of libreyolo learns a set in COCO's layout.

    python bench/detectors_pytorch.py --model rtmdet_tiny --weights runs/start/best.safetensors \\
        --data quickstart-data/sprites --out trained.safetensors

Network, assigner and loss are libreyolo's, which are MMDetection's and YOLOX's in plain PyTorch; pictures, flips,
optimizer and schedule are those of bench/detectors' recipe: a letterbox whose place along the shorter side is drawn,
flips, AdamW without decay of norms and biases, a linear warm-up, a cosine to a hundredth. It starts from a model file
of warmstart, of which every tensor has to fit, and writes the trained weights as such a file, so that `warmstart eval`
can judge both. channels_last and the fused AdamW are PyTorch's best here; bench/detectors preloads jemalloc.

One JSON object is printed for each epoch: epoch, train_loss, seconds_training (steps with their loading),
seconds_validation (the network on the validation images with their loading; boxes are neither selected nor judged),
peak_memory_mb (of the process so far).

Needs torch, numpy, pillow, safetensors and libreyolo, whose files alone are read: --libreyolo DIR is the folder that
holds its models/ where it is not installed.
"""

import argparse
import importlib
import importlib.util
import json
import math
import re
import resource
import sys
import time
import types
from pathlib import Path

import numpy
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset

GREY = 114
# Mean and deviation of the published weights, in the order red, green, blue, of values from 0 to 255.
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
UNCHANGED = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
COSINE_FLOOR = 0.01


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, choices=list(PEERS))
    parser.add_argument("--weights", type=Path, required=True, help="a model file of warmstart to start from")
    parser.add_argument("--data", type=Path, required=True,
                        help="folder with train/, val/ and annotations/instances_*.json")
    parser.add_argument("--out", type=Path, required=True, help="where the trained weights are written")
    parser.add_argument("--libreyolo", type=Path, help="libreyolo's folder (the installed one)")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--warmup", type=float, default=0.1, help="share of the steps")
    parser.add_argument("--flip", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="loader processes")
    return parser.parse_args()


def libreyolo_module(folder, name):
    """A module of libreyolo without what its packages import beside it: dozens of models, and OpenCV."""
    if folder is None:
        found = importlib.util.find_spec("libreyolo")
        if found is None:
            sys.exit("libreyolo is not installed: pip install libreyolo, or give its folder as --libreyolo")
        folder = found.submodule_search_locations[0]
    for package in ("", "models", "models.rtmdet", "models.yolox", "training"):
        full = f"libreyolo.{package}".rstrip(".")
        if full not in sys.modules:
            sys.modules[full] = types.ModuleType(full)
            sys.modules[full].__path__ = [str(Path(folder, *package.split(".")))]
    return importlib.import_module(f"libreyolo.{name}")


class RtmDet:
    """RTMDet-tiny with its loss."""

    normalisation = IMAGENET

    def __init__(self, folder, classes):
        self.network = libreyolo_module(folder, "models.rtmdet.nn").LibreRTMDetModel("t", classes)
        self.of_loss = libreyolo_module(folder, "models.rtmdet.loss").RTMDetLoss(classes)

    def loss(self, pictures, targets):
        """The loss of a batch; a target is boxes (left, top, right, bottom in pixels) and classes."""
        boxes, classes = zip(*targets)
        return self.of_loss(*self.network(pictures), boxes, classes)["total_loss"]

    @staticmethod
    def native(key):
        """The name of a tensor in MMDetection's files; convolutions that levels share are under the first level's."""
        key = re.sub(r"^head\.", "bbox_head.", key)
        return re.sub(r"^(bbox_head\.(?:cls|reg)_convs)\.\d+\.(\d+\.conv\.)", r"\1.0.\2", key)


class Yolox:
    """YOLOX-Nano with its loss, without the L1 part, which belongs to the epochs after those with mosaics."""

    normalisation = UNCHANGED

    def __init__(self, folder, classes):
        self.network = libreyolo_module(folder, "models.yolox.nn").LibreYOLOXModel("n", classes)

    def loss(self, pictures, targets):
        """The loss of a batch; a target is boxes (left, top, right, bottom in pixels) and classes."""
        labels = torch.zeros(len(targets), max(1, max(len(boxes) for boxes, _ in targets)), 5)
        for row, (boxes, classes) in zip(labels, targets):
            row[:len(boxes), 0] = classes
            row[:len(boxes), 1:3] = (boxes[:, :2] + boxes[:, 2:]) / 2
            row[:len(boxes), 3:5] = boxes[:, 2:] - boxes[:, :2]
        return self.network(pictures, labels)["total_loss"]

    @staticmethod
    def native(key):
        """The name of a tensor in YOLOX's files."""
        return key


PEERS = {"rtmdet_tiny": RtmDet, "yolox_nano": Yolox}


class Images(Dataset):
    """A split: images in their letterbox, uint8 [size, size, 3] in BGR, with boxes and classes.

    Training images lie anywhere along their shorter side, and `flip` is the probability that one is flipped.
    """

    def __init__(self, folder, split, size, flip=0.0):
        labels = json.loads((folder / f"annotations/instances_{split}.json").read_text(encoding="utf-8"))
        self.folder, self.size, self.flip, self.trains = folder / split, size, flip, split == "train"
        self.names = [category["name"] for category in sorted(labels["categories"], key=lambda one: one["id"])]
        places = {number: place for place, number in enumerate(sorted(one["id"] for one in labels["categories"]))}
        self.files = [image["file_name"] for image in labels["images"]]
        rows = {image["id"]: [] for image in labels["images"]}
        for item in labels["annotations"]:
            if not item["iscrowd"]:
                left, top, width, height = item["bbox"]
                rows[item["image_id"]].append([left, top, left + width, top + height, places[item["category_id"]]])
        self.objects = [torch.tensor(rows[image["id"]], dtype=torch.float32).reshape(-1, 5)
                        for image in labels["images"]]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        picture = Image.open(self.folder / self.files[index]).convert("RGB")
        scale = self.size / max(picture.size)
        sides = [max(1, math.floor(side * scale + 0.5)) for side in picture.size]
        rooms = [self.size - side for side in sides]
        corner = tuple(int(torch.randint(room + 1, ())) if self.trains else room // 2 for room in rooms)
        canvas = Image.new("RGB", (self.size, self.size), (GREY,) * 3)
        canvas.paste(picture.resize(sides, Image.BILINEAR), corner)
        boxes = self.objects[index][:, :4] * torch.tensor([sides[0] / picture.width, sides[1] / picture.height] * 2)
        boxes += torch.tensor(corner * 2)
        pixels = numpy.asarray(canvas)[..., ::-1]
        if torch.rand(()) < self.flip:
            pixels = pixels[:, ::-1]
            boxes[:, [0, 2]] = self.size - boxes[:, [2, 0]]
        return torch.from_numpy(pixels.copy()), (boxes, self.objects[index][:, 4].long())


def batch_of(samples):
    """Pixels [batch, size, size, 3] and the targets."""
    pixels, targets = zip(*samples)
    return torch.stack(pixels), targets


def load(peer, path):
    """Fills the network from a model file, every tensor of which has to be used; the file's metadata."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata()
    state, used = {}, set()
    for key, value in peer.network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            name = peer.native(key)
            if name not in tensors:
                sys.exit(f"{path}: expected the tensor {name}, found none of that name; is it of another model?")
            state[key] = tensors[name].reshape(value.shape)
            used.add(name)
    if unused := sorted(set(tensors) - used):
        sys.exit(f"{path}: {len(unused)} tensors have no place in the network, such as {unused[0]}")
    peer.network.load_state_dict(state)
    return metadata, {name: tensor.shape for name, tensor in tensors.items()}


def save(peer, path, metadata, shapes):
    """Writes the network as a file with the names, shapes and metadata of the one that it started from."""
    state = {peer.native(key): value for key, value in peer.network.state_dict().items()}
    tensors = {name: state[name].reshape(shape).contiguous() for name, shape in shapes.items()}
    save_file(tensors, path, metadata)


def optimizer_of(network, arguments):
    """AdamW; norms and biases do not decay."""
    parameters = list(network.parameters())
    groups = [{"params": [one for one in parameters if one.dim() > 1]},
              {"params": [one for one in parameters if one.dim() <= 1], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=arguments.lr, weight_decay=arguments.weight_decay, fused=True)


def rate_at(step, steps, warmup):
    """The share of the learning rate at a step: warmstart's warm-up and cosine."""
    warm = max(math.floor(warmup * steps + 0.5), int(warmup > 0 and steps > 1))
    if step < warm:
        return (step + 1) / (warm + 1)
    progress = (step - warm) / max(1, steps - warm)
    return COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + math.cos(math.pi * progress)) / 2


def normalised(peer, pixels):
    """A batch as the network takes it; the pixels lie as channels_last wants them already."""
    mean, deviation = (torch.tensor(values[::-1])[:, None, None] for values in peer.normalisation)
    return (pixels.permute(0, 3, 1, 2).float() - mean) / deviation


@torch.inference_mode()
def validate(peer, loader):
    """Computes the network on all validation images."""
    peer.network.eval()
    for pixels, _ in loader:
        peer.network(normalised(peer, pixels))
    peer.network.train()


def train(peer, data, validation, arguments):
    """Trains, and prints each epoch."""
    shared = {"batch_size": arguments.batch, "num_workers": arguments.workers, "collate_fn": batch_of,
              "persistent_workers": arguments.workers > 0}
    loader, validation_loader = DataLoader(data, shuffle=True, **shared), DataLoader(validation, **shared)
    optimizer = optimizer_of(peer.network, arguments)
    steps = arguments.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, steps, arguments.warmup))
    for epoch in range(1, arguments.epochs + 1):
        started, total = time.perf_counter(), 0.0
        for pixels, targets in loader:
            loss = peer.loss(normalised(peer, pixels), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(targets)
        trained = time.perf_counter()
        validate(peer, validation_loader)
        figures = {
            "epoch": epoch,
            "train_loss": round(total / len(data), 4),
            "seconds_training": round(trained - started, 2),
            "seconds_validation": round(time.perf_counter() - trained, 2),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(figures), flush=True)


def main():
    """Load, train, write."""
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    data = Images(arguments.data, "train", arguments.image_size, arguments.flip)
    peer = PEERS[arguments.model](arguments.libreyolo, len(data.names))
    metadata, shapes = load(peer, arguments.weights)
    classes = json.loads(metadata["warmstart"])["classes"]
    if classes != data.names:
        sys.exit(f"{arguments.weights}: expected the classes of the data, {data.names}, found {classes}")
    peer.network.to(memory_format=torch.channels_last).train()
    train(peer, data, Images(arguments.data, "val", arguments.image_size), arguments)
    save(peer, arguments.out, metadata, shapes)


if __name__ == "__main__":
    main()
