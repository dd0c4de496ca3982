/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_version: who we are. To guests and tools we are Xen 4.17, whose ABI we
 * speak; our own name is in the compile information and the changeset.
 */
#include <bh/console.h>
#include <bh/control.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <public/features.h>
#include <public/version.h>

const char bulkhead_version[] = BH_VERSION;

static long reply(gptr_t arg, const void *what, size_t n)
{
	return copy_to_guest(arg, what, n);
}

static long op_compile_info(gptr_t arg)
{
	struct xen_compile_info info;

	memset(&info, 0, sizeof(info));
	strlcpy(info.compiler, __VERSION__, sizeof(info.compiler));
	strlcpy(info.compile_by, "bulkhead", sizeof(info.compile_by));
	strlcpy(info.compile_domain, "bulkhead", sizeof(info.compile_domain));
	/* No build time: the image is reproducible. */
	strlcpy(info.compile_date, "Bulkhead " BH_VERSION,
		sizeof(info.compile_date));
	return reply(arg, &info, sizeof(info));
}

static long op_capabilities(gptr_t arg)
{
	xen_capabilities_info_t info;

	memset(&info, 0, sizeof(info));
	strlcpy(info, "xen-3.0-x86_64 ", sizeof(info));
	return reply(arg, &info, sizeof(info));
}

static long op_features(struct vcpu *v, gptr_t arg)
{
	struct xen_feature_info fi;

	if (copy_from_guest(&fi, arg, sizeof(fi)))
		return -EFAULT;
	if (fi.submap_idx)
		return -EINVAL;
	fi.submap = 1U << XENFEAT_mmu_pt_update_preserve_ad |
		    1U << XENFEAT_gnttab_map_avail_bits |
		    1U << XENFEAT_memory_op_vnode_supported |
		    1U << XENFEAT_direct_mapped;
	if (VM_ASSIST(v->domain, VMASST_TYPE_pae_extended_cr3))
		fi.submap |= 1U << XENFEAT_pae_pgdir_above_4gb;
	if (v->domain == hardware_domain)
		fi.submap |= 1U << XENFEAT_dom0;
	return reply(arg, &fi, sizeof(fi));
}

static long op_commandline(struct vcpu *v, gptr_t arg)
{
	xen_commandline_t line;

	if (!is_control_domain(v->domain))
		return -EPERM;
	memset(&line, 0, sizeof(line));
	strlcpy(line, saved_cmdline, sizeof(line));
	return reply(arg, &line, sizeof(line));
}

static long op_changeset(gptr_t arg)
{
	xen_changeset_info_t info;

	memset(&info, 0, sizeof(info));
	strlcpy(info, "Bulkhead " BH_VERSION, sizeof(info));
	return reply(arg, &info, sizeof(info));
}

static __attribute__((noinline)) long version_op(struct vcpu *v, u32 op,
						 gptr_t arg)
{
	static const xen_extraversion_t extra = ".7-bulkhead";
	struct xen_platform_parameters params = {
		.virt_start = HV_VIRT_START,
	};

	switch (op) {
	case XENVER_extraversion:
		return reply(arg, extra, sizeof(extra));
	case XENVER_compile_info:
		return op_compile_info(arg);
	case XENVER_capabilities:
		return op_capabilities(arg);
	case XENVER_changeset:
		return op_changeset(arg);
	case XENVER_platform_parameters:
		return reply(arg, &params, sizeof(params));
	case XENVER_get_features:
		return op_features(v, arg);
	case XENVER_pagesize:
		return gptr_null(arg) ? (long)PAGE_SIZE : -EINVAL;
	case XENVER_guest_handle:
		return reply(arg, v->domain->handle, sizeof(v->domain->handle));
	case XENVER_commandline:
		return op_commandline(v, arg);
	case XENVER_build_id:
		return -ENODATA;
	default:
		return -ENOSYS;
	}
}

long do_xen_version(struct vcpu *v, unsigned long a[6])
{
	/* Guests use it as the call that does nothing but deliver events. */
	if (likely((u32)a[0] == XENVER_version))
		return BH_XEN_MAJOR << 16 | BH_XEN_MINOR;
	return version_op(v, a[0], GPTR(a[1]));
}
