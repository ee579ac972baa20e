"""onnxruntime's side of bench/detectors: how long exported detectors take for one picture after the other.

    detectors_onnx.py THREADS BOXES.onnx POINTS.onnx PICTURE...

BOXES.onnx goes from pixels to selected boxes, POINTS.onnx from the network's input to those of all its points
(`warmstart export --onnx`, and with `--raw --preprocessing outside`). Prints the mean milliseconds of each as a JSON
object. Needs onnxruntime, numpy and pillow.
"""

import json
import sys
import time

import numpy
import onnxruntime
from PIL import Image

# Pictures that are computed before the time is taken, for caches and clocks to settle.
WARM_UPS = 8


def session(file, threads):
    """A file, ready to be computed."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def milliseconds(file, threads, inputs):
    """The mean time of an input, after a warm-up."""
    engine = session(file, threads)
    name = engine.get_inputs()[0].name
    for value in inputs[:WARM_UPS]:
        engine.run(None, {name: value})
    started = time.perf_counter()
    for value in inputs:
        engine.run(None, {name: value})
    return (time.perf_counter() - started) * 1e3 / len(inputs)


def main():
    """Measures both files."""
    threads, boxes, points, *paths = sys.argv[1:]
    pictures = [numpy.asarray(Image.open(path).convert("RGB"))[None] for path in paths]
    shape = [1, *session(points, int(threads)).get_inputs()[0].shape[1:]]
    draws = numpy.random.default_rng(0)
    inputs = [draws.standard_normal(shape, dtype=numpy.float32) for _ in paths]
    print(json.dumps({"boxes": milliseconds(boxes, int(threads), pictures),
                      "points": milliseconds(points, int(threads), inputs)}))


if __name__ == "__main__":
    main()
