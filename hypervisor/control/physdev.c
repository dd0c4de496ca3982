/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Physical devices for dom0: interrupts by number ("pirqs"), I/O privilege.
 *
 * A pirq is a domain's own number for a host irq. For I/O APIC pins it is the
 * GSI; for MSIs a free number behind those. Its table comes into being with
 * the first mapping, so ordinary guests have none. Entries change under the
 * table's lock and are read without it: a stale read meets the owner check in
 * cpu/irq.c.
 */
#include <bh/control.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/machine.h>
#include <public/physdev.h>

struct pirq_table {
	struct spinlock lock;
	struct page_info *eoi_page; /* guest's map of pirqs that need an EOI */
	struct {
		u16 irq; /* + 1; 0: not mapped */
		bool bound;
	} p[NR_IRQS];
};

int pirq_domain_init(struct domain *d)
{
	d->pirqs = NULL;
	return 0;
}

static struct pirq_table *pirqs_get(struct domain *d)
{
	struct pirq_table *t = READ_ONCE(d->pirqs), *none = NULL;

	if (t)
		return t;
	t = xzalloc(sizeof(*t));
	if (!t)
		return NULL;
	spin_init(&t->lock, LOCK_NONE);
	if (!__atomic_compare_exchange_n(&d->pirqs, &none, t, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		xfree(t);
		t = none;
	}
	return t;
}

/* The irq behind a pirq, or -EINVAL. */
static int pirq_to_irq(const struct domain *d, u32 pirq)
{
	const struct pirq_table *t = READ_ONCE(d->pirqs);
	int irq;

	if (!t || pirq >= NR_IRQS)
		return -EINVAL;
	irq = READ_ONCE(t->p[index_nospec(pirq, NR_IRQS)].irq);
	return irq ? irq - 1 : -EINVAL;
}

static bool needs_eoi(int irq)
{
	return irq_desc[irq].level;
}

static void eoi_map_set(struct pirq_table *t, u32 pirq, bool val)
{
	unsigned long *map;

	if (!t->eoi_page || pirq >= PAGE_SIZE * 8)
		return;
	map = page_to_virt(t->eoi_page);
	if (val)
		set_bit(pirq, map);
	else
		clear_bit(pirq, map);
}

int pirq_guest_bind(struct vcpu *v, u32 pirq, bool will_share)
{
	struct domain *d = v->domain;
	struct pirq_table *t = d->pirqs;
	int irq, rc;

	if (!t)
		return -EINVAL;
	spin_lock(&t->lock);
	irq = pirq_to_irq(d, pirq);
	if (irq < 0) {
		rc = irq;
	} else if (t->p[pirq].bound) {
		rc = -EBUSY;
	} else {
		rc = irq_bind_guest(irq, d, pirq, v->processor);
		t->p[pirq].bound = !rc;
		if (!rc)
			eoi_map_set(t, pirq, needs_eoi(irq));
	}
	spin_unlock(&t->lock);
	return rc;
}

/* Lock held; the pirq is mapped. */
static void unbind(struct domain *d, struct pirq_table *t, u32 pirq)
{
	if (!t->p[pirq].bound)
		return;
	t->p[pirq].bound = false;
	eoi_map_set(t, pirq, false);
	irq_unbind_guest(t->p[pirq].irq - 1, d);
}

void pirq_guest_unbind(struct domain *d, u32 pirq)
{
	struct pirq_table *t = d->pirqs;

	if (!t)
		return;
	spin_lock(&t->lock);
	if (pirq_to_irq(d, pirq) >= 0)
		unbind(d, t, pirq);
	spin_unlock(&t->lock);
}

void pirq_guest_eoi(struct domain *d, u32 pirq)
{
	int irq = pirq_to_irq(d, pirq);

	if (irq >= 0)
		irq_guest_eoi(irq, d);
}

void pirq_set_affinity(struct domain *d, u32 pirq, unsigned int cpu)
{
	int irq = pirq_to_irq(d, pirq);

	if (irq >= 0 && irq_desc[irq].guest == d)
		irq_set_cpu(irq, cpu);
}

/* ---- mapping ---------------------------------------------------------------- */

/* First of n free numbers from `from` on. Lock held. */
static int free_pirqs(const struct pirq_table *t, u32 from, u32 n)
{
	for (u32 i = from; i + n <= NR_IRQS; i++) {
		u32 k;

		for (k = 0; k < n && !t->p[i + k].irq; k++)
			;
		if (k == n)
			return i;
	}
	return -ENOSPC;
}

static int map_irqs(struct domain *d, int pirq, u32 irq, u32 n, bool gsi)
{
	struct pirq_table *t = pirqs_get(d);
	int rc = 0;

	if (!t)
		return -ENOMEM;
	if (pirq >= 0 && (u32)pirq > NR_IRQS - n)
		return -EINVAL;
	spin_lock(&t->lock);
	if (pirq < 0 && gsi)
		pirq = irq;
	if (pirq < 0)
		pirq = free_pirqs(t, nr_gsis, n);
	if (pirq < 0) {
		rc = pirq;
	} else if (n == 1 && t->p[pirq].irq == irq + 1) {
		rc = 0; /* mapped already: Linux asks twice */
	} else {
		for (u32 i = 0; i < n; i++)
			if (t->p[pirq + i].irq)
				rc = -EEXIST;
		for (u32 i = 0; i < n && !rc; i++)
			WRITE_ONCE(t->p[pirq + i].irq, irq + i + 1);
	}
	spin_unlock(&t->lock);
	return rc ? rc : pirq;
}

static int unmap_pirq(struct domain *d, u32 pirq)
{
	struct pirq_table *t = d->pirqs;
	int irq;

	if (!t)
		return -EINVAL;
	spin_lock(&t->lock);
	irq = pirq_to_irq(d, pirq);
	if (irq >= 0) {
		unbind(d, t, pirq);
		WRITE_ONCE(t->p[pirq].irq, 0);
	}
	spin_unlock(&t->lock);
	if (irq >= (int)nr_gsis)
		msi_disable(irq);
	return irq < 0 ? irq : 0;
}

void pirq_domain_done(struct domain *d)
{
	struct pirq_table *t = d->pirqs;

	if (!t)
		return;
	for (u32 i = 0; i < NR_IRQS; i++)
		if (t->p[i].irq)
			(void)unmap_pirq(d, i);
	if (t->eoi_page)
		page_put_and_type(t->eoi_page);
	d->pirqs = NULL;
	xfree(t);
}

static int map_gsi(struct domain *d, struct physdev_map_pirq *op)
{
	int rc;

	if (op->index < 0 || (u32)op->index >= nr_gsis)
		return -EINVAL;
	/* One of the hypervisor's own, such as its UART, may be mapped (Linux
	 * maps all ISA interrupts and complains) but not bound. */
	rc = map_irqs(d, op->pirq, op->index, 1, true);
	if (rc < 0)
		return rc;
	op->pirq = rc;
	return 0;
}

static int map_msi(struct domain *d, struct physdev_map_pirq *op)
{
	u16 seg = op->type == MAP_PIRQ_TYPE_MSI ? 0 : (u32)op->bus >> 16;
	bool multi = op->type == MAP_PIRQ_TYPE_MULTI_MSI;
	u32 irq, n = multi ? op->entry_nr : 1;
	int rc;

	rc = msi_enable(seg, op->bus & 0xff, op->devfn & 0xff,
			multi ? 0 : op->entry_nr, op->table_base, n, &irq);
	if (rc)
		return rc;
	rc = map_irqs(d, op->pirq, irq, n, false);
	if (rc < 0) {
		for (u32 i = 0; i < n; i++)
			msi_disable(irq + i);
		return rc;
	}
	op->pirq = rc;
	return 0;
}

union physdev_arg {
	struct physdev_irq_status_query status;
	struct physdev_set_iopl iopl;
	struct physdev_set_iobitmap iobitmap;
	struct physdev_apic apic;
	struct physdev_irq irq;
	struct physdev_eoi eoi;
	struct physdev_map_pirq map;
	struct physdev_unmap_pirq unmap;
	struct physdev_restore_msi restore_msi;
	struct physdev_setup_gsi setup_gsi;
	struct physdev_get_free_pirq free_pirq;
	struct physdev_pci_device pci_device;
	struct physdev_pirq_eoi_gmfn eoi_gmfn;
};

static int op_map_pirq(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_map_pirq *op = &arg->map;
	struct domain *d;
	int rc;

	d = domain_by_any_id(op->domid);
	if (!d)
		return -ESRCH;
	switch (op->type) {
	case MAP_PIRQ_TYPE_GSI:
		rc = map_gsi(d, op);
		break;
	case MAP_PIRQ_TYPE_MSI:
	case MAP_PIRQ_TYPE_MSI_SEG:
	case MAP_PIRQ_TYPE_MULTI_MSI:
		rc = map_msi(d, op);
		break;
	default:
		rc = -EINVAL;
	}
	domain_put(d);
	return rc;
}

static int op_unmap_pirq(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_unmap_pirq *op = &arg->unmap;
	struct domain *d;
	int rc;

	d = domain_by_any_id(op->domid);
	if (!d)
		return -ESRCH;
	rc = op->pirq < 0 ? -EINVAL : unmap_pirq(d, op->pirq);
	domain_put(d);
	return rc;
}

/* ---- the other operations ------------------------------------------------------ */

static int op_eoi(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_eoi *op = &arg->eoi;
	int irq;

	irq = pirq_to_irq(v->domain, op->irq);
	if (irq < 0)
		return -EINVAL;
	irq_guest_eoi(irq, v->domain);
	return 0;
}

static int op_irq_status(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_irq_status_query *op = &arg->status;
	int irq;

	irq = pirq_to_irq(v->domain, op->irq);
	if (irq < 0)
		return -EINVAL;
	op->flags = needs_eoi(irq) ? XENIRQSTAT_needs_eoi : 0;
	return 0;
}

static int op_eoi_gmfn(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_pirq_eoi_gmfn *op = &arg->eoi_gmfn;
	struct pirq_table *t;
	struct page_info *pg;
	int rc;

	t = pirqs_get(v->domain);
	if (!t)
		return -ENOMEM;
	pg = page_from_mfn(_mfn(op->gmfn), v->domain);
	if (!pg)
		return -EINVAL;
	rc = page_get_type(pg, PGT_WRITABLE, false);
	if (rc) {
		page_put(pg);
		return rc;
	}
	spin_lock(&t->lock);
	if (t->eoi_page) {
		rc = -EBUSY;
	} else {
		t->eoi_page = pg;
		memset(page_to_virt(pg), 0, PAGE_SIZE);
		for (u32 i = 0; i < NR_IRQS; i++)
			if (t->p[i].irq && t->p[i].bound)
				eoi_map_set(t, i, needs_eoi(t->p[i].irq - 1));
	}
	spin_unlock(&t->lock);
	if (rc)
		page_put_and_type(pg);
	return rc;
}

static int op_set_iopl(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_set_iopl *op = &arg->iopl;

	if (op->iopl > 3)
		return -EINVAL;
	v->pv.iopl = op->iopl;
	return 0;
}

static int op_set_iobitmap(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_set_iobitmap *op = &arg->iobitmap;

	if (op->nr_ports > 65536 ||
	    (op->nr_ports &&
	     !gptr_ok(GPTR(op->bitmap.p), op->nr_ports / 8 + 1)))
		return -EINVAL;
	v->pv.iobmp = GPTR(op->bitmap.p);
	v->pv.iobmp_limit = op->nr_ports;
	return 0;
}

static int op_apic_read(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_apic *op = &arg->apic;

	if (op->reg > 0xff ||
	    !ioapic_owns_page(op->apic_physbase >> PAGE_SHIFT))
		return -EINVAL;
	op->value = ioapic_read_phys(op->apic_physbase, op->reg);
	return 0;
}

static int op_alloc_vector(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_irq *op = &arg->irq;

	if (op->irq >= nr_gsis)
		return -EINVAL;
	op->vector = op->irq;
	return 0;
}

static int op_setup_gsi(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_setup_gsi *op = &arg->setup_gsi;

	if (op->gsi < 0)
		return -EINVAL;
	return irq_setup_gsi(op->gsi, op->triggering, op->polarity);
}

static int op_get_free_pirq(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_get_free_pirq *op = &arg->free_pirq;
	struct pirq_table *t;
	int rc;

	t = pirqs_get(v->domain);
	if (!t)
		return -ENOMEM;
	spin_lock(&t->lock);
	rc = free_pirqs(t, op->type == MAP_PIRQ_TYPE_GSI ? 16 : nr_gsis, 1);
	spin_unlock(&t->lock);
	if (rc < 0)
		return rc;
	op->pirq = rc;
	return 0;
}

/*
 * Redirection entries are ours, and devices need no record before there is an
 * IOMMU to program: accepted, nothing to do.
 */
static int op_nothing(struct vcpu *v, union physdev_arg *arg)
{
	return 0;
}

static int op_restore_msi(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_restore_msi *op = &arg->restore_msi;

	return msi_restore(0, op->bus, op->devfn);
}

static int op_restore_msi_ext(struct vcpu *v, union physdev_arg *arg)
{
	struct physdev_pci_device *op = &arg->pci_device;

	return msi_restore(op->seg, op->bus, op->devfn);
}

#define ARG(field) sizeof(((union physdev_arg *)0)->field)

static const struct physdev_cmd {
	int (*fn)(struct vcpu *v, union physdev_arg *arg);
	u16 size;     /* of the argument, 0: not looked at */
	bool dom0;    /* others get -EPERM */
	bool answers; /* the argument is written back on success */
} cmds[] = {
	[PHYSDEVOP_irq_status_query] = { op_irq_status, ARG(status), false,
					 true },
	[PHYSDEVOP_set_iopl] = { op_set_iopl, ARG(iopl) },
	[PHYSDEVOP_set_iobitmap] = { op_set_iobitmap, ARG(iobitmap) },
	[PHYSDEVOP_apic_read] = { op_apic_read, ARG(apic), true, true },
	[PHYSDEVOP_apic_write] = { op_nothing, 0, true },
	[PHYSDEVOP_alloc_irq_vector] = { op_alloc_vector, ARG(irq), true,
					 true },
	[PHYSDEVOP_eoi] = { op_eoi, ARG(eoi) },
	[PHYSDEVOP_map_pirq] = { op_map_pirq, ARG(map), true, true },
	[PHYSDEVOP_unmap_pirq] = { op_unmap_pirq, ARG(unmap), true },
	[PHYSDEVOP_restore_msi] = { op_restore_msi, ARG(restore_msi), true },
	[PHYSDEVOP_setup_gsi] = { op_setup_gsi, ARG(setup_gsi), true },
	[PHYSDEVOP_get_free_pirq] = { op_get_free_pirq, ARG(free_pirq), false,
				      true },
	[PHYSDEVOP_pci_mmcfg_reserved] = { op_nothing, 0, true },
	[PHYSDEVOP_pci_device_add] = { op_nothing, 0, true },
	[PHYSDEVOP_pci_device_remove] = { op_nothing, 0, true },
	[PHYSDEVOP_restore_msi_ext] = { op_restore_msi_ext, ARG(pci_device),
					true },
	[PHYSDEVOP_pirq_eoi_gmfn_v2] = { op_eoi_gmfn, ARG(eoi_gmfn) },
	[PHYSDEVOP_prepare_msix] = { op_nothing, 0, true },
	[PHYSDEVOP_release_msix] = { op_nothing, 0, true },
};

long do_physdev_op(struct vcpu *v, unsigned long a[6])
{
	gptr_t gptr = GPTR(a[1]);
	const struct physdev_cmd *c;
	union physdev_arg arg;
	int rc;

	if (a[0] >= ARRAY_SIZE(cmds))
		return -ENOSYS;
	c = &cmds[index_nospec(a[0], ARRAY_SIZE(cmds))];
	if (!c->fn)
		return -ENOSYS;
	if (c->size && copy_from_guest(&arg, gptr, c->size))
		return -EFAULT;
	if (c->dom0 && !v->domain->is_privileged)
		return -EPERM;
	rc = c->fn(v, &arg);
	if (!rc && c->answers && copy_to_guest(gptr, &arg, c->size))
		rc = -EFAULT;
	return rc;
}
