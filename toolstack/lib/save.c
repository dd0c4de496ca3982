/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a suspended PV domain to a file. See save.h for the format.
 *
 * The guest suspends itself (control/shutdown = suspend), which leaves it
 * without event channels, grants or mapped rings; only memory and registers
 * remain. The file is written beside its final name and renamed when all of it
 * is on the disk.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <zlib.h>

#include "bulkhead/domstore.h"
#include "bulkhead/save.h"

#define SUSPEND_SECONDS 60
#define NONE            (~0ull)

struct save {
	struct bh_hv *h;
	uint32_t domid;
	struct bh_p2m p2m;
	int fd;
	uint64_t records, pages;
	struct bh_err *e;
};

/* ---- records ----------------------------------------------------------- */

static int put_record(struct save *s, uint32_t type, const void *head,
		      size_t head_len, const void *body, size_t body_len)
{
	static const uint8_t zero[8];
	size_t len = head_len + body_len, fill = (8 - (len & 7)) & 7;
	struct bh_save_record rec = { .type = type, .len = len };
	int r;

	rec.crc = (uint32_t)crc32_z(0, head, head_len);
	if (body_len)
		rec.crc = (uint32_t)crc32_z(rec.crc, body, body_len);
	rec.head_crc = (uint32_t)crc32_z(
		0, (void *)&rec, offsetof(struct bh_save_record, head_crc));
	r = bh_write_all(s->fd, &rec, sizeof(rec));
	if (r >= 0)
		r = bh_write_all(s->fd, head, head_len);
	if (r >= 0 && body_len)
		r = bh_write_all(s->fd, body, body_len);
	if (r >= 0 && fill)
		r = bh_write_all(s->fd, zero, fill);
	if (r < 0)
		return bh_fail(s->e, r, "cannot write the file: %s",
			       strerror(-r));
	s->records++;
	return 0;
}

/* ---- memory ------------------------------------------------------------ */

/* Machine frames in a page table become the guest's own frame numbers. */
static int table_to_pfns(struct save *s, unsigned int level, uint64_t *tab)
{
	for (unsigned int i = 0; i < 512; i++) {
		uint64_t pte = tab[i], pfn;

		if (!(pte & 1))
			continue;
		if (level == 4 && i >= 256 && i < 272) {
			tab[i] = 0; /* the hypervisor's own */
			continue;
		}
		pfn = bh_p2m_pfn(&s->p2m, pte >> 12 & ((1ull << 40) - 1));
		if (pfn == NONE)
			return bh_fail(s->e, -EXDEV,
				       "the guest still maps a frame that is "
				       "not its own (%#" PRIx64
				       "); its kernel cannot be saved",
				       pte);
		tab[i] = (pte & ~0x000ffffffffff000ull) | pfn << 12;
	}
	return 0;
}

static bool is_zero(const uint64_t *p)
{
	for (unsigned int i = 0; i < 512; i += 4)
		if (p[i] | p[i + 1] | p[i + 2] | p[i + 3])
			return false;
	return true;
}

/* Fills words and data from n mapped frames; returns the data's length. */
static long copy_batch(struct save *s, const uint64_t *pfns,
		       const uint32_t *types, const uint8_t *from, size_t n,
		       uint64_t *words, uint8_t *data)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int t = types[i] & 7;
		uint8_t *to = data + len;

		words[1 + i] = pfns[i] | (uint64_t)types[i]
						 << BH_SAVE_TYPE_SHIFT;
		memcpy(to, from + i * BH_PAGE_SIZE, BH_PAGE_SIZE);
		if (t == 0 && is_zero((const uint64_t *)(void *)to)) {
			words[1 + i] |= BH_SAVE_ZERO;
			continue;
		}
		if (t) {
			int r = table_to_pfns(s, t, (uint64_t *)(void *)to);

			if (r < 0)
				return r;
		}
		len += BH_PAGE_SIZE;
	}
	words[0] = n;
	return (long)len;
}

