

# Factors on the channels and the blocks.
WIDE, DEEP = {"tiny": (0.375, 0.167), "s": (0.5, 0.33)}[NETWORK.rpartition("_")[2]]
STEM = int(WIDE * 64)
# Channels and blocks of each stage.
STAGES = [(int(WIDE * channels), max(1, round(DEEP * blocks)))
          for channels, blocks in ((128, 3), (256, 6), (512, 6), (1024, 3))]


class Depthwise(nn.Module):
    """A depthwise 5x5 convolution and a pointwise one."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise_conv = ConvUnit(channels, channels, 5, groups=channels)
        self.pointwise_conv = ConvUnit(channels, channels)

    def forward(self, x):
        return self.pointwise_conv(self.depthwise_conv(x))


class Block(nn.Module):
    """A block of a cross-stage partial layer."""

    def __init__(self, channels, adds_input):
        super().__init__()
        self.adds_input = adds_input
        self.conv1 = ConvUnit(channels, channels, 3)
        self.conv2 = Depthwise(channels)

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return x + y if self.adds_input else y


class Attention(nn.Module):
    """Channels scaled by a gate that sees the whole image."""

    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * functional.hardsigmoid(self.fc(x.mean((2, 3), keepdim=True)))


class CrossStage(nn.Module):
    """Half of the channels go through blocks, the other half past them."""

    def __init__(self, inputs, outputs, blocks=1, adds_input=False, attends=False):
        super().__init__()
        half = outputs // 2
        self.main_conv = ConvUnit(inputs, half)
        self.short_conv = ConvUnit(inputs, half)
        self.final_conv = ConvUnit(2 * half, outputs)
        self.blocks = nn.Sequential(*(Block(half, adds_input) for _ in range(blocks)))
        self.attention = Attention(2 * half) if attends else nn.Identity()

    def forward(self, x):
        halves = [self.blocks(self.main_conv(x)), self.short_conv(x)]
        return self.final_conv(self.attention(torch.cat(halves, 1)))


class CSPNeXt(nn.Module):
    """Maps of an image at strides 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        half = STEM // 2
        self.stem = nn.Sequential(ConvUnit(3, half, 3, 2), ConvUnit(half, half, 3), ConvUnit(half, STEM, 3))
        inputs = STEM
        for number, (outputs, blocks) in enumerate(STAGES, 1):
            is_last = number == len(STAGES)
            layers = [ConvUnit(inputs, outputs, 3, 2), CrossStage(outputs, outputs, blocks, not is_last, True)]
            if is_last:
                layers.insert(1, Pyramid(outputs))
            self.add_module(f"stage{number}", nn.Sequential(*layers))
            inputs = outputs

    def forward(self, images):
        maps, x = [], images
        for stage in self.children():
            x = stage(x)
            maps.append(x)
        return maps[-3:]
