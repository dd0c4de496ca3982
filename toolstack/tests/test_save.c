/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved guests: a good file is accepted, and no single damaged byte, no cut
 * and no lie with right checksums goes unnoticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <zlib.h>

#include "bulkhead/save.h"

struct buf {
	uint8_t *p;
	size_t n;
	uint64_t records;
};

static void add(struct buf *b, uint32_t type, const void *d, size_t len)
{
	struct bh_save_record rec = { .type = type, .len = len };
	size_t pad = (8 - (len & 7)) & 7;

	rec.crc = (uint32_t)crc32_z(0, d, len);
	rec.head_crc = (uint32_t)crc32_z(
		0, (void *)&rec, offsetof(struct bh_save_record, head_crc));
	memcpy(b->p + b->n, &rec, sizeof(rec));
	memcpy(b->p + b->n + sizeof(rec), d, len);
	memset(b->p + b->n + sizeof(rec) + len, 0, pad);
	b->n += sizeof(rec) + len + pad;
	b->records++;
}

/* Four pages, one of them zero, one the p2m list, one start info. */
static void make(struct buf *b, uint64_t pages, uint64_t type, bool vcpu)
{
	struct bh_save_header h = { .magic = BH_SAVE_MAGIC,
				    .version = 1,
				    .page_size = 4096 };
	struct bh_save_info i = { .name = "web1",
				  .nr_pfns = 8,
				  .nr_pages = pages,
				  .start_info_pfn = 1,
				  .max_vcpus = 1 };
	_cleanup_free_ uint64_t *w = calloc(1, 5 * 8 + 3 * 4096);
	_cleanup_free_ struct bh_save_vcpu *v = calloc(1, sizeof(*v));
	uint64_t p2m = 2;

	b->n = 0;
	b->records = 0;
	h.crc = (uint32_t)crc32_z(0, (void *)&h,
				  offsetof(struct bh_save_header, crc));
	memcpy(b->p, &h, sizeof(h));
	b->n = sizeof(h);
	add(b, BH_SAVE_INFO, &i, sizeof(i));
	add(b, BH_SAVE_CONFIG, "name='web1'", 11);
	add(b, BH_SAVE_P2M, &p2m, 8);
	add(b, BH_SAVE_SHARED_INFO, w, 4096);
	if (vcpu)
		add(b, BH_SAVE_VCPU, v, sizeof(*v));
	w[0] = 4;
	w[1] = 0 | type << BH_SAVE_TYPE_SHIFT;
	w[2] = 1;
	w[3] = 2;
	w[4] = 5 | BH_SAVE_ZERO;
	add(b, BH_SAVE_PAGES, w, 5 * 8 + 3 * 4096);
	add(b, BH_SAVE_END, &(uint64_t){ b->records }, 8);
}

static int check(struct buf *b, size_t len, struct bh_err *e)
{
	struct bh_save_file f;

	*e = (struct bh_err){};
	return bh_save_parse(&f, b->p, len, e);
}

static void good_file_is_good(void **state)
{
	struct buf b = { .p = malloc(1 << 20) };
	struct bh_save_file f;
	struct bh_err e = {};

	(void)state;
	make(&b, 4, 0, true);
	assert_int_equal(bh_save_parse(&f, b.p, b.n, &e), 0);
	assert_int_equal(f.n_vcpus, 1);
	assert_int_equal(f.n_p2m_frames, 1);
	assert_int_equal(f.config_len, 11);
	free(b.p);
}

static void every_damaged_byte_is_found(void **state)
{
	struct buf b = { .p = malloc(1 << 20) };
	struct bh_err e;

	(void)state;
	make(&b, 4, 0, true);
	for (size_t i = 0; i < b.n; i += i < 2000 ? 1 : 61) {
		b.p[i] ^= 0x40;
		/* padding behind a record is the only thing not covered */
		if (check(&b, b.n, &e) == 0)
			assert_true(i > sizeof(struct bh_save_header) &&
				    b.p[i] == 0x40);
		b.p[i] ^= 0x40;
	}
	for (size_t n = 0; n < b.n; n += 17)
		assert_true(check(&b, n, &e) < 0);
	free(b.p);
}

static void lies_are_found(void **state)
{
	struct buf b = { .p = malloc(1 << 20) };
	struct bh_err e;

	(void)state;
	make(&b, 5, 0, true); /* one page too few */
	assert_int_equal(check(&b, b.n, &e), -EBADMSG);
	make(&b, 4, 6, true); /* no such type */
	assert_int_equal(check(&b, b.n, &e), -EBADMSG);
	make(&b, 4, 0, false); /* no vCPU */
	assert_int_equal(check(&b, b.n, &e), -EBADMSG);
	make(&b, 4, 0, true);
	b.p[8] = 2; /* another version */
	assert_int_equal(check(&b, b.n, &e), -EOPNOTSUPP);
	free(b.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_file_is_good),
		cmocka_unit_test(every_damaged_byte_is_found),
		cmocka_unit_test(lies_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
