"""Small data sets out of the quickstart's emoji: few pictures to train on, all of the other vendor's to validate.

    ./quickstart --data-only
    python3 scripts/few_images.py OUT --categories 'Animals & Nature' 'Food & Drink' --images 50
    python3 scripts/few_images.py OUT --images 5 --wrong-labels 0.4
    python3 scripts/few_images.py OUT --images 60 --rare 6 --rare-in-validation

Each class gets `--images` training pictures, drawn by `--seed`, every second class `--rare` of them; `--wrong-labels` is
the share of them that is put into another class's folder. `--rare-in-validation` leaves those classes as small a share
of their validation pictures. Without `--categories` all eight are taken. OUT must not exist.
"""

import argparse
import pathlib
import random
import shutil


def main():
    """Copies the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--emoji", type=pathlib.Path, default=pathlib.Path("quickstart-data/emoji"))
    parser.add_argument("--categories", nargs="+", help="folders in train/")
    parser.add_argument("--images", type=int, default=50, help="training pictures of a class")
    parser.add_argument("--rare", type=int, help="training pictures of every second class")
    parser.add_argument("--rare-in-validation", action="store_true", help="they are as rare there")
    parser.add_argument("--wrong-labels", type=float, default=0.0, help="share of the training pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.rare is None and arguments.rare_in_validation:
        parser.error("--rare-in-validation goes with --rare")
    if arguments.rare is not None and not 1 <= arguments.rare <= arguments.images:
        parser.error(f"--rare is a number from 1 to --images, {arguments.images}")
    draw = random.Random(arguments.seed)
    train = arguments.emoji / "train"
    categories = arguments.categories or sorted(folder.name for folder in train.iterdir())
    for category in categories:
        (arguments.out / "train" / category).mkdir(parents=True)
        shutil.copytree(arguments.emoji / "val" / category, arguments.out / "val" / category)
    for place, category in enumerate(categories):
        images = arguments.images
        if arguments.rare is not None and place % 2 == 1:
            images = arguments.rare
            if arguments.rare_in_validation:
                validating = sorted((arguments.out / "val" / category).iterdir())
                for picture in validating[len(validating) * images // arguments.images :]:
                    picture.unlink()
        pictures = sorted(picture.name for picture in (train / category).iterdir())
        draw.shuffle(pictures)
        for number, picture in enumerate(pictures[:images]):
            label = category
            if number < arguments.wrong_labels * images:
                label = draw.choice([other for other in categories if other != category])
            target = arguments.out / "train" / label / f"{category[:3]}-{picture}"
            shutil.copy(train / category / picture, target)


main()
