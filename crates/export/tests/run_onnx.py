"""Runs ONNX files with onnxruntime for the tests: a description on standard input, results on standard output, as JSON.

In: {"jobs": [{"model": PATH, "runs": [{"input": PATH, "type": "uint8", "shape": [...]}, ...]}, ...]}
Out: {"jobs": [{"inputs": ..., "outputs": ..., "metadata": ..., "runs": [{name: values}, ...]}, ...]}

Each file is checked by onnx.checker first, with the inference of shapes.
"""

import json
import sys

import numpy
import onnx
import onnxruntime


def described(values):
    return [[value.name, value.type, value.shape] for value in values]


def job(request):
    model = onnx.load(request["model"])
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(request["model"], options, providers=["CPUExecutionProvider"])
    [name] = [value.name for value in session.get_inputs()]
    results = []
    for run in request["runs"]:
        values = numpy.fromfile(run["input"], run["type"]).reshape(run["shape"])
        outputs = session.run(None, {name: values})
        names = [value.name for value in session.get_outputs()]
        results.append({name: output.tolist() for name, output in zip(names, outputs)})
    return {
        "inputs": described(session.get_inputs()),
        "outputs": described(session.get_outputs()),
        "metadata": {entry.key: entry.value for entry in model.metadata_props},
        "operators": sorted({node.op_type for node in model.graph.node}),
        "runs": results,
    }


if __name__ == "__main__":
    print(json.dumps({"jobs": [job(request) for request in json.load(sys.stdin)["jobs"]]}))
