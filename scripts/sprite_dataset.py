#!/usr/bin/env python3
"""Draw an object detection data set: emoji pasted on made backgrounds, in COCO's layout.

    OUT/train/*.jpg   OUT/annotations/instances_train.json
    OUT/val/*.jpg     OUT/annotations/instances_val.json

The classes are the eight categories that emoji_dataset.py takes from the packages, or some of them
(--categories), each of so many things (--things), with all their drawings (both vendors', and man,
woman and person). Both splits show the same things, on other backgrounds, at other sizes and tilts,
covered by others.

An image has one to eight sprites, or none (3%), each 24 to 200 pixels long (at --size 320), then
tilted by at most 20 degrees; later ones may cover earlier ones. A box encloses what of its sprite
is to be seen (alpha of at least a half, inside the image, not covered), and is left out if that is
less than a quarter of the sprite.

    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
    mkdir google twitter
    tar -xzf emoji-datasource-google-16.0.0.tgz -C google
    tar -xzf emoji-datasource-twitter-16.0.0.tgz -C twitter
    python3 scripts/sprite_dataset.py --google google --twitter twitter --out sprites

Needs Pillow. An image depends on the seed, the categories, its split and its number alone; the same
version of Pillow writes the same bytes. The things of a category depend on the seed alone.
"""

import argparse
import colorsys
import json
import math
import random
import shutil
import sys
from pathlib import Path

from emoji_dataset import (VENDORS, DatasetError, add_package_arguments, package_folder,
                           pictures_by_category, positive, read_emoji, select)
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

# A sprite's longest side, as a share of the image's nominal size.
SMALLEST, LARGEST = 24 / 320, 200 / 320
MOST_SPRITES = 8
EMPTY_SHARE = 0.03
FEWEST_VISIBLE = 0.25
MOST_TILT = 20
# Plain squares and discs: the backgrounds are full of them.
LEFT_OUT = {"geometric"}
# Grains of the noise in pixels, and how much of the picture it may make up.
NOISE = ((1, 0.1), (4, 0.12), (12, 0.2), (50, 0.4))
# Parts of a file name that tell apart drawings of one thing: man, woman or person, and direction.
PEOPLE = {"1f468", "1f469", "1f9d1"}
VARIATIONS = {"200d", "2640", "2642", "27a1", "fe0f"}


class Draws(random.Random):
    """Random numbers made from `random()` alone, the one method whose sequence Python promises."""

    def between(self, low, high):
        """A number in [low, high)."""
        return low + (high - low) * self.random()

    def whole(self, low, high):
        """A whole number from low to high, both included."""
        return low + int(self.random() * (high - low + 1))

    def pick(self, items):
        """One of the items."""
        return items[self.whole(0, len(items) - 1)]

    def color(self, saturation=1.0):
        """Any hue, from dark to light, at most so saturated."""
        red, green, blue = colorsys.hsv_to_rgb(self.random(), saturation * self.random(),
                                               self.between(0.15, 1))
        return round(255 * red), round(255 * green), round(255 * blue)


def thing(name):
    """What a picture shows, whoever drew it and whichever person does it."""
    codes = Path(name).stem.split("-")
    kept = ["person" if code in PEOPLE else code for code in codes if code not in VARIATIONS]
    # Of a sign such as the female one nothing would be left.
    return "-".join(kept) or name


def pictures_of_some(pictures, count, seed):
    """Category -> file names, of `count` things each."""
    chosen = {}
    for category, names in pictures.items():
        things = sorted({thing(name) for name in names})
        draws = Draws(f"{seed}/{category}")
        kept = set(sorted(things, key=lambda _: draws.random())[:count])
        chosen[category] = [name for name in names if thing(name) in kept]
    return chosen


def opaque(picture):
    """A mask of 0 and 255: where alpha is at least a half."""
    return picture.getchannel("A").point(lambda alpha: 255 if alpha >= 128 else 0)


def area(mask):
    """The pixels of a mask that are set."""
    return mask.histogram()[255]


