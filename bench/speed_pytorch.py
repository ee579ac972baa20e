"""The side of `bench/speed` that is PyTorch: times forward passes and training steps on request.

    python bench/speed_pytorch.py MODEL BATCH THREADS eager|compile [cpu f32|bf16]
    python bench/speed_pytorch.py MODEL BATCH THREADS eager|compile cuda f32|tf32|bf16

Speaks the protocol of `crates/train/examples/speed.rs`: reads lines `forward N` and `step N`, does
that many, and answers each with a line of JSON: the seconds they took, the process's highest memory
in MB (10⁶ bytes) and its minor page faults meanwhile. A model is built at its first request, so a
process that is only asked for steps has the memory of steps alone. Float32, or with bf16 autocast to bfloat16;
channels_last, random weights, 1,000 classes; the library whose names are ours makes the network, with its own
dropout and stochastic depth. timm's transformers compute attention by scaled_dot_product_attention. Needs torch and
torchvision, and timm for its networks.

On a graphics card (`cuda`, `cuda:1`) images and labels lie in its memory, and cuDNN measures which of its algorithms is the
fastest. f32 is exact, tf32 lets convolutions and products use TF32, and bf16 is autocast to bfloat16. The card has done all
of its work when the time is taken. An answer also has the memory that PyTorch has reserved on the card (`card_mb`) and
used of it at most (`used_mb`).
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from speed_machine import own_page_faults, own_peak_mb
from torch import nn
from torchvision import models

CLASSES = 1000
SIZE = 224
# Both libraries have it, and our names are timm's, as of all ConvNeXts.
OF_TIMM = "convnext_tiny"


@dataclass(frozen=True)
class Place:
    """Where the peer computes, and in which numbers."""

    device: str
    precision: str

    def autocast(self) -> AbstractContextManager[None]:
        """What a forward pass runs in."""
        is_half = self.precision == "bf16"
        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=is_half)

    def prepare(self) -> None:
        """Settings of the whole process."""
        if self.device == "cpu":
            return
        torch.cuda.set_device(self.device)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("highest" if self.precision == "f32" else "high")
        torch.backends.cudnn.allow_tf32 = self.precision != "f32"

    def finish(self) -> None:
        """Waits until all work is done."""
        if self.device != "cpu":
            torch.cuda.synchronize()

    def memory(self) -> dict[str, float]:
        """MB (10⁶ bytes) on the card, reserved and used; empty for the processor."""
        if self.device == "cpu":
            return {}
        return {"card_mb": torch.cuda.max_memory_reserved() / 1e6, "used_mb": torch.cuda.max_memory_allocated() / 1e6,
                "device": torch.cuda.get_device_name()}


def make_model(name: str, place: Place) -> nn.Module:
    """The model with random weights: torchvision's, or timm's where our names are."""
    if name in models.list_models() and name != OF_TIMM:
        model = models.get_model(name, weights=None, num_classes=CLASSES)
    else:
        import timm
        # Positions of another size than the image's would be resized in every pass.
        size = {"img_size": SIZE} if "dinov2" in name else {}
        model = timm.create_model(name, num_classes=CLASSES, **size)
    return model.to(place.device, memory_format=torch.channels_last)


def make_images(batch: int, place: Place) -> torch.Tensor:
    """Pixels between -1 and 1, `[batch, 3, height, width]`."""
    images = torch.rand(batch, 3, SIZE, SIZE) * 2 - 1
    return images.to(place.device).contiguous(memory_format=torch.channels_last)


def make_forward(name: str, batch: int, compiled: bool, place: Place) -> Callable[[], torch.Tensor]:
    """One inference pass."""
    model, images = make_model(name, place).eval(), make_images(batch, place)
    if compiled:
        # Folds batch norm and packs the weights once, as warmstart does.
        torch._inductor.config.freezing = True
        model = torch.compile(model, dynamic=False)

    @torch.inference_mode()
    def forward() -> torch.Tensor:
        with place.autocast():
            return model(images)

    return forward


def make_step(name: str, batch: int, compiled: bool, place: Place) -> Callable[[], torch.Tensor]:
    """One training step of all layers with batch statistics."""
    model, images = make_model(name, place).train(), make_images(batch, place)
    labels = (torch.arange(batch) * 61 % CLASSES).to(place.device)
    criterion = nn.CrossEntropyLoss()
    # Measured: faster than the default on a CPU for the three models measured.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def loss_of(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return criterion(model(images), labels)

    if compiled:
        loss_of = torch.compile(loss_of, dynamic=False)

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with place.autocast():
            loss = loss_of(images, labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def main() -> None:
    """Answers requests until the input ends."""
    name, batch, threads, mode, *of_place = sys.argv[1:]
    place = Place(*(of_place or ("cpu", "f32")))
    torch.set_num_threads(int(threads))
    place.prepare()
    makers = {"forward": make_forward, "step": make_step}
    ready: dict[str, Callable[[], torch.Tensor]] = {}
    for line in sys.stdin:
        what, count = line.split()
        if what not in ready:
            ready[what] = makers[what](name, int(batch), mode == "compile", place)
            place.finish()
        run, faults, started = ready[what], own_page_faults(), time.perf_counter()
        for _ in range(int(count)):
            result = run()
        place.finish()
        seconds = time.perf_counter() - started
        # Not in every step: a card would wait for the answer.
        assert result.isfinite().all(), f"the result is {result}"
        answer = {"seconds": seconds, "peak_mb": own_peak_mb(), "page_faults": own_page_faults() - faults}
        print(json.dumps(answer | place.memory()), flush=True)


if __name__ == "__main__":
    main()
