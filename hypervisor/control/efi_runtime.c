/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UEFI runtime services for dom0: clock and variables.
 *
 * Firmware runs in physical mode, on a page table of its own: runtime regions
 * and one bounce buffer mapped one to one, plus the hypervisor's slots. It
 * never sees a guest's pointer: strings and data go through the bounce buffer.
 * Interrupts stay on; while it runs GDTR points to the CPU's own page, because
 * the vCPU's window is not in that page table. One call at a time (efi_lock).
 * (UEFI Specification 2.9, 2.3.4 and chapter 8.)
 */
#include <bh/boot.h>
#include <bh/cpuops.h>
#include <bh/desc.h>
#include <bh/domain.h>
#include <bh/efi.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <public/platform.h>

#define BOUNCE_ORDER 5 /* 128 KiB */
#define NAME_MAX     2048
#define DATA_MAX     (64U << 10)

#define EFI_MEMORY_UC      1UL
#define EFI_MEMORY_WB      8UL
#define EFI_MEMORY_RUNTIME (1UL << 63)
#define EFI_ERROR(n)       (1UL << 63 | (n))

/* Entries of EFI_RUNTIME_SERVICES, in units of 8 bytes. */
enum {
	RS_GET_TIME = 3,
	RS_SET_TIME = 4,
	RS_GET_WAKEUP = 5,
	RS_SET_WAKEUP = 6,
	RS_GET_VARIABLE = 9,
	RS_NEXT_VARIABLE = 10,
	RS_SET_VARIABLE = 11,
	RS_MONOTONIC = 12,
	RS_QUERY_VARIABLE = 16,
};

struct efi_time {
	u16 year;
	u8 month, day, hour, min, sec, pad1;
	u32 ns;
	s16 tz;
	u8 daylight, pad2;
};

/* Lies at the start of the bounce buffer; firmware gets physical addresses. */
struct bounce {
	struct efi_time time;
	u32 resolution, accuracy;
	u8 settable, enabled, pending;
	struct xenpf_efi_guid guid;
	u32 attr, count;
	u64 size;
	u64 max_store, remain_store, max_size;
	u16 name[NAME_MAX / 2];
	u8 data[DATA_MAX];
};
_Static_assert(sizeof(struct bounce) <= PAGE_SIZE << BOUNCE_ORDER, "fits");

typedef unsigned long efi_fn(unsigned long, unsigned long, unsigned long,
			     unsigned long, unsigned long)
	__attribute__((ms_abi));

static struct spinlock efi_lock = SPINLOCK_INIT(LOCK_NONE);
static u64 *efi_l4; /* NULL until the first call */
static struct bounce *bounce;

static u64 *next_level(u64 *table, unsigned int idx)
{
	void *p;

	if (!(table[idx] & PTE_P)) {
		p = alloc_page();
		if (!p)
			return NULL;
		table[idx] = virt_to_maddr(p) | PTE_P | PTE_W | PTE_A;
	}
	return maddr_to_virt(table[idx] & PADDR_MASK & PAGE_MASK);
}

static int map_identity(paddr_t pa, u64 pages, u64 attr)
{
	for (; pages; pages--, pa += PAGE_SIZE) {
		u64 *l3, *l2, *l1;

		if (pa >> 47)
			return -EINVAL;
		l3 = next_level(efi_l4, pa >> 39 & 511);
		l2 = l3 ? next_level(l3, pa >> 30 & 511) : NULL;
		l1 = l2 ? next_level(l2, pa >> 21 & 511) : NULL;
		if (!l1)
			return -ENOMEM;
		l1[pa >> 12 & 511] =
			pa | PTE_P | PTE_W | PTE_A | PTE_D |
			(attr & EFI_MEMORY_WB ? 0 : PTE_PCD | PTE_PWT);
	}
	return 0;
}