class Sprites:
    """The emoji, read when first needed."""

    def __init__(self, folders, names_by_category):
        self.folders = folders
        self.names = names_by_category
        self.categories = list(names_by_category)
        self.read = {}

    def original(self, draws, category):
        """A drawing of a thing of the category, cut to what is opaque."""
        path = draws.pick(self.folders) / draws.pick(self.names[category])
        if path not in self.read:
            if not path.is_file():
                raise DatasetError(f"{path} is missing; unpack the package again")
            picture = Image.open(path).convert("RGBA")
            self.read[path] = picture.crop(opaque(picture).getbbox())
        return self.read[path]

    def sprite(self, draws, category, size):
        """A drawing whose longest side is `size`, then tilted, lighter or darker, more or less colourful."""
        original = self.original(draws, category)
        scale = size / max(original.size)
        sides = [max(2, round(scale * side)) for side in original.size]
        picture = original.resize(sides, Image.LANCZOS)
        picture = picture.rotate(draws.between(-MOST_TILT, MOST_TILT), Image.BICUBIC, expand=True)
        alpha = picture.getchannel("A")
        colors = ImageEnhance.Brightness(picture.convert("RGB")).enhance(draws.between(0.75, 1.15))
        colors = ImageEnhance.Color(colors).enhance(draws.between(0.6, 1.2))
        colors.putalpha(alpha)
        return colors.crop(opaque(colors).getbbox())


def gradient(draws, size):
    """From one colour to another, along a line or outwards."""
    side = max(size)
    if draws.random() < 0.6:
        ramp = Image.linear_gradient("L").rotate(draws.between(0, 360), Image.BILINEAR, expand=True)
    else:
        ramp = Image.radial_gradient("L")
    # The middle half: a rotated ramp has empty corners.
    edge = ramp.width // 4
    ramp = ramp.crop((edge, edge, ramp.width - edge, ramp.height - edge))
    ramp = ramp.resize((side, side), Image.BICUBIC).crop((0, 0, *size))
    return Image.composite(Image.new("RGB", size, draws.color(0.8)),
                           Image.new("RGB", size, draws.color(0.8)), ramp)


def noise(draws, size, cell):
    """One channel of noise whose grains are about `cell` pixels."""
    width, height = (side // cell + 2 for side in size)
    grains = draws.getrandbits(8 * width * height).to_bytes(width * height, "little")
    grown = Image.frombytes("L", (width, height), grains)
    return grown.resize((width * cell, height * cell), Image.BICUBIC).crop((0, 0, *size))


def stripes(draws, size):
    """A mask of parallel bands."""
    side = 2 * max(size)
    period = draws.between(8, 60)
    width = period * draws.between(0.2, 0.7)
    mask = Image.new("L", (side, side))
    pencil = ImageDraw.Draw(mask)
    for band in range(int(side / period) + 1):
        pencil.rectangle((band * period, 0, band * period + width, side), fill=255)
    mask = mask.rotate(draws.between(0, 180), Image.BILINEAR)
    corner = (side - max(size)) // 2
    return mask.crop((corner, corner, corner + size[0], corner + size[1]))


def shapes(draws, picture):
    """Discs, rectangles, polygons and lines, so that not every edge belongs to a sprite."""
    pencil = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(draws.whole(3, 14)):
        x, y = draws.between(0, width), draws.between(0, height)
        reach = draws.between(0.03, 0.25) * width
        fill = draws.color(0.9)
        corners = [(x + reach * math.cos(angle), y + reach * math.sin(angle))
                   for angle in sorted(draws.between(0, 2 * math.pi) for _ in range(draws.whole(3, 6)))]
        kind = draws.whole(0, 3)
        if kind == 0:
            pencil.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)
        elif kind == 1:
            tall = reach * draws.between(0.3, 1.5)
            pencil.rectangle((x - reach, y - tall, x + reach, y + tall), fill=fill)
        elif kind == 2:
            pencil.polygon(corners, fill=fill)
        else:
            pencil.line(corners, fill=fill, width=draws.whole(1, 6))


def background(draws, size):
    """A gradient, often with stripes or shapes, under noise of several grains."""
    picture = gradient(draws, size)
    if draws.random() < 0.35:
        band = Image.new("RGB", size, draws.color(0.8))
        mask = stripes(draws, size)
        picture = Image.composite(band, picture, ImageEnhance.Brightness(mask).enhance(draws.between(0.2, 0.9)))
    if draws.random() < 0.55:
        shapes(draws, picture)
    if draws.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(draws.between(0.5, 4)))
    for cell, strongest in NOISE:
        if draws.random() < 0.6:
            grains = Image.merge("RGB", [noise(draws, size, cell) for _ in range(3)])
            picture = Image.blend(picture, grains, draws.between(0.02, strongest))
    return picture


def position(draws, size, mask, taken):
    """Where to put a sprite: of one to four random places, the one that covers the least."""
    places = []
    for _ in range(draws.whole(1, 4)):
        # Up to a fifth of the sprite may lie outside.
        x, y = (round(draws.between(-0.2 * part, whole - 0.8 * part))
                for part, whole in zip(mask.size, size))
        window = taken.crop((x, y, x + mask.width, y + mask.height))
        places.append((area(ImageChops.multiply(window, mask)), x, y))
    return min(places)[1:]


