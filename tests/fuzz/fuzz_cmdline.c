/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line, with one option of each kind, and the string functions it
 * is taken apart with: ours, not the host's.
 */
#include <stdlib.h>

#define memcpy  hv_memcpy
#define memmove hv_memmove
#define memset  hv_memset
#define memcmp  hv_memcmp
#define memchr  hv_memchr
#define strlen  hv_strlen
#define strnlen hv_strnlen
#define strcmp  hv_strcmp
#define strncmp hv_strncmp
#define strchr  hv_strchr
#define strstr  hv_strstr
#include "../../hypervisor/lib/param.c"
#include "../../hypervisor/lib/string.c"

static char str[16];
static u32 number;
static u64 wide, size_of;
static bool flag;

static int parse(const char *s)
{
	u64 n = parse_size(s, &s);

	return *s && *s != ',' ? -1 : (int)(n & 1);
}

/* The linker script collects them; here they stand together. */
__attribute__((used)) const struct param __param_start[] = {
	{ "str", P_STR, str, sizeof(str) },
	{ "number", P_UINT, &number, sizeof(number) },
	{ "wide", P_UINT, &wide, sizeof(wide) },
	{ "size", P_SIZE, &size_of, sizeof(size_of) },
	{ "flag", P_BOOL, &flag, sizeof(flag) },
	{ "fn", P_FN, (void *)parse, 0 },
};
_Static_assert(sizeof(__param_start) == 6 * 32, "the end below");
__asm__(".globl __param_end\n.set __param_end, __param_start + 6 * 32");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);

	if (!line)
		abort();
	hv_memcpy(line, data, size);
	line[size] = 0;
	hv_memset(unknown, 0, sizeof(unknown));
	cmdline_parse(line);
	cmdline_report();
	if (hv_strnlen(str, sizeof(str)) == sizeof(str) ||
	    hv_strnlen(saved_cmdline, sizeof(saved_cmdline)) ==
		    sizeof(saved_cmdline) ||
	    hv_strnlen(unknown, sizeof(unknown)) == sizeof(unknown))
		abort();
	free(line);
	return 0;
}
