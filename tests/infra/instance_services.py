"""What an instance asks of AWS, on one port of loopback: the metadata service (IMDSv2), objects of
one bucket, and one secret.  It believes nobody: every signature is computed again, and each fault
that a test asks for comes once."""
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import threading
import urllib.parse

KEY, SECRET, TOKEN = "ASIAEXAMPLEEXAMPLE00", "secret/of+the/role0000000000000000000000", "session=="
IMDS_TOKEN = "AQAEAtoken=="


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _signature(method, target, headers, body, scope, signed):
    """AWS's Signature Version 4 of a request, as its documentation tells it."""
    path, _, query = target.partition("?")
    payload = headers.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    canonical = "\n".join([
        method, path, "&".join(sorted(query.split("&"))) if query else "",
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed), "",
        ";".join(signed), payload])
    day, region, service, last = scope.split("/")
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = _hmac(_hmac(_hmac(_hmac(("AWS4" + SECRET).encode(), day), region), service), last)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _proved(self, body):
        headers = {name.lower(): value for name, value in self.headers.items()}
        found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), *"
                             r"SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})",
                             headers.get("authorization", ""))
        if not found or found[1] != KEY or headers.get("x-amz-security-token") != TOKEN:
            return False
        signed = found[3].split(";")
        if not {"host", "x-amz-date", "x-amz-security-token"} <= set(signed):
            return False
        return found[4] == _signature(self.command, self.path, headers, body, found[2], signed)

    def _serve(self):
        services = self.server.services
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urllib.parse.unquote(self.path.partition("?")[0])
        services.asked.append((self.command, path))
        fault = services.faults.pop(path, None)
        if fault == "cut":
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"half")
        elif fault:
            self._answer(fault)
        elif path.startswith("/latest/"):
            self._answer(*self._metadata(path))
        elif not self._proved(body):
            services.refused.append(path)
            self._answer(403)
        elif self.command == "POST":
            self._answer(*self._secret(json.loads(body)["SecretId"]))
        else:
            found = services.objects.get(path.lstrip("/"))
            self._answer(404 if found is None else 200, found or b"")

    do_GET = do_PUT = do_POST = _serve

    def _secret(self, wanted):
        files = self.server.services.secrets.get(wanted)
        if not files:
            return 400, json.dumps({"__type": "ResourceNotFoundException"}).encode()
        return 200, json.dumps({
            "ARN": "arn:aws:secretsmanager:eu-central-1:1:secret:x", "Name": wanted,
            "VersionId": "00000000-0000-4000-8000-000000000001",
            "SecretString": json.dumps({"files": files})}).encode()

    def _metadata(self, path):
        if path == "/latest/api/token":
            good = self.command == "PUT" and self.headers.get(
                "X-aws-ec2-metadata-token-ttl-seconds")
            return (200, IMDS_TOKEN.encode()) if good else (400, b"")
        if self.headers.get("X-aws-ec2-metadata-token") != IMDS_TOKEN:
            return 401, b""
        role = "/latest/meta-data/iam/security-credentials/"
        if path == role:
            return 200, b"the-role"
        if path == role + "the-role":
            return 200, json.dumps({
                "Code": "Success", "AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": TOKEN,
                "Expiration": "2099-01-01T00:00:00Z"}, indent=1).encode()
        return 404, b""


class Services:
    """objects: {"BUCKET/KEY": octets}; secrets: {id: {file: content}}; faults: {path: status or
    "cut"}; asked, refused: what came."""

    def __init__(self):
        self.objects, self.secrets, self.faults = {}, {}, {}
        self.asked, self.refused = [], []
        self.port = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    services = server.services = Services()
    services.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield services
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
