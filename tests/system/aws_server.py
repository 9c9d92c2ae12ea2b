"""The metadata service of an EC2 instance and Secrets Manager, played by one HTTP server that can
fail as they do.  It believes nothing: tokens must be its own, and every signature is computed
again, by the rules of SigV4, from what came in."""
import contextlib
import datetime
import hashlib
import hmac
import http.server
import json
import secrets
import threading
import time

METADATA = "/latest/meta-data/"
ROLE = "portcullis-node1"
REGION = "eu-central-1"
SECRET_ID = "portcullis/test/node1"


def hmac_sha256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class AwsServer:
    """`faults` is a list of words, each used up by one request to the service that it names:
    "metadata:500", "secret:hang", "secret:throttle", "secret:expired", "secret:cut", ..."""

    def __init__(self):
        self.lock = threading.Lock()
        self.metadata = {"placement/availability-zone": REGION + "a", "placement/region": REGION,
                         "instance-id": "i-0123456789abcdef0"}
        self.files, self.version = {"read.password": "one\n"}, "version-1"
        self.credentials = {}  # access key -> (secret key, token), of now
        self.tokens = set()
        self.faults, self.calls = [], []
        self.dead = threading.Event()     # nothing is answered any more
        self.released = threading.Event()  # ... and whoever waits for it goes
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                with contextlib.suppress(OSError):
                    owner.serve(self)

            do_GET = do_PUT = do_POST = do

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    # --- What happens to the instance ---

    def rotate(self, version, **files):
        """What the operator puts into the secret."""
        with self.lock:
            self.files, self.version = dict(files), version

    def forget_tokens(self):
        with self.lock:
            self.tokens.clear()

    def expire_credentials(self):
        with self.lock:
            self.credentials.clear()

    def count(self, word):
        with self.lock:
            return sum(word in call for call in self.calls)

    # --- Requests ---

    def fault(self, service):
        with self.lock:
            for one in self.faults:
                if one.startswith(service + ":"):
                    self.faults.remove(one)
                    return one.partition(":")[2]
        return None

    def serve(self, request):
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        with self.lock:
            self.calls.append(f"{request.command} {request.path}")
        service = "secret" if request.command == "POST" else "metadata"
        fault = "hang" if self.dead.is_set() else self.fault(service)
        if fault == "hang":
            self.released.wait(60)
            return
        if fault == "500":
            self.answer(request, 500, b"<html>no</html>")
        elif fault == "cut":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4711\r\n\r\n{\"Sec")
            request.close_connection = True
        elif fault == "noise":
            self.answer(request, 200, b"\xff\x00<html>\n")
        elif service == "secret":
            self.serve_secret(request, body, fault)
        elif request.command == "PUT":
            self.serve_token(request)
        else:
            self.serve_metadata(request)

    @staticmethod
    def answer(request, status, body, kind="text/plain"):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def serve_token(self, request):
        ttl = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if request.path != "/latest/api/token" or not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
            return self.answer(request, 400, b"")
        token = secrets.token_urlsafe(40)
        with self.lock:
            self.tokens.add(token)
        return self.answer(request, 200, token.encode())

    def serve_metadata(self, request):
        with self.lock:
            known = request.headers.get("x-aws-ec2-metadata-token") in self.tokens
            path = request.path.removeprefix(METADATA)
            value = self.metadata.get(path)
        if not known:
            return self.answer(request, 401, b"")
        if path == "iam/security-credentials/":
            value = ROLE
        elif path == "iam/security-credentials/" + ROLE:
            value = self.new_credentials()
        if value is None:
            return self.answer(request, 404, b"<html>not found</html>")
        return self.answer(request, 200, value.encode())

    def new_credentials(self):
        key, secret, token = "ASIA" + secrets.token_hex(8).upper(), secrets.token_hex(20), \
            secrets.token_urlsafe(300)
        with self.lock:
            self.credentials[key] = secret, token
        end = time.gmtime(time.time() + 3600)
        return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key,
                           "SecretAccessKey": secret, "Token": token,
                           "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", end)})

    def refuse(self, request, kind, status=400):
        body = json.dumps({"__type": kind, "message": "no"}).encode()
        self.answer(request, status, body, "application/x-amz-json-1.1")

    def serve_secret(self, request, body, fault):
        if fault == "throttle":
            return self.refuse(request, "ThrottlingException")
        if fault == "expired":
            self.expire_credentials()
        wrong = self.wrong_signature(request, body)
        if wrong is not None:
            return self.refuse(request, wrong)
        if request.headers.get("x-amz-target") != "secretsmanager.GetSecretValue":
            return self.refuse(request, "UnknownOperationException")
        if json.loads(body) != {"SecretId": SECRET_ID}:
            return self.refuse(request, "ResourceNotFoundException")
        with self.lock:
            value = json.dumps({"files": self.files})
            text = json.dumps({"ARN": "arn:aws:x", "Name": SECRET_ID, "SecretString": value,
                               "VersionId": self.version, "VersionStages": ["AWSCURRENT"],
                               "CreatedDate": 1.5e9})
        return self.answer(request, 200, text.encode(), "application/x-amz-json-1.1")

    def wrong_signature(self, request, body):
        """None, or the error that AWS would answer."""
        try:
            algorithm, rest = request.headers["authorization"].split(" ", 1)
            parts = dict(part.strip().split("=", 1) for part in rest.split(","))
            key, day, region, service, last = parts["Credential"].split("/")
            names = parts["SignedHeaders"].split(";")
            date = request.headers["x-amz-date"]
        except (KeyError, ValueError, AttributeError, TypeError):
            return "IncompleteSignatureException"
        with self.lock:
            secret, token = self.credentials.get(key, (None, None))
        if secret is None:
            return "ExpiredTokenException"
        age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.strptime(
            date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        fresh = abs(age.total_seconds()) < 300 and date.startswith(day)
        whole = names == sorted(names) and {"host", "x-amz-date", "x-amz-target"} <= set(names)
        if (algorithm, region, service, last) != ("AWS4-HMAC-SHA256", REGION, "secretsmanager",
                                                  "aws4_request") or not fresh or not whole:
            return "InvalidSignatureException"
        if request.headers.get("x-amz-security-token") != token:
            return "UnrecognizedClientException"
        headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names)
        canonical = "\n".join([request.command, request.path, "", headers, ";".join(names),
                               hashlib.sha256(body).hexdigest()])
        text = "\n".join([algorithm, date, f"{day}/{region}/{service}/{last}",
                          hashlib.sha256(canonical.encode()).hexdigest()])
        signing = f"AWS4{secret}".encode()
        for word in (day, region, service, last):
            signing = hmac_sha256(signing, word)
        right = hmac_sha256(signing, text).hex()
        return None if hmac.compare_digest(right, parts["Signature"]) else \
            "InvalidSignatureException"


@contextlib.contextmanager
def serving():
    one = AwsServer()
    try:
        yield one
    finally:
        one.close()