static int save_batch(struct save *s, const uint64_t *pfns, size_t n,
		      uint64_t *words, uint8_t *data)
{
	xen_pfn_t mfns[BH_SAVE_BATCH], info[BH_SAVE_BATCH];
	uint32_t types[BH_SAVE_BATCH];
	uint64_t keep[BH_SAVE_BATCH];
	size_t m = 0;
	void *p;
	long len;
	int r;

	for (size_t i = 0; i < n; i++)
		info[i] = s->p2m.mfn[pfns[i]];
	r = bh_hv_page_types(s->h, s->domid, info, n);
	if (r < 0)
		return bh_fail(s->e, r, "cannot read page types: %s",
			       strerror(-r));
	for (size_t i = 0; i < n; i++) {
		uint32_t t = (uint32_t)(info[i] >> 28) & 15;

		if (t >= 0xd) /* broken, or no memory after all */
			continue;
		mfns[m] = s->p2m.mfn[pfns[i]];
		types[m] = t;
		keep[m++] = pfns[i];
	}
	if (!m)
		return 0;
	r = bh_hv_map(s->h, s->domid, PROT_READ, mfns, m, NULL, &p);
	if (r < 0)
		return bh_fail(s->e, r, "cannot map the guest's memory: %s",
			       strerror(-r));
	len = copy_batch(s, keep, types, p, m, words, data);
	bh_hv_unmap(p, m);
	if (len < 0)
		return (int)len;
	s->pages += m;
	return put_record(s, BH_SAVE_PAGES, words, (m + 1) * 8, data,
			  (size_t)len);
}

static int save_memory(struct save *s)
{
	_cleanup_free_ uint64_t *words = malloc((BH_SAVE_BATCH + 1) * 8);
	_cleanup_free_ uint8_t *data =
		malloc((size_t)BH_SAVE_BATCH * BH_PAGE_SIZE);
	uint64_t pfns[BH_SAVE_BATCH];
	size_t n = 0;
	int r = 0;

	if (!words || !data)
		return bh_fail(s->e, -ENOMEM, "out of memory");
	for (uint64_t i = 0; r == 0 && i < s->p2m.n; i++) {
		if (s->p2m.mfn[i] == NONE)
			continue;
		pfns[n++] = i;
		if (n == BH_SAVE_BATCH) {
			r = save_batch(s, pfns, n, words, data);
			n = 0;
		}
	}
	if (r == 0 && n)
		r = save_batch(s, pfns, n, words, data);
	return r;
}

/* ---- vCPUs ------------------------------------------------------------- */

static int frame_to_pfn(struct save *s, uint64_t mfn, uint64_t *ret)
{
	*ret = bh_p2m_pfn(&s->p2m, mfn);
	if (*ret == NONE)
		return bh_fail(s->e, -EXDEV,
			       "a vCPU refers to frame %#" PRIx64
			       ", which is not the guest's",
			       mfn);
	return 0;
}

static int context_to_pfns(struct save *s, uint32_t vcpu,
			   vcpu_guest_context_t *c)
{
	uint64_t pfn;
	int r;

	r = frame_to_pfn(s, c->ctrlreg[3] >> 12, &pfn);
	if (r < 0)
		return r;
	c->ctrlreg[3] = pfn << 12;
	if (c->ctrlreg[1]) {
		r = frame_to_pfn(s, c->ctrlreg[1] >> 12, &pfn);
		if (r < 0)
			return r;
		c->ctrlreg[1] = pfn << 12;
	}
	if (c->gdt_ents > 8192)
		return bh_fail(s->e, -EINVAL, "vCPU %u has an impossible GDT",
			       vcpu);
	for (unsigned int i = 0; i * 512 < c->gdt_ents; i++) {
		r = frame_to_pfn(s, c->gdt_frames[i], &pfn);
		if (r < 0)
			return r;
		c->gdt_frames[i] = pfn;
	}
	if (vcpu == 0) {
		r = frame_to_pfn(s, c->user_regs.rdx, &pfn);
		if (r < 0)
			return r;
		c->user_regs.rdx = pfn;
	}
	return 0;
}

/* Extended state: first its size, then itself; into *ret (malloc'ed). */
static int get_xstate(struct save *s, struct bh_save_vcpu *v, uint8_t **ret)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_getvcpuextstate,
				 .domain = (domid_t)s->domid };
	size_t mark = bh_hv_mark(s->h);
	uint8_t *b;
	int r;

	op.u.vcpuextstate.vcpu = v->id;
	r = bh_hv_domctl(s->h, &op);
	if (r < 0 || op.u.vcpuextstate.size == 0)
		return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
	if (op.u.vcpuextstate.size > 65536)
		return -E2BIG;
	b = bh_hv_buf(s->h, (size_t)op.u.vcpuextstate.size);
	if (!b)
		return -ENOMEM;
	set_xen_guest_handle(op.u.vcpuextstate.buffer, (void *)b);
	op.cmd = XEN_DOMCTL_getvcpuextstate;
	r = bh_hv_domctl(s->h, &op);
	if (r == 0) {
		v->xstate_len = (uint32_t)op.u.vcpuextstate.size;
		v->xfeatures = op.u.vcpuextstate.xfeature_mask;
		*ret = malloc(v->xstate_len);
		if (*ret)
			memcpy(*ret, b, v->xstate_len);
		else
			r = -ENOMEM;
	}
	bh_hv_release(s->h, mark);
	return r;
}

