#!/usr/bin/env python3
"""Build an image classification data set from two npm packages of emoji pictures.

Each emoji is drawn by several vendors. One vendor's pictures are the training set and
the other's the validation set, so that a model has to recognise the thing and not the
drawing:

    OUT/train/<category>/*.png   Google's pictures
    OUT/val/<category>/*.png     Twitter's pictures of the same emoji

The categories are those of the packages' emoji.json, without Component (skin tones and
hair) and Flags: 8 categories, 1,636 pictures a vendor, 64 x 64 pixels. Variations in skin
colour are left out.

    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
    mkdir google twitter
    tar -xzf emoji-datasource-google-16.0.0.tgz -C google
    tar -xzf emoji-datasource-twitter-16.0.0.tgz -C twitter
    python3 scripts/emoji_dataset.py --google google --twitter twitter --out emoji

Needs nothing but Python's standard library. Run again, it completes what is missing.
"""

import argparse
import filecmp
import json
import os
import shutil
import sys
from pathlib import Path

LEFT_OUT = {"Component", "Flags"}
VENDORS = ("google", "twitter")


class DatasetError(Exception):
    """What is wrong, with the mend, in one line."""


def package_folder(folder, vendor):
    """The folder that holds the package's emoji.json: `folder`, or `package` inside it."""
    for candidate in (folder, folder / "package"):
        if (candidate / "emoji.json").is_file():
            return candidate
    raise DatasetError(
        f"{folder}: no emoji.json here or in package/; "
        f"unpack the npm package emoji-datasource-{vendor} into it"
    )


def read_emoji(package):
    """The entries of a package's emoji.json."""
    path = package / "emoji.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path}: not valid JSON ({error}); unpack the package again") from error


def pictures_by_category(emoji):
    """Category name -> sorted file names of the emoji that both vendors have drawn."""
    pictures = {}
    for entry in emoji:
        drawn_by_both = all(entry[f"has_img_{vendor}"] for vendor in VENDORS)
        if drawn_by_both and entry["category"] not in LEFT_OUT:
            pictures.setdefault(entry["category"], []).append(entry["image"])
    return {category: sorted(names) for category, names in sorted(pictures.items())}


def select(pictures, categories, limit):
    """The wanted categories, each cut to `limit` pictures spread evenly over its names."""
    wanted = categories or list(pictures)
    unknown = [category for category in wanted if category not in pictures]
    if unknown:
        raise DatasetError(
            f"no category {unknown[0]!r}; choose from: " + ", ".join(map(repr, pictures))
        )
    return {category: spread(pictures[category], limit) for category in sorted(set(wanted))}


def spread(names, limit):
    """`limit` of the names at even distances, or all of them."""
    if limit is None or limit >= len(names):
        return names
    return [names[index * len(names) // limit] for index in range(limit)]


def refuse_strangers(split, selected):
    """Fail if the split holds files of another selection: they would be trained on too."""
    if not split.exists():
        return
    wanted = {split / category / name for category, names in selected.items() for name in names}
    strangers = sorted(
        path for path in split.rglob("*") if not path.is_dir() and path not in wanted
    )
    if strangers:
        raise DatasetError(
            f"{split} holds {len(strangers)} files that do not belong to this selection, "
            f"such as {strangers[0]}; delete the folder or give another --out"
        )


def place(source, target):
    """Make `target` the same file as `source`, or a copy of it; False if it was there."""
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        return False
    temporary = target.with_suffix(".part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    return True


def build_split(split, pictures_folder, selected):
    """Fill one split; returns how many of its files were not there before."""
    for leftover in split.rglob("*.part"):
        leftover.unlink()
    refuse_strangers(split, selected)
    added = 0
    for category, names in selected.items():
        (split / category).mkdir(parents=True, exist_ok=True)
        for name in names:
            source = pictures_folder / name
            if not source.is_file():
                raise DatasetError(f"{source} is missing; unpack the package again")
            added += place(source, split / category / name)
    return added


def build(arguments):
    """Build both splits and say what is in them."""
    packages = {
        "google": package_folder(arguments.google, "google"),
        "twitter": package_folder(arguments.twitter, "twitter"),
    }
    pictures = pictures_by_category(read_emoji(packages["google"]))
    selected = select(pictures, arguments.categories, arguments.limit)
    vendors = reversed(VENDORS) if arguments.swap else VENDORS
    for name, vendor in zip(("train", "val"), vendors):
        split = arguments.out / name
        added = build_split(split, packages[vendor] / "img" / vendor / "64", selected)
        total = sum(map(len, selected.values()))
        print(f"{split}: {total} images in {len(selected)} classes from {vendor} ({added} new)")
    for category, names in selected.items():
        print(f"  {len(names):4}  {category}")


def positive(text):
    """An argument that counts something."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def add_package_arguments(parser):
    """The flags that name the unpacked packages."""
    parser.add_argument("--google", type=Path, required=True, metavar="DIR",
                        help="emoji-datasource-google, unpacked")
    parser.add_argument("--twitter", type=Path, required=True, metavar="DIR",
                        help="emoji-datasource-twitter, unpacked")


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Build an image classification data set of emoji, by category.",
        epilog="Example: %(prog)s --google google --twitter twitter --out emoji",
    )
    add_package_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="where train/ and val/ are made")
    parser.add_argument("--swap", action="store_true",
                        help="train on twitter's pictures, validate on google's")
    parser.add_argument("--categories", nargs="+", metavar="NAME",
                        help="only these, such as 'Food & Drink' 'Activities'")
    parser.add_argument("--limit", type=positive, metavar="N",
                        help="at most N pictures of each category in each split")
    return parser.parse_args()


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
