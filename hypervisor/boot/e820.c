/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map as firmware gives it may be unsorted and overlapping. Here it
 * becomes a sorted list without overlaps. Where two entries disagree the one
 * that promises less wins: better to lose a page than to use a reserved one.
 * Pure code.
 */
#include <bh/boot.h>
#include <bh/lib.h>

/* How strongly a type overrides others. */
static unsigned int type_rank(u32 type)
{
	switch (type) {
	case E820_RAM:
		return 1;
	case E820_ACPI:
		return 2;
	case E820_NVS:
		return 3;
	case E820_UNUSABLE:
		return 5;
	default:
		return 4;
	}
}

static u64 entry_end(const struct e820_entry *e)
{
	return e->addr + e->size < e->addr ? ~0UL : e->addr + e->size;
}

/* The strongest type covering addr, 0 if none. */
static u32 type_at(const struct e820_entry *e, unsigned int n, u64 addr)
{
	u32 type = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (addr < e[i].addr || addr >= entry_end(&e[i]))
			continue;
		if (!type || type_rank(e[i].type) > type_rank(type))
			type = e[i].type;
	}
	return type;
}

/* Smallest boundary above addr, ~0 if none. */
static u64 next_edge(const struct e820_entry *e, unsigned int n, u64 addr)
{
	u64 best = ~0UL;

	for (unsigned int i = 0; i < n; i++) {
		if (!e[i].size)
			continue;
		if (e[i].addr > addr && e[i].addr < best)
			best = e[i].addr;
		if (entry_end(&e[i]) > addr && entry_end(&e[i]) < best)
			best = entry_end(&e[i]);
	}
	return best;
}

unsigned int e820_sanitize(struct e820_entry *e, unsigned int n,
			   unsigned int max)
{
	static struct e820_entry out[E820_MAX];
	unsigned int nr = 0;
	u64 a = 0;

	if (max > E820_MAX)
		max = E820_MAX;
	while (a != ~0UL) {
		u64 b = next_edge(e, n, a);
		u32 type = type_at(e, n, a);

		if (type && nr && out[nr - 1].type == type &&
		    out[nr - 1].addr + out[nr - 1].size == a) {
			out[nr - 1].size += b - a;
		} else if (type) {
			if (nr == max)
				break;
			out[nr++] = (struct e820_entry){ a, b - a, type };
		}
		a = b;
	}
	memcpy(e, out, nr * sizeof(*e));
	return nr;
}
