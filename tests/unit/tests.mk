# SPDX-License-Identifier: GPL-2.0-or-later
# One line a test: $(eval $(call unit,NAME,SOURCES below hypervisor/[,FLAGS]))
$(eval $(call unit,boot_tables,boot/multiboot.c boot/e820.c boot/acpi.c))
$(eval $(call unit,timer_heap,sched/timer_heap.c))
$(eval $(call unit,runqueue,sched/runqueue.c))
$(eval $(call unit,evtchn,comm/evtchn.c comm/evtchn_bind.c comm/evtchn_2l.c comm/evtchn_fifo.c lib/bitmap.c))
$(eval $(call unit,page,mm/page.c pv/mmu.c pv/mmu_validate.c pv/mmu_update.c pv/mmuext.c,-include host_mm.h -O2 -pthread host_mm.c))
$(eval $(call unit,heap,mm/heap.c mm/xmalloc.c,-include host_mm.h host_mm.c))
$(eval $(call unit,decode,pv/decode.c))
