/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds dom0: unpacks and loads its kernel, lays out its first address space
 * as public/xen.h ("Start-of-day memory layout") promises, fills start_info and
 * leaves vCPU 0 ready to run.
 *
 * Guest frames 0..n of the initial mapping lie linearly at the kernel's
 * virtual base: kernel, start_info, page tables, boot stack. Behind them, not
 * mapped, the initrd; then the p2m list with its own page tables, mapped at the
 * address the kernel asked for (XEN_ELFNOTE_INIT_P2M). The tables are written
 * as plain memory and then handed to the one validation path every guest goes
 * through: page_get_type() on the top level.
 */
#include <bh/boot.h>
#include <bh/console.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/elf.h>
#include <bh/errno.h>
#include <bh/smp.h>
#include <public/elfnote.h>
#include <public/features.h>

static u64 opt_mem, opt_mem_min, opt_mem_max = ~0UL;
static u32 opt_max_vcpus;
static bool opt_pin;
PARAM_UINT("dom0_max_vcpus", opt_max_vcpus);
PARAM_BOOL("dom0_vcpus_pin", opt_pin);

/* dom0_mem=512M,min:256M,max:1G in any order. */
static int __init parse_dom0_mem(const char *s)
{
	for (;;) {
		if (!strncmp(s, "min:", 4))
			opt_mem_min = parse_size(s + 4, &s);
		else if (!strncmp(s, "max:", 4))
			opt_mem_max = parse_size(s + 4, &s);
		else
			opt_mem = parse_size(s, &s);
		if (*s != ',')
			return *s ? -EINVAL : 0;
		s++;
	}
}
PARAM_FN("dom0_mem", parse_dom0_mem);

struct layout {      /* all in guest frames unless said otherwise */
	u64 v_start; /* virtual address of frame 0 */
	u64 nr_pages, kernel_end;
	u64 start_info, pt_first, nr_pt, stack, mapped; /* mapped: size */
	u64 initrd, nr_initrd;
	u64 p2m_first, nr_p2m; /* list and the tables that map it */
	u64 p2m_va;
	bool p2m_inside; /* old kernels: list inside the initial mapping */
};

struct build {
	struct domain *d;
	struct elf_image elf;
	struct layout l;
	unsigned long *mfns; /* of every guest frame */
	unsigned int mfns_order;
	u64 late;    /* frames that become free when the images are loaded */
	u64 next_pt; /* next free page-table frame */
	u64 *l4;
};

static void *__init frame_va(struct build *b, u64 pfn)
{
	return mfn_to_virt(_mfn(b->mfns[pfn]));
}

/* ---- the kernel image ---------------------------------------------------------- */

/* *unpacked, *held: memory to give back when the image is not needed any more. */
static void __init load_kernel_file(struct build *b, const struct boot_info *bi,
				    void **unpacked, size_t *held)
{
	const void *file = maddr_to_virt(bi->mod[0].start);
	size_t size = bi->mod[0].end - bi->mod[0].start, off, len;
	unsigned int order = 0;
	u32 hint;
	int rc = bzimage_payload(file, size, &off, &len);

	*unpacked = NULL;
	if (rc == -EINVAL)
		panic("dom0 kernel: damaged or too old bzImage (boot protocol 2.08 is needed)\n");
	if (!rc) {
		/* The builder appends the unpacked size to every payload. */
		memcpy(&hint, (const u8 *)file + off + len - 4, 4);
		if (!memcmp((const u8 *)file + off, "\177ELF", 4)) {
			file = (const u8 *)file + off;
			size = len;
		} else {
			rc = decompress((const u8 *)file + off, len - 4,
					max(hint, 1U << 20), unpacked, &size,
					&order);
			if (rc)
				panic("dom0 kernel: cannot unpack its payload: %s\n",
				      rc == -ENOMEM ? "not enough memory"
				      : rc == -EIO  ? "damaged"
						    : "unknown compression");
			file = *unpacked;
			/* The block is a power of two: up to half is unused. */
			*held = ROUNDUP(size, PAGE_SIZE);
			mm_release_range(virt_to_maddr(*unpacked) + *held,
					 virt_to_maddr(*unpacked) +
						 (PAGE_SIZE << order));
		}
	}
	rc = elf_parse(&b->elf, file, size);
	if (rc)
		panic("dom0 kernel: %s\n", b->elf.error);
}

