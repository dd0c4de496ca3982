# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine's serial console: waiting for text, and running commands.

Two layers. Console reads everything the machine says into a log and lets the
test wait for a pattern; nothing is lost between two waits. Shell, on top, talks
to image/bht at the other end, which runs commands reliably over a line that
drops characters and mixes in kernel messages (see there for the protocol).

Timeouts are stretched by the load of the build host, and by
$BULKHEAD_TIMEOUT_SCALE: emulation on a busy machine is slow, not broken.
"""

import base64
import hashlib
import os
import re
import select
import socket
import time


class Failure(Exception):
    """The machine did not do what the test expects."""


class Died(Failure):
    """The machine is gone, or says that it is about to be."""


class Timeout(Failure):
    pass


# Words that end a wait at once; Machine(fatal=...) replaces them.
FATAL = (rb"Panic on CPU|Kernel panic - not syncing|^.{0,40}PANIC:|Assertion .* failed|"
         rb"Dom0 crashed|Hardware Dom0 crashed|dom0 crashed|FATAL:|Domain 0 crashed")


def scale():
    env = os.environ.get("BULKHEAD_TIMEOUT_SCALE")
    if env:
        return float(env)
    return min(8.0, max(1.5, 1.5 * os.getloadavg()[0] / (os.cpu_count() or 1)))


class Deadline:
    """timeout seconds from now on an idle host; asks the load again when it ends."""

    def __init__(self, timeout):
        self.start, self.timeout = time.monotonic(), timeout

    def left(self):
        return self.start + self.timeout * scale() - time.monotonic()


class Console:
    def __init__(self, path, log, alive, fatal=FATAL):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.log = log                  # binary file, everything ever seen
        self.alive = alive              # says whether the machine still runs
        self.fatal = re.compile(fatal, re.M) if fatal else None
        self.buf = b""                  # since the last match
        self.seen = b""                 # the last of what has been seen
        self.mirror = None              # also copy to this file descriptor or function
        self.open = True

    def read(self, seconds):
        """Takes in what comes within the given time (returns at the first of it)."""
        if not self.open:
            return False
        r, _, _ = select.select([self.sock], [], [], max(0, seconds))
        if not r:
            return True
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.open = False
            return False
        self.log.write(data)
        self.log.flush()
        if callable(self.mirror):
            self.mirror(data)
        elif self.mirror is not None:
            os.write(self.mirror, data)
        self.buf += data
        self.seen = (self.seen + data)[-8192:]
        return True

    def drain(self):
        """Takes in what has already arrived."""
        while select.select([self.sock], [], [], 0)[0] and self.read(0):
            pass

    def tail(self, lines=25):
        text = self.seen.decode("utf-8", "replace").replace("\r", "")
        return "\n".join("    | " + l for l in text.split("\n")[-lines:])

    def expect(self, pattern, timeout=60, fatal=True):
        """Waits for a regular expression; returns the match. What came before is
        consumed with it. fatal=False also waits through a panic."""
        return self.until(pattern, timeout, fatal)[1]

    def until(self, pattern, timeout=60, fatal=True):
        """Like expect, but returns (what came before the match, the match)."""
        pat = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.M)
        end = Deadline(timeout)
        at = 0              # before here there is no match; patterns are short
        while True:
            m = pat.search(self.buf, at)
            if m:
                before, self.buf = self.buf[:m.start()], self.buf[m.end():]
                return before, m
            bad = fatal and self.fatal and self.fatal.search(self.buf, at)
            if bad:
                for _ in range(20):     # let it say why
                    self.read(0.1)
                raise Died(f"while waiting for {pat.pattern!r} the machine said "
                           f"{bad.group(0)!r}\n{self.tail(40)}")
            at = max(0, len(self.buf) - 1024)
            if not self.read(min(1.0, max(0.01, end.left()))) and not pat.search(self.buf, at):
                raise Died(f"the machine ended while waiting for {pat.pattern!r}\n{self.tail()}")
            if end.left() <= 0:
                raise Timeout(f"no {pat.pattern!r} in {timeout} s (times {scale():.1f} for load)"
                              f"\n{self.tail()}")

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)


class Result:
    def __init__(self, code, out):
        self.code, self.out = code, out


class Shell:
    """Commands on the console of a machine whose image has bht."""

    def __init__(self, console):
        self.con, self.id, self.ready = console, 0, False
        self.chunk = 28     # Xen 4.17 buffers 32 characters of serial input

    def login(self, timeout=240):
        """From power-on (or anywhere) to a working command channel."""
        con = self.con
        m = con.expect(rb"@@ready|root@\S+[#$] ?|^[/~]\S* [#$] $|bash-\S+# $", timeout)
        end = Deadline(60)
        while m.group(0) != b"@@ready":
            con.send("exec bht\n")
            try:
                m = con.expect(rb"@@ready", 10)
            except Timeout:
                if end.left() <= 0:
                    raise
                con.send("\n")
        self.ready = True

    def _upload(self, script):
        """Gets the script over there; returns when it has been started."""
        text = base64.b64encode(script.encode()).decode()
        digest = hashlib.md5(text.encode()).hexdigest()[:8]
        for _ in range(6):
            try:
                for at in range(0, len(text), self.chunk):
                    self.con.send(f"+{text[at:at + self.chunk]}\n")
                    done = min(at + self.chunk, len(text))
                    m = self.con.expect(rb"@@\+(\d+)\r*\n|@@bad", 8)
                    if m.group(1) is None or int(m.group(1)) != done:
                        raise Timeout("damaged")
                self.con.send(f"!{self.id} {digest}\n")
                if self.con.expect(rb"@@run %d\r*\n|@@bad" % self.id, 8).group(0) != b"@@bad":
                    return
            except Timeout:
                self.con.send("\n!0 0\n")
                try:
                    while True:
                        self.con.expect(rb"@@bad", 3)
                except Timeout:
                    pass
        raise Failure(f"the console does not take commands\n{self.con.tail()}")

    def call(self, script, timeout=60):
        """Runs a shell script there; returns a Result whatever its exit code.
        Output is stdout and stderr together. On a time-out it is interrupted."""
        if not self.ready:
            self.login()
        self.id += 1
        self._upload(script)
        head = rb"@@out %d (\d+) ([0-9a-f]{8})\r*\n" % self.id
        try:
            m = self.con.expect(head, timeout)
        except Timeout:
            self.con.send("\x03")
            try:
                self.con.expect(head, 10)
                said = self.con.until(rb"\r*\n@@end %d" % self.id, 20)[0]
            except Failure:
                self.ready = False
                raise Timeout(f"no end of `{script}` in {timeout} s, nor after Ctrl-C\n"
                              f"{self.con.tail()}") from None
            raise Timeout(f"no end of `{script}` in {timeout} s; output so far:\n"
                          f"{said.decode('utf-8', 'replace')[-2000:]}") from None
        code, digest = int(m.group(1)), m.group(2).decode()
        raw = self.con.until(rb"\r*\n@@end %d\r*\n" % self.id, 60)[0]
        data = raw.replace(b"\r\n", b"\n").replace(b"\r", b"")
        for _ in range(6):
            if hashlib.md5(data).hexdigest()[:8] == digest:
                return Result(code, data.decode("utf-8", "replace"))
            self.con.send(f"={self.id}\n")
            try:
                self.con.expect(rb"@@b64 %d\r*\n" % self.id, 60)
                raw = self.con.until(rb"@@end %d\r*\n" % self.id, 60)[0]
                data = base64.b64decode(b"".join(l for l in raw.split()
                                                 if re.fullmatch(rb"[A-Za-z0-9+/=]+", l)))
            except (ValueError, Timeout):
                data = b""
        raise Failure(f"the output of `{script}` arrives damaged every time")

    def run(self, script, timeout=60):
        """Like call, but a non-zero exit fails the test; returns the output."""
        r = self.call(script, timeout)
        if r.code:
            raise Failure(f"`{script}` exited {r.code}:\n{r.out[-3000:]}")
        return r.out
