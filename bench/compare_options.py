#!/usr/bin/python3
"""The options of bench/compare.sh.  Alone, for that script, it looks at them and does nothing else:
what is wrong is said before anything is installed or built, so this needs Python alone.
"""
import argparse
import sys

from compare_peers import CLIENTS_MAX, PEERS
from usage import Parser

DOING = "Measures a cluster beside HAProxy, ProxySQL and MySQL Router, and beside its database."
OURS = {"apart": ("apart", "apart-mux"), "together": ("together", "together-mux")}


def numbers(text):
    found = [int(word) for word in text.split(",")]
    if not all(1 <= one <= CLIENTS_MAX for one in found):
        raise argparse.ArgumentTypeError(f"numbers from 1 to {CLIENTS_MAX}")
    return found


def words_of(*known):
    def read(text):
        found = [word for word in text.split(",") if word]
        for word in found:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word}: of {', '.join(known)}")
        return found
    return read


def read_options(arguments=None):
    parser = Parser(prog="bench/compare.sh", description=DOING)
    peers = [kind.name for kind in PEERS]
    ours = [path for paths in OURS.values() for path in paths]
    parser.add_argument("--quick", action="store_true",
                        help="two repeats of little; says whether it works, not how fast it is")
    parser.add_argument("--clients", type=numbers, metavar="N,N,...",
                        help="1,8,64,128,1000,2000 when not given")
    parser.add_argument("--workloads", default=["point_select"], metavar="NAME,...",
                        type=words_of("point_select", "read_only", "read_write"))
    parser.add_argument("--paths", default=[], type=words_of("direct", *peers, *ours),
                        metavar="NAME,...", help=f"of direct,{','.join([*peers, *ours])}")
    parser.add_argument("--halves", default=list(OURS), type=words_of(*OURS), metavar="NAME,...",
                        help="of apart,together: how gatekeeper, broker and proxy run")
    parser.add_argument("--repeats", type=int, help="5 when not given")
    parser.add_argument("--seconds", type=int, default=2,
                        help="of each turn, after its first: at least 2; 2 when not given")
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--connections", type=int, default=1,
                        help="of sysbench to the gatekeeper, 1 when not given; 0: one a client")
    parser.add_argument("--skip", default=[], metavar="PART,...",
                        type=words_of("gigabyte", "idle", "slow"))
    parser.add_argument("--json", default="compare.json", metavar="FILE")
    parser.add_argument("--text", default="compare.txt", metavar="FILE")
    options = parser.parse_args(arguments)
    if options.quick:
        options.skip = [*options.skip, "slow"]
    options.clients = options.clients or ([1, 64, 1000] if options.quick else
                                          [1, 8, 64, 128, 1000, 2000])
    options.repeats = options.repeats or (2 if options.quick else 5)
    options.seconds = max(options.seconds, 2)
    if options.paths:
        some = [half for half in options.halves if set(OURS[half]) & set(options.paths)]
        options.halves = some or options.halves[:1]
    return options


if __name__ == "__main__":
    read_options()
    sys.exit(0)
