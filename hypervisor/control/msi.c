/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Message-signalled interrupts. dom0 asks for them by map_pirq and never
 * writes addresses or data itself; here the message is made from the vector
 * and CPU of the irq and put into the device. Whether the device's MSI
 * function is switched on stays dom0's business: its PCI core sets the enable
 * bits by configuration writes. (PCI Local Bus Specification 3.0, 6.8.)
 *
 * Locking: irq_lock guards the list and the descriptors of live irqs.
 */
#include <bh/control.h>
#include <bh/errno.h>
#include <bh/list.h>
#include <bh/machine.h>
#include <bh/mm.h>

#define CAP_MSI     0x05
#define CAP_MSIX    0x11
#define MSI_64BIT   0x0080
#define MSI_PERVEC  0x0100
#define MSIX_ENABLE 0x8000

struct msi_desc {
	struct list link;
	u16 seg;
	u8 bus, devfn;
	u8 cap;
	bool msix, is64, maskable;
	u16 entry;  /* MSI-X entry, or index in a multi-vector MSI */
	u8 vector0; /* data register of plain MSI: the first vector */
	u8 vector;
	u32 irq;
	u32 dest;
	bool masked;
	void *map; /* page with the MSI-X entry */
	volatile u32 *slot;
};

static struct list msi_list = LIST_INIT(msi_list);

static u32 rd(const struct msi_desc *m, u16 reg, unsigned int len)
{
	return pci_conf_read(m->seg, m->bus, m->devfn, reg, len);
}
static void wr(const struct msi_desc *m, u16 reg, unsigned int len, u32 v)
{
	pci_conf_write(m->seg, m->bus, m->devfn, reg, len, v);
}

static u8 find_cap(u16 seg, u8 bus, u8 devfn, u8 id)
{
	u8 pos;

	if (!(pci_conf_read(seg, bus, devfn, 6, 2) & 0x10))
		return 0;
	pos = pci_conf_read(seg, bus, devfn, 0x34, 1) & ~3;
	for (unsigned int ttl = 48; ttl && pos >= 0x40; ttl--) {
		u16 v = pci_conf_read(seg, bus, devfn, pos, 2);

		if (v == 0xffff)
			return 0;
		if ((v & 0xff) == id)
			return pos;
		pos = v >> 8 & ~3;
	}
	return 0;
}

static u32 msg_address(u32 apic_id)
{
	return 0xfee00000 | (apic_id & 0xff) << 12;
}

void msi_mask(struct msi_desc *m, bool masked)
{
	u16 reg;
	u32 v;

	m->masked = masked;
	if (m->msix) {
		m->slot[3] = (m->slot[3] & ~1U) | masked;
		(void)m->slot[3]; /* posted write: reach the device */
	} else if (m->maskable) {
		reg = m->cap + (m->is64 ? 0x10 : 0x0c);
		v = rd(m, reg, 4) & ~(1U << m->entry);
		wr(m, reg, 4, v | (u32)masked << m->entry);
	}
}

void msi_set_dest(struct msi_desc *m, u32 apic_id)
{
	m->dest = apic_id;
	if (m->msix) {
		bool was = m->masked;

		/* An unmasked entry may be read half written. */
		msi_mask(m, true);
		m->slot[0] = msg_address(apic_id);
		msi_mask(m, was);
	} else {
		/* Only the destination changes, in one register. */
		wr(m, m->cap + 4, 4, msg_address(apic_id));
	}
}

static void program(struct msi_desc *m)
{
	if (m->msix) {
		m->slot[3] |= 1;
		m->slot[0] = msg_address(m->dest);
		m->slot[1] = 0;
		m->slot[2] = m->vector;
	} else if (m->entry == 0) {
		wr(m, m->cap + 4, 4, msg_address(m->dest));
		if (m->is64)
			wr(m, m->cap + 8, 4, 0);
		wr(m, m->cap + (m->is64 ? 0xc : 8), 2, m->vector0);
	}
	msi_mask(m, m->masked);
}

static int msix_map(struct msi_desc *m, u64 table_base)
{
	u32 table = rd(m, m->cap + 4, 4);
	u16 ctrl = rd(m, m->cap + 2, 2);
	paddr_t pa;

	if (m->entry > (ctrl & 0x7ff))
		return -EINVAL;
	pa = table_base + (table & ~7U) + m->entry * 16UL;
	if (pa >> PADDR_BITS || mfn_valid(_mfn(pa >> PAGE_SHIFT)))
		return -EINVAL;
	m->map = ioremap(pa & PAGE_MASK, PAGE_SIZE, PTE_HV_UC);
	if (!m->map)
		return -ENOMEM;
	m->slot = (volatile u32 *)((char *)m->map + (pa & ~PAGE_MASK));
	if (!(ctrl & MSIX_ENABLE))
		wr(m, m->cap + 2, 2, ctrl | MSIX_ENABLE);
	return 0;
}

