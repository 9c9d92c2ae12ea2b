"""A small stream proxy with faults, for tests.

It stands between two parts of the system, on TCP or on a unix socket, and can delay, stall, cut or
corrupt what passes.  One thread a direction and connection; enough for tests, not for load.

    with FaultProxy(listen="/run/x.sock", target="/run/mysqld.sock") as proxy:
        proxy.delay_s = 0.05        # every chunk of the answers comes later by this
        proxy.slower = 10           # each answer takes 10 times as long as it did
        proxy.fail_at = b"SLEEP"    # whoever sends this is cut off at once
        proxy.fails_left = 1        # ... and this many times
        proxy.stalled.set()         # connections stay open, nothing passes
        proxy.cut()                 # all present connections are closed
"""
import os
import socket
import threading
import time


def _address(text):
    """A path is a unix socket, "host:port" is TCP."""
    if text.startswith("/"):
        return socket.AF_UNIX, text
    host, port = text.rsplit(":", 1)
    return socket.AF_INET, (host, int(port))


class FaultProxy:
    def __init__(self, listen, target):
        self.delay_s = 0.0            # added to each chunk from the target to the client
        self.slower = 1.0             # how many times as long as the target an answer takes
        self.fail_at = None           # octets at which a connection is cut
        self.fails_left = None        # how often; None is always
        self.stalled = threading.Event()
        self.bytes_up = 0             # from clients to the target
        self.bytes_down = 0
        self._target = _address(target)
        self._pairs = set()
        self._lock = threading.Lock()
        self._closed = False
        family, address = _address(listen)
        if family == socket.AF_UNIX and os.path.exists(address):
            os.unlink(address)
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._listener.listen(256)
        if family == socket.AF_UNIX:
            os.chmod(address, 0o777)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return self._listener.getsockname()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(self._target[0], socket.SOCK_STREAM)
            try:
                server.connect(self._target[1])
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            asked = [None]  # when the question came that is not answered yet
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(*ends, pair, asked),
                                 daemon=True).start()

    def _hold(self, asked):
        """Keeps an answer for as long as is asked of this proxy."""
        began, asked[0] = asked[0], None
        held_s = self.delay_s
        if began is not None:
            held_s += (self.slower - 1) * (time.monotonic() - began)
        if held_s > 0:
            time.sleep(held_s)

    def _fails(self, octets):
        """Whether to cut the connection that sends this."""
        with self._lock:
            if self.fail_at is None or self.fail_at not in octets or self.fails_left == 0:
                return False
            if self.fails_left is not None:
                self.fails_left -= 1
            return True

    def _pump(self, source, sink, upward, pair, asked):
        try:
            while True:
                octets = source.recv(65536)
                if not octets:
                    break
                if upward:
                    self.bytes_up += len(octets)
                    asked[0] = time.monotonic()
                    if self._fails(octets):
                        break
                else:
                    self.bytes_down += len(octets)
                    self._hold(asked)
                while self.stalled.is_set() and not self._closed:
                    time.sleep(0.01)
                sink.sendall(octets)
        except OSError:
            pass
        self._end(pair)

    def _end(self, pair):
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def cut(self):
        """Closes every present connection; returns how many there were."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)
        return len(pairs)

    def close(self):
        self._closed = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
