#!/usr/bin/env python3
"""Fail when a source line is too wide or a C function too long.

Lines have at most 100 columns, functions at most 70 lines, from the brace
that opens the body to the one that closes it.  clang-format puts both
braces of a function, and of nothing else, in the first column.
"""
import pathlib
import subprocess
import sys

COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
SUFFIXES = {".c", ".h", ".py", ".sh", ".cmake", ".txt"}


def sources(root):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    names = listed.stdout.split("\n") if listed.returncode == 0 else [
        str(path.relative_to(root)) for path in pathlib.Path(root).rglob("*")]
    for name in names:
        path = pathlib.Path(root, name)
        # Data and corpora are not written by hand.
        if path.suffix in SUFFIXES and path.is_file() and "data" not in path.parts \
                and "build" not in path.parts:
            yield path


def complaints(path):
    opened = None
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if len(line) > COLUMNS_MAX:
            yield f"{path}:{number}: {len(line)} columns"
        if path.suffix == ".c" and line == "{":
            opened = number
        elif path.suffix == ".c" and line == "}" and opened is not None:
            if number - opened + 1 > FUNCTION_LINES_MAX:
                yield f"{path}:{opened}: a function of {number - opened + 1} lines"
            opened = None


def main():
    paths = list(sources(sys.argv[1]))
    if len(paths) < 50:
        sys.exit(f"only {len(paths)} sources found below {sys.argv[1]}: nothing was checked")
    found = [complaint for path in paths for complaint in complaints(path)]
    print("\n".join(found) if found else f"{len(paths)} sources keep to the style")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
