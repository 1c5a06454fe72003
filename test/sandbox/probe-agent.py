# probe-agent.py: the two ends of the packets that tests send. Each form ends when its standard input does.
#   serve PROTO PORT ADDRESS      answers each client with the address and port that it is seen at
#   dns ADDRESS                   a name server that answers every question with an empty result
#   attempt                       reads one attempt per line, makes them side by side, and prints the result of each:
#       NUMBER NAMESPACE-FILE probe|ask PROTO ADDRESS PORT SOURCE-PORT SECONDS
#       NUMBER RESULT
#     timeout, tcp-reset, icmp-port-unreachable or an error's code; after a success "open" (probe) or the answer (ask).
#     SOURCE-PORT 0: any
import errno
import os
import socket
import sys
import threading
import time

# The DNS question for the server's version (version.bind TXT CH), which every name server answers.
QUESTION = bytes.fromhex("0001010000010000000000000776657273696f6e0462696e640000100003")
CLONE_NEWNET = 0x40000000
# A thread that wakes up this much too late stood still: the host did, or others had the processors.
STALL_SECONDS = 0.4
PULSE_SECONDS = 0.05


def place_of(address, port, kind):
    family, _, _, _, place = socket.getaddrinfo(address, port, type=kind, flags=socket.AI_NUMERICHOST)[0]
    return family, place


def seen_at(peer):
    return f"{peer[0]} {peer[1]}".encode()


def end_with_input():
    while os.read(0, 4096):
        pass
    os._exit(0)


def serve_tcp(port, address):
    family, place = place_of(address, port, socket.SOCK_STREAM)
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(place)
    server.listen(511)
    print("listening", flush=True)
    while True:
        client, peer = server.accept()
        threading.Thread(target=answer_tcp, args=(client, peer), daemon=True).start()


def answer_tcp(client, peer):
    try:
        with client:
            client.sendall(seen_at(peer))
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
    except OSError:  # the client has reset the connection
        pass


def serve_udp(port, address, answer):
    family, place = place_of(address, port, socket.SOCK_DGRAM)
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind(place)
    print("listening", flush=True)
    while True:
        message, peer = server.recvfrom(65535)
        server.sendto(answer(message, peer), peer)


def empty_result(question, _):
    # A response must not contain the records that EDNS added to the question.
    end = question.find(0, 12) + 5
    # The QR bit: a response. Code 0 without records: the name exists, without a record of that type.
    flags = bytes([question[2] | 0x80, 0x80])
    return question[:2] + flags + question[4:6] + bytes(6) + question[12:end]


class Pulse:
    """Knows when this process stood still the last time."""

    def __init__(self):
        self.stalled = float("-inf")
        self.last = time.monotonic()
        threading.Thread(target=self.beat, daemon=True).start()

    def beat(self):
        while True:
            time.sleep(PULSE_SECONDS)
            now = time.monotonic()
            if now - self.last > STALL_SECONDS:
                self.stalled = now
            self.last = now

    def stalled_since(self, began):
        return self.stalled > began or time.monotonic() - self.last > STALL_SECONDS


def read_attempts():
    import ctypes

    pulse = Pulse()
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(namespace):
        # Of this thread alone.
        with open(namespace) as file:
            if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def make(number, namespace, *rest):
        try:
            enter(namespace)
            # Silence while the host stood still is no answer. It may stand still again.
            for _ in range(3):
                began = time.monotonic()
                result = result_of(rest)
                if result != "timeout" or not pulse.stalled_since(began):
                    break
        except OSError as error:
            result = name_of(error)
        # In one write: the results of several threads must not be mixed.
        os.write(1, f"{number} {result}\n".encode())

    for line in sys.stdin:
        threading.Thread(target=make, args=line.split(), daemon=True).start()


def result_of(words):
    try:
        return attempt(*words)
    except OSError as error:
        return name_of(error)


def name_of(error):
    # At the end of settimeout(), Python raises TimeoutError without a number.
    return "timeout" if error.errno is None else errno.errorcode.get(error.errno, str(error))


def attempt(role, proto, address, port, source_port, seconds):
    before = unreachables_received()
    try:
        answer = exchange(role, proto, address, int(port), int(source_port), time.monotonic() + float(seconds))
        return answer.decode() if role == "ask" else "open"
    except ConnectionRefusedError:
        # ICMP's port unreachable causes the same error as a reset. Its other codes cause other errors.
        return "icmp-port-unreachable" if unreachables_received() > before else "tcp-reset"


def exchange(role, proto, address, port, source_port, end):
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    family, place = place_of(address, port, kind)
    with socket.socket(family, kind) as connection:
        if source_port != 0:
            if proto == "tcp":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.bind(("", source_port))
        connection.settimeout(left_until(end))
        connection.connect(place)
        if proto == "udp":
            connection.send(QUESTION)
        elif role == "probe":
            # Some servers wait for the client to speak first.
            return b""
        connection.settimeout(left_until(end))
        return connection.recv(65535)


def left_until(end):
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def unreachables_received():
    """Returns the number of ICMP destination unreachable messages that this thread's namespace has received."""
    with open("/proc/thread-self/net/snmp") as file:
        names, counts = (line.split() for line in file if line.startswith("Icmp: "))
    return int(counts[names.index("InDestUnreachs")])


role, *words = sys.argv[1:]
if role == "attempt":
    read_attempts()
else:
    threading.Thread(target=end_with_input, daemon=True).start()
    if role == "dns":
        serve_udp(53, words[0], empty_result)
    elif words[0] == "tcp":
        serve_tcp(int(words[1]), words[2])
    else:
        serve_udp(int(words[1]), words[2], lambda _, peer: seen_at(peer))
