# frame-agent.py send LINK HEX...: sends frames by a link.
# frame-agent.py watch LINK: prints "ready", and then the number of each frame of send() that comes in.
import re
import socket
import sys

role, link, *frames = sys.argv[1:]
everything = 3
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(everything))
wire.bind((link, everything if role == "watch" else 0))
if role == "send":
    for frame in frames:
        wire.send(bytes.fromhex(frame))
    sys.exit()
print("ready", flush=True)
while True:
    try:
        frame, (_, _, kind, *_) = wire.recvfrom(65535)
    except OSError:  # the link is gone
        sys.exit()
    found = re.search(rb"virlan-frame-(\d{5})", frame)
    if found and kind != socket.PACKET_OUTGOING:
        print(int(found[1]), flush=True)
