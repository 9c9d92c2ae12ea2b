"""The AWS CLI, imported once: a process that forks for each call of `aws`.

A call of the CLI takes most of its time to import itself and to read the services' models;
a script makes a hundred.  This runs in the CLI's own interpreter with the CLI's own code and
is asked by aws_call.py: arguments, environment, folder and the three standard streams come over a
Unix socket, the exit code goes back.

    PYTHON aws_server.py SOCKET      serves until its standard input ends
"""
import array
import contextlib
import gc
import os
import signal
import socket
import sys
import threading

# One call of each service that scripts use, to nowhere: what it imports and reads stays.
WARM = (("ec2", "describe-vpcs"), ("iam", "list-roles"), ("sts", "get-caller-identity"),
        ("s3api", "list-buckets"), ("s3", "ls"), ("ssm", "list-documents"),
        ("secretsmanager", "list-secrets"), ("service-quotas", "list-services"),
        ("pricing", "describe-services"), ("logs", "describe-log-groups"))


def remember(loaders):
    """Has each file of the services' models parsed once, for all children."""
    plain = loaders.JSONFileLoader.load_file
    known = {}

    def load_file(self, path):
        if path not in known:
            known[path] = plain(self, path)
        return known[path]
    loaders.JSONFileLoader.load_file = load_file


def warm():
    from awscli.clidriver import create_clidriver
    try:
        from awscli.botocore import loaders
    except ImportError:
        from botocore import loaders
    remember(loaders)
    real = dict(os.environ)
    os.environ.update(AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_MAX_ATTEMPTS="1",
                      AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none",
                      AWS_DEFAULT_REGION="eu-central-1")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            for command in WARM:
                create_clidriver().main(list(command))
    path = os.environ["AWS_DATA_PATH"]  # the CLI has set it for itself
    os.environ.clear()
    os.environ.update(real, AWS_DATA_PATH=path)
    return prepared(create_clidriver())


def prepared(driver):
    """Its tables of commands and models, built before the first fork; what is of one call,
    credentials and configuration, is not touched."""
    table = driver._get_command_table()  # pylint: disable=protected-access
    loader = driver.session.get_component("data_loader")
    for service, _ in WARM:
        if service in table and hasattr(table[service], "_get_command_table"):
            table[service]._get_command_table()  # pylint: disable=protected-access
            for kind in ("service-2", "endpoint-rule-set-1", "paginators-1"):
                # Which looks through all folders.
                loader.load_service_model("s3" if service == "s3api" else service, kind)
    driver.session._config = None  # pylint: disable=protected-access
    return driver


def receive(link):
    """One request (see aws_call.py), and the descriptors that came with its first octets."""
    fds = array.array("i")
    text, extra, _, _ = link.recvmsg(1 << 16, socket.CMSG_LEN(3 * fds.itemsize))
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    while len(text) < 8 or len(text) < 8 + int(text[:8]):
        more = link.recv(1 << 16)
        if not more:
            raise OSError("a call that ended early")
        text += more
    folder, count, *words = (os.fsdecode(one) for one in text[8:].split(b"\0"))
    return {"folder": folder, "args": words[:int(count)],
            "environment": dict(one.split("=", 1) for one in words[int(count):])}, list(fds)


def call(driver, request):
    """In the child: the call itself; what `aws` would have done."""
    sys.argv = ["aws", *request["args"]]
    os.chdir(request["folder"])
    own = os.environ.get("AWS_DATA_PATH")  # the CLI set it for itself when it was imported
    os.environ.clear()
    os.environ.update(request["environment"])
    if own:
        os.environ.setdefault("AWS_DATA_PATH", own)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
    try:
        code = driver.main(sys.argv[1:])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def child(driver, link, request, fds):
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    for fd in fds:
        if fd > 2:
            os.close(fd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = call(driver, request)
    except BaseException as error:  # pylint: disable=broad-except
        os.write(2, f"aws: {error!r}\n".encode())
        code = 255
    try:
        link.sendall(b"%d\n" % (code & 255))
    finally:
        os._exit(0)


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    driver = warm()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1] + ".new")
        listener.listen(64)
        os.rename(sys.argv[1] + ".new", sys.argv[1])  # there only when it answers
        threading.Thread(target=end_with_parent, daemon=True).start()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
        gc.freeze()
        while True:
            link, _ = listener.accept()
            try:
                request, fds = receive(link)
            except (OSError, ValueError):
                link.close()
                continue
            if os.fork() == 0:
                listener.close()
                child(driver, link, request, fds)
            for fd in fds:
                os.close(fd)
            link.close()


if __name__ == "__main__":
    main()
