

class Attention(nn.Module):
    """Tokens that look at each other, in several heads."""

    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=TRANSFORMER["qkv_bias"])
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        heads = TRANSFORMER["heads"]
        of_heads = self.qkv(x).reshape(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*of_heads)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Perceptron(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A factor for each channel."""

    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.gamma


class Block(nn.Module):
    """Attention and a perceptron, each added to what goes into it."""

    def __init__(self, width):
        super().__init__()
        scale = LayerScale if TRANSFORMER["layer_scale"] else nn.Identity
        self.norm1 = nn.LayerNorm(width, EPSILON)
        self.attn = Attention(width)
        self.ls1 = scale(width)
        self.norm2 = nn.LayerNorm(width, EPSILON)
        self.mlp = Perceptron(width, TRANSFORMER["hidden"])
        self.ls2 = scale(width)

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Pool(nn.Module):
    """One vector of all tokens: the mean of the class tokens, that of the patches, or both, one after the other."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        class_tokens = x[:, :len(TRANSFORMER["class_tokens"])].mean(1)
        patches = x[:, TRANSFORMER["prefix"]:].mean(1)
        return {"class": class_tokens, "mean": patches, "both": torch.cat([class_tokens, patches], 1)}[self.kind]


class Transformer(nn.Module):
    """A vision transformer with a linear classifier."""

    # What a head on several layers reads of a block's tokens.
    pool_tokens = Pool("both")

    def __init__(self, outputs):
        super().__init__()
        width, patch = TRANSFORMER["width"], TRANSFORMER["patch"]
        self.before = list(TRANSFORMER["class_tokens"])
        for name in self.before:
            self.register_parameter(name, nn.Parameter(torch.zeros(1, 1, width)))
        if TRANSFORMER["registers"]:
            name, count = TRANSFORMER["registers"]
            self.before.append(name)
            self.register_parameter(name, nn.Parameter(torch.zeros(1, count, width)))
        rows, columns = TRANSFORMER["grid"]
        positions = TRANSFORMER["positions_before_grid"] + rows * columns
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.Sequential(*(Block(width) for _ in range(TRANSFORMER["blocks"])))
        self.norm = nn.LayerNorm(width, EPSILON)
        self.pool = Pool(TRANSFORMER["pool"])
        self.head = nn.Linear(width * (2 if self.pool.kind == "both" else 1), outputs)

    def positions(self, grid):
        """The positions of class tokens, and those of the patches in a grid of rows and columns."""
        count, before = TRANSFORMER["positions_before_grid"], TRANSFORMER["grid"]
        of_class, of_patches = self.pos_embed[:, :count], self.pos_embed[:, count:]
        if grid == before:
            return of_class, of_patches
        maps = of_patches.reshape(1, *before, -1).permute(0, 3, 1, 2)
        if TRANSFORMER["antialias"]:
            maps = functional.interpolate(maps, size=grid, mode="bicubic", antialias=True)
        else:
            # As DINOv2's own code does it.
            factors = [(now + 0.1) / then for now, then in zip(grid, before)]
            maps = functional.interpolate(maps, scale_factor=factors, mode="bicubic")
        return of_class, maps.flatten(2).transpose(1, 2)

    def forward(self, images):
        """Outputs [batch, outputs] for images [batch, 3, height, width], multiples of a patch."""
        maps = self.patch_embed["proj"](images)
        of_class, of_patches = self.positions(list(maps.shape[2:]))
        before = torch.cat([getattr(self, name) for name in self.before], 1)
        # The first tokens are those that have positions.
        before = before + functional.pad(of_class, (0, 0, 0, before.shape[1] - of_class.shape[1]))
        patches = maps.flatten(2).transpose(1, 2) + of_patches
        x = torch.cat([before.expand(len(images), -1, -1), patches], 1)
        return self.head(self.pool(self.norm(self.blocks(x))))


def build_network(outputs):
    """The network with this many outputs."""
    return Transformer(outputs)
