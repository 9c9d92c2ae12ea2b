"""ZMTP and CurveZMQ by hand (ZeroMQ RFCs 23, 26 and 37): for peers that no library would be.

Every step of a handshake is an octet string that a test may change, leave out or send twice."""
import ctypes
import ctypes.util
import os
import select
import socket
import struct
import time

from zmq.utils import z85

_sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
assert _sodium.sodium_init() >= 0

MAC_SIZE = 16
GREETING_SIZE = 64


# --- Boxes ---------------------------------------------------------------------

def keypair():
    """(public, secret), 32 octets each."""
    public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    _sodium.crypto_box_keypair(public, secret)
    return public.raw, secret.raw


def shared_key(public, secret):
    """What both sides of a box can compute; boxes are cheap with it."""
    key = ctypes.create_string_buffer(32)
    if _sodium.crypto_box_beforenm(key, public, secret) != 0:
        raise ValueError("this public key is weak")
    return key.raw


def box(key, nonce, text):
    assert len(nonce) == 24
    octets = ctypes.create_string_buffer(len(text) + MAC_SIZE)
    _sodium.crypto_box_easy_afternm(octets, text, ctypes.c_ulonglong(len(text)), nonce, key)
    return octets.raw


def unbox(key, nonce, octets):
    text = ctypes.create_string_buffer(max(len(octets) - MAC_SIZE, 1))
    if _sodium.crypto_box_open_easy_afternm(text, octets, ctypes.c_ulonglong(len(octets)), nonce,
                                            key) != 0:
        raise ValueError("the box does not open")
    return text.raw[:len(octets) - MAC_SIZE]


# --- Octets --------------------------------------------------------------------

def greeting(major=3, minor=0, mechanism=b"CURVE", as_server=0):
    return (b"\xff" + bytes(8) + b"\x7f" + bytes([major, minor]) + mechanism.ljust(20, b"\0")
            + bytes([as_server]) + bytes(31))


def frame(body, more=False, command=False, size=None, long=False):
    """One frame; size: what it claims instead of its size."""
    size = len(body) if size is None else size
    flags = (1 if more else 0) | (4 if command else 0)
    if size > 255 or long:
        return struct.pack(">BQ", flags | 2, size) + body
    return bytes([flags, size]) + body


def command(name, body=b""):
    """The body of a command."""
    return bytes([len(name)]) + name + body


def prop(name, value):
    """One property of a handshake's metadata."""
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def metadata(socket_type=b"DEALER", identity=b""):
    return prop(b"Socket-Type", socket_type) + prop(b"Identity", identity)


# --- One side of CURVE ----------------------------------------------------------

class Curve:
    """A client's side.  Keys are octets, or Z85 text."""

    def __init__(self, server_key, public_key, secret_key):
        self.server_key, self.public_key, self.secret_key = (
            z85.decode(key) if len(key) == 40 else key
            for key in (server_key, public_key, secret_key))
        self.transient_public, self.transient_secret = keypair()
        self.nonce = 0
        self.cookie = self.server_transient = self.key = None

    def short_nonce(self):
        self.nonce += 1
        return struct.pack(">Q", self.nonce)

    def hello(self, version=b"\x01\x00"):
        nonce = self.short_nonce()
        return command(b"HELLO", version + bytes(72) + self.transient_public + nonce
                       + box(shared_key(self.server_key, self.transient_secret),
                             b"CurveZMQHELLO---" + nonce, bytes(64)))

    def take_welcome(self, body):
        assert body[:8] == b"\x07WELCOME" and len(body) == 168, body[:60]
        text = unbox(shared_key(self.server_key, self.transient_secret), b"WELCOME-" + body[8:24],
                     body[24:])
        self.server_transient, self.cookie = text[:32], text[32:]
        self.key = shared_key(self.server_transient, self.transient_secret)

    def initiate(self, properties=None, vouch_for=None):
        """vouch_for: another transient key than the connection's own."""
        nonce, long_nonce = self.short_nonce(), os.urandom(16)
        vouch = box(shared_key(self.server_transient, self.secret_key), b"VOUCH---" + long_nonce,
                    (vouch_for or self.transient_public) + self.server_key)
        text = (self.public_key + long_nonce + vouch
                + (metadata() if properties is None else properties))
        return command(b"INITIATE", self.cookie + nonce
                       + box(self.key, b"CurveZMQINITIATE" + nonce, text))

    def take_ready(self, body):
        assert body[:6] == b"\x05READY", body[:60]
        return unbox(self.key, b"CurveZMQREADY---" + body[6:14], body[14:])

    def message(self, body, more=False, is_command=False):
        nonce = self.short_nonce()
        flags = bytes([(1 if more else 0) | (2 if is_command else 0)])
        return command(b"MESSAGE", nonce + box(self.key, b"CurveZMQMESSAGEC" + nonce,
                                               flags + body))

    def take_message(self, body):
        """(flags, body): flag 1 is more, 2 a command."""
        assert body[:8] == b"\x07MESSAGE", body[:60]
        text = unbox(self.key, b"CurveZMQMESSAGES" + body[8:16], body[16:])
        return text[0], text[1:]


