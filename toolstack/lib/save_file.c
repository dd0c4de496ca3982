/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and checking a saved guest, without a hypervisor.
 *
 * bh_save_parse() looks at everything a restore will rely on, so that restore
 * itself meets no surprise in the file: each record whole and unaltered, the
 * mandatory ones present once, every frame number inside the list, no frame
 * twice, the counts right.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

#include "bulkhead/save.h"

static uint32_t crc(const void *p, size_t len)
{
	return (uint32_t)crc32_z(0, p, len);
}

static size_t padded(uint64_t len)
{
	return (size_t)((len + 7) & ~7ull);
}

bool bh_save_next(const struct bh_save_file *f, size_t *pos, uint32_t *ret_type,
		  const uint8_t **ret_data, size_t *ret_len)
{
	struct bh_save_record rec;
	size_t at = *pos ? *pos : sizeof(struct bh_save_header);

	if (at > f->len || f->len - at < sizeof(rec))
		return false;
	memcpy(&rec, f->data + at, sizeof(rec));
	at += sizeof(rec);
	if (rec.len > f->len - at || padded(rec.len) > f->len - at)
		return false;
	*ret_type = rec.type;
	*ret_data = f->data + at;
	*ret_len = (size_t)rec.len;
	*pos = at + padded(rec.len);
	return true;
}

static int damaged(struct bh_err *e, size_t at, const char *what)
{
	return bh_fail(e, -EBADMSG,
		       "the file is damaged at byte %zu: %s; nothing was "
		       "started",
		       at, what);
}

static int check_pages(const struct bh_save_file *f, const uint8_t *d,
		       size_t len, uint8_t *seen, uint64_t *count, size_t at,
		       struct bh_err *e)
{
	uint64_t n, with_data = 0;

	if (len < 8)
		return damaged(e, at, "a page record without a count");
	memcpy(&n, d, 8);
	if (n == 0 || n > BH_SAVE_BATCH || len < 8 + n * 8)
		return damaged(e, at, "a page record with a wrong count");
	for (uint64_t i = 0; i < n; i++) {
		uint64_t w, pfn, type;

		memcpy(&w, d + 8 + i * 8, 8);
		pfn = w & BH_SAVE_PFN_MASK;
		type = w >> BH_SAVE_TYPE_SHIFT & 7;
		if (pfn >= f->info->nr_pfns)
			return damaged(e, at, "a page beyond the guest's end");
		if (seen[pfn / 8] & 1u << (pfn & 7))
			return damaged(e, at, "a page that appears twice");
		if (type > 4)
			return damaged(e, at, "a page of unknown type");
		seen[pfn / 8] |= (uint8_t)(1u << (pfn & 7));
		if (!(w & BH_SAVE_ZERO))
			with_data++;
	}
	if (len != 8 + n * 8 + with_data * BH_PAGE_SIZE)
		return damaged(e, at, "a page record of wrong length");
	*count += n;
	return 0;
}

static int check_vcpu(struct bh_save_file *f, const uint8_t *d, size_t len,
		      size_t at, struct bh_err *e)
{
	struct bh_save_vcpu v;

	if (len < sizeof(v))
		return damaged(e, at, "a short vCPU record");
	memcpy(&v, d, sizeof(v));
	if (v.id >= f->info->max_vcpus || v.nr_msrs > 256 ||
	    v.xstate_len > 65536 ||
	    len != sizeof(v) + v.xstate_len + (size_t)v.nr_msrs * 16)
		return damaged(e, at, "an impossible vCPU record");
	if (v.id == 0)
		f->n_vcpus |= 1u << 31; /* taken off again at the end */
	f->n_vcpus++;
	return 0;
}

static int check_info(struct bh_save_file *f, const uint8_t *d, size_t len,
		      size_t at, struct bh_err *e)
{
	const struct bh_save_info *i = (const void *)d;

	if (len != sizeof(*i) || f->info)
		return damaged(e, at, "a wrong information record");
	if (i->nr_pfns == 0 || i->nr_pfns > 1ull << 28 ||
	    i->nr_pages > i->nr_pfns || i->max_vcpus == 0 ||
	    i->max_vcpus > 512 || i->start_info_pfn >= i->nr_pfns ||
	    !memchr(i->name, 0, sizeof(i->name)) || !bh_name_valid(i->name))
		return damaged(e, at, "impossible numbers");
	f->info = i;
	return 0;
}

static int check_p2m(struct bh_save_file *f, const uint8_t *d, size_t len,
		     size_t at, struct bh_err *e)
{
	size_t n = len / 8;

	if (f->p2m_frames || len % 8 || n != (f->info->nr_pfns + 511) / 512)
		return damaged(e, at, "a wrong p2m record");
	f->p2m_frames = (const void *)d;
	f->n_p2m_frames = n;
	for (size_t i = 0; i < n; i++)
		if (f->p2m_frames[i] >= f->info->nr_pfns)
			return damaged(e, at, "a p2m frame beyond the end");
	return 0;
}

