"""`aws` of the tests: hands a call to aws_server.py, and ends as it ended."""
import os
import signal
import socket
import sys

sys.path.append("")  # started with -S -E: nothing else is imported


def main():
    import json
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(sys.argv[1])
        text = json.dumps({"args": sys.argv[2:], "folder": os.getcwd(),
                           "environment": dict(os.environ)}).encode() + b"\n"
        sent = socket.send_fds(link, [text], [0, 1, 2])
        link.sendall(text[sent:])
        code = link.recv(16)
    if not code:
        print("aws: the CLI's server went away", file=sys.stderr)
        return 255
    return int(code)


signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.exit(main())
