# SPDX-License-Identifier: GPL-2.0-or-later
# The bottom of the library: helpers, event channels, grants, the store client.
lib-srcs += lib/util.c