static int get_msrs(struct save *s, struct bh_save_vcpu *v, uint8_t buf[4096])
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_get_vcpu_msrs,
				 .domain = (domid_t)s->domid };
	size_t mark = bh_hv_mark(s->h);
	uint8_t *b = bh_hv_buf(s->h, 4096);
	int r;

	if (!b)
		return -ENOMEM;
	op.u.vcpu_msrs.vcpu = v->id;
	op.u.vcpu_msrs.msr_count = 256;
	set_xen_guest_handle(op.u.vcpu_msrs.msrs, (void *)b);
	r = bh_hv_domctl(s->h, &op);
	if (r == 0 && op.u.vcpu_msrs.msr_count <= 256) {
		v->nr_msrs = op.u.vcpu_msrs.msr_count;
		memcpy(buf, b, (size_t)v->nr_msrs * 16);
	}
	bh_hv_release(s->h, mark);
	return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

static int save_vcpu(struct save *s, uint32_t id)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_get_ext_vcpucontext,
				 .domain = (domid_t)s->domid };
	_cleanup_free_ uint8_t *x = NULL, *tail = NULL;
	uint8_t msrs[4096];
	struct xen_domctl_getvcpuinfo info;
	struct bh_save_vcpu v = { .id = id };
	int r;

	r = bh_hv_vcpu_info(s->h, s->domid, id, &info);
	if (r < 0 || !info.online)
		return 0;
	r = bh_hv_vcpu_get_context(s->h, s->domid, id, &v.ctxt);
	if (r < 0)
		return bh_fail(s->e, r, "cannot read vCPU %u: %s", id,
			       strerror(-r));
	r = context_to_pfns(s, id, &v.ctxt);
	if (r < 0)
		return r;
	op.u.ext_vcpucontext.vcpu = id;
	r = bh_hv_domctl(s->h, &op);
	if (r == 0) {
		v.ext_valid = 1;
		memcpy(v.ext, &op.u.ext_vcpucontext,
		       MIN(sizeof(v.ext), sizeof(op.u.ext_vcpucontext)));
	}
	r = get_xstate(s, &v, &x);
	if (r >= 0)
		r = get_msrs(s, &v, msrs);
	if (r < 0)
		return bh_fail(s->e, r, "cannot read vCPU %u's registers: %s",
			       id, strerror(-r));
	tail = malloc(v.xstate_len + v.nr_msrs * 16 + 1);
	if (!tail)
		return bh_fail(s->e, -ENOMEM, "out of memory");
	if (x)
		memcpy(tail, x, v.xstate_len);
	memcpy(tail + v.xstate_len, msrs, (size_t)v.nr_msrs * 16);
	return put_record(s, BH_SAVE_VCPU, &v, sizeof(v), tail,
			  v.xstate_len + v.nr_msrs * 16u);
}

/* ---- the rest ---------------------------------------------------------- */

static int save_info(struct save *s, const struct bh_guest_cfg *c)
{
	struct bh_save_info i = { .nr_pfns = s->p2m.n,
				  .nr_pages = s->pages,
				  .max_vcpus = c->maxvcpus,
				  .frame_list_list_pfn = NONE,
				  .p2m_vaddr = s->p2m.vaddr,
				  .saved_at = (uint64_t)time(NULL) };
	struct xen_domctl_tsc_info tsc;
	vcpu_guest_context_t ctxt;
	int r;

	(void)snprintf(i.name, sizeof(i.name), "%s", c->name);
	memcpy(i.uuid, c->uuid, 16);
	r = bh_hv_vcpu_get_context(s->h, s->domid, 0, &ctxt);
	if (r < 0)
		return bh_fail(s->e, r, "cannot read vCPU 0: %s", strerror(-r));
	r = frame_to_pfn(s, ctxt.user_regs.rdx, &i.start_info_pfn);
	if (r == 0 && s->p2m.cr3_mfn)
		r = frame_to_pfn(s, s->p2m.cr3_mfn, &i.p2m_cr3_pfn);
	if (r < 0)
		return r;
	if (!s->p2m.cr3_mfn)
		i.frame_list_list_pfn = bh_p2m_pfn(&s->p2m, s->p2m.fll_mfn);
	if (bh_hv_tsc_get(s->h, s->domid, &tsc) == 0) {
		i.tsc_mode = tsc.tsc_mode;
		i.tsc_khz = tsc.gtsc_khz;
		i.tsc_incarnation = tsc.incarnation;
		i.tsc_elapsed = tsc.elapsed_nsec;
	}
	return put_record(s, BH_SAVE_INFO, &i, sizeof(i), NULL, 0);
}