/* First call. What is left half made after an error stays: it is tried again. */
static int build_tables(void)
{
	const struct boot_info *bi = &boot_info;
	const char *map =
		(const char *)bi->efi_memmap - image_phys + IMAGE_START;
	struct page_info *pg;
	int rc;

	if (bi->efi_memdesc_size < 40 || !bi->efi_memmap_size)
		return -EOPNOTSUPP;
	if (!efi_l4)
		efi_l4 = alloc_page();
	if (!efi_l4)
		return -ENOMEM;
	memcpy(efi_l4 + HV_L4_FIRST, hv_l4 + HV_L4_FIRST,
	       (HV_L4_LAST - HV_L4_FIRST + 1) * 8);
	for (u32 off = 0; off + bi->efi_memdesc_size <= bi->efi_memmap_size;
	     off += bi->efi_memdesc_size) {
		u64 d[5]; /* type, phys, virt, pages, attr */

		memcpy(d, map + off, sizeof(d));
		if (!(d[4] & EFI_MEMORY_RUNTIME))
			continue;
		rc = map_identity(d[1], d[3], d[4]);
		if (rc)
			return rc;
	}
	pg = heap_alloc(BOUNCE_ORDER, 32, 0);
	if (!pg)
		return -ENOMEM;
	rc = map_identity(mfn_x(page_to_mfn(pg)) << PAGE_SHIFT,
			  1UL << BOUNCE_ORDER, EFI_MEMORY_WB);
	if (rc) {
		heap_free(pg, BOUNCE_ORDER, false);
		return rc;
	}
	bounce = page_to_virt(pg);
	return 0;
}

static unsigned long pa(const void *p)
{
	return virt_to_maddr(p);
}

static unsigned long call(unsigned int nr, unsigned long a, unsigned long b,
			  unsigned long c, unsigned long d, unsigned long e)
{
	struct vcpu *v = current;
	unsigned long cr3 = read_cr3(), f, rc;
	const u64 *rs;
	efi_fn *fn;

	fpu_save(v);
	clts();
	f = irq_save();
	desc_load_idle();
	tlb_switch_cr3(virt_to_maddr(efi_l4));
	irq_restore(f);
	rs = (const u64 *)efi_runtime_services();
	fn = (efi_fn *)rs[nr];
	rc = fn(a, b, c, d, e);
	f = irq_save();
	tlb_switch_cr3(cr3);
	desc_load_for_vcpu(v);
	irq_restore(f);
	fpu_restore(v);
	return rc;
}

static int copy_name_in(gptr_t src)
{
	for (u32 i = 0; i < ARRAY_SIZE(bounce->name); i++) {
		if (copy_from_guest(&bounce->name[i], gptr_add(src, i * 2UL),
				    2))
			return -EFAULT;
		if (!bounce->name[i])
			return 0;
	}
	return -EINVAL;
}

static void time_out(struct xenpf_efi_time *t)
{
	const struct efi_time *e = &bounce->time;

	*t = (struct xenpf_efi_time){
		.year = e->year,
		.month = e->month,
		.day = e->day,
		.hour = e->hour,
		.min = e->min,
		.sec = e->sec,
		.ns = e->ns,
		.tz = e->tz,
		.daylight = e->daylight,
	};
}

static void time_in(const struct xenpf_efi_time *t)
{
	bounce->time = (struct efi_time){
		.year = t->year,
		.month = t->month,
		.day = t->day,
		.hour = t->hour,
		.min = t->min,
		.sec = t->sec,
		.ns = t->ns,
		.tz = t->tz,
		.daylight = t->daylight,
	};
}

static int clock_call(struct xenpf_efi_runtime_call *op)
{
	switch (op->function) {
	case XEN_EFI_get_time:
		/* EFI_TIME_CAPABILITIES: two u32 and a bool in a row. */
		op->status = call(RS_GET_TIME, pa(&bounce->time),
				  pa(&bounce->resolution), 0, 0, 0);
		if (op->status)
			return 0;
		time_out(&op->u.get_time.time);
		op->u.get_time.resolution = bounce->resolution;
		op->u.get_time.accuracy = bounce->accuracy;
		op->misc =
			bounce->settable ? XEN_EFI_GET_TIME_SET_CLEARS_NS : 0;
		return 0;
	case XEN_EFI_set_time:
		time_in(&op->u.set_time);
		op->status = call(RS_SET_TIME, pa(&bounce->time), 0, 0, 0, 0);
		return 0;
	case XEN_EFI_get_wakeup_time:
		op->status =
			call(RS_GET_WAKEUP, pa(&bounce->enabled),
			     pa(&bounce->pending), pa(&bounce->time), 0, 0);
		op->misc = 0;
		if (op->status)
			return 0;
		if (bounce->enabled)
			op->misc |= XEN_EFI_GET_WAKEUP_TIME_ENABLED;
		if (bounce->pending)
			op->misc |= XEN_EFI_GET_WAKEUP_TIME_PENDING;
		time_out(&op->u.get_wakeup_time);
		return 0;
	default:
		time_in(&op->u.set_wakeup_time);
		op->status = call(RS_SET_WAKEUP,
				  !!(op->misc & XEN_EFI_SET_WAKEUP_TIME_ENABLE),
				  op->misc & XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY
					  ? 0
					  : pa(&bounce->time),
				  0, 0, 0);
		return 0;
	}
}

