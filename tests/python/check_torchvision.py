#!/usr/bin/env python3
"""Prove that a model of ours is torchvision's: same keys, same shapes, same logits.

    python tests/python/check_torchvision.py runs/pets/best.safetensors logits.safetensors

The first file is what a run kept. It says in its metadata, as JSON under the key `warmstart`,
which "model" it is and what its "classes" are, and has to load strictly into torchvision's
model of that name and number of classes. The second holds pictures and what we made of them:
`input` [images, 3, height, width] and `logits` [images, classes], float32. Exit code 0 if
every logit is within 1e-4 of PyTorch's (of the largest logit, if all are below 1), 1 if not or
if a file is not as said here. Needs torch, torchvision and safetensors.
"""

import argparse
import json
import sys

import torch
import torchvision
from safetensors import SafetensorError, safe_open

TOLERANCE = 1e-4


class CheckFailed(Exception):
    """What does not hold, in one line."""


def read(path):
    """A file's tensors and its metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CheckFailed(f"{path}: not a readable safetensors file ({error})") from error


def load_strictly(path):
    """torchvision's model with the file's tensors, every key present and none left over."""
    tensors, metadata = read(path)
    if "warmstart" not in metadata:
        raise CheckFailed(f"{path}: no metadata key 'warmstart'; give a run's best.safetensors")
    description = json.loads(metadata["warmstart"])
    name, classes = description["model"], description["classes"]
    model = torchvision.models.get_model(name, weights=None, num_classes=len(classes))
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CheckFailed(f"{path}: {' '.join(str(error).split())}") from error
    print(f"{path}: {len(tensors)} tensors load strictly into {name} of {len(classes)} classes")
    return model.eval()


def compare_logits(model, path):
    """Fail unless PyTorch gives the stored logits for the stored pictures."""
    tensors, _ = read(path)
    for key in ("input", "logits"):
        if key not in tensors:
            raise CheckFailed(f"{path}: no tensor '{key}'; it has to hold 'input' and 'logits'")
    with torch.no_grad():
        expected = model(tensors["input"])
    found = tensors["logits"]
    if found.shape != expected.shape:
        raise CheckFailed(f"{path}: logits {list(found.shape)}, expected {list(expected.shape)}")
    largest = expected.abs().max().item()
    allowed = TOLERANCE * min(1.0, largest)
    difference = (found - expected).abs().max().item()
    print(f"{path}: {len(found)} images, largest logit {largest:.3g}, "
          f"largest difference {difference:.1e} (allowed {allowed:.1e})")
    if not difference <= allowed:
        raise CheckFailed(f"{path}: logits differ by {difference:.1e}, more than {allowed:.1e}")


def main():
    """Run both checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="BEST.safetensors")
    parser.add_argument("logits", metavar="LOGITS.safetensors")
    arguments = parser.parse_args()
    try:
        compare_logits(load_strictly(arguments.model), arguments.logits)
    except CheckFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
