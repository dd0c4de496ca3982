/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls. Handlers get the calling vCPU and its argument registers. To be
 * preempted a handler leaves its progress in a[] and returns -ERESTART: the one
 * dispatcher (pv/hypercall.c) then writes a[] back to the registers (or to the
 * multicall entry) and lets the guest execute the instruction again.
 *
 * Results are 0 or positive, or -E* with Xen's numbers.
 */
#pragma once

#include <bh/types.h>

struct vcpu;
typedef long hypercall_fn(struct vcpu *v, unsigned long a[6]);

hypercall_fn do_set_trap_table, do_mmu_update, do_set_gdt, do_stack_switch,
	do_set_callbacks, do_fpu_taskswitch, do_platform_op, do_set_debugreg,
	do_get_debugreg, do_update_descriptor, do_memory_op, do_multicall,
	do_update_va_mapping, do_set_timer_op, do_xen_version, do_console_io,
	do_grant_table_op, do_vm_assist, do_update_va_mapping_otherdomain,
	do_iret, do_vcpu_op, do_set_segment_base, do_mmuext_op, do_sched_op,
	do_callback_op, do_event_channel_op, do_physdev_op, do_sysctl,
	do_domctl, do_xenpmu_op, do_mca;

/* Should a long operation stop here and be continued later? */
bool hypercall_preempt(void);
