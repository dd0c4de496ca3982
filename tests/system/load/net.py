# SPDX-License-Identifier: GPL-2.0-or-later
"""net.py HOST PORT SECONDS: streams random bytes to an echo server and checks that
the same come back, both directions at once."""
import hashlib
import os
import socket
import sys
import threading
import time

s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sent, got, total = hashlib.md5(), hashlib.md5(), 0


def send():
    end, block = time.monotonic() + int(sys.argv[3]), os.urandom(1 << 20)
    while time.monotonic() < end:
        at = int.from_bytes(os.urandom(2), "little")
        s.sendall(block[at:at + 65536])
        sent.update(block[at:at + 65536])
    s.shutdown(socket.SHUT_WR)


t = threading.Thread(target=send)
t.start()
while data := s.recv(1 << 16):
    got.update(data)
    total += len(data)
t.join()
print(f"{total >> 20} MiB each way")
sys.exit(0 if total and sent.digest() == got.digest() else "what came back is not what was sent")
