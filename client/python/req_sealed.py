import hashlib, hmac, os, re, struct, sys, time, msgpack, zmq   # req_sealed.py BUNDLE "SELECT 1"
from nacl.bindings import crypto_scalarmult
from zmq.utils import z85
values = re.findall(r'(?:endpoint|-key) *= *"(.+)"', open(sys.argv[1]).read())
broker, public, secret = (z85.decode(value.encode()) for value in values[-3:])
key = hashlib.blake2b(b"portcullis seal 1" + public + broker, digest_size=32,
                      key=crypto_scalarmult(secret, broker)).digest()
mac = lambda head, payload: hashlib.blake2b(head + payload, key=key, digest_size=32).digest()
socket = zmq.Context().socket(zmq.REQ)
socket.curve_serverkey = values[1].encode()       # the gatekeeper's; after it the broker's, our own
socket.curve_publickey, socket.curve_secretkey = (value.encode() for value in values[-2:])
socket.linger, socket.rcvtimeo = 0, 10000         # milliseconds
socket.connect(values[0])
payload = msgpack.packb({"v": 1, "id": os.urandom(16), "sql": sys.argv[2]})
head = struct.pack(">BB6xQ8sQ", 1, 1, time.time_ns() // 1000, os.urandom(8), 1)  # sequence 1
socket.send_multipart([payload, head + mac(head, payload)])
reply, seal = (socket.recv_multipart() + [b""])[:2]
right = b"\x01\x02" + head[16:] + mac(seal[:32], reply)         # a reply's, to this request
if not hmac.compare_digest(seal[:2] + seal[16:], right):
    sys.exit(f"not the broker's word, whatever it says: {msgpack.unpackb(reply)}")
print(msgpack.unpackb(reply))
