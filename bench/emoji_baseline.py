"""The quickstart's training job in plain PyTorch: the figure that warmstart is held against.

    ./quickstart --data-only
    python bench/emoji_baseline.py --data quickstart-data/emoji \\
        --weights quickstart-data/mobilenet_v2-b0353104.pth

torchvision's MobileNetV2 learns the eight emoji categories, three epochs with the backbone
frozen and two thawed, as a careful user's script would: AdamW, random resized crops and flips,
channels_last, two threads. One JSON object is printed for each epoch: phase, train_loss,
accuracy (of the validation set, a fraction), images_per_second (training steps with their
loading), seconds (of the whole epoch), peak_memory_mb (of the process so far). `--scratch`
starts from random weights and trains everything for all five epochs. Needs torch, torchvision
and pillow.
"""

import argparse
import json
import resource
import time

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with train/ and val/")
    parser.add_argument("--weights", help="torchvision's mobilenet_v2 state dict")
    parser.add_argument("--scratch", action="store_true", help="random weights, nothing frozen")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="loader processes")
    parser.add_argument("--freeze-epochs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5, help="of both phases together")
    parser.add_argument("--max-steps", type=int, help="stop each epoch after so many batches")
    arguments = parser.parse_args()
    if not arguments.scratch and not arguments.weights:
        parser.error("give --weights FILE or --scratch")
    return arguments


def on_white(path):
    """A picture as RGB, with white where it is transparent: what a person sees."""
    picture = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def open_data(folder):
    """The training and validation sets."""
    end = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    train = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    validation = [transforms.Resize(256), transforms.CenterCrop(224)]
    return (datasets.ImageFolder(f"{folder}/train", transforms.Compose(train + end), loader=on_white),
            datasets.ImageFolder(f"{folder}/val", transforms.Compose(validation + end), loader=on_white))


def build(arguments, classes):
    """MobileNetV2 with a new head, in channels_last."""
    model = models.mobilenet_v2()
    if not arguments.scratch:
        model.load_state_dict(torch.load(arguments.weights, weights_only=True))
    model.classifier[1] = nn.Linear(model.last_channel, classes)
    return model.to(memory_format=torch.channels_last)


def set_mode(model, frozen):
    """Training mode; a frozen backbone stays in evaluation mode, so its statistics hold still."""
    model.train()
    if frozen:
        model.features.eval()


def train_epoch(model, loader, optimizer, frozen, max_steps):
    """One pass over the training set: mean loss, images and seconds."""
    set_mode(model, frozen)
    total, images, started = 0.0, 0, time.perf_counter()
    for step, (pictures, labels) in enumerate(loader):
        if step == max_steps:
            break
        logits = model(pictures.contiguous(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        images += len(labels)
    return total / images, images, time.perf_counter() - started


@torch.inference_mode()
def accuracy(model, loader, max_steps):
    """The fraction of validation pictures that are classified rightly."""
    model.eval()
    right, images = 0, 0
    for step, (pictures, labels) in enumerate(loader):
        if step == max_steps:
            break
        logits = model(pictures.contiguous(memory_format=torch.channels_last))
        right += (logits.argmax(1) == labels).sum().item()
        images += len(labels)
    return right / images


def run_phase(model, data, arguments, phase, epochs, batch, learning_rate):
    """Train for the given epochs with a fresh optimizer, and print each."""
    frozen = phase == "freeze"
    model.features.requires_grad_(not frozen)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    train_loader = DataLoader(data[0], batch, shuffle=True, num_workers=arguments.workers)
    validation_loader = DataLoader(data[1], 32, num_workers=arguments.workers)
    for epoch in epochs:
        started = time.perf_counter()
        loss, images, seconds = train_epoch(model, train_loader, optimizer, frozen,
                                            arguments.max_steps)
        figures = {
            "epoch": epoch,
            "phase": phase,
            "train_loss": round(loss, 4),
            "accuracy": round(accuracy(model, validation_loader, arguments.max_steps), 4),
            "images_per_second": round(images / seconds, 1),
            "seconds": round(time.perf_counter() - started, 1),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(figures), flush=True)


def main():
    """Freeze, thaw."""
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    data = open_data(arguments.data)
    model = build(arguments, len(data[0].classes))
    frozen = 0 if arguments.scratch else arguments.freeze_epochs
    run_phase(model, data, arguments, "freeze", range(1, frozen + 1), 32, 3e-3)
    run_phase(model, data, arguments, "thaw", range(frozen + 1, arguments.epochs + 1), 16, 3e-4)


if __name__ == "__main__":
    main()
