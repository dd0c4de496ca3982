# SPDX-License-Identifier: GPL-2.0-or-later
# One line a test: $(eval $(call unit,NAME,SOURCES below hypervisor/[,FLAGS]))
$(eval $(call unit,boot_tables,boot/multiboot.c boot/e820.c boot/acpi.c))
$(eval $(call unit,timer_heap,sched/timer_heap.c))
$(eval $(call unit,runqueue,sched/runqueue.c))
$(eval $(call unit,evtchn,comm/evtchn.c comm/evtchn_bind.c comm/evtchn_2l.c comm/evtchn_fifo.c lib/bitmap.c))
