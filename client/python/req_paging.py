import re, sys, msgpack, zmq          # python3 req_paging.py BUNDLE "SELECT ..."   any length
values = re.findall(r'(?:endpoint|-key) *= *"(.+)"', open(sys.argv[1]).read())
socket = zmq.Context().socket(zmq.REQ)
socket.curve_serverkey = values[1].encode()       # the gatekeeper's; after it the bundle's own
socket.curve_publickey, socket.curve_secretkey = (value.encode() for value in values[-2:])
socket.linger, socket.rcvtimeo = 0, 10000         # milliseconds
socket.connect(values[0])
request = {"sql": sys.argv[2], "page_rows": 500}
while request:
    socket.send(msgpack.packb({"v": 1, **request}))
    reply = msgpack.unpackb(socket.recv())
    if not reply["ok"]:
        sys.exit(f"{reply['error']['code']}: {reply['error']['message']}")
    for row in reply.get("rows", []):
        print(*row, sep="\t")
    request = "cursor" in reply and {"op": "fetch", "cursor": reply["cursor"], "page_rows": 500}
