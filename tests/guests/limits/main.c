/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is not offered, and the answer it gets: docs/limits.md and docs/abi.md,
 * line by line. Whoever implements one of these changes the table there and
 * the line here.
 */
#include "domu.h"

#include <public/callback.h>

static void refused_domctl(void)
{
	static const struct {
		u32 cmd;
		int rc;
	} ops[] = {
		{ XEN_DOMCTL_irq_permission, -E_OPNOTSUPP },
		{ XEN_DOMCTL_gethvmcontext, -E_OPNOTSUPP },
		{ XEN_DOMCTL_sethvmcontext, -E_OPNOTSUPP },
		{ XEN_DOMCTL_gethvmcontext_partial, -E_OPNOTSUPP },
		{ XEN_DOMCTL_setvnumainfo, -E_OPNOTSUPP },
		{ XEN_DOMCTL_soft_reset, -E_OPNOTSUPP },
		{ XEN_DOMCTL_vm_event_op, -E_OPNOTSUPP },
		{ XEN_DOMCTL_mem_sharing_op, -E_OPNOTSUPP },
		{ XEN_DOMCTL_monitor_op, -E_OPNOTSUPP },
		{ XEN_DOMCTL_psr_cmt_op, -E_OPNOTSUPP },
		{ XEN_DOMCTL_psr_alloc, -E_OPNOTSUPP },
		{ XEN_DOMCTL_vmtrace_op, -E_OPNOTSUPP },
		{ XEN_DOMCTL_get_paging_mempool_size, -E_OPNOTSUPP },
		{ XEN_DOMCTL_set_paging_mempool_size, -E_OPNOTSUPP },
		{ XEN_DOMCTL_assign_device, -E_NODEV },
		{ XEN_DOMCTL_test_assign_device, -E_NODEV },
		{ XEN_DOMCTL_deassign_device, -E_NODEV },
		{ XEN_DOMCTL_debug_op, -E_NOSYS },
		{ XEN_DOMCTL_gdbsx_guestmemio, -E_NOSYS },
		{ XEN_DOMCTL_gdbsx_domstatus, -E_NOSYS },
	};
	struct xen_domctl op = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++)
		EQ(domctl(&op, ops[i].cmd, 0), ops[i].rc);
	op.u.createdomain.max_vcpus = 1;
	op.u.createdomain.grant_opts = 1;
	op.u.createdomain.flags = XEN_DOMCTL_CDF_hvm;
	EQ(domctl(&op, XEN_DOMCTL_createdomain, 0), -E_INVAL);
	op.u.createdomain.flags = XEN_DOMCTL_CDF_iommu;
	EQ(domctl(&op, XEN_DOMCTL_createdomain, 0), -E_INVAL);
	op.u.createdomain.flags = 0;
	op.u.createdomain.max_vcpus = 129;
	EQ(domctl(&op, XEN_DOMCTL_createdomain, 0), -E_INVAL);
}

static void refused_sysctl(void)
{
	static const u32 cmds[] = {
		XEN_SYSCTL_tbuf_op,     XEN_SYSCTL_perfc_op,
		XEN_SYSCTL_get_pmstat,  XEN_SYSCTL_cpu_hotplug,
		XEN_SYSCTL_pm_op,       XEN_SYSCTL_page_offline_op,
		XEN_SYSCTL_coverage_op, XEN_SYSCTL_livepatch_op,
	};
	struct xen_sysctl op = {
		.interface_version = XEN_SYSCTL_INTERFACE_VERSION,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cmds); i++) {
		op.cmd = cmds[i];
		EQ(HC(__HYPERVISOR_sysctl, &op), -E_OPNOTSUPP);
	}
	op.cmd = XEN_SYSCTL_cpupool_op;
	op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_CREATE;
	EQ(HC(__HYPERVISOR_sysctl, &op), -E_OPNOTSUPP);
	op.cmd = 9999;
	EQ(HC(__HYPERVISOR_sysctl, &op), -E_NOSYS);
	op.interface_version++;
	EQ(HC(__HYPERVISOR_sysctl, &op), -E_ACCES);
}

static long memory_op(unsigned int cmd, void *arg)
{
	return HC(__HYPERVISOR_memory_op, cmd, arg);
}

static void refused_memory(void)
{
	struct xen_add_to_physmap add = { .domid = DOMID_SELF };
	struct xen_pod_target pod = { .domid = DOMID_SELF };
	struct xen_vnuma_topology_info vnuma = { .domid = DOMID_SELF };

	EQ(memory_op(XENMEM_add_to_physmap, &add), -E_ACCES);
	EQ(memory_op(XENMEM_set_pod_target, &pod), -E_INVAL);
	EQ(memory_op(XENMEM_get_pod_target, &pod), -E_INVAL);
	EQ(memory_op(XENMEM_get_vnumainfo, &vnuma), -E_OPNOTSUPP);
	EQ(memory_op(XENMEM_paging_op, &add), -E_NOSYS);
	EQ(memory_op(XENMEM_access_op, &add), -E_NOSYS);
	EQ(memory_op(XENMEM_sharing_op, &add), -E_NOSYS);
	EQ(memory_op(XENMEM_reserved_device_memory_map, &add), -E_NOSYS);
	EQ(mmuext(MMUEXT_MARK_SUPER, mfn_of(page()), 0), -E_OPNOTSUPP);
	EQ(mmuext(MMUEXT_UNMARK_SUPER, mfn_of(page()), 0), -E_OPNOTSUPP);
}

