#!/usr/bin/env python3
"""An exported ONNX file with 8-bit weights and activations, by onnxruntime's own quantizer.

    python bench/quantize_onnx.py pets.onnx pets-8bit.onnx pets/train [--images 128]

The file must have its preprocessing inside, which stays as it is, like the linear head. The ranges of activations are those on some pictures
of the folder, evenly spread: training images, never those that the accuracy is measured on. Weights have a scale for
each output channel. Needs onnx, onnxruntime and pillow.
"""

import argparse
from pathlib import Path

import numpy
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image, ImageOps

ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


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

    def __init__(self, paths, name):
        self.inputs = ({name: read_pixels(path)[None]} for path in paths)

    def get_next(self):
        return next(self.inputs, None)


def quantize(source, target, paths):
    """Writes the quantized file."""
    graph = onnx.load(source).graph
    [name] = [value.name for value in graph.input]
    if name != "pixels":
        raise SystemExit(f"{source}: its input is {name}, not pixels: export it with its preprocessing inside")
    outside = [node.name for node in graph.node if node.name == "input" or node.name.startswith("preprocessing/")]
    quantize_static(source, target, Pictures(paths, name), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    op_types_to_quantize=["Conv"], nodes_to_exclude=outside)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("pictures", help="folder of training images")
    parser.add_argument("--images", type=int, default=128)
    arguments = parser.parse_args()
    found = find_pictures(arguments.pictures)
    if not found:
        parser.error(f"{arguments.pictures} holds no picture")
    quantize(arguments.source, arguments.target, found[:: max(1, len(found) // arguments.images)][: arguments.images])


if __name__ == "__main__":
    main()
