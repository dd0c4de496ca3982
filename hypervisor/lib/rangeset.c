/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of unsigned long as a sorted array of disjoint, non-adjacent ranges.
 * Made for permission sets: few ranges, changed rarely, looked up often
 * (binary search). Writers are serialised by the caller (domain creation,
 * domctl lock); a reader on another CPU sees the old or the new array, and the
 * old one is kept until the set is next changed or freed.
 */
#include <bh/errno.h>
#include <bh/lib.h>
#include <bh/mm.h>

struct range {
	unsigned long s, e;
};
struct array {
	unsigned int nr;
	struct range r[];
};
struct rangeset {
	struct array *cur, *old;
};

struct rangeset *rangeset_new(void)
{
	return xzalloc(sizeof(struct rangeset));
}

void rangeset_free(struct rangeset *r)
{
	if (!r)
		return;
	xfree(r->cur);
	xfree(r->old);
	xfree(r);
}

static void publish(struct rangeset *r, struct array *a)
{
	xfree(r->old);
	r->old = r->cur;
	__atomic_store_n(&r->cur, a, __ATOMIC_RELEASE);
}

/* Rebuilds the array without [s, e], and with it as a range when `add`. */
static int rebuild(struct rangeset *r, unsigned long s, unsigned long e,
		   bool add)
{
	unsigned int n = r->cur ? r->cur->nr : 0;
	struct array *a;
	bool placed = !add;

	if (s > e)
		return -EINVAL;
	a = xmalloc(sizeof(*a) + (n + 2) * sizeof(a->r[0]));
	if (!a)
		return -ENOMEM;
	a->nr = 0;
	for (unsigned int i = 0; i < n; i++) {
		struct range x = r->cur->r[i];

		if (add && x.e != ~0UL && x.e + 1 >= s && x.s <= s)
			s = x.s;
		if (add && e != ~0UL && x.s <= e + 1 && x.e >= e)
			e = x.e;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct range x = r->cur->r[i];

		if (!placed && x.s > s) {
			a->r[a->nr++] = (struct range){ s, e };
			placed = true;
		}
		if (x.e < s || x.s > e) {
			a->r[a->nr++] = x;
			continue;
		}
		if (x.s < s)
			a->r[a->nr++] = (struct range){ x.s, s - 1 };
		if (x.e > e)
			a->r[a->nr++] = (struct range){ e + 1, x.e };
	}
	if (!placed)
		a->r[a->nr++] = (struct range){ s, e };
	publish(r, a);
	return 0;
}

int rangeset_add(struct rangeset *r, unsigned long s, unsigned long e)
{
	return rebuild(r, s, e, true);
}

int rangeset_remove(struct rangeset *r, unsigned long s, unsigned long e)
{
	return rebuild(r, s, e, false);
}

bool rangeset_contains(const struct rangeset *r, unsigned long s,
		       unsigned long e)
{
	const struct array *a = r ? READ_ONCE(r->cur) : NULL;
	unsigned int lo = 0, hi = a ? a->nr : 0;

	if (s > e)
		return false;
	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (a->r[mid].e < s)
			lo = mid + 1;
		else
			hi = mid;
	}
	return a && lo < a->nr && a->r[lo].s <= s && a->r[lo].e >= e;
}

bool rangeset_empty(const struct rangeset *r)
{
	return !r || !r->cur || !r->cur->nr;
}
