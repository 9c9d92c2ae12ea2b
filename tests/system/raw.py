"""Bare ZeroMQ and msgpack, below the client library: for what a well-behaved client never sends."""
import os
import re
import secrets

import msgpack
import zmq


def read_bundle(path):
    """A client bundle as {"gatekeepers": [(endpoint, key)], "public": ..., "secret": ...}."""
    gatekeepers, keys, section = [], {}, None
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            top = re.match(r"^([a-z-]+)\s*$", line)
            pair = re.match(r'^\s+([a-z-]+)\s*=\s*"?([^"\n]*)"?\s*$', line)
            if top:
                section = top.group(1)
                if section == "gatekeeper":
                    gatekeepers.append({})
            elif pair and section == "gatekeeper":
                gatekeepers[-1][pair.group(1)] = pair.group(2)
            elif pair and section == "curve":
                keys[pair.group(1)] = pair.group(2)
    return {"gatekeepers": [(g["endpoint"], g["public-key"]) for g in gatekeepers],
            "public": keys["public-key"], "secret": keys["secret-key"]}


class Raw:
    """One socket to the first gatekeeper of a bundle; DEALER unless told otherwise."""

    def __init__(self, bundle, kind=zmq.DEALER, keys=None, identity=None, curve=True):
        self.bundle = read_bundle(bundle)
        endpoint, server_key = self.bundle["gatekeepers"][0]
        self.socket = zmq.Context.instance().socket(kind)
        if curve:
            public, secret = keys or (self.bundle["public"], self.bundle["secret"])
            self.socket.curve_serverkey = server_key.encode()
            self.socket.curve_publickey = public.encode()
            self.socket.curve_secretkey = secret.encode()
        if identity is not None:
            self.socket.setsockopt(zmq.IDENTITY, identity)
        self.socket.linger = 0
        self.socket.sndtimeo = 2000
        self.socket.connect(endpoint)

    def send(self, *frames):
        self.socket.send_multipart(list(frames))

    def receive(self, timeout_s=3.0):
        """The frames of one message, or None."""
        if not self.socket.poll(int(timeout_s * 1000)):
            return None
        return self.socket.recv_multipart()

    def ask(self, payload, *before, timeout_s=3.0):
        """Sends one payload behind a delimiter (a DEALER's way) and unpacks the answer."""
        self.send(*before, b"", payload)
        frames = self.receive(timeout_s)
        return None if frames is None else msgpack.unpackb(frames[-1], strict_map_key=False)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def request(**keys):
    """A packed request: version 1 and a random id unless given."""
    keys.setdefault("v", 1)
    keys.setdefault("id", secrets.token_bytes(16))
    return msgpack.packb({key: value for key, value in keys.items() if value is not ...})


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError(f"process {pid} has no VmRSS: it is gone")


def alive(pid):
    return os.path.exists(f"/proc/{pid}")
