# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs every test and says what failed.

The rings, each runnable alone:
  1 unit      each component's `make unit` and `make lint`, and tests/lint.sh
  2 guests    tests/guests: small kernels booted on the hypervisor
  3 system    tests/system/test_*.py: whole machines
  4 packages  tests/packages/test_*: installed, upgraded, removed

A test is a program: exit 0 passed, 77 skipped (its last line says why), anything
else failed. A test program that understands --list holds several tests and is
run once for each name. Logs go to build/check/RING/NAME.log.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RINGS = {1: "unit", 2: "guests", 3: "system", 4: "packages"}
LIMIT = {1: 900, 2: 300, 3: 1500, 4: 1500}         # seconds, long ones: 6 hours
_running, _lock = {}, threading.Lock()


class Test:
    def __init__(self, ring, name, argv):
        self.ring, self.name, self.argv = ring, name, argv
        self.state, self.reason, self.seconds = None, "", 0.0


def components():
    """The component directories, as the top Makefile walks them."""
    with open(f"{TOP}/Makefile", encoding="ascii") as f:
        names = re.findall(r"\b([\w/]+)/Makefile\b", f.read())
    return [n for n in dict.fromkeys(names) if os.path.exists(f"{TOP}/{n}/Makefile")]


def make(target, component):
    return ["make", "--no-print-directory", "-C", f"{TOP}/{component}", target, f"O={TOP}/build"]


def listed(program, long):
    """The names a test program lists, or None if it is a single test."""
    with open(program, encoding="utf-8", errors="replace") as f:
        text = f.read()
    if "--list" not in text and "cases import" not in text:
        return None
    r = subprocess.run([program, "--list"] + (["--long"] if long else []),
                       stdout=subprocess.PIPE, text=True, check=True)
    return r.stdout.split()


def programs(ring, long):
    names = glob.glob(f"{TOP}/tests/{RINGS[ring]}/test_*") + glob.glob(f"{TOP}/tests/{RINGS[ring]}/run")
    for prog in sorted(p for p in names if os.access(p, os.X_OK) and os.path.isfile(p)):
        base = os.path.basename(prog).split(".")[0].removeprefix("test_")
        cases = listed(prog, long)
        if cases is None:
            yield Test(ring, base, [prog])
        else:
            prefix = "" if base == "run" else base + "/"
            for c in cases:
                yield Test(ring, prefix + c, [prog, c])


def every_test(long):
    for c in components():
        yield Test(1, f"unit-{c}", make("unit", c))
        yield Test(1, f"lint-{c}", make("lint", c))
    lint = f"{TOP}/tests/lint.sh"
    for piece in listed(lint, long) or []:
        yield Test(1, f"lint-{piece}", [lint, piece])
    for ring in (2, 3, 4):
        yield from programs(ring, long)


def run(test, o):
    path = f"{o.logs}/{RINGS[test.ring]}/{test.name.replace('/', '-')}.log"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    env = dict(os.environ, BULKHEAD_LOGS=os.path.dirname(path), O=f"{TOP}/build", BULKHEAD_LONG="1" if o.long else "")
    if o.jobs > 1:      # processors that wait for each other would take other machines' time
        env.setdefault("BULKHEAD_TCG", "single")
    limit = 6 * 3600 if o.long else LIMIT[test.ring]
    start = time.time()
    with open(path, "wb") as log:
        with _lock:     # which interrupted() keeps: nothing starts after it
            p = subprocess.Popen(test.argv, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=subprocess.STDOUT, process_group=0)
            _running[p.pid] = p
        try:
            code = p.wait(limit)
        except subprocess.TimeoutExpired:
            code = f"still running after {limit} s"
            stop(p)
        with _lock:
            del _running[p.pid]
    test.seconds = time.time() - start
    with open(path, encoding="utf-8", errors="replace") as f:
        lines = [l.rstrip() for l in f if l.strip()]
    test.state = {0: "passed", 77: "skipped"}.get(code, "failed")
    if code == 77:
        test.reason = lines[-1] if lines else "no reason given"
    text = f"[{time.strftime('%H:%M:%S')}] {test.state:7} {RINGS[test.ring]}/{test.name} ({test.seconds:.0f} s)"
    if test.state == "failed":
        test.reason = f"exit {code}" if isinstance(code, int) else code
        text += f": {test.reason}, log {path}\n" + "\n".join("    " + l for l in lines[-o.tail:])
    print(text, flush=True)


def stop(p):
    """Ends a test and what it started: ask, then insist."""
    for s in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(p.pid, s)
            p.wait(10)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            pass


def interrupted(number, _frame):
    with _lock:
        for p in list(_running.values()):
            stop(p)
        print(f"\ncheck: stopped by signal {number}", flush=True)
        os._exit(128 + number)


