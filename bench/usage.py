"""Command lines of the programs of this folder."""
import argparse
import sys

USAGE = 64  # EX_USAGE, as all of the project's programs have it


class Parser(argparse.ArgumentParser):
    """Ends with 64, and not with argparse's 2, where an option is wrong."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}\n")
