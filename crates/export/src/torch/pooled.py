

class Pooled(nn.Module):
    """CSPNeXt with a linear classifier."""

    def __init__(self, outputs):
        super().__init__()
        self.backbone = CSPNeXt()
        self.head = nn.ModuleDict({"fc": nn.Linear(STAGES[-1][0], outputs)})

    def forward(self, images):
        return self.head["fc"](self.backbone(images)[-1].mean((2, 3)))


def build_network(outputs):
    """The network with this many outputs."""
    return Pooled(outputs)
