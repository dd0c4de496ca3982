/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Searching and counting in bit maps of unsigned long. */
#include <bh/lib.h>

static unsigned long find_next(const unsigned long *p, unsigned long nbits,
			       unsigned long start, unsigned long flip)
{
	unsigned long i = start / 64, w;

	if (start >= nbits)
		return nbits;
	w = (p[i] ^ flip) & (~0UL << (start % 64));
	while (!w) {
		if (++i >= BITS_TO_LONGS(nbits))
			return nbits;
		w = p[i] ^ flip;
	}
	i = i * 64 + __builtin_ctzl(w);
	return i < nbits ? i : nbits;
}

unsigned long find_next_bit(const unsigned long *p, unsigned long nbits,
			    unsigned long start)
{
	return find_next(p, nbits, start, 0);
}

unsigned long find_next_zero_bit(const unsigned long *p, unsigned long nbits,
				 unsigned long start)
{
	return find_next(p, nbits, start, ~0UL);
}

unsigned int bitmap_weight(const unsigned long *p, unsigned long nbits)
{
	unsigned int n = 0;

	for (unsigned long i = 0; i < nbits / 64; i++)
		for (unsigned long w = p[i]; w; w &= w - 1)
			n++;
	for (unsigned long b = nbits & ~63UL; b < nbits; b++)
		n += test_bit(b, p);
	return n;
}