static int save_p2m_frames(struct save *s)
{
	_cleanup_free_ uint64_t *pfns = calloc(s->p2m.n_frames, 8);

	if (!pfns)
		return bh_fail(s->e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < s->p2m.n_frames; i++) {
		int r = frame_to_pfn(s, s->p2m.frames[i], &pfns[i]);

		if (r < 0)
			return r;
	}
	return put_record(s, BH_SAVE_P2M, pfns, s->p2m.n_frames * 8, NULL, 0);
}

static int save_shared_info(struct save *s)
{
	struct xen_domctl_getdomaininfo info;
	xen_pfn_t f;
	void *p;
	int r = bh_hv_domain_info(s->h, s->domid, &info);

	if (r == 0) {
		f = info.shared_info_frame;
		r = bh_hv_map(s->h, s->domid, PROT_READ, &f, 1, NULL, &p);
	}
	if (r < 0)
		return bh_fail(s->e, r, "cannot map the shared info: %s",
			       strerror(-r));
	r = put_record(s, BH_SAVE_SHARED_INFO, p, BH_PAGE_SIZE, NULL, 0);
	bh_hv_unmap(p, 1);
	return r;
}

/* How many pages will be written must be known before they are. */
static int count_pages(struct save *s)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < s->p2m.n; i += BH_SAVE_BATCH) {
		xen_pfn_t info[BH_SAVE_BATCH];
		size_t m = 0;
		int r;

		for (uint64_t k = i; k < i + BH_SAVE_BATCH && k < s->p2m.n; k++)
			if (s->p2m.mfn[k] != NONE)
				info[m++] = s->p2m.mfn[k];
		r = m ? bh_hv_page_types(s->h, s->domid, info, m) : 0;
		if (r < 0)
			return bh_fail(s->e, r, "cannot read page types: %s",
				       strerror(-r));
		for (size_t k = 0; k < m; k++)
			if ((info[k] >> 28 & 15) < 0xd)
				n++;
	}
	s->pages = n;
	return 0;
}

static int save_end(struct save *s)
{
	uint64_t records = s->records;

	return put_record(s, BH_SAVE_END, &records, sizeof(records), NULL, 0);
}

static int write_all(struct save *s, const struct bh_guest_cfg *c,
		     const char *config, size_t config_len)
{
	struct bh_save_header head = { .magic = BH_SAVE_MAGIC,
				       .version = BH_SAVE_VERSION,
				       .page_size = BH_PAGE_SIZE };
	uint64_t expected;
	int r;

	head.crc = (uint32_t)crc32_z(0, (void *)&head,
				     offsetof(struct bh_save_header, crc));
	r = bh_write_all(s->fd, &head, sizeof(head));
	if (r < 0)
		return bh_fail(s->e, r, "cannot write the file: %s",
			       strerror(-r));
	r = count_pages(s);
	expected = s->pages;
	if (r == 0)
		r = save_info(s, c);
	s->pages = 0;
	if (r == 0)
		r = put_record(s, BH_SAVE_CONFIG, config, config_len, NULL, 0);
	if (r == 0)
		r = save_p2m_frames(s);
	if (r == 0)
		r = save_shared_info(s);
	for (uint32_t v = 0; r == 0 && v < c->maxvcpus; v++)
		r = save_vcpu(s, v);
	if (r == 0)
		r = save_memory(s);
	if (r == 0 && s->pages != expected)
		r = bh_fail(s->e, -EIO, "the guest's memory changed meanwhile");
	if (r == 0)
		r = save_end(s);
	if (r == 0 && fsync(s->fd) < 0)
		r = bh_fail(s->e, -errno, "cannot write the file: %s",
			    strerror(errno));
	return r;
}