def draw_image(draws, sprites, nominal):
    """An image and its objects, as pairs of a category and a box (left, top, width, height)."""
    size = (draws.whole(nominal, nominal * 5 // 4), draws.whole(nominal, nominal * 9 // 8))
    picture = background(draws, size)
    count = 0 if draws.random() < EMPTY_SHARE else draws.whole(1, MOST_SPRITES)
    taken = Image.new("L", size)
    placed = []
    for _ in range(count):
        category = draws.pick(sprites.categories)
        side = nominal * SMALLEST * (LARGEST / SMALLEST) ** draws.random()
        sprite = sprites.sprite(draws, category, side)
        mask = opaque(sprite)
        corner = position(draws, size, mask, taken)
        whole = Image.new("L", size)
        whole.paste(mask, corner)
        for earlier in placed:
            earlier["visible"] = ImageChops.subtract(earlier["visible"], whole)
        taken = ImageChops.lighter(taken, whole)
        picture.paste(sprite, corner, sprite)
        placed.append({"category": category, "area": area(mask), "visible": whole})
    objects = []
    for sprite in placed:
        if area(sprite["visible"]) >= FEWEST_VISIBLE * sprite["area"]:
            left, top, right, bottom = sprite["visible"].getbbox()
            objects.append((sprite["category"], [left, top, right - left, bottom - top]))
    return picture, objects


def build_split(out, split, count, sprites, arguments):
    """Draw one split; returns the number of its objects."""
    (out / split).mkdir()
    images, annotations = [], []
    for number in range(1, count + 1):
        draws = Draws(f"{arguments.seed}/{split}/{number}")
        picture, objects = draw_image(draws, sprites, arguments.size)
        name = f"{number:06}.jpg"
        picture.save(out / split / name, quality=draws.whole(75, 95))
        images.append({"id": number, "file_name": name, "width": picture.width, "height": picture.height})
        for category, box in objects:
            annotations.append({"id": len(annotations) + 1, "image_id": number,
                                "category_id": sprites.categories.index(category) + 1,
                                "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": index, "name": name} for index, name in enumerate(sprites.categories, 1)]
    (out / "annotations" / f"instances_{split}.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories}) + "\n",
        encoding="utf-8")
    return len(annotations)


def build(arguments):
    """Draw both splits beside OUT and move them there when they are whole."""
    if arguments.out.exists():
        raise DatasetError(f"{arguments.out} is there already; delete it or give another --out")
    packages = {"google": package_folder(arguments.google, "google"),
                "twitter": package_folder(arguments.twitter, "twitter")}
    folders = [packages[vendor] / "img" / vendor / "64" for vendor in VENDORS]
    emoji = [entry for entry in read_emoji(packages["google"]) if entry["subcategory"] not in LEFT_OUT]
    wanted = select(pictures_by_category(emoji), arguments.categories, limit=None)
    pictures = pictures_of_some(wanted, arguments.things, arguments.seed)
    unfinished = arguments.out.with_name(arguments.out.name + ".part")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    (unfinished / "annotations").mkdir(parents=True)
    sprites = Sprites(folders, pictures)
    for split, count in (("train", arguments.train), ("val", arguments.val)):
        objects = build_split(unfinished, split, count, sprites, arguments)
        print(f"{arguments.out / split}: {count} images, {objects} objects of {len(pictures)} classes, "
              f"drawn from {sum(map(len, pictures.values()))} emoji")
    unfinished.rename(arguments.out)


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Draw an object detection data set of emoji on made backgrounds, in COCO's layout.",
        epilog="Example: %(prog)s --google google --twitter twitter --out sprites",
    )
    add_package_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="where train/, val/ and annotations/ are made; must not exist")
    parser.add_argument("--train", type=positive, default=800, metavar="N",
                        help="training images (800)")
    parser.add_argument("--val", type=positive, default=200, metavar="N",
                        help="validation images (200)")
    parser.add_argument("--categories", nargs="+", metavar="NAME",
                        help="only these, such as 'Food & Drink' 'Activities' (all)")
    parser.add_argument("--things", type=positive, default=20, metavar="N",
                        help="things of each class (20)")
    parser.add_argument("--size", type=positive, default=320, metavar="PIXELS",
                        help="the least width and height; the most is 5/4 and 9/8 of it (320)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other images (0)")
    arguments = parser.parse_args()
    if arguments.size < 64:
        parser.error(f"--size: expected at least 64 pixels, found {arguments.size}")
    return arguments


def main():
    """Run, and turn a problem into one line and exit code 1."""
    try:
        build(parse_arguments())
    except (DatasetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