static int check_record(struct bh_save_file *f, uint32_t type, const uint8_t *d,
			size_t len, size_t at, uint8_t **seen, uint64_t *pages,
			struct bh_err *e)
{
	if (type == BH_SAVE_INFO) {
		int r = check_info(f, d, len, at, e);

		if (r < 0)
			return r;
		*seen = calloc(1, (size_t)(f->info->nr_pfns / 8 + 1));
		return *seen ? 0 : bh_fail(e, -ENOMEM, "out of memory");
	}
	if (type == BH_SAVE_CONFIG) {
		if (f->config || len > BH_CFG_MAX_BYTES)
			return damaged(e, at, "a wrong configuration record");
		f->config = (const char *)d;
		f->config_len = len;
		return 0;
	}
	if (!f->info)
		return damaged(e, at, "a record before the information");
	switch (type) {
	case BH_SAVE_P2M:
		return check_p2m(f, d, len, at, e);
	case BH_SAVE_PAGES:
		return check_pages(f, d, len, *seen, pages, at, e);
	case BH_SAVE_SHARED_INFO:
		if (f->shared_info || len != BH_PAGE_SIZE)
			return damaged(e, at, "a wrong shared info record");
		f->shared_info = d;
		return 0;
	case BH_SAVE_VCPU:
		return check_vcpu(f, d, len, at, e);
	default:
		return damaged(e, at, "a record of unknown type");
	}
}

static int check_head(const uint8_t *data, size_t len, struct bh_err *e)
{
	struct bh_save_header h;

	if (len < sizeof(h) || memcmp(data, BH_SAVE_MAGIC, 8) != 0)
		return bh_fail(e, -EBADMSG, "not a guest saved by bhctl save");
	memcpy(&h, data, sizeof(h));
	if (h.version != BH_SAVE_VERSION || h.page_size != BH_PAGE_SIZE)
		return bh_fail(e, -EOPNOTSUPP,
			       "written in format version %u, this program "
			       "reads %u",
			       h.version, BH_SAVE_VERSION);
	if (h.crc != crc(&h, offsetof(struct bh_save_header, crc)))
		return damaged(e, 0, "wrong checksum of the header");
	return 0;
}

static int check_all(struct bh_save_file *f, uint8_t **seen, struct bh_err *e)
{
	uint64_t records = 0, pages = 0;
	size_t pos = 0;

	for (;;) {
		size_t at = pos ? pos : sizeof(struct bh_save_header), n;
		struct bh_save_record rec;
		const uint8_t *d;
		uint32_t type;
		int r;

		if (!bh_save_next(f, &pos, &type, &d, &n))
			return damaged(e, at, "it ends too early");
		memcpy(&rec, f->data + at, sizeof(rec));
		if (rec.head_crc !=
		    crc(&rec, offsetof(struct bh_save_record, head_crc)))
			return damaged(e, at, "wrong checksum of a record");
		if (rec.crc != crc(d, n))
			return damaged(e, at, "wrong checksum");
		if (type == BH_SAVE_END) {
			uint64_t want;

			if (n != 8)
				return damaged(e, at, "a wrong end");
			memcpy(&want, d, 8);
			if (want != records || pos != f->len)
				return damaged(e, at, "a wrong end");
			break;
		}
		r = check_record(f, type, d, n, at, seen, &pages, e);
		if (r < 0)
			return r;
		records++;
	}
	if (!f->info || !f->config || !f->p2m_frames || !f->shared_info ||
	    !(f->n_vcpus & 1u << 31) || pages != f->info->nr_pages)
		return damaged(e, f->len, "something is missing");
	f->n_vcpus &= ~(1u << 31);
	for (size_t i = 0; i < f->n_p2m_frames; i++) {
		uint64_t p = f->p2m_frames[i];

		if (!((*seen)[p / 8] & 1u << (p & 7)))
			return damaged(e, f->len, "a p2m frame without memory");
	}
	if (!((*seen)[f->info->start_info_pfn / 8] &
	      1u << (f->info->start_info_pfn & 7)))
		return damaged(e, f->len, "no start info page");
	return 0;
}

int bh_save_parse(struct bh_save_file *f, const uint8_t *data, size_t len,
		  struct bh_err *e)
{
	uint8_t *seen = NULL;
	int r;

	*f = (struct bh_save_file){ .data = data, .len = len };
	r = check_head(data, len, e);
	if (r == 0)
		r = check_all(f, &seen, e);
	free(seen);
	return r;
}

int bh_save_open(const char *path, struct bh_save_file *ret, struct bh_err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct bh_save_file f = {};
	struct bh_err sub = {};
	struct stat st;
	void *p;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return bh_fail(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return bh_fail(e, -EINVAL, "%s: not a saved guest", path);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return bh_fail(e, -errno, "%s: %s", path, strerror(errno));
	(void)madvise(p, (size_t)st.st_size, MADV_SEQUENTIAL);
	r = bh_save_parse(&f, p, (size_t)st.st_size, &sub);
	if (r < 0) {
		munmap(p, (size_t)st.st_size);
		return bh_fail(e, r, "%s: %s", path, bh_err_text(&sub, r));
	}
	f.map = p;
	*ret = f;
	return 0;
}

void bh_save_close(struct bh_save_file *f)
{
	if (f->map)
		munmap(f->map, f->len);
	*f = (struct bh_save_file){};
}
