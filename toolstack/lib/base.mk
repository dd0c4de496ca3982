# SPDX-License-Identifier: GPL-2.0-or-later
# The bottom of the library: helpers, event channels, grants, the store client.
lib-srcs += lib/util.c lib/run.c lib/pairs.c lib/evtchn.c lib/gnttab.c lib/xs.c lib/xs_conn.c

unit-tests += test_run
test_run-srcs := tests/test_run.c lib/util.c lib/run.c lib/pairs.c
