

WIDTH = 96


class Unit(nn.Module):
    """Convolution, batch norm and SiLU. Levels that share a convolution have a batch norm each."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, levels=None):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        norms = [nn.BatchNorm2d(outputs) for _ in range(levels or 1)]
        self.norm = nn.ModuleList(norms) if levels else norms[0]

    def forward(self, x, level=None):
        norm = self.norm if level is None else self.norm[level]
        return functional.silu(norm(self.conv(x)))


class Separable(nn.Module):
    """A depthwise 5x5 convolution and a pointwise one, with a batch norm for each level."""

    def __init__(self):
        super().__init__()
        self.depthwise = Unit(WIDTH, WIDTH, 5, groups=WIDTH, levels=3)
        self.pointwise = Unit(WIDTH, WIDTH, levels=3)

    def forward(self, x, level):
        return self.pointwise(self.depthwise(x, level), level)


class Merge(nn.Module):
    """Two maps merged into one."""

    def __init__(self):
        super().__init__()
        half = WIDTH // 2
        self.reduce = Unit(2 * WIDTH, half)
        self.spatial = Unit(half, half, 3)
        self.depthwise = Unit(half, half, 5, groups=half)
        self.pointwise = Unit(half, half)
        self.short = Unit(2 * WIDTH, half)
        self.merge = Unit(WIDTH, WIDTH)

    def forward(self, *maps):
        both = torch.cat(maps, 1)
        main = self.pointwise(self.depthwise(self.spatial(self.reduce(both))))
        return self.merge(torch.cat([main, self.short(both)], 1))


class Neck(nn.Module):
    """Features at three strides, each with the knowledge of the others."""

    def __init__(self, channels):
        super().__init__()
        self.lateral = nn.ModuleList(Unit(inputs, WIDTH) for inputs in channels)
        self.top_down = nn.ModuleList([Merge(), Merge()])
        self.down = nn.ModuleList([Unit(WIDTH, WIDTH, 3, 2), Unit(WIDTH, WIDTH, 3, 2)])
        self.bottom_up = nn.ModuleDict({"1": Merge(), "2": Merge()})

    def forward(self, features):
        fine, middle, coarse = (lateral(x) for lateral, x in zip(self.lateral, features))
        middle = self.top_down[1](middle, functional.interpolate(coarse, scale_factor=2))
        fine = self.top_down[0](fine, functional.interpolate(middle, scale_factor=2))
        middle = self.bottom_up["1"](middle, self.down[0](fine))
        coarse = self.bottom_up["2"](coarse, self.down[1](middle))
        return fine, middle, coarse


class Head(nn.Module):
    """Scores and boxes of the points of each level."""

    def __init__(self):
        super().__init__()
        self.classes = nn.ModuleList([Separable(), Separable()])
        self.boxes = nn.ModuleList([Separable(), Separable()])
        self.class_predictor = nn.Linear(WIDTH, len(CLASSES))
        self.box_predictor = nn.Linear(WIDTH, 4)

    def forward(self, maps):
        """Logits [batch, points, classes], and the logarithms of the distances to the box's sides in strides."""
        logits, sides = [], []
        for layers, predictor, results in ((self.classes, self.class_predictor, logits),
                                           (self.boxes, self.box_predictor, sides)):
            for level, x in enumerate(maps):
                for layer in layers:
                    x = layer(x, level)
                results.append(predictor(x.flatten(2).transpose(1, 2)))
        return torch.cat(logits, 1), torch.cat(sides, 1)


class LastRead(Exception):
    """The network has computed everything that is read of it."""


class Model(nn.Module):
    """A backbone of which three maps are read, neck and head."""

    def __init__(self, state):
        super().__init__()
        parts = ("neck.", "head.")
        own = {name: value for name, value in state.items() if not name.startswith(parts)}
        # A classifier's last layers have no parameters in a detector, and are not computed.
        self.backbone = load(build_network(1), own, partly=True)
        self.reader = Reader(self.backbone, {tap: (tap, "output") for tap in TAPS})
        self.backbone.get_submodule(TAPS[-1]).register_forward_hook(self.stop)
        channels = [state[f"neck.lateral.{level}.conv.weight"].shape[1] for level in range(3)]
        self.neck = load(Neck(channels), under(state, "neck."))
        self.head = load(Head(), under(state, "head."))
        self.eval()

    @staticmethod
    def stop(*_):
        raise LastRead

    def forward(self, images):
        """Scores [batch, points, classes] and boxes [batch, points, 4] in pixels of the network's input."""
        try:
            self.backbone(images)
        except LastRead:
            pass
        logits, sides = self.head(self.neck([self.reader.values[tap] for tap in TAPS]))
        # Points are in the middle of their cells.
        centers, strides = points(images.shape[-1], 0.5)
        distances = sides.clamp(max=8).exp() * strides
        boxes = torch.cat([centers - distances[..., :2], centers + distances[..., 2:]], -1)
        return logits.sigmoid(), boxes
