/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * platform_op: what dom0 does to the machine, and asks about it. One function
 * an operation; those without one get -ENOSYS, which Linux takes for "the
 * hypervisor has no opinion" (MTRR, microcode, CPU hotplug, frequency).
 */
#include <bh/boot.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/efi.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/smp.h>
#include <bh/timer.h>
#include <public/arch-x86/xen-mca.h>
#include <public/platform.h>
#include <public/pmu.h>

typedef int platform_fn(struct vcpu *v, struct xen_platform_op *op);

static int op_settime32(struct vcpu *v, struct xen_platform_op *op)
{
	if (op->u.settime32.nsecs >= 1000000000)
		return -EINVAL;
	time_set_wallclock(op->u.settime32.secs, op->u.settime32.nsecs,
			   op->u.settime32.system_time);
	return 0;
}

static int op_settime64(struct vcpu *v, struct xen_platform_op *op)
{
	if (op->u.settime64.mbz || op->u.settime64.nsecs >= 1000000000)
		return -EINVAL;
	time_set_wallclock(op->u.settime64.secs, op->u.settime64.nsecs,
			   op->u.settime64.system_time);
	return 0;
}

static int op_quirk(struct vcpu *v, struct xen_platform_op *op)
{
	switch (op->u.platform_quirk.quirk_id) {
	case QUIRK_NOIRQBALANCING:
	case QUIRK_IOAPIC_BAD_REGSEL: /* we write REGSEL every time */
	case QUIRK_IOAPIC_GOOD_REGSEL:
		return 0;
	default:
		return -EINVAL;
	}
}

static int op_firmware_info(struct vcpu *v, struct xen_platform_op *op)
{
	struct xenpf_firmware_info *fi = &op->u.firmware_info;

	switch (fi->type) {
	case XEN_FW_DISK_INFO:
	case XEN_FW_DISK_MBR_SIGNATURE:
	case XEN_FW_VBEDDC_INFO:
		return -ESRCH; /* no real mode, so no BIOS to ask */
	case XEN_FW_EFI_INFO:
		return efi_firmware_info(fi);
	case XEN_FW_KBD_SHIFT_FLAGS:
		fi->u.kbd_shift_flags = 0;
		return 0;
	default:
		return -EINVAL;
	}
}

static int op_efi_call(struct vcpu *v, struct xen_platform_op *op)
{
	return efi_runtime_call(&op->u.efi_runtime_call);
}

static int op_sleep(struct vcpu *v, struct xen_platform_op *op)
{
	struct xenpf_enter_acpi_sleep *s = &op->u.enter_acpi_sleep;

	if (s->flags || s->sleep_state > 5)
		return -EINVAL;
	return acpi_enter_sleep(s->sleep_state, s->val_a, s->val_b);
}

static int op_getidletime(struct vcpu *v, struct xen_platform_op *op)
{
	struct xenpf_getidletime *g = &op->u.getidletime;
	u32 n = min(g->cpumap_nr_cpus, nr_cpu_ids);

	g->now = NOW();
	for (u32 i = 0; i < n; i += 8) {
		gptr_t mp = gptr_add(GPTR(g->cpumap_bitmap.p), i / 8);
		u8 map;

		if (get_guest_u8(&map, mp))
			return -EFAULT;
		for (u32 b = 0; b < 8 && i + b < n; b++) {
			if (!(map >> b & 1))
				continue;
			if (!cpus[i + b] || !cpus[i + b]->online) {
				map &= ~(1U << b);
				continue;
			}
			if (put_guest_u64(gptr_add(GPTR(g->idletime.p),
						   (i + b) * 8UL),
					  cpu_idle_time(i + b)))
				return -EFAULT;
		}
		if (copy_to_guest(mp, &map, 1))
			return -EFAULT;
	}
	return 0;
}

/* Idle and frequency data: taken note of by nobody yet. _PDC bits are kept as
 * dom0 offers them. */
static int op_pminfo(struct vcpu *v, struct xen_platform_op *op)
{
	return op->u.set_pminfo.type == XEN_PM_PDC ? -ENOSYS : -EINVAL;
}

static int op_cpuinfo(struct vcpu *v, struct xen_platform_op *op)
{
	struct xenpf_pcpuinfo *p = &op->u.pcpu_info;
	struct cpu *c = NULL;

	if (p->xen_cpuid < NR_CPUS)
		c = cpus[index_nospec(p->xen_cpuid, NR_CPUS)];
	p->max_present = nr_cpu_ids - 1;
	p->flags = !c          ? XEN_PCPU_FLAGS_INVALID
		   : c->online ? XEN_PCPU_FLAGS_ONLINE
			       : 0;
	p->apic_id = c ? c->apic_id : 0;
	p->acpi_id = c ? c->acpi_id : 0;
	return 0;
}

