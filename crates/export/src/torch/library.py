

def build_network(outputs):
    """The network as its library makes it, with this many outputs and the constants that it was trained with."""
    if LIBRARY == "timm":
        network = timm.create_model(NETWORK, num_classes=outputs)
    else:
        network = getattr(torchvision.models, NETWORK)(weights=None, num_classes=outputs)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            module.eps = EPSILON
        if SAME_PADDING and isinstance(module, nn.Conv2d) and max(module.stride) > 1:
            module.padding = (0, 0)
            module.register_forward_pre_hook(pad_same)
    return network


def pad_same(conv, inputs):
    """TensorFlow's SAME padding in front of a convolution: an odd row or column goes to the end."""
    pads = []
    for size, kernel, stride in zip(inputs[0].shape[:1:-1], conv.kernel_size[::-1], conv.stride[::-1]):
        whole = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [whole // 2, whole - whole // 2]
    return functional.pad(inputs[0], pads)
