# reach-agent.py PROTOCOL/PORT/ADDRESS...: tries all of them at once, and prints "open" or "closed" for each, in order.
# An address of IPv6 has its link behind a "%". Open is what accepts a connection, or answers a datagram.
import concurrent.futures
import socket
import sys

seconds = 1.5


def attempt(target):
    protocol, port, address = target.split("/")
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    try:
        family, _, _, _, place = socket.getaddrinfo(address, int(port), type=kind)[0]
        with socket.socket(family, kind) as connection:
            connection.settimeout(seconds)
            connection.connect(place)
            if protocol == "udp":
                connection.send(b"?")
                connection.recv(100)
        return "open"
    except OSError:
        return "closed"


targets = sys.argv[1:]
with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
    print("\n".join(pool.map(attempt, targets)))
