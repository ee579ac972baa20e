"""The side of `bench/speed` that is PyTorch: times forward passes and training steps on request.

    python bench/speed_pytorch.py MODEL BATCH THREADS eager|compile

Speaks the protocol of `crates/train/examples/speed.rs`: reads lines `forward N` and `step N`, does
that many, and answers each with a line of JSON: the seconds they took, the process's highest memory
in MB (10⁶ bytes) and its minor page faults meanwhile. A model is built at its first request, so a
process that is only asked for steps has the memory of steps alone. Float32 without autocast,
channels_last, random weights, 1,000 classes; the library whose names are ours makes the network, with its own
dropout and stochastic depth. timm's transformers compute attention by scaled_dot_product_attention. Needs torch and
torchvision, and timm for its networks.
"""

import json
import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torchvision import models

CLASSES = 1000
SIZE = 224
# Both libraries have it, and our names are timm's, as of all ConvNeXts.
OF_TIMM = "convnext_tiny"


def make_model(name: str) -> nn.Module:
    """The model with random weights: torchvision's, or timm's where our names are."""
    if name in models.list_models() and name != OF_TIMM:
        model = models.get_model(name, weights=None, num_classes=CLASSES)
    else:
        import timm
        # Positions of another size than the image's would be resized in every pass.
        size = {"img_size": SIZE} if "dinov2" in name else {}
        model = timm.create_model(name, num_classes=CLASSES, **size)
    return model.to(memory_format=torch.channels_last)


def make_images(batch: int) -> torch.Tensor:
    """Pixels between -1 and 1, `[batch, 3, height, width]`."""
    images = torch.rand(batch, 3, SIZE, SIZE) * 2 - 1
    return images.contiguous(memory_format=torch.channels_last)


def make_forward(name: str, batch: int, compiled: bool) -> Callable[[], None]:
    """One inference pass."""
    model, images = make_model(name).eval(), make_images(batch)
    if compiled:
        # Folds batch norm and packs the weights once, as warmstart does.
        torch._inductor.config.freezing = True
        model = torch.compile(model, dynamic=False)

    @torch.inference_mode()
    def forward() -> None:
        model(images)

    return forward


def make_step(name: str, batch: int, compiled: bool) -> Callable[[], None]:
    """One training step of all layers with batch statistics."""
    model, images = make_model(name).train(), make_images(batch)
    labels = torch.arange(batch) * 61 % CLASSES
    criterion = nn.CrossEntropyLoss()
    # Measured: faster than the default on a CPU for the three models measured.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def loss_of(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return criterion(model(images), labels)

    if compiled:
        loss_of = torch.compile(loss_of, dynamic=False)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(images, labels)
        loss.backward()
        optimizer.step()
        assert loss.isfinite(), f"the loss is {loss}"

    return step


def peak_mb() -> float:
    """The highest resident memory so far."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def page_faults() -> int:
    """Minor page faults so far, of all threads."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def main() -> None:
    """Answers requests until the input ends."""
    name, batch, threads, mode = sys.argv[1:]
    torch.set_num_threads(int(threads))
    makers = {"forward": make_forward, "step": make_step}
    ready: dict[str, Callable[[], None]] = {}
    for line in sys.stdin:
        what, count = line.split()
        if what not in ready:
            ready[what] = makers[what](name, int(batch), mode == "compile")
        run, faults, started = ready[what], page_faults(), time.perf_counter()
        for _ in range(int(count)):
            run()
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "peak_mb": peak_mb(), "page_faults": page_faults() - faults}), flush=True)


if __name__ == "__main__":
    main()