static void refused_hypercalls(void)
{
	struct multicall_entry inner = { .op = __HYPERVISOR_xen_version };
	struct multicall_entry outer = { .op = __HYPERVISOR_multicall,
					 .args = { (u64)&inner, 1 } };
	struct callback_register cb = { .type = CALLBACKTYPE_sysenter,
					.address = (u64)syscall_stub };
	struct xen_build_id id = { .len = 0 };
	u64 none[4] = { 0 };

	EQ(HC(__HYPERVISOR_multicall, &outer, 1), 0);
	EQ((long)outer.result, -E_INVAL);
	EQ(HC(__HYPERVISOR_callback_op, CALLBACKOP_register, &cb), -E_NOSYS);
	EQ(HC(__HYPERVISOR_callback_op, 77, &cb), -E_NOSYS);
	EQ(HC(__HYPERVISOR_vm_assist, VMASST_CMD_enable,
	      VMASST_TYPE_m2p_strict),
	   -E_INVAL);
	EQ(HC(__HYPERVISOR_xen_version, XENVER_build_id, &id), -E_NODATA);
	EQ(HC(__HYPERVISOR_xenpmu_op, 0, none), -E_OPNOTSUPP);
	EQ(HC(__HYPERVISOR_hvm_op, 0, none), -E_NOSYS);
	EQ(HC(__HYPERVISOR_nmi_op, 0, none), -E_NOSYS);
	EQ(HC(__HYPERVISOR_kexec_op, 0, none), -E_NOSYS);
	EQ(HC(__HYPERVISOR_argo_op, 0, none), -E_NOSYS);
	EQ(HC(__HYPERVISOR_hypfs_op, 0, none), -E_NOSYS);
	EQ(HC(__HYPERVISOR_dm_op, 0, none), -E_NOSYS);
	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 128, 0), -E_NOENT);
}

static long platform(struct xen_platform_op *op, u32 cmd)
{
	op->cmd = cmd;
	op->interface_version = XENPF_INTERFACE_VERSION;
	return HC(__HYPERVISOR_platform_op, op);
}

static void refused_platform(void)
{
	static const u32 cmds[] = {
		XENPF_add_memtype,      XENPF_del_memtype, XENPF_read_memtype,
		XENPF_microcode_update, XENPF_cpu_online,  XENPF_cpu_offline,
		XENPF_cpu_hotadd,       XENPF_mem_hotadd,  XENPF_resource_op,
		XENPF_get_symbol,
	};
	struct xen_platform_op op = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(cmds); i++)
		EQ(platform(&op, cmds[i]), -E_NOSYS);
	op.u.enter_acpi_sleep.sleep_state = 3;
	EQ(platform(&op, XENPF_enter_acpi_sleep), -E_INVAL);
	op.u.firmware_info.type = XEN_FW_DISK_INFO;
	op.u.firmware_info.index = 0;
	EQ(platform(&op, XENPF_firmware_info), -E_SRCH);
	op.u.firmware_info.type = XEN_FW_EFI_INFO;
	EQ(platform(&op, XENPF_firmware_info), -E_NOSYS);
}

static void refused_physdev(void)
{
	u64 arg[8] = { 0 };

	EQ(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_pirq_eoi_gmfn_v1, arg),
	   -E_NOSYS);
	EQ(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_manage_pci_add, arg),
	   -E_NOSYS);
	EQ(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_dbgp_op, arg), -E_NOSYS);
	EQ(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_apic_write, arg), 0);
	EQ(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_pci_device_add, arg), 0);
	EQ(HC(__HYPERVISOR_physdev_op, 999, arg), -E_NOSYS);
}

static void nothing(void)
{
	for (;;)
		;
}

static void refused_for_another(void)
{
	struct xen_mem_acquire_resource res = { .type = 99, .nr_frames = 1 };
	struct xen_domctl op = { 0 };
	static struct domu u;

	domu_start_paused(&u, nothing);
	res.domid = u.id;
	EQ(memory_op(XENMEM_acquire_resource, &res), -E_OPNOTSUPP);
	op.u.address_size.size = 32;
	EQ(domctl(&op, XEN_DOMCTL_set_address_size, u.id), -E_INVAL);
	op.u.tsc_info.tsc_mode = 1;
	EQ(domctl(&op, XEN_DOMCTL_settscinfo, u.id), -E_OPNOTSUPP);
	op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT;
	op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_getinfo;
	EQ(domctl(&op, XEN_DOMCTL_scheduler_op, u.id), -E_INVAL);
	domu_destroy(&u);
}

void test_main(void)
{
	refused_domctl();
	refused_sysctl();
	refused_memory();
	refused_hypercalls();
	refused_platform();
	refused_physdev();
	refused_for_another();
}
