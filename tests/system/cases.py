# SPDX-License-Identifier: GPL-2.0-or-later
"""What a system test file is: a list of named cases, run one per process.

    @case
    def boots(): ...

    for cpus in (1, 2, 4):
        add(f"smp-{cpus}", boots, smp=cpus, long=cpus == 4)

    main()

`test_x.py --list` prints the names check.sh runs (with --long all of them),
`test_x.py NAME` runs one: exit code 0 passed, 77 skipped with the reason on the
last line, 1 failed with what was expected and the end of the console log.
"""

import os
import sys
import time
import traceback

from console import Failure

_cases = {}


class Skip(Exception):
    """Raised with the reason a case cannot run here."""


def add(name, fn, /, *args, long=False, **params):
    """A case: fn(*args, **params). long=True keeps it out of CI."""
    if name in _cases:
        raise ValueError(f"two cases named {name}")
    _cases[name] = (fn, long, args, params)


def case(fn=None, *, long=False):
    """Decorator: the function's name (without test_) is the case's name."""
    if fn is None:
        return lambda f: case(f, long=long)
    add(fn.__name__.removeprefix("test_"), fn, long=long)
    return fn


def check(what, ok, detail=""):
    """Fails the case unless ok; what says what should have been true."""
    if not ok:
        raise Failure(f"expected: {what}" + (f"; got: {detail}" if detail != "" else ""))


def main():
    args = sys.argv[1:]
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: {os.path.basename(sys.argv[0])} --list [--long] | NAME...", file=sys.stderr)
        sys.exit(2)
    if args[0] == "--list":
        for name, (_, long, *_) in _cases.items():
            if not long or "--long" in args:
                print(name)
        return
    for name in args:
        if name not in _cases:
            sys.exit(f"no case {name}; --list --long shows them")
        fn, _, args, params = _cases[name]
        start = time.time()
        try:
            fn(*args, **params)
        except Skip as e:
            print(e)
            sys.exit(77)
        except Failure as e:
            sys.exit(f"{name}: {e}")
        except Exception:
            traceback.print_exc()
            sys.exit(1)
        print(f"{name}: passed in {time.time() - start:.0f} s")