# --- Connections ------------------------------------------------------------------

class Closed(Exception):
    """The other side has ended the connection."""


class Refused(Exception):
    """The server's ERROR command; its text is the status."""


class Stream:
    """A TCP connection to tcp://HOST:PORT; source: the address that it comes from."""

    def __init__(self, endpoint, source=None, timeout_s=5.0):
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        self.socket = socket.create_connection(
            (host, int(port)), timeout=timeout_s, source_address=source and (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout_s = timeout_s
        self.received = bytearray()

    def send(self, octets):
        """All of it; Closed when the other side does not want it."""
        try:
            self.socket.sendall(octets)
        except OSError as error:
            raise Closed(str(error)) from error

    def _more(self, timeout_s):
        poll = select.poll()  # a descriptor may be over what select() can take
        poll.register(self.socket, select.POLLIN)
        if not poll.poll(max(timeout_s, 0) * 1000):
            raise TimeoutError(f"nothing came within {timeout_s:.1f} s")
        try:
            octets = self.socket.recv(1 << 20)
        except OSError as error:
            raise Closed(str(error)) from error
        if not octets:
            raise Closed("end of the stream")
        self.received += octets

    def take(self, size, timeout_s=None):
        """So many octets; raises Closed or TimeoutError."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while len(self.received) < size:
            self._more(deadline - time.monotonic())
        octets = bytes(self.received[:size])
        del self.received[:size]
        return octets

    def wait_closed(self, timeout_s):
        """Whether the other side closes within that time; what it sends is thrown away."""
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                self._more(deadline - time.monotonic())
                self.received.clear()
        except Closed:
            return True
        except TimeoutError:
            return False

    def reset(self):
        """Ends the connection at once, without a farewell that would keep its port."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Peer(Stream):
    """A client that speaks ZMTP 3 with CURVE, step by step."""

    def __init__(self, endpoint, server_key, keys, source=None, timeout_s=5.0):
        super().__init__(endpoint, source, timeout_s)
        self.curve = Curve(server_key, *keys)

    def take_frame(self, timeout_s=None):
        """(flags, body) of one frame: flag 1 is more, 4 a command."""
        flags = self.take(1, timeout_s)[0]
        size = struct.unpack(">Q", self.take(8))[0] if flags & 2 else self.take(1)[0]
        return flags, self.take(size)

    def greet(self, **options):
        self.send(greeting(**options))
        return self.take(GREETING_SIZE)

    def hello(self, **options):
        """To the point where the cookie is there."""
        self.greet(**options)
        self.send(frame(self.curve.hello(), command=True))
        self.curve.take_welcome(self.take_frame()[1])

    def handshake(self, properties=None, **options):
        """The whole of it; raises Refused when the server says ERROR."""
        self.hello(**options)
        self.send(frame(self.curve.initiate(properties), command=True))
        body = self.take_frame()[1]
        if body[:6] == b"\x05ERROR":
            raise Refused(body[7:7 + body[6]].decode())
        self.curve.take_ready(body)
        return self

    def encode(self, *frames):
        """A message of so many frames, as octets."""
        return b"".join(frame(self.curve.message(body, more=index < len(frames) - 1))
                        for index, body in enumerate(frames))

    def encode_command(self, body):
        return frame(self.curve.message(body, is_command=True))

    def send_message(self, *frames):
        self.send(self.encode(*frames))

    def receive(self, timeout_s=None):
        """The frames of one message; commands are left out."""
        frames = []
        while True:
            flags, body = self.curve.take_message(self.take_frame(timeout_s)[1])
            if not flags & 2:
                frames.append(body)
                if not flags & 1:
                    return frames

    def receive_command(self, timeout_s=None):
        while True:
            flags, body = self.curve.take_message(self.take_frame(timeout_s)[1])
            if flags & 2:
                return body