static void msi_free(struct msi_desc *m)
{
	if (m && m->map)
		iounmap(m->map, PAGE_SIZE);
	xfree(m);
}

static int msi_one(struct msi_desc tmpl, u64 table_base, u32 irq, u8 vector0)
{
	struct msi_desc *m = xmalloc(sizeof(*m));
	unsigned long f;
	int rc;

	if (!m)
		return -ENOMEM;
	*m = tmpl;
	m->irq = irq;
	m->vector0 = vector0;
	m->vector = irq_desc[irq].vector;
	m->dest = cpus[0]->apic_id;
	m->masked = true;
	if (m->msix) {
		rc = msix_map(m, table_base);
		if (rc) {
			msi_free(m);
			return rc;
		}
	}
	f = spin_lock_irqsave(&irq_lock);
	program(m);
	list_add_tail(&m->link, &msi_list);
	irq_desc[irq].msi_desc = m;
	spin_unlock_irqrestore(&irq_lock, f);
	return 0;
}

static bool in_use(const struct msi_desc *t)
{
	unsigned long f = spin_lock_irqsave(&irq_lock);
	struct msi_desc *m;
	bool found = false;

	list_for_each_entry(m, &msi_list, link)
		if (m->seg == t->seg && m->bus == t->bus &&
		    m->devfn == t->devfn && m->msix == t->msix &&
		    (!m->msix || m->entry == t->entry))
			found = true;
	spin_unlock_irqrestore(&irq_lock, f);
	return found;
}

int msi_enable(u16 seg, u8 bus, u8 devfn, u32 entry_nr, u64 table_base,
	       u32 nr_vecs, u32 *irq)
{
	struct msi_desc t = {
		.seg = seg, .bus = bus, .devfn = devfn, .msix = table_base != 0
	};
	unsigned int n = 1, i;
	int first, rc;
	u16 ctrl;

	t.cap = find_cap(seg, bus, devfn, t.msix ? CAP_MSIX : CAP_MSI);
	if (!t.cap)
		return -ENODEV;
	if (!nr_vecs || nr_vecs > 32 || (t.msix && nr_vecs > 1))
		return -EINVAL;
	if (t.msix && entry_nr > 2047)
		return -EINVAL;
	t.entry = t.msix ? entry_nr : 0;
	ctrl = pci_conf_read(seg, bus, devfn, t.cap + 2, 2);
	t.is64 = ctrl & MSI_64BIT;
	t.maskable = ctrl & MSI_PERVEC;
	while (n < nr_vecs)
		n *= 2;
	if (!t.msix && n > 1U << (ctrl >> 1 & 7))
		return -EINVAL;
	if (in_use(&t))
		return -EEXIST;
	first = irq_alloc_msi(n);
	if (first < 0)
		return first;
	for (i = 0; i < n; i++) {
		rc = msi_one(t, table_base, first + i, irq_desc[first].vector);
		if (rc)
			goto err;
		t.entry++;
	}
	*irq = first;
	return 0;

err:
	while (i--)
		msi_disable(first + i);
	for (i = 0; i < n; i++)
		irq_free(first + i);
	return rc;
}

void msi_disable(u32 irq)
{
	unsigned long f;
	struct msi_desc *m;

	if (irq >= NR_IRQS)
		return;
	f = spin_lock_irqsave(&irq_lock);
	m = irq_desc[irq].msi_desc;
	if (m) {
		msi_mask(m, true);
		list_del(&m->link);
		irq_desc[irq].msi_desc = NULL;
	}
	spin_unlock_irqrestore(&irq_lock, f);
	msi_free(m);
	irq_free(irq);
}

int msi_restore(u16 seg, u8 bus, u8 devfn)
{
	unsigned long f = spin_lock_irqsave(&irq_lock);
	struct msi_desc *m;

	list_for_each_entry(m, &msi_list, link)
		if (m->seg == seg && m->bus == bus && m->devfn == devfn)
			program(m);
	spin_unlock_irqrestore(&irq_lock, f);
	return 0;
}

bool pci_conf_write_filter(u16 seg, u8 bus, u8 devfn, u16 reg, unsigned int len,
			   u32 *val)
{
	unsigned long f;
	struct msi_desc *m;
	bool ok = true;

	if (reg < 0x40 || reg >= 0x100 || list_empty(&msi_list))
		return true;
	f = spin_lock_irqsave(&irq_lock);
	list_for_each_entry(m, &msi_list, link) {
		/* Address and data of a live MSI are ours. */
		if (m->seg == seg && m->bus == bus && m->devfn == devfn &&
		    !m->msix && reg + len > m->cap + 4U &&
		    reg < m->cap + (m->is64 ? 0xeU : 0xaU))
			ok = false;
	}
	spin_unlock_irqrestore(&irq_lock, f);
	return ok;
}
