

def points(size, place):
    """The points that predict boxes, [points, 2], and their strides, [points, 1]. `place` is that of a point in its
    cell, from 0 at the top left corner."""
    places, strides = [], []
    for stride in (8, 16, 32):
        cells = (torch.arange(size // stride) + place) * stride
        rows, columns = torch.meshgrid(cells, cells, indexing="ij")
        places.append(torch.stack([columns.flatten(), rows.flatten()], 1))
        strides.append(torch.full((len(places[-1]), 1), float(stride)))
    return torch.cat(places), torch.cat(strides)


def load_model():
    """The trained model, in evaluation mode."""
    return Model(load_file(Path(__file__).with_name("model.safetensors")))


@torch.inference_mode()
def predict(path, model=None, confidence=CONFIDENCE, overlap=0.65, most=300):
    """The objects of a picture, the highest score first: [(class, score, [left, top, right, bottom])]."""
    model = model or load_model()
    picture = open_picture(path)
    scores, boxes = (result[0] for result in model(to_input(picture)))
    point, label = (scores >= confidence).nonzero(as_tuple=True)
    found, scores = boxes[point], scores[point, label]
    kept = torchvision.ops.batched_nms(found, scores, label, overlap)[:most]
    width, height = letterboxed_size(picture)
    size = PREPROCESSING["crop"]
    start = torch.tensor([(size - width) // 2, (size - height) // 2] * 2)
    scale = torch.tensor([picture.width / width, picture.height / height] * 2)
    limit = torch.tensor([picture.width, picture.height] * 2)
    placed = ((found[kept] - start) * scale).clamp(min=0).minimum(limit)
    return [(CLASSES[c], s, b) for c, s, b in zip(label[kept].tolist(), scores[kept].tolist(), placed.tolist())]


if __name__ == "__main__":
    loaded = load_model()
    for path in sys.argv[1:]:
        print(json.dumps({"file": path, "predictions": [
            {"class": name, "probability": score, "box": corners} for name, score, corners in predict(path, loaded)]}))