def build(o):
    print("== building", flush=True)
    path = f"{o.logs}/build.log"
    test = Test(1, "build", [])
    with open(path, "wb") as log:
        code = subprocess.run(["make", "-C", TOP, f"-j{os.cpu_count()}", "all", f"O={TOP}/build"],
                              stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    test.state = "failed" if code else "passed"
    if code:
        with open(path, encoding="utf-8", errors="replace") as f:
            print("".join("    " + l for l in f.readlines()[-30:]), flush=True)
        test.reason = f"make all failed, log {path}"
    return test


def images(tests):
    """Makes the disk images first, so that no test's clock pays for them."""
    if any(t.ring == 3 for t in tests):
        print("== images (cached after the first time)", flush=True)
        subprocess.run([sys.executable, "-c", "import images; [images.image(f) for f in images.CHECKED]"],
                       cwd=f"{TOP}/tests/system", check=False)
    if any(t.name.startswith("upgrade/") for t in tests):
        print("== a host with our packages (kept until the source changes)", flush=True)
        subprocess.run([sys.executable, "-c", "import host; host.disks()"], cwd=f"{TOP}/tests/system", check=False,
                       env=dict(os.environ, O=f"{TOP}/build"))


def kernel_ahead(tests, o):
    """Compiles the domU kernel beside the other tests, at the lowest priority, which
    counts only within a session: so nothing here has one of its own. The tests that
    need it come last, and find it built."""
    if not any(t.name.startswith("kernel") for t in tests):
        return None
    print("== building the domU kernel in the background", flush=True)
    cmd = ["nice", "-n", "19", f"{TOP}/kernel/build.sh", "--ci", "--out", f"{TOP}/build/kernel/domu-ci", "domu", "build"]
    with open(f"{o.logs}/kernel.log", "wb") as log:
        p = subprocess.Popen(cmd, cwd=TOP, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                             process_group=0)
    _running[p.pid] = p
    return p


def summary(tests):
    print("\n== summary")
    for s in ("skipped", "failed"):
        for t in tests:
            if t.state == s:
                print(f"{s}: {RINGS[t.ring]}/{t.name}: {t.reason}")
    for ring, word in RINGS.items():
        mine = [t for t in tests if t.ring == ring]
        if mine:
            n = {s: sum(t.state == s for t in mine) for s in ("passed", "failed", "skipped")}
            print(f"ring {ring} {word:9} {n['passed']} passed, {n['failed']} failed, "
                  f"{n['skipped']} skipped, {sum(t.seconds for t in mine):.0f} s")
    n = {s: sum(t.state == s for t in tests) for s in ("passed", "failed", "skipped")}
    print(f"{n['passed']} passed, {n['failed']} failed"
          + (f", {n['skipped']} skipped" if n["skipped"] else ""), flush=True)
    return 1 if n["failed"] or not n["passed"] else 0


def main():
    p = argparse.ArgumentParser(prog="check.sh", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ring", type=int, action="append", choices=RINGS, help="only this ring (may be repeated)")
    p.add_argument("--only", action="append", metavar="NAME", help="only tests whose name contains NAME")
    p.add_argument("--long", action="store_true", help="also what takes hours")
    p.add_argument("--list", action="store_true", help="print the tests and stop")
    p.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="at once (default 2)")
    p.add_argument("--logs", default=f"{TOP}/build/check", help="log directory")
    p.add_argument("--tail", type=int, default=15, help="lines of a failed test's log to show")
    o = p.parse_args()
    tests = [t for t in every_test(o.long) if (not o.ring or t.ring in o.ring)
             and (not o.only or any(n in f"{RINGS[t.ring]}/{t.name}" for n in o.only))]
    if o.list:
        print("\n".join(f"{RINGS[t.ring]}/{t.name}" for t in tests))
        return 0
    if not tests:
        sys.exit("check: no test has such a name; --list shows them")
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, interrupted)
    shutil.rmtree(o.logs, ignore_errors=True)
    os.makedirs(o.logs)
    first = build(o)
    if first.state == "failed":
        return summary([first])
    kernel = kernel_ahead(tests, o)
    images(tests)
    for ring, word in RINGS.items():
        mine = [t for t in tests if t.ring == ring]
        if not mine:
            continue
        print(f"== ring {ring}: {word}, {len(mine)} tests", flush=True)
        late = [t for t in mine if kernel and t.name.startswith("kernel")]
        for some in [t for t in mine if t not in late], late:
            if some is late and late and kernel.poll() is None:
                print("== the domU kernel is not built yet: waiting for it", flush=True)
                kernel.wait()
            with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
                list(pool.map(lambda t: run(t, o), some))
    if kernel:
        stop(kernel)
    return summary([first] + tests)


sys.exit(main())
