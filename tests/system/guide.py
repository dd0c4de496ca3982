# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents tell people to type, for the tests that type it."""
import os

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs")


def _read(name):
    with open(f"{DOCS}/{name}", encoding="utf-8") as f:
        return f.read()


def commands(name, section):
    """The indented lines of a section of docs/NAME, without their comments."""
    text = _read(name).split(f"\n## {section}")[1].split("\n## ")[0].replace("\\\n", " ")
    return [l.split(" # ")[0].strip() for l in text.split("\n") if l.startswith("    ")]


def examples_of(page):
    """The commands in the EXAMPLES of a manual page, by its own name."""
    text = _read(f"man/{page}").split(".Sh EXAMPLES")[1].replace("\\e\n", " ")
    return [l for l in text.split("\n") if l.startswith(page.split(".")[0] + " ")]
