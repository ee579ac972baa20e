#!/usr/bin/env python3
"""The other side of bench/serve: a classifier of warmstart in onnxruntime, behind the server of Python's library.

    serve_onnx.py export MODEL.safetensors MODEL.onnx     by torch.onnx, from torchvision's network
    serve_onnx.py serve  MODEL.safetensors MODEL.onnx     prints its address first

A request is a picture; each is decoded, resized and computed on the thread of its connection, as in the usual example.
"""

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Classes that an answer has.
SHOWN = 5


def metadata(model):
    """What the model file says of itself: classes and preprocessing."""
    with open(model, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["warmstart"])


def export(model, onnx):
    """Writes the network as ONNX, with any batch size."""
    import torch
    import torchvision
    from safetensors.torch import load_file

    info = metadata(model)
    network = torchvision.models.get_model(info["model"].split(".")[0], num_classes=len(info["classes"]))
    network.load_state_dict(load_file(model), strict=True)
    size = info["preprocessing"]["crop"]
    torch.onnx.export(network.eval(), (torch.zeros(1, 3, size, size),), onnx, input_names=["images"],
                      output_names=["logits"], dynamo=True)


def serve(model, onnx):
    """Answers until it is killed."""
    import numpy
    import onnxruntime
    from PIL import Image

    info = metadata(model)
    preprocessing = info["preprocessing"]
    mean, deviation = (numpy.array(preprocessing[name], numpy.float32) for name in ("mean", "std"))
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    resampling = filters[preprocessing["interpolation"].lower()]
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])

    def opened(data):
        """The picture in RGB, on white where it is transparent."""
        image = Image.open(io.BytesIO(data))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")

    def pixels(image):
        """`[1, 3, crop, crop]`, as the model file says."""
        crop = preprocessing["crop"]
        if preprocessing.get("fit", "crop") == "crop":
            short = min(image.size)
            width, height = (preprocessing["resize"] * side // short for side in image.size)
            left, top = round((width - crop) / 2), round((height - crop) / 2)
            image = image.resize((width, height), resampling).crop((left, top, left + crop, top + crop))
        elif preprocessing["fit"] == "squash":
            image = image.resize((crop, crop), resampling)
        else:
            sys.exit(f"expected the fit crop or squash, found {preprocessing['fit']}")
        values = (numpy.asarray(image, numpy.float32) / 255 - mean) / deviation
        return values.transpose(2, 0, 1)[None]

    class Handler(BaseHTTPRequestHandler):
        """POST a picture, get its classes."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            logits = session.run(None, {"images": pixels(opened(data))})[0][0]
            shifted = numpy.exp(logits - logits.max())
            probabilities = shifted / shifted.sum()
            best = numpy.argsort(-probabilities)[:SHOWN]
            predictions = [{"class": info["classes"][place], "probability": float(probabilities[place])}
                           for place in best]
            answer = json.dumps({"file": "picture", "predictions": predictions}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        """A thread for each connection."""

        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    {"export": export, "serve": serve}[sys.argv[1]](*sys.argv[2:])
