#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# compile.sh SECONDS: compiles a program of many files, two at a time, again and
# again; every build must be byte for byte the first one, and compute the same.
set -eu
end=$(($(date +%s) + $1)) first=
mkdir -p compile
cd compile
rm -f all.h
for i in $(seq 24); do
	for j in $(seq 40); do
		echo "unsigned f${i}_$j(unsigned x) { for (int k = 0; k < $j; k++) x = x * $((i * 7919 + j)) + (x >> $((j % 31))); return x; }"
	done >"f$i.c"
	echo "unsigned f${i}_1(unsigned); unsigned f${i}_40(unsigned);" >>all.h
done
{
	echo '#include <stdio.h>'
	echo '#include "all.h"'
	echo 'int main(void) { unsigned x = 1;'
	for i in $(seq 24); do echo "x = f${i}_40(f${i}_1(x));"; done
	echo 'printf("%u", x); return 0; }'
} >main.c
printf 'prog: main.o %s\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -O2 -c -o $@ $<\n' "$(seq -f f%g.o -s ' ' 24)" >Makefile
n=0
while [ "$(date +%s)" -lt "$end" ]; do
	rm -f ./*.o prog
	make -s -j2
	sum="$(md5sum <prog) $(./prog)"
	[ "${first:=$sum}" = "$sum" ]
	n=$((n + 1))
done
echo "$n builds, each $first"
[ "$n" -gt 0 ]
