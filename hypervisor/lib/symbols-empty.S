/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stand-in for the symbol table in the first link pass. */
	.section .rodata.symtab, "a"
	.globl symtab_nr, symtab_offset, symtab_name, symtab_names
	.balign 4
symtab_nr:	.long 0
symtab_offset:
symtab_name:
symtab_names:	.byte 0
	.section .note.GNU-stack, "", @progbits