static int get_variable(struct xenpf_efi_runtime_call *op)
{
	gptr_t data = GPTR(op->u.get_variable.data.p);
	int rc = copy_name_in(GPTR(op->u.get_variable.name.p));

	if (rc)
		return rc;
	bounce->size = min(op->u.get_variable.size, (u64)DATA_MAX);
	bounce->guid = op->u.get_variable.vendor_guid;
	op->status = call(RS_GET_VARIABLE, pa(bounce->name), pa(&bounce->guid),
			  pa(&bounce->attr), pa(&bounce->size),
			  bounce->size ? pa(bounce->data) : 0);
	if (!op->status && (bounce->size > op->u.get_variable.size ||
			    bounce->size > DATA_MAX ||
			    copy_to_guest(data, bounce->data, bounce->size)))
		return -EFAULT;
	op->u.get_variable.size = bounce->size;
	op->misc = bounce->attr;
	return 0;
}

static int set_variable(struct xenpf_efi_runtime_call *op)
{
	u64 size = op->u.set_variable.size;
	int rc = copy_name_in(GPTR(op->u.set_variable.name.p));

	if (rc)
		return rc;
	if (size > DATA_MAX) {
		op->status = EFI_ERROR(9); /* out of resources */
		return 0;
	}
	if (copy_from_guest(bounce->data, GPTR(op->u.set_variable.data.p),
			    size))
		return -EFAULT;
	bounce->guid = op->u.set_variable.vendor_guid;
	op->status = call(RS_SET_VARIABLE, pa(bounce->name), pa(&bounce->guid),
			  op->misc, size, pa(bounce->data));
	return 0;
}

static int next_variable(struct xenpf_efi_runtime_call *op)
{
	u64 size = op->u.get_next_variable_name.size;
	gptr_t name = GPTR(op->u.get_next_variable_name.name.p);
	int rc = copy_name_in(name);

	if (rc)
		return rc;
	bounce->size = min(size, (u64)NAME_MAX);
	bounce->guid = op->u.get_next_variable_name.vendor_guid;
	op->status = call(RS_NEXT_VARIABLE, pa(&bounce->size), pa(bounce->name),
			  pa(&bounce->guid), 0, 0);
	op->u.get_next_variable_name.size = bounce->size;
	if (op->status)
		return 0;
	if (bounce->size > min(size, (u64)NAME_MAX) ||
	    copy_to_guest(name, bounce->name, bounce->size))
		return -EFAULT;
	op->u.get_next_variable_name.vendor_guid = bounce->guid;
	return 0;
}

static int query_variable(struct xenpf_efi_runtime_call *op)
{
	if (op->misc & XEN_EFI_VARINFO_BOOT_SNAPSHOT)
		return -EOPNOTSUPP;
	op->status = call(RS_QUERY_VARIABLE, op->u.query_variable_info.attr,
			  pa(&bounce->max_store), pa(&bounce->remain_store),
			  pa(&bounce->max_size), 0);
	op->u.query_variable_info.max_store_size = bounce->max_store;
	op->u.query_variable_info.remain_store_size = bounce->remain_store;
	op->u.query_variable_info.max_size = bounce->max_size;
	return 0;
}

static int dispatch(struct xenpf_efi_runtime_call *op)
{
	switch (op->function) {
	case XEN_EFI_get_time:
	case XEN_EFI_set_time:
	case XEN_EFI_get_wakeup_time:
	case XEN_EFI_set_wakeup_time:
		return clock_call(op);
	case XEN_EFI_get_variable:
		return get_variable(op);
	case XEN_EFI_set_variable:
		return set_variable(op);
	case XEN_EFI_get_next_variable_name:
		return next_variable(op);
	case XEN_EFI_query_variable_info:
		return query_variable(op);
	case XEN_EFI_get_next_high_monotonic_count:
		op->status = call(RS_MONOTONIC, pa(&bounce->count), 0, 0, 0, 0);
		op->misc = bounce->count;
		return 0;
	default: /* capsules */
		return -EOPNOTSUPP;
	}
}

int efi_runtime_call(struct xenpf_efi_runtime_call *op)
{
	int rc = 0;

	if (!efi_runtime_services())
		return -ENOSYS;
	spin_lock(&efi_lock);
	if (!bounce)
		rc = build_tables();
	if (!rc) {
		memset(bounce, 0, offsetof(struct bounce, data));
		rc = dispatch(op);
	}
	spin_unlock(&efi_lock);
	return rc;
}
