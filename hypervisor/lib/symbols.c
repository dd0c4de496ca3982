/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names for code addresses. The build links twice; between the passes
 * mksymbols.sh writes the sorted table of function offsets and names that this
 * file searches. Tables live in read-only data.
 */
#include <bh/config.h>
#include <bh/lib.h>
#include <bh/symbols.h>

extern const u32 symtab_nr;
extern const u32 symtab_offset[]; /* from IMAGE_START, ascending */
extern const u32 symtab_name[];   /* into symtab_names */
extern const char symtab_names[];
extern const char _stext[], _end[];

const char *symbol_lookup(unsigned long addr, unsigned long *off)
{
	u32 lo = 0, hi = symtab_nr, rel = addr - IMAGE_START;

	if (!symtab_nr || addr < (unsigned long)_stext ||
	    addr >= (unsigned long)_end || rel < symtab_offset[0])
		return NULL;
	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;

		if (symtab_offset[mid] <= rel)
			lo = mid;
		else
			hi = mid;
	}
	*off = rel - symtab_offset[lo];
	return symtab_names + symtab_name[lo];
}
