

def open_picture(path):
    """The picture of a file as warmstart decodes it: turned upright, on white where it is transparent, RGB."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def fit(picture):
    """The picture in the square that the network sees."""
    size = PREPROCESSING["crop"]
    resampling = Image.Resampling[PREPROCESSING["interpolation"].upper()]
    if PREPROCESSING["fit"] == "squash":
        return picture.resize((size, size), resampling)
    if PREPROCESSING["fit"] == "letterbox":
        canvas = Image.new("RGB", (size, size), (114, 114, 114))
        width, height = letterboxed_size(picture)
        canvas.paste(picture.resize((width, height), resampling), ((size - width) // 2, (size - height) // 2))
        return canvas
    shorter = min(picture.size)
    picture = picture.resize([PREPROCESSING["resize"] * side // shorter for side in picture.size], resampling)
    left, top = (round((side - size) / 2) for side in picture.size)
    return picture.crop((left, top, left + size, top + size))


def letterboxed_size(picture):
    """Width and height of a picture in the square, the longer of which fills it."""
    scale = PREPROCESSING["crop"] / max(picture.size)
    return [max(1, int(side * scale + 0.5)) for side in picture.size]


def to_input(picture):
    """The network's input of a picture, [1, 3, size, size]."""
    pixels = torch.from_numpy(numpy.array(fit(picture))).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(PREPROCESSING[key]).view(3, 1, 1) for key in ("mean", "std"))
    return ((pixels - mean) / std)[None]


def load(module, state, partly=False):
    """Loads parameters by their names; all of them have to be used, and, unless `partly`, all have to be there."""
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if unexpected or missing and not partly:
        raise ValueError(f"missing: {missing}; unexpected: {unexpected}")
    return module.eval()


def under(state, prefix):
    """The part of the parameters whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


class Reader:
    """Keeps values inside a network while it runs: what comes out of modules, and what goes into others."""

    def __init__(self, network, places):
        self.values = {}
        for place, (module, side) in places.items():
            module = network.get_submodule(module)
            if side == "input":
                module.register_forward_pre_hook(lambda _, inputs, place=place: self.keep(place, inputs[0]))
            else:
                module.register_forward_hook(lambda _, inputs, output, place=place: self.keep(place, output))

    def keep(self, place, value):
        self.values[place] = value
