

class Neck(nn.Module):
    """Maps at three strides, each with the knowledge of the others."""

    def __init__(self):
        super().__init__()
        fine, middle, coarse = (channels for channels, _ in STAGES[1:])
        self.reduce_layers = nn.ModuleList([ConvUnit(coarse, middle), ConvUnit(middle, fine)])
        self.top_down_blocks = nn.ModuleList([CrossStage(2 * middle, middle), CrossStage(2 * fine, fine)])
        self.downsamples = nn.ModuleList([ConvUnit(fine, fine, 3, 2), ConvUnit(middle, middle, 3, 2)])
        self.bottom_up_blocks = nn.ModuleList([CrossStage(2 * fine, middle), CrossStage(2 * middle, coarse)])
        self.out_convs = nn.ModuleList(ConvUnit(channels, fine, 3) for channels in (fine, middle, coarse))

    def forward(self, maps):
        fine, middle, coarse = maps
        coarse = self.reduce_layers[0](coarse)
        middle = self.reduce_layers[1](self.top_down_blocks[0](both(middle, coarse)))
        fine = self.top_down_blocks[1](both(fine, middle))
        middle = self.bottom_up_blocks[0](torch.cat([self.downsamples[0](fine), middle], 1))
        coarse = self.bottom_up_blocks[1](torch.cat([self.downsamples[1](middle), coarse], 1))
        return [conv(x) for conv, x in zip(self.out_convs, (fine, middle, coarse))]


class Head(nn.Module):
    """Scores and boxes of the points of each level."""

    def __init__(self):
        super().__init__()
        width = STAGES[1][0]

        def predictors(outputs):
            return nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in range(3))

        self.cls_convs, self.reg_convs = self.convolutions(width), self.convolutions(width)
        self.rtm_cls, self.rtm_reg = predictors(len(CLASSES)), predictors(4)

    @staticmethod
    def convolutions(width):
        """Those in front of the predictors of each level, which share all but their batch norms."""
        levels = nn.ModuleList(nn.Sequential(ConvUnit(width, width, 3), ConvUnit(width, width, 3)) for _ in range(3))
        for level in levels[1:]:
            for unit, first in zip(level, levels[0]):
                unit.conv = first.conv
        return levels

    def forward(self, maps):
        """Logits [batch, points, classes], and the distances to the box's sides in strides."""
        results = []
        for convolutions, predictors in ((self.cls_convs, self.rtm_cls), (self.reg_convs, self.rtm_reg)):
            levels = [predictor(before(x)) for x, before, predictor in zip(maps, convolutions, predictors)]
            results.append(torch.cat([values.flatten(2).transpose(1, 2) for values in levels], 1))
        return results


class Model(nn.Module):
    """RTMDet. Its parameters have the names and the shapes that MMDetection has."""

    def __init__(self, state):
        super().__init__()
        self.backbone = CSPNeXt()
        self.neck = Neck()
        self.bbox_head = Head()
        load(self, self.of_every_level(state))

    @staticmethod
    def of_every_level(state):
        """The parameters as this network has them: warmstart stores a predictor as a linear layer, and what levels share
        under the name of the first."""
        state = {name: value[..., None, None] if value.dim() == 2 else value for name, value in state.items()}
        for part in ("bbox_head.cls_convs", "bbox_head.reg_convs"):
            for name, value in under(state, f"{part}.0.").items():
                if name.endswith("conv.weight"):
                    state |= {f"{part}.{level}.{name}": value for level in (1, 2)}
        return state

    def forward(self, images):
        """Scores [batch, points, classes] and boxes [batch, points, 4] in pixels of the network's input."""
        # The network takes blue, green and red.
        logits, sides = self.bbox_head(self.neck(self.backbone(images.flip(1))))
        # Points are in the top left corners of their cells.
        corners, strides = points(images.shape[-1], 0)
        distances = sides * strides
        boxes = torch.cat([corners - distances[..., :2], corners + distances[..., 2:]], -1)
        return logits.sigmoid(), boxes