static int op_cpu_version(struct vcpu *v, struct xen_platform_op *op)
{
	struct xenpf_pcpu_version *p = &op->u.pcpu_version;
	struct cpuid_regs r = cpuid(0, 0);

	p->max_present = nr_cpu_ids - 1;
	if (p->xen_cpuid >= NR_CPUS || !cpus[p->xen_cpuid]) {
		memset(p->vendor_id, 0, sizeof(p->vendor_id));
		p->family = p->model = p->stepping = 0;
		return 0;
	}
	memcpy(p->vendor_id, &r.b, 4);
	memcpy(p->vendor_id + 4, &r.d, 4);
	memcpy(p->vendor_id + 8, &r.c, 4);
	p->family = cpu_has.family;
	p->model = cpu_has.model;
	p->stepping = cpuid(1, 0).a & 0xf;
	return 0;
}

/* Operations past the table's end are as unknown as its holes. */
static platform_fn *const ops[] = {
	[XENPF_settime32] = op_settime32,
	[XENPF_platform_quirk] = op_quirk,
	[XENPF_get_cpu_version] = op_cpu_version,
	[XENPF_efi_runtime_call] = op_efi_call,
	[XENPF_firmware_info] = op_firmware_info,
	[XENPF_enter_acpi_sleep] = op_sleep,
	[XENPF_getidletime] = op_getidletime,
	[XENPF_set_processor_pminfo] = op_pminfo,
	[XENPF_get_cpuinfo] = op_cpuinfo,
	[XENPF_settime64] = op_settime64,
};

long do_platform_op(struct vcpu *v, unsigned long a[6])
{
	struct xen_platform_op op;
	gptr_t arg = GPTR(a[0]);
	platform_fn *fn;
	int rc;

	if (!v->domain->is_privileged)
		return -EPERM;
	if (copy_from_guest(&op, arg, sizeof(op)))
		return -EFAULT;
	if (op.interface_version != XENPF_INTERFACE_VERSION)
		return -EACCES;
	if (op.cmd >= ARRAY_SIZE(ops))
		return -ENOSYS;
	fn = ops[index_nospec(op.cmd, ARRAY_SIZE(ops))];
	if (!fn)
		return -ENOSYS;
	rc = fn(v, &op);
	if (!rc && copy_to_guest(arg, &op, sizeof(op)))
		rc = -EFAULT;
	return rc;
}

/* ---- machine checks: events can be bound, there is never data ----------------------- */

static int mca_physcpuinfo(struct xen_mc *mc)
{
	struct xen_mc_physcpuinfo *p = &mc->u.mc_physcpuinfo;
	u32 n = 0, max = p->ncpus;

	for (u32 i = 0; i < nr_cpu_ids; i++) {
		xen_mc_logical_cpu_t c;

		if (!cpus[i] || !cpus[i]->online)
			continue;
		n++;
		if (!p->info.p || n > max)
			continue;
		memset(&c, 0, sizeof(c));
		c.mc_cpunr = i;
		c.mc_chipid = 0;
		c.mc_coreid = i;
		c.mc_threadid = 0;
		c.mc_apicid = cpus[i]->apic_id;
		c.mc_ncores = c.mc_ncores_active = 1;
		c.mc_nthreads = 1;
		c.mc_cpuid_level = cpu_has.max_leaf;
		c.mc_family = cpu_has.family;
		c.mc_model = cpu_has.model;
		if (copy_to_guest(
			    gptr_add(GPTR(p->info.p), (n - 1) * sizeof(c)), &c,
			    sizeof(c)))
			return -EFAULT;
	}
	p->ncpus = n;
	return 0;
}

long do_mca(struct vcpu *v, unsigned long a[6])
{
	struct xen_mc mc;
	gptr_t arg = GPTR(a[0]);
	int rc;

	if (!v->domain->is_privileged)
		return -EPERM;
	if (copy_from_guest(&mc, arg, sizeof(mc)))
		return -EFAULT;
	if (mc.interface_version != XEN_MCA_INTERFACE_VERSION)
		return -EACCES;
	switch (mc.cmd) {
	case XEN_MC_fetch:
		mc.u.mc_fetch.flags = XEN_MC_NODATA;
		rc = 0;
		break;
	case XEN_MC_physcpuinfo:
		rc = mca_physcpuinfo(&mc);
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (!rc && copy_to_guest(arg, &mc, sizeof(mc)))
		rc = -EFAULT;
	return rc;
}

/* No virtual performance counters: Linux falls back to software events. */
long do_xenpmu_op(struct vcpu *v, unsigned long a[6])
{
	return -EOPNOTSUPP;
}
