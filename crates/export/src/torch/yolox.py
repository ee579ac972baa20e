

# Factors on the channels and the blocks, and whether larger kernels are depthwise.
WIDE, DEEP, IS_DEPTHWISE = {"yolox_nano": (0.25, 0.33, True), "yolox_tiny": (0.375, 0.33, False)}[NETWORK]
STEM, *STAGES = [int(WIDE * channels) for channels in (64, 128, 256, 512, 1024)]
BLOCKS = max(1, round(DEEP * 3))


class Depthwise(nn.Module):
    """A depthwise 3x3 convolution and a pointwise one."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.dconv = ConvUnit(inputs, inputs, 3, stride, inputs)
        self.pconv = ConvUnit(inputs, outputs)

    def forward(self, x):
        return self.pconv(self.dconv(x))


def convolution(inputs, outputs, stride=1):
    """A 3x3 convolution, or the two that stand for one."""
    return Depthwise(inputs, outputs, stride) if IS_DEPTHWISE else ConvUnit(inputs, outputs, 3, stride)


class Block(nn.Module):
    """A block of a cross-stage partial layer."""

    def __init__(self, channels, adds_input):
        super().__init__()
        self.adds_input = adds_input
        self.conv1 = ConvUnit(channels, channels)
        self.conv2 = convolution(channels, channels)

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return x + y if self.adds_input else y


class CrossStage(nn.Module):
    """Half of the channels go through blocks, the other half past them."""

    def __init__(self, inputs, outputs, blocks=BLOCKS, adds_input=False):
        super().__init__()
        half = outputs // 2
        self.conv1 = ConvUnit(inputs, half)
        self.conv2 = ConvUnit(inputs, half)
        self.conv3 = ConvUnit(2 * half, outputs)
        self.m = nn.Sequential(*(Block(half, adds_input) for _ in range(blocks)))

    def forward(self, x):
        return self.conv3(torch.cat([self.m(self.conv1(x)), self.conv2(x)], 1))


class Focus(nn.Module):
    """Blocks of two by two pixels as pixels of four times the channels, and a convolution."""

    def __init__(self, outputs):
        super().__init__()
        self.conv = ConvUnit(12, outputs, 3)

    def forward(self, x):
        left, right = x[..., ::2], x[..., 1::2]
        return self.conv(torch.cat([left[..., ::2, :], left[..., 1::2, :], right[..., ::2, :], right[..., 1::2, :]], 1))


class Darknet(nn.Module):
    """Maps of an image at strides 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        self.stem = Focus(STEM)
        inputs = STEM
        for number, (outputs, times) in enumerate(zip(STAGES, (1, 3, 3, 1)), 2):
            is_last = number == 5
            layers = [convolution(inputs, outputs, 2), CrossStage(outputs, outputs, times * BLOCKS, not is_last)]
            if is_last:
                layers.insert(1, Pyramid(outputs))
            self.add_module(f"dark{number}", nn.Sequential(*layers))
            inputs = outputs

    def forward(self, images):
        maps, x = [], images
        for stage in self.children():
            x = stage(x)
            maps.append(x)
        return maps[-3:]


class Features(nn.Module):
    """Maps of an image at three strides, each with the knowledge of the others."""

    def __init__(self):
        super().__init__()
        fine, middle, coarse = STAGES[1:]
        self.backbone = Darknet()
        self.lateral_conv0 = ConvUnit(coarse, middle)
        self.C3_p4 = CrossStage(2 * middle, middle)
        self.reduce_conv1 = ConvUnit(middle, fine)
        self.C3_p3 = CrossStage(2 * fine, fine)
        self.bu_conv2 = convolution(fine, fine, 2)
        self.C3_n3 = CrossStage(2 * fine, middle)
        self.bu_conv1 = convolution(middle, middle, 2)
        self.C3_n4 = CrossStage(2 * middle, coarse)

    def forward(self, images):
        fine, middle, coarse = self.backbone(images)
        coarse = self.lateral_conv0(coarse)
        middle = self.reduce_conv1(self.C3_p4(both(middle, coarse)))
        fine = self.C3_p3(both(fine, middle))
        middle = self.C3_n3(torch.cat([self.bu_conv2(fine), middle], 1))
        return fine, middle, self.C3_n4(torch.cat([self.bu_conv1(middle), coarse], 1))


class Head(nn.Module):
    """Scores and boxes of the points of each level."""

    def __init__(self):
        super().__init__()
        width = STAGES[1]

        def predictors(outputs):
            return nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in range(3))

        def convolutions():
            return nn.ModuleList(nn.Sequential(convolution(width, width), convolution(width, width)) for _ in range(3))

        self.stems = nn.ModuleList(ConvUnit(channels, width) for channels in STAGES[1:])
        self.cls_convs, self.reg_convs = convolutions(), convolutions()
        self.cls_preds, self.reg_preds, self.obj_preds = (predictors(outputs) for outputs in (len(CLASSES), 4, 1))

    def forward(self, maps):
        """Logits [batch, points, classes], boxes [batch, points, 4] in strides, and logits of there being an object."""
        maps = [stem(x) for stem, x in zip(self.stems, maps)]
        of_classes = [layers(x) for layers, x in zip(self.cls_convs, maps)]
        of_others = [layers(x) for layers, x in zip(self.reg_convs, maps)]
        results = []
        for predictors, values in ((self.cls_preds, of_classes), (self.reg_preds, of_others), (self.obj_preds, of_others)):
            levels = [predictor(x).flatten(2).transpose(1, 2) for predictor, x in zip(predictors, values)]
            results.append(torch.cat(levels, 1))
        return results


class Model(nn.Module):
    """YOLOX. Its parameters have the names and the shapes that YOLOX has."""

    def __init__(self, state):
        super().__init__()
        self.backbone = Features()
        self.head = Head()
        # warmstart stores a predictor as a linear layer.
        load(self, {name: value[..., None, None] if value.dim() == 2 else value for name, value in state.items()})

    def forward(self, images):
        """Scores [batch, points, classes] and boxes [batch, points, 4] in pixels of the network's input."""
        # The network takes blue, green and red.
        logits, boxes, objects = self.head(self.backbone(images.flip(1)))
        # Points are in the top left corners of their cells.
        corners, strides = points(images.shape[-1], 0)
        centers = corners + boxes[..., :2] * strides
        halves = boxes[..., 2:].clamp(max=8).exp() * strides / 2
        return logits.sigmoid() * objects.sigmoid(), torch.cat([centers - halves, centers + halves], -1)
