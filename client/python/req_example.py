import re, sys, msgpack, zmq                      # python3 req_example.py BUNDLE "SELECT 1"
values = re.findall(r'(?:endpoint|-key) *= *"(.+)"', open(sys.argv[1]).read())
socket = zmq.Context().socket(zmq.REQ)
socket.curve_serverkey = values[1].encode()       # the gatekeeper's; after it the bundle's own
socket.curve_publickey, socket.curve_secretkey = (value.encode() for value in values[-2:])
socket.linger, socket.rcvtimeo = 0, 10000         # milliseconds
socket.connect(values[0])
socket.send(msgpack.packb({"v": 1, "sql": sys.argv[2]}))
print(msgpack.unpackb(socket.recv()))
