# SPDX-License-Identifier: GPL-2.0-or-later
srcs-y +=
srcs-y += comm/grant_table.c comm/grant_map.c comm/grant_copy.c comm/grant_ops.c
srcs-y += comm/evtchn.c comm/evtchn_bind.c comm/evtchn_2l.c comm/evtchn_fifo.c
