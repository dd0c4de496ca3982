#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Writes the assembly of the symbol table (see lib/symbols.c) for the functions
# of the ELF given. The table sits after all code, so its size does not move
# any of the addresses in it. Strings are emitted plain: readable beats small.
set -eu
nm -n "$1" | awk '
BEGIN { n = 0 }
$2 ~ /^[tT]$/ && $3 !~ /^\.L/ && substr($1, 1, 8) == "ffff82d0" {
	off[n] = substr($1, 9); name[n] = $3; n++
}
END {
	print "\t.section .rodata.symtab, \"a\""
	print "\t.globl symtab_nr, symtab_offset, symtab_name, symtab_names"
	print "\t.balign 4\nsymtab_nr:\t.long " n + 0
	print "symtab_offset:"
	for (i = 0; i < n; i++)
		print "\t.long 0x" off[i] " - 0x80000000"
	print "symtab_name:"
	for (i = 0; i < n; i++) {
		print "\t.long " pos + 0
		pos += length(name[i]) + 1
	}
	print "symtab_names:"
	for (i = 0; i < n; i++)
		print "\t.asciz \"" name[i] "\""
	print "\t.byte 0"
	print "\t.section .note.GNU-stack, \"\", @progbits"
}'
