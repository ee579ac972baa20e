#!/usr/bin/env python3
"""An exported ONNX file with 8-bit weights and activations, by onnxruntime's own quantizer.

    python bench/quantize_onnx.py pets.onnx pets-8bit.onnx pets/train [--images 128] [--narrow]

The file must have its preprocessing inside and 32-bit weights. The ranges of activations are those on some pictures of
the folder, evenly spread: training images, never those that the accuracy is measured on. Weights have a scale for each
output channel. Afterwards, the linear head of a classifier is fitted to the 8-bit features of the same pictures, and
both files are compared on them. Needs onnx, onnxruntime and pillow.
"""

import argparse
import logging
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image, ImageOps

ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# Convolutions at the input that stay in 32 bits: few channels of very different ranges, and every later layer sees their
# error.
FIRST = 3
# A clip or a ReLU after a convolution becomes the lower and upper end of the convolution's 8-bit result. Left out here,
# the 256 steps would be spread over values that it cuts off.
OPERATORS = ["Conv", "Clip", "Relu"]


def read_pixels(path):
    """A picture as warmstart decodes it, uint8 [height, width, 3]."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return numpy.array(picture.convert("RGB"))


def find_pictures(folder):
    """The pictures below a folder, sorted."""
    return sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in ENDINGS)


class Pictures(CalibrationDataReader):
    """The pictures that ranges are measured on, one after the other."""

    def __init__(self, paths):
        self.inputs = ({"pixels": read_pixels(path)[None]} for path in paths)

    def get_next(self):
        return next(self.inputs, None)


def load(source):
    """The graph of an exported file, if it can be quantized."""
    model = onnx.load(source)
    names = [value.name for value in model.graph.input]
    if names != ["pixels"]:
        raise SystemExit(f"{source}: its input is {', '.join(names)}, not pixels: export it with its preprocessing inside")
    if any(entry.key == "weights_are" and entry.value != "f32" for entry in model.metadata_props):
        raise SystemExit(f"{source}: its weights are not in 32 bits: export it without --half")
    return model


def kept_in_32_bits(graph):
    """Names of the nodes that are not quantized: the preprocessing, the first convolutions, and a detector's last ones,
    whose results are its scores and boxes."""
    kept = [node.name for node in graph.node if node.name == "input" or node.name.startswith("preprocessing/")]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kept += [node.name for node in convolutions[:FIRST]]
    # Values from which a further layer with weights is reached.
    inner = set()
    for node in reversed(graph.node):
        if node.op_type in ("Conv", "Gemm") or inner.intersection(node.output):
            inner.update(node.input)
    return kept + [node.name for node in convolutions if node.output[0] not in inner]


def heads(graph):
    """The linear heads of a classifier: none of a detector, two of the mean of two models."""
    return [node for node in graph.node if node.op_type == "Gemm"]


def results(model, names, paths):
    """Values of a graph for some pictures, by name: [pictures, ...]."""
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model)
    outputs = {value.name for value in wanted.graph.output}
    wanted.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(wanted.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rows = [session.run(names, {"pixels": read_pixels(path)[None]}) for path in paths]
    return {name: numpy.concatenate(values) for name, values in zip(names, zip(*rows))}


def fit_heads(whole, quantized, paths):
    """Fits the heads to features in 8 bits: each feature is replaced by the line through the pictures that is closest to
    its value in 32 bits. A feature that is mostly noise in 8 bits then counts for little, and a shifted one is moved
    back. It matters to a head that was solved on features of several layers: it divides each by its deviation."""
    constants = {tensor.name: tensor for tensor in quantized.graph.initializer}
    names = [head.input[0] for head in heads(whole.graph)]
    exact, rounded = (results(model, names, paths) for model in (whole, quantized))
    for head in heads(whole.graph):
        feature, weight, bias = head.input
        y, x = (values[feature].astype(float) for values in (exact, rounded))
        from_mean = x - x.mean(0)
        spread = (from_mean**2).sum(0)
        slope = ((y - y.mean(0)) * from_mean).sum(0) / numpy.where(spread > 0, spread, 1)
        start = y.mean(0) - slope * x.mean(0)
        old = numpy_helper.to_array(constants[weight])
        fitted = {weight: old * slope, bias: numpy_helper.to_array(constants[bias]) + old @ start}
        for name, values in fitted.items():
            constants[name].CopyFrom(numpy_helper.from_array(values.astype(numpy.float32), name))


def compared(whole, quantized, paths):
    """How well both agree on the pictures, in words."""
    names = [value.name for value in whole.graph.output]
    if len(names) != 1:
        # Different numbers of objects cannot be compared value by value.
        counts = [len(results(model, ["scores"], paths)["scores"]) for model in (whole, quantized)]
        return f"{counts[1]} objects in {len(paths)} pictures, {counts[0]} in 32 bits"
    exact, rounded = (results(model, names, paths)[names[0]] for model in (whole, quantized))
    same = (exact.argmax(1) == rounded.argmax(1)).sum()
    difference = abs(exact - rounded).max(1)
    return (f"same class for {same} of {len(paths)} training pictures, largest difference {difference.max():.3f}, "
            f"{difference.mean():.3f} in the mean")


def quantize(source, target, paths, narrow=False):
    """Writes the quantized file, and returns how well it agrees with the whole one on the pictures, in words. Weights that
    are `narrow` have 7 bits."""
    # The quantizer's advice to fold batch norms first, which are folded.
    logging.getLogger().setLevel(logging.ERROR)
    whole = load(source)
    quantize_static(source, target, Pictures(paths), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=narrow,
                    op_types_to_quantize=OPERATORS, nodes_to_exclude=kept_in_32_bits(whole.graph))
    quantized = onnx.load(target)
    if heads(whole.graph):
        fit_heads(whole, quantized, paths)
    for entry in quantized.metadata_props:
        if entry.key == "weights_are":
            entry.value = "8 bits"
    onnx.save(quantized, target)
    return compared(whole, quantized, paths)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("pictures", help="folder of training images")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--narrow", action="store_true",
                        help="weights of 7 bits, for x86 processors without VNNI, whose 8-bit sums may overflow")
    arguments = parser.parse_args()
    found = find_pictures(arguments.pictures)
    if not found:
        parser.error(f"{arguments.pictures} holds no picture")
    some = found[:: max(1, len(found) // arguments.images)][: arguments.images]
    words = quantize(arguments.source, arguments.target, some, arguments.narrow)
    print(f"{arguments.target}: {words}")


if __name__ == "__main__":
    main()
