

class ConvUnit(nn.Module):
    """Convolution, batch norm and SiLU."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x):
        return functional.silu(self.bn(self.conv(x)))


class Pyramid(nn.Module):
    """A map beside the largest values around each pixel, in windows of three sizes."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvUnit(channels, channels // 2)
        self.conv2 = ConvUnit(2 * channels, channels)

    def forward(self, x):
        x = self.conv1(x)
        largest = [functional.max_pool2d(x, size, 1, size // 2) for size in (5, 9, 13)]
        return self.conv2(torch.cat([x, *largest], 1))


def both(x, coarse):
    """A map and a coarser one, as one."""
    return torch.cat([functional.interpolate(coarse, scale_factor=2), x], 1)