static int suspend(struct bh_hv *h, struct bh_xs *xs, uint32_t domid,
		   struct bh_err *e)
{
	uint64_t end = bh_now_us() + SUSPEND_SECONDS * 1000000ull;
	char path[96];
	int r;

	r = bh_snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown",
			domid);
	if (r >= 0)
		r = bh_xs_write(xs, BH_XS_NONE, path, "suspend");
	if (r < 0)
		return bh_fail(e, r, "cannot ask the guest to suspend: %s",
			       strerror(-r));
	while (bh_now_us() < end) {
		struct xen_domctl_getdomaininfo info;

		r = bh_hv_domain_info(h, domid, &info);
		if (r < 0)
			return bh_fail(e, r, "the domain is gone");
		if (info.flags & XEN_DOMINF_shutdown) {
			unsigned int why =
				info.flags >> XEN_DOMINF_shutdownshift &
				XEN_DOMINF_shutdownmask;

			if (why == SHUTDOWN_suspend)
				return 0;
			return bh_fail(e, -EIO,
				       "the guest shut down (reason %u) "
				       "instead of suspending",
				       why);
		}
		usleep(10000);
	}
	r = bh_xs_write(xs, BH_XS_NONE, path, ""); /* no longer wanted */
	return bh_fail(e, -ETIMEDOUT,
		       "the guest did not suspend within %d s; does its kernel "
		       "support it?",
		       SUSPEND_SECONDS);
}

/* The guest goes on where it was, told that the suspension was cancelled. */
static void resume(struct bh_hv *h, struct bh_xs *xs, uint32_t domid)
{
	vcpu_guest_context_t c;

	if (bh_hv_vcpu_get_context(h, domid, 0, &c) == 0) {
		c.user_regs.rax = 1;
		(void)bh_hv_vcpu_set_context(h, domid, 0, &c);
	}
	(void)bh_hv_domain_resume(h, domid);
	if (bh_xs_resume(xs, domid) < 0)
		bh_log(BH_WARNING,
		       "the store still takes domain %u for suspended", domid);
}

void bh_save_undo(struct bh_hv *h, struct bh_xs *xs, uint32_t domid)
{
	struct xen_domctl_getdomaininfo info;
	char path[96];
	int r;

	r = bh_snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown",
			domid);
	if (r >= 0)
		r = bh_xs_write(xs, BH_XS_NONE, path, "");
	if (r < 0)
		bh_log_errno(BH_WARNING, r, "store");
	if (bh_hv_domain_info(h, domid, &info) == 0 &&
	    info.flags & XEN_DOMINF_shutdown &&
	    (info.flags >> XEN_DOMINF_shutdownshift &
	     XEN_DOMINF_shutdownmask) == SHUTDOWN_suspend)
		resume(h, xs, domid);
}

int bh_save(struct bh_hv *h, struct bh_xs *xs, const struct bh_domain *d,
	    const struct bh_guest_cfg *c, const char *config_path,
	    const char *path, struct bh_err *e)
{
	_cleanup_free_ char *tmp = bh_asprintf("%s.part", path);
	_cleanup_free_ char *config = NULL;
	struct save s = { .h = h, .domid = d->domid, .fd = -1, .e = e };
	size_t len;
	int r;

	r = bh_read_file(config_path, BH_CFG_MAX_BYTES, &config, &len);
	if (r < 0 || !tmp)
		return bh_fail(e, r < 0 ? r : -ENOMEM, "%s: %s", config_path,
			       strerror(r < 0 ? -r : ENOMEM));
	s.fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (s.fd < 0)
		return bh_fail(e, -errno, "%s: %s", tmp, strerror(errno));
	r = suspend(h, xs, d->domid, e);
	if (r == 0) {
		r = bh_p2m_read(h, d->domid, c->maxmem_kib, &s.p2m, e);
		if (r == 0)
			r = write_all(&s, c, config, len);
		if (r < 0)
			resume(h, xs, d->domid);
	}
	if (r == 0 && rename(tmp, path) < 0) {
		r = bh_fail(e, -errno, "%s: %s", path, strerror(errno));
		resume(h, xs, d->domid);
	}
	if (r < 0)
		(void)unlink(tmp);
	bh_close(s.fd);
	bh_p2m_done(&s.p2m);
	return r;
}
