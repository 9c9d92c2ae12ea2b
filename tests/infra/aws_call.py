"""`aws` of the tests: hands a call to aws_server.py, and ends as it ended.

It imports nothing that it can do without: a script calls it a hundred times.
"""
import _socket
import os
import sys

SOCKET = ""  # cloud.py puts the path here


def main():
    words = [os.getcwdb(), b"%d" % (len(sys.argv) - 1), *map(os.fsencode, sys.argv[1:])]
    words += [name + b"=" + value for name, value in os.environb.items()]
    text = b"\0".join(words)
    text = b"%08d" % len(text) + text
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    link.connect(SOCKET)
    fds = b"".join(fd.to_bytes(4, sys.byteorder) for fd in (0, 1, 2))
    sent = link.sendmsg([text], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
    if sent < len(text):  # nothing, to a server that has answered already, is a broken pipe
        link.sendall(text[sent:])
    code = link.recv(16)
    if not code:
        os.write(2, b"aws: the CLI's server went away\n")
        return 255
    return int(code)


sys.exit(main())