static void __init check_kernel(const struct elf_image *e)
{
	bool dom0 =
		e->have_features ? e->features & (1U << XENFEAT_dom0) : true;

	if (!e->have_notes)
		panic("dom0 kernel: no Xen notes: not built with CONFIG_XEN_PV\n");
	if (strcmp(e->xen_version, "xen-3.0"))
		panic("dom0 kernel: wants ABI '%s', this is xen-3.0\n",
		      e->xen_version);
	if (!dom0)
		panic("dom0 kernel: cannot be dom0 (CONFIG_XEN_DOM0 is off); use linux-image-amd64, not the cloud kernel\n");
}

/* ---- memory --------------------------------------------------------------------- */

static u64 __init compute_nr_pages(u64 need, u64 late)
{
	u64 avail = heap_free_pages() + late, reserve, n;

	/* Left to us: 1/16th for other domains' and our own needs, at most
	 * 128 MiB (dom0_mem= overrides). */
	reserve = min(avail / 16, 128UL << (20 - PAGE_SHIFT));
	n = opt_mem ? opt_mem >> PAGE_SHIFT : avail - reserve;
	n = max(n, opt_mem_min >> PAGE_SHIFT);
	n = min(n, opt_mem_max >> PAGE_SHIFT);
	/* Frame lists, tables and slack for what we allocate meanwhile. */
	n = min(n, avail - avail / 128 - (8UL << (20 - PAGE_SHIFT)));
	if (n < need)
		panic("dom0 needs at least %lu MiB, dom0_mem= or the machine gives %lu\n",
		      (need >> 8) + 1, n >> 8);
	return n;
}

/*
 * Pages of the mapped region and of the p2m list must be clean; the rest of
 * the memory dom0 gets as it is (nobody used it before). From the top, so that
 * what is left over is low: dom0 exchanges pages for buffers that 32-bit
 * devices can reach.
 */
static void __init populate(struct build *b, u64 pfn, u64 nr)
{
	while (pfn < nr) {
		unsigned int order = heap_top_order(
			min(18U, 63 - (unsigned int)__builtin_clzl(nr - pfn)));
		struct page_info *pg =
			domain_alloc_pages(b->d, order, 0, MEMF_NO_SCRUB);

		if (!pg)
			panic("dom0: out of memory at page %lu of %lu\n", pfn,
			      nr);
		for (u64 i = 0; i < 1UL << order; i++, pfn++) {
			b->mfns[pfn] = mfn_x(page_to_mfn(pg)) + i;
			m2p_set(_mfn(b->mfns[pfn]), pfn);
		}
	}
}

static void __init copy_in(struct build *b, u64 addr, const void *src,
			   u64 filesz, u64 memsz)
{
	u64 done = 0;

	while (done < memsz) {
		u64 off = (addr + done) & ~PAGE_MASK;
		u64 n = min(PAGE_SIZE - off, memsz - done);
		u8 *to = (u8 *)frame_va(b, (addr + done) >> PAGE_SHIFT) + off;
		u64 have = done < filesz ? min(n, filesz - done) : 0;

		memcpy(to, (const u8 *)src + done, have);
		memset(to + have, 0, n - have);
		done += n;
	}
}

/* ---- layout --------------------------------------------------------------------- */

/* Tables needed to map n frames from va on: levels 1 to 3, without level 4. */
static u64 __init tables_for(u64 va, u64 n)
{
	u64 end = va + (n << PAGE_SHIFT) - 1, nr = 0;

	for (unsigned int shift = 21; shift <= 39; shift += 9)
		nr += (end >> shift) - (va >> shift) + 1;
	return nr;
}

