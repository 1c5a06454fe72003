# degraded-link.py ONE OTHER DELAY_MS LOSS_PERCENT SEED: makes two TAP devices, prints "ready", and carries frames between
# them as a slow and lossy link does: each frame arrives after the delay, in order, or not at all. It takes the place of
# the kernel's netem, which many kernels lack.
import collections
import fcntl
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
# Frames on the way in each direction: netem's own limit.
MAX_FRAMES = 1000


def make_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def main():
    one, other = make_tap(sys.argv[1]), make_tap(sys.argv[2])
    delay, loss = float(sys.argv[3]) / 1000, float(sys.argv[4]) / 100
    chance = random.Random(int(sys.argv[5]))
    ends = {one: other, other: one}
    # The delay is the same for all frames: the first one is due first.
    queue = collections.deque()
    on_the_way = {one: 0, other: 0}
    print("ready", flush=True)
    while True:
        wait = max(0, queue[0][0] - time.monotonic()) if queue else None
        readable, _, _ = select.select(list(ends), [], [], wait)
        for source in readable:
            try:
                frame = os.read(source, 65536)
            except OSError:
                # The device is down.
                continue
            if chance.random() >= loss and on_the_way[source] < MAX_FRAMES:
                on_the_way[source] += 1
                queue.append((time.monotonic() + delay, source, frame))
        while queue and queue[0][0] <= time.monotonic():
            _, source, frame = queue.popleft()
            on_the_way[source] -= 1
            try:
                os.write(ends[source], frame)
            except OSError:
                # The device is down, or its queue is full: a lost frame.
                pass


main()
