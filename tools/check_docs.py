#!/usr/bin/env python3
"""usage: check_docs.py ROOT

Fails when docs/rfc says something else than the headers: the table of errors
(common/error.h), the table of limits (common/limits.h), the layouts of head,
topology and report (the comments of wire/head.h, wire/topology.h and
wire/report.h), and the intervals and graces in the rules.  A table that is not
found is a failure too, since then nothing was compared.
"""
import ast
import operator
import pathlib
import re
import sys

CLIENT_RFC = "docs/rfc/1-client-protocol.md"
HOP_RFC = "docs/rfc/2-hop-protocol.md"
ROWS_MIN = 10  # no table here is shorter


def product(text):
    """The value of a limit: an integer, or a product of integers."""
    def value(node):
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return operator.mul(value(node.left), value(node.right))
        raise ValueError(text)
    return value(ast.parse(re.sub(r"(\d)[uU]\b", r"\1", text), mode="eval").body)


def header_errors(root):
    text = (root / "common/error.h").read_text()
    found = re.findall(r'X\((\w+), (\d+), (\w+), "([^"]*)"\)', text)
    return [(name, value, retry.lower(), meaning) for name, value, retry, meaning in found
            if name != "OK"]


def header_limits(root):
    text = (root / "common/limits.h").read_text()
    found = re.findall(r"^#define PCL_(\w+)[ \t]+(\(?\d[^/\n]*)", text, re.M)
    return [(name, str(product(value.strip()))) for name, value in found]


def header_layout(root, path):
    """(offset, size, name) of the rows in the comment at the top of a header."""
    comment = (root / path).read_text().split("*/")[0]
    return re.findall(r"^ \*\s+(\d+|\.)\s+(\d+|[nmk])\s+(\w+)\b", comment, re.M)


def table(root, path, heading):
    """The rows of the table under this line of headings, as tuples of cells."""
    lines = (root / path).read_text().splitlines()
    if heading not in lines:
        return []
    rows = []
    for line in lines[lines.index(heading) + 2:]:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")))
    return rows


def layouts(root):
    """Tables of offset and size in the hop RFC, in their order."""
    lines = (root / HOP_RFC).read_text().splitlines()
    found = []
    for number, line in enumerate(lines):
        if line == "| offset | size | field | holds |":
            rows = []
            for row in lines[number + 2:]:
                if not row.startswith("|"):
                    break
                cells = [cell.strip().strip("`") for cell in row.strip("|").split("|")]
                rows.append(tuple(cells[:3]))
            found.append(rows)
    return found


def compare(name, written, real):
    if len(written) < ROWS_MIN or len(real) < ROWS_MIN:
        yield f"{name}: {len(written)} rows written, {len(real)} in the header: nothing to compare"
        return
    for row in written:
        if row not in real:
            yield f"{name}: written, but not in the header: {' | '.join(row)}"
    for row in real:
        if row not in written:
            yield f"{name}: in the header, but not written: {' | '.join(row)}"
    if sorted(written) == sorted(real) and written != real:
        yield f"{name}: in another order than in the header"


def compare_rules(root):
    """Numbers that stand in the rules of the hop RFC."""
    limits = dict(header_limits(root))
    text = " ".join((root / HOP_RFC).read_text().split())
    graces = {hop: f"| {hop} | {limits[f'GRACE_{hop.upper()}_MS']} ms |"
              for hop in ("proxy", "broker", "gatekeeper")}
    sayings = list(graces.values()) + [
        f"every {limits['BEAT_INTERVAL_MS']} ms",
        f"silent for {limits['BEATS_SUSPECT']} intervals is suspect",
        f"silent for {limits['BEATS_GONE']} intervals is gone",
    ]
    for saying in sayings:
        if saying not in text:
            yield f"{HOP_RFC}: does not say {saying!r}"


def check(root):
    yield from compare("errors", table(root, CLIENT_RFC, "| code | value | retry | meaning |"),
                       header_errors(root))
    yield from compare("limits", table(root, CLIENT_RFC, "| limit | value |"),
                       header_limits(root))
    tables = layouts(root)
    if len(tables) != 3:
        yield f"{HOP_RFC}: {len(tables)} layouts, not 3"
        return
    yield from compare("head", tables[0], header_layout(root, "wire/head.h"))
    yield from compare("topology", tables[1], header_layout(root, "wire/topology.h"))
    yield from compare("report", tables[2], header_layout(root, "wire/report.h"))
    yield from compare_rules(root)


def main():
    root = pathlib.Path(sys.argv[1])
    found = list(check(root))
    print("\n".join(found) if found else "docs/rfc says what the headers say")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