static void __init compute_layout(struct build *b, const struct boot_info *bi)
{
	const struct elf_image *e = &b->elf;
	struct layout *l = &b->l;
	u64 list, end;

	l->v_start = e->virt_base;
	l->kernel_end = PFN_UP(e->pend - e->elf_paddr_offset);
	l->nr_initrd =
		bi->nr_mods > 1 ? PFN_UP(bi->mod[1].end - bi->mod[1].start) : 0;
	l->nr_pages =
		compute_nr_pages(l->kernel_end + l->nr_initrd + 4096, b->late);
	list = PFN_UP(l->nr_pages * 8);
	l->p2m_inside = e->p2m_base == UNSET_ADDR;

	end = l->kernel_end;
	if (!e->mod_start_pfn) { /* the kernel wants its initrd mapped */
		l->initrd = end;
		end += l->nr_initrd;
	}
	if (l->p2m_inside) {
		l->p2m_first = end;
		l->nr_p2m = list;
		l->p2m_va = l->v_start + (end << PAGE_SHIFT);
		end += list;
	}
	l->start_info = end++;
	l->pt_first = end;
	/* The tables map themselves: grow until they fit. 512 KiB of padding
	 * behind the stack, the end at a multiple of 4 MiB (public/xen.h). */
	for (l->nr_pt = 1;; l->nr_pt++) {
		l->stack = end + l->nr_pt;
		l->mapped = ROUNDUP(l->stack + 1 + 128, 1024UL);
		if (tables_for(l->v_start, l->mapped) + 1 <= l->nr_pt)
			break;
	}
	end = l->mapped;
	if (e->mod_start_pfn) {
		l->initrd = end;
		end += l->nr_initrd;
	}
	if (!l->p2m_inside) {
		l->p2m_va = e->p2m_base;
		l->p2m_first = end;
		l->nr_p2m = list + tables_for(l->p2m_va, list);
		end += l->nr_p2m;
	}
	if (end > l->nr_pages)
		panic("dom0 needs at least %lu MiB for kernel, initrd and tables; it has %lu\n",
		      (end >> 8) + 1, l->nr_pages >> 8);
}

/* ---- page tables ---------------------------------------------------------------- */

static u64 *__init next_level(struct build *b, u64 *entry)
{
	u64 pfn;

	if (*entry & PTE_P)
		return mfn_to_virt(_mfn((*entry & PADDR_MASK) >> PAGE_SHIFT));
	pfn = b->next_pt++;
	memset(frame_va(b, pfn), 0, PAGE_SIZE);
	*entry = b->mfns[pfn] << PAGE_SHIFT | PTE_P | PTE_W | PTE_U | PTE_A |
		 PTE_D;
	return frame_va(b, pfn);
}

static u64 *__init l1_slot(struct build *b, u64 va)
{
	u64 *t = b->l4;

	for (unsigned int shift = 39; shift > 12; shift -= 9)
		t = next_level(b, &t[(va >> shift) & 511]);
	return &t[(va >> 12) & 511];
}

static bool __init is_table(const struct layout *l, u64 pfn, u64 p2m_list)
{
	return (pfn >= l->pt_first && pfn < l->pt_first + l->nr_pt) ||
	       (!l->p2m_inside && pfn >= l->p2m_first + p2m_list &&
		pfn < l->p2m_first + l->nr_p2m);
}

static void __init map_frames(struct build *b, u64 va, u64 pfn, u64 n)
{
	u64 list = PFN_UP(b->l.nr_pages * 8);

	for (u64 i = 0; i < n; i++) {
		u64 pte = b->mfns[pfn + i] << PAGE_SHIFT | PTE_P | PTE_A |
			  PTE_U | PTE_GUEST_KERNEL;

		if (!is_table(&b->l, pfn + i, list))
			pte |= PTE_W | PTE_D;
		*l1_slot(b, va + (i << PAGE_SHIFT)) = pte;
	}
}

static void __init build_tables(struct build *b)
{
	struct layout *l = &b->l;
	u64 list = PFN_UP(l->nr_pages * 8);

	b->next_pt = l->pt_first;
	b->l4 = frame_va(b, b->next_pt++);
	memset(b->l4, 0, PAGE_SIZE);
	map_frames(b, l->v_start, 0, l->mapped);
	BUG_ON(b->next_pt > l->pt_first + l->nr_pt);
	/* Frames reserved for tables that were not needed are plain memory and
	 * stay mapped read-only; the kernel reclaims them. */
	if (!l->p2m_inside) {
		b->next_pt = l->p2m_first + list;
		map_frames(b, l->p2m_va, l->p2m_first, list);
		BUG_ON(b->next_pt > l->p2m_first + l->nr_p2m);
	}
}

