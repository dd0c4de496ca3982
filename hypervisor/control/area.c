/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records in guest memory that we keep up to date for as long as the guest
 * likes: run state and time.
 *
 * The ABI gives a virtual address. It is looked up once, when registered, and
 * the frames are held as writable memory; from then on the record is written
 * through the direct map. So updates at a context switch cannot fault, need no
 * page table loaded, and work while the vCPU is in user mode, where the
 * kernel's addresses are not mapped.
 *
 * Writing takes no lock but turns interrupts off: an area that is replaced is
 * unpublished, and its frames are given back after smp_quiesce().
 */
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/smp.h>

static void *frame_get(struct vcpu *v, unsigned long va)
{
	struct page_info *pg;
	u64 l1e;

	if (!pv_read_l1e(v, va, &l1e) || !(l1e & PTE_P) || !(l1e & PTE_W))
		return NULL;
	pg = page_from_mfn(_mfn((l1e & PADDR_MASK) >> PAGE_SHIFT), v->domain);
	if (!pg)
		return NULL;
	if (page_get_type(pg, PGT_WRITABLE, false)) {
		page_put(pg);
		return NULL;
	}
	return page_to_virt(pg);
}

static void frame_put(void *va)
{
	if (va)
		page_put_and_type(
			virt_to_page((void *)((unsigned long)va & PAGE_MASK)));
}

void guest_area_drop(struct guest_area *ga)
{
	struct guest_area old = *ga;

	if (!old.va[0])
		return;
	WRITE_ONCE(ga->va[0], NULL);
	smp_quiesce();
	ga->va[1] = NULL;
	frame_put(old.va[0]);
	frame_put(old.va[1]);
}

int guest_area_set(struct guest_area *ga, gptr_t p, unsigned int len)
{
	unsigned int off = p.a & (PAGE_SIZE - 1);
	unsigned int first = min(len, (unsigned int)PAGE_SIZE - off);
	void *va[2] = { NULL, NULL };

	if (len) {
		if (!gptr_ok(p, len) || (p.a & 7))
			return -EFAULT;
		va[0] = frame_get(current, p.a);
		if (!va[0])
			return -EFAULT;
		if (first < len) {
			va[1] = frame_get(current, p.a + first);
			if (!va[1]) {
				frame_put(va[0]);
				return -EFAULT;
			}
		}
	}
	guest_area_drop(ga);
	if (!len)
		return 0;
	ga->len[0] = first;
	ga->len[1] = len - first;
	ga->va[1] = va[1];
	smp_wmb(); /* pairs with guest_area_write(): va[0] publishes */
	WRITE_ONCE(ga->va[0], (char *)va[0] + off);
	return 0;
}

void guest_area_write(const struct guest_area *ga, const void *src,
		      unsigned int off, unsigned int len)
{
	unsigned long flags = irq_save();
	char *to = READ_ONCE(ga->va[0]);
	unsigned int n;

	if (!to)
		goto out;
	if (off < ga->len[0]) {
		n = min(len, ga->len[0] - off);
		/* Whole words: the guest may read while we write. */
		if (n == 8)
			*(volatile u64 *)(to + off) = *(const u64 *)src;
		else if (n == 4)
			*(volatile u32 *)(to + off) = *(const u32 *)src;
		else
			memcpy(to + off, src, n);
		off = 0;
		len -= n;
		src = (const char *)src + n;
	} else {
		off -= ga->len[0];
	}
	if (len && ga->va[1] && off + len <= ga->len[1])
		memcpy((char *)ga->va[1] + off, src, len);
out:
	irq_restore(flags);
}
