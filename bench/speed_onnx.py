"""The engines of `bench/speed` that only infer: onnxruntime and OpenVINO, on the network that PyTorch exports.

    python bench/speed_onnx.py export MODEL BATCH FILE.onnx
    python bench/speed_onnx.py onnxruntime|openvino FILE.onnx BATCH THREADS f32|bf16

`export` writes the network of the PyTorch side (`speed_pytorch.py`: random weights, 1,000 classes) by torch.onnx,
opset 17, with a fixed batch, so that an engine may choose its kernels for it. Needs torch, torchvision, onnx, and timm
for its networks. The engines speak the protocol of `crates/train/examples/speed.rs` for `forward N`, and load no
PyTorch.

onnxruntime computes by its CPUExecutionProvider with all graph optimizations, one operator after the other, and takes
its input as a numpy array or by IO binding, whichever was faster in a trial. OpenVINO computes one request at a time,
with the hint for latency, one stream, and its input shared with numpy; whether it computes in the numbers that were
asked for is checked.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy
from speed_machine import own_page_faults, own_peak_mb

if TYPE_CHECKING:
    from numpy.typing import NDArray

Forward = Callable[[], "NDArray[numpy.float32]"]

SIZE = 224
CLASSES = 1000
OPSET = 17
INPUT, OUTPUT = "images", "logits"
# How long the ways of handing over the input are tried.
TRIAL_SECONDS = 0.5


def export(model: str, batch: int, file: str) -> None:
    """Writes PyTorch's network, its batch norm folded."""
    import torch
    from speed_pytorch import Place, make_model

    network = make_model(model, Place("cpu", "f32")).eval()
    images = torch.zeros(batch, 3, SIZE, SIZE)
    # The exporter of torch.export writes opset 18 or higher, and needs onnxscript besides.
    torch.onnx.export(network, (images,), file, input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET,
                      dynamo=False)


def make_images(batch: int) -> "NDArray[numpy.float32]":
    """Pixels between -1 and 1, `[batch, 3, height, width]`."""
    return numpy.random.default_rng(0).random((batch, 3, SIZE, SIZE), dtype=numpy.float32) * 2 - 1


def fastest(ways: list[Forward]) -> Forward:
    """The way whose shortest time in a trial is the shortest; each is warmed up by one pass."""
    for way in ways:
        way()
    shortest = [math.inf] * len(ways)
    started = time.perf_counter()
    while math.inf in shortest or time.perf_counter() - started < TRIAL_SECONDS:
        for place, way in enumerate(ways):
            before = time.perf_counter()
            way()
            shortest[place] = min(shortest[place], time.perf_counter() - before)
    return ways[shortest.index(min(shortest))]


def of_onnxruntime(file: str, batch: int, threads: int, precision: str) -> Forward:
    """One pass by onnxruntime."""
    import onnxruntime

    if precision != "f32":
        sys.exit(f"onnxruntime: expected f32, found {precision}: its CPUExecutionProvider has no other for this graph")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    images = make_images(batch)
    logits = onnxruntime.OrtValue.ortvalue_from_numpy(numpy.empty((batch, CLASSES), numpy.float32))
    binding = session.io_binding()
    binding.bind_ortvalue_input(INPUT, onnxruntime.OrtValue.ortvalue_from_numpy(images))
    binding.bind_ortvalue_output(OUTPUT, logits)

    def plain() -> "NDArray[numpy.float32]":
        return session.run([OUTPUT], {INPUT: images})[0]

    def bound() -> "NDArray[numpy.float32]":
        session.run_with_iobinding(binding)
        return logits.numpy()

    return fastest([plain, bound])


def of_openvino(file: str, batch: int, threads: int, precision: str) -> Forward:
    """One pass by OpenVINO."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1,
                "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(file, "CPU", settings)
    expected = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}[precision]
    found = compiled.get_property("INFERENCE_PRECISION_HINT")
    if found != expected:
        sys.exit(f"OpenVINO: expected it to compute in {expected}, found {found}")
    images = make_images(batch)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(images, shared_memory=True))

    def forward() -> "NDArray[numpy.float32]":
        request.infer()
        return request.get_output_tensor().data

    return forward


def answer(make: Callable[[], Forward]) -> None:
    """Answers requests until the input ends."""
    forward = None
    for line in sys.stdin:
        what, count = line.split()
        if what != "forward":
            sys.exit(f"expected `forward N`, found `{line.strip()}`: these engines do not train")
        forward = forward or make()
        faults, started = own_page_faults(), time.perf_counter()
        for _ in range(int(count)):
            result = forward()
        seconds = time.perf_counter() - started
        assert numpy.isfinite(result).all(), f"the result is {result}"
        print(json.dumps({"seconds": seconds, "peak_mb": own_peak_mb(), "page_faults": own_page_faults() - faults}),
              flush=True)


def main() -> None:
    """Exports, or answers."""
    what, *rest = sys.argv[1:]
    if what == "export":
        model, batch, file = rest
        export(model, int(batch), file)
        return
    engine = {"onnxruntime": of_onnxruntime, "openvino": of_openvino}[what]
    file, batch, threads, precision = rest
    answer(lambda: engine(file, int(batch), int(threads), precision))


if __name__ == "__main__":
    main()