/* ---- what the kernel reads first -------------------------------------------------- */

static unsigned int __init fill_vga(struct dom0_vga_console_info *v,
				    const struct boot_info *bi)
{
	if (bi->fb.kind == 2) {
		v->video_type =
			bi->efi ? XEN_VGATYPE_EFI_LFB : XEN_VGATYPE_VESA_LFB;
		v->u.vesa_lfb.width = bi->fb.width;
		v->u.vesa_lfb.height = bi->fb.height;
		v->u.vesa_lfb.bytes_per_line = bi->fb.pitch;
		v->u.vesa_lfb.bits_per_pixel = bi->fb.bpp;
		v->u.vesa_lfb.lfb_base = bi->fb.base;
		v->u.vesa_lfb.ext_lfb_base = bi->fb.base >> 32;
		v->u.vesa_lfb.lfb_size =
			(bi->fb.pitch * bi->fb.height + 0xffff) >> 16;
		v->u.vesa_lfb.red_pos = bi->fb.rpos;
		v->u.vesa_lfb.red_size = bi->fb.rsize;
		v->u.vesa_lfb.green_pos = bi->fb.gpos;
		v->u.vesa_lfb.green_size = bi->fb.gsize;
		v->u.vesa_lfb.blue_pos = bi->fb.bpos;
		v->u.vesa_lfb.blue_size = bi->fb.bsize;
	} else if (!bi->efi) {
		v->video_type = XEN_VGATYPE_TEXT_MODE_3;
		v->u.text_mode_3.rows = 25;
		v->u.text_mode_3.columns = 80;
		v->u.text_mode_3.font_height = 16;
		v->u.text_mode_3.cursor_y = 24;
	} else {
		return 0;
	}
	return sizeof(*v);
}

static void __init fill_start_info(struct build *b, const struct boot_info *bi)
{
	struct layout *l = &b->l;
	struct start_info *si = frame_va(b, l->start_info);
	u64 list = PFN_UP(l->nr_pages * 8);

	memset(si, 0, PAGE_SIZE);
	strlcpy(si->magic, "xen-3.0-x86_64", sizeof(si->magic));
	si->nr_pages = l->nr_pages;
	si->shared_info = virt_to_maddr(b->d->shared);
	si->flags = SIF_PRIVILEGED | SIF_INITDOMAIN;
	si->pt_base = l->v_start + (l->pt_first << PAGE_SHIFT);
	si->nr_pt_frames = l->nr_pt;
	si->mfn_list = l->p2m_va;
	if (!l->p2m_inside) {
		si->first_p2m_pfn = l->p2m_first;
		si->nr_p2m_frames = l->nr_p2m;
	}
	if (l->nr_initrd) {
		si->mod_len = bi->mod[1].end - bi->mod[1].start;
		if (b->elf.mod_start_pfn) {
			si->mod_start = l->initrd;
			si->flags |= SIF_MOD_START_PFN;
		} else {
			si->mod_start = l->v_start + (l->initrd << PAGE_SHIFT);
		}
	}
	strlcpy((char *)si->cmd_line, bi->mod[0].cmdline, sizeof(si->cmd_line));
	si->console.dom0.info_off = sizeof(*si);
	si->console.dom0.info_size = fill_vga((void *)(si + 1), bi);

	for (u64 i = 0; i < list; i++)
		memset(frame_va(b, l->p2m_first + i), 0xff, PAGE_SIZE);
	copy_in(b, l->p2m_first << PAGE_SHIFT, b->mfns, l->nr_pages * 8,
		l->nr_pages * 8);
}

