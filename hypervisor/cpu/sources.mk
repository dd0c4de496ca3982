# SPDX-License-Identifier: GPL-2.0-or-later
srcs-y += cpu/entry.S cpu/traps.c cpu/fpu.c cpu/syscall_stubs.S cpu/desc.c
srcs-y += cpu/identify.c cpu/apic.c cpu/ioapic.c cpu/irq.c cpu/smp.c
srcs-y += cpu/platform_timer.c cpu/cmos.c cpu/power.c cpu/watchdog.c
