# SPDX-License-Identifier: GPL-2.0-or-later
srcs-y += mm/boot.c mm/heap.c mm/xmalloc.c mm/map.c mm/tlb.c mm/page.c mm/domain.c mm/guest_access.c mm/memory_op.c mm/exchange.c mm/audit.c mm/logdirty.c