/* XEN_ELFNOTE_HYPERCALL_PAGE: one 32-byte stub a hypercall. */
static void __init fill_hypercall_page(struct build *b)
{
	static u8 stub[] __initdata = {
		0x51,                /* push %rcx */
		0x41, 0x53,          /* push %r11 */
		0xb8, 0,    0, 0, 0, /* mov $nr, %eax */
		0x0f, 0x05,          /* syscall */
		0x41, 0x5b,          /* pop %r11 */
		0x59,                /* pop %rcx */
		0xc3                 /* ret */
	};
	/* clang-format off */
	static u8 iret[] __initdata = {
		0x51, 0x41, 0x53, 0x50, /* push %rcx, %r11, %rax */
		0xb8, __HYPERVISOR_iret, 0, 0, 0, 0x0f, 0x05
	};
	/* clang-format on */
	u64 pfn = (b->elf.virt_hypercall - b->l.v_start) >> PAGE_SHIFT;
	u8 *page;

	if (b->elf.virt_hypercall == UNSET_ADDR)
		return;
	if (pfn >= b->l.kernel_end)
		panic("dom0 kernel: its hypercall page lies outside itself\n");
	page = frame_va(b, pfn);
	memset(page, 0xcc, PAGE_SIZE);
	for (u32 i = 0; i < PAGE_SIZE / 32; i++) {
		memcpy(page + i * 32, stub, sizeof(stub));
		memcpy(page + i * 32 + 4, &i, sizeof(i));
	}
	memset(page + __HYPERVISOR_iret * 32, 0xcc, 32);
	memcpy(page + __HYPERVISOR_iret * 32, iret, sizeof(iret));
}

/* ---- vCPUs ---------------------------------------------------------------------- */

static struct domain *__init create_domain(void)
{
	struct domain_config cfg = {
		.max_evtchn_port = -1,
		.max_grant_frames = -1,
		.max_maptrack_frames = -1,
	};
	u32 n = opt_max_vcpus, online = 0, c;
	struct domain *d;
	struct vcpu *v;
	int rc;

	for_each_online_cpu(c)
		online++;
	if (!n || n > MAX_VCPUS)
		n = min(online, (u32)MAX_VCPUS);
	cfg.max_vcpus = n;
	rc = domain_create(0, &cfg, true, &d);
	if (rc)
		panic("cannot create dom0: error %d\n", rc);
	hardware_domain = d;
	d->is_pinned = opt_pin;
	d->max_pages = opt_mem_max == ~0UL ? ~0U : opt_mem_max >> PAGE_SHIFT;
	c = 0;
	for (u32 i = 0; i < n; i++) {
		rc = vcpu_create(d, i, &v);
		if (rc)
			panic("cannot create dom0's vCPU %u: error %d\n", i,
			      rc);
		if (opt_pin) {
			cpumask_t m = { { 0 } };

			cpumask_set(c, &m);
			(void)vcpu_set_hard_affinity(v, &m);
			c = find_next_bit(cpu_online_map.bits, NR_CPUS, c + 1);
			if (c >= NR_CPUS)
				c = find_next_bit(cpu_online_map.bits, NR_CPUS,
						  0);
		}
	}
	rc = dom0_setup_permissions(d);
	if (rc)
		panic("cannot set dom0's permissions: error %d\n", rc);
	return d;
}

/* Pins the tables (one type reference) and makes them vCPU 0's (another). */
static void __init take_tables(struct build *b)
{
	struct vcpu *v = b->d->vcpu[0];
	struct page_info *pg = virt_to_page(b->l4);
	int rc = page_get_and_type(pg, b->d, PGT_L4, false);

	if (!rc) {
		__atomic_fetch_or(&pg->type, PGT_PINNED, __ATOMIC_SEQ_CST);
		rc = page_get_and_type(pg, b->d, PGT_L4, false);
	}
	if (rc)
		panic("dom0: its first page tables do not pass validation: %d\n",
		      rc);
	v->pv.kernel_l4 = page_to_mfn(pg);
	v->pv.user_l4 = INVALID_MFN;
	v->pv.kernel_mode = true;
	pv_update_cr3(v);
}

