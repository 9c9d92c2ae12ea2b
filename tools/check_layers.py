#!/usr/bin/env python3
"""Fail when a folder includes a header of a folder it may not use.

Includes are written from the repository root ("wire/request.h"), so the
first path component names the layer.  ALLOWED is the whole architecture.
"""
import pathlib
import re
import sys

ALLOWED = {
    "common":       set(),
    "sql":          {"common"},
    "wire":         {"common"},
    "net":          {"common", "wire"},
    "aws":          {"common", "wire", "net"},
    "policy":       {"common", "sql", "wire", "net"},
    "audit":        {"common", "wire", "net"},
    "client":       {"common", "sql", "wire", "net", "policy", "audit"},
    "gatekeeper":   {"common", "sql", "wire", "net"},
    "broker":       {"common", "sql", "wire", "net", "policy", "audit"},
    "proxy":        {"common", "sql", "wire", "net"},
    "worker-agent": {"common", "sql", "wire", "net", "aws"},
    "portcullisd":  {"net", "gatekeeper", "broker", "proxy", "worker-agent"},
    "bench":        {"common", "sql", "wire", "net", "client", "proxy", "worker-agent"},
    "tests":        None,               # tests may reach anything
}
# External headers that only these folders may see.
DAEMONS = {"gatekeeper", "broker", "proxy", "worker-agent", "portcullisd"}
GUARDED = {
    "czmq.h": {"net", "client"} | DAEMONS,
    # The library does without CZMQ, which takes signals; bench measures libzmq alone.
    "zmq.h": {"net", "client", "bench"},
    "microhttpd.h": {"net"},
    "sodium.h": {"net", "aws", "policy", "audit", "client"},
    "curl/curl.h": {"aws"},
    "msgpack.h": {"wire"},
    "mysql.h": {"worker-agent"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.M)


def sources(root):
    for layer in ALLOWED:
        yield from sorted((root / layer).rglob("*.[ch]"))


def violations(paths, root):
    for path in paths:
        layer = path.relative_to(root).parts[0]
        allowed = ALLOWED[layer]
        if allowed is None:
            continue
        for local, system in INCLUDE.findall(path.read_text()):
            target = local.split("/")[0] if local else None
            if target and target != layer and target not in allowed:
                yield f"{path}: {layer}/ may not use {target}/ ({local})"
            if system in GUARDED and layer not in GUARDED[system]:
                yield f"{path}: {layer}/ may not include <{system}>"


def main():
    root = pathlib.Path(sys.argv[1])
    paths = list(sources(root))
    if len(paths) < 20:
        sys.exit(f"only {len(paths)} sources found below {root}: nothing was checked")
    found = list(violations(paths, root))
    print("\n".join(found) if found else f"{len(paths)} sources keep to their layers")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
