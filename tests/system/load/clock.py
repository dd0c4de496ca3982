# SPDX-License-Identifier: GPL-2.0-or-later
"""clock.py SECONDS: a thread on each processor; none may read a time older than
the newest that any of them has seen."""
import os
import sys
import threading
import time

last, lock, bad = 0, threading.Lock(), []


def look(cpu, end):
    global last
    os.sched_setaffinity(0, {cpu})
    while time.monotonic() < end:
        with lock:
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            if now < last:
                bad.append(last - now)
            last = now
        time.sleep(0.002)


threads = [threading.Thread(target=look, args=(c, time.monotonic() + int(sys.argv[1])))
           for c in range(os.cpu_count())]
for t in threads:
    t.start()
for t in threads:
    t.join()
sys.exit(f"{len(bad)} times back, by up to {max(bad)} ns" if bad else 0)