static void __init start_state(struct build *b)
{
	struct vcpu *v = b->d->vcpu[0];
	struct cpu_user_regs *r = &v->pv.regs;

	memset(r, 0, sizeof(*r));
	r->cs = GUEST_CS64;
	r->ss = GUEST_DS;
	r->rip = b->elf.virt_entry;
	r->rsp = b->l.v_start + ((b->l.stack + 1) << PAGE_SHIFT);
	r->rsi = b->l.v_start + (b->l.start_info << PAGE_SHIFT);
	r->rflags = RFLAGS_MBS | RFLAGS_IF;
	v->pv.kernel_ss = r->ss;
	v->pv.kernel_sp = r->rsp;
	for (u32 i = 0; i < 32; i++)
		b->d->shared->vcpu_info[i].evtchn_upcall_mask = 1;
	time_update_wallclock(b->d);
	v->initialised = true;
	clear_bit(VPF_DOWN, &v->pause_flags);
}

static void __init print_layout(const struct build *b)
{
	const struct layout *l = &b->l;

	printk(LVL_INFO
	       "dom0: %lu MiB, %u vCPUs, kernel %lx-%lx, initrd %lu KiB\n",
	       l->nr_pages >> 8, b->d->max_vcpus, l->v_start + b->elf.pstart,
	       l->v_start + (l->kernel_end << PAGE_SHIFT), l->nr_initrd * 4);
	printk(LVL_DEBUG
	       "dom0: start_info %lx tables %lx (%lu) stack %lx end %lx p2m %lx entry %lx\n",
	       l->v_start + (l->start_info << PAGE_SHIFT),
	       l->v_start + (l->pt_first << PAGE_SHIFT), l->nr_pt,
	       l->v_start + (l->stack << PAGE_SHIFT),
	       l->v_start + (l->mapped << PAGE_SHIFT), l->p2m_va,
	       b->elf.virt_entry);
}

struct domain *__init dom0_build(const struct boot_info *bi)
{
	static struct build build __initdata;
	struct build *b = &build;
	struct page_info *list;
	size_t held = 0;
	void *unpacked;
	u64 off;

	load_kernel_file(b, bi, &unpacked, &held);
	check_kernel(&b->elf);
	b->d = create_domain();
	b->late = PFN_DOWN(held);
	for (unsigned int i = 0; i < bi->nr_mods; i++)
		b->late += PFN_DOWN(bi->mod[i].end - bi->mod[i].start);
	compute_layout(b, bi);
	if (b->l.nr_pages - b->late < b->l.p2m_first + b->l.nr_p2m)
		b->late = 0; /* a small dom0: there is enough as it is */

	while ((PAGE_SIZE << b->mfns_order) < b->l.nr_pages * 8)
		b->mfns_order++;
	list = heap_alloc(b->mfns_order, 0, MEMF_NO_SCRUB);
	if (!list)
		panic("dom0: no memory for its frame list\n");
	b->mfns = page_to_virt(list);
	populate(b, 0, b->l.nr_pages - b->late);

	for (u64 i = 0; i < b->l.mapped; i++)
		memset(frame_va(b, i), 0, PAGE_SIZE);
	for (unsigned int i = 0; i < b->elf.nr_segs; i++) {
		const struct elf_seg *s = &b->elf.seg[i];

		off = elf_va(&b->elf, s->paddr) - b->l.v_start;
		if (off >> PAGE_SHIFT >= b->l.kernel_end)
			panic("dom0 kernel: segment below its base\n");
		copy_in(b, off, b->elf.data + s->offset, s->filesz, s->memsz);
	}
	if (b->l.nr_initrd) {
		u64 len = bi->mod[1].end - bi->mod[1].start;

		copy_in(b, b->l.initrd << PAGE_SHIFT,
			maddr_to_virt(bi->mod[1].start), len, len);
	}
	fill_hypercall_page(b);
	if (unpacked)
		mm_release_range(virt_to_maddr(unpacked),
				 virt_to_maddr(unpacked) + held);
	for (unsigned int i = 0; i < bi->nr_mods; i++)
		mm_release_range(bi->mod[i].start, bi->mod[i].end);
	populate(b, b->l.nr_pages - b->late, b->l.nr_pages);
	build_tables(b);
	fill_start_info(b, bi);
	take_tables(b);
	start_state(b);
	print_layout(b);

	heap_free(list, b->mfns_order, false);
	return b->d;
}
