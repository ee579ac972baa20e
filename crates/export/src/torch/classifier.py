

class Classifier(nn.Module):
    """A network with its own classifier, or with a linear head on the means of several of its layers."""

    def __init__(self, state):
        super().__init__()
        several = under(state, "multi_head.")
        # The pictures under known. tell warmstart what is unlike them; a network does without.
        beside = ("multi_head.", "known.")
        own = {name: value for name, value in state.items() if not name.startswith(beside)}
        self.network = load(build_network(len(CLASSES)), own)
        self.layers = [name.removesuffix(".weight") for name in several if name.endswith(".weight")]
        if self.layers:
            self.reader = Reader(self.network, {layer: LAYERS[layer] for layer in self.layers})
            weight = torch.cat([several[f"{layer}.weight"] for layer in self.layers], 1)
            self.head = nn.Linear(weight.shape[1], len(CLASSES))
            load(self.head, {"weight": weight, "bias": several["bias"]})

    def forward(self, images):
        """Logits [batch, classes]."""
        logits = self.network(images)
        if not self.layers:
            return logits
        values = [self.reader.values[layer] for layer in self.layers]
        return self.head(torch.cat([self.mean(value) for value in values], 1))

    def mean(self, value):
        """The mean over the picture, [batch, features]: of tokens, that of class tokens and that of patches."""
        if value.dim() == 3:
            return self.network.pool_tokens(value)
        return value.mean((2, 3)) if value.dim() == 4 else value


class Model(nn.Module):
    """One classifier, or two, whose probabilities are averaged."""

    def __init__(self, state):
        super().__init__()
        frozen = under(state, "frozen_top.")
        own = {name: value for name, value in state.items() if not name.startswith("frozen_top.")}
        self.models = nn.ModuleList([Classifier(own)])
        if frozen:
            # The lower layers of both are the same.
            shared = {name: value for name, value in own.items() if not name.startswith("multi_head.")}
            self.models.append(Classifier({**shared, **frozen}))
        self.eval()

    def forward(self, images):
        """Probabilities [batch, classes]."""
        return torch.stack([model(images).softmax(1) for model in self.models]).mean(0)


def load_model():
    """The trained model, in evaluation mode."""
    return Model(load_file(Path(__file__).with_name("model.safetensors")))


@torch.inference_mode()
def predict(path, model=None):
    """The probability of each class for a picture, the highest first: [(class, probability)]."""
    model = model or load_model()
    probabilities = model(to_input(open_picture(path)))[0].tolist()
    return sorted(zip(CLASSES, probabilities), key=lambda pair: -pair[1])


if __name__ == "__main__":
    loaded = load_model()
    for path in sys.argv[1:]:
        print(json.dumps({"file": path, "predictions": [
            {"class": name, "probability": probability} for name, probability in predict(path, loaded)]}))
