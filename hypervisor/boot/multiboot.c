/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the boot loader says, from either Multiboot protocol into struct
 * boot_info. Pure code: memory is reached through a function, every length is
 * checked, nothing in the block is trusted. (Multiboot Specification 0.6.96
 * and Multiboot2 Specification 2.0.)
 */
#include <bh/boot.h>
#include <bh/errno.h>
#include <bh/lib.h>

#define MB1_MAGIC 0x2badb002
#define MB2_MAGIC 0x36d76289
#define MB2_MAX   (16U << 20)

struct mb1_info {
	u32 flags;
	u32 mem_lower, mem_upper;
	u32 boot_device;
	u32 cmdline;
	u32 mods_count, mods_addr;
	u32 syms[4];
	u32 mmap_length, mmap_addr;
	u32 drives_length, drives_addr;
	u32 config_table;
	u32 boot_loader_name;
	u32 apm_table;
	u32 vbe[4];
	u64 fb_addr;
	u32 fb_pitch, fb_width, fb_height;
	u8 fb_bpp, fb_type;
	u8 fb_color[6];
} __packed;
#define MB1_MEM     (1U << 0)
#define MB1_CMDLINE (1U << 2)
#define MB1_MODS    (1U << 3)
#define MB1_MMAP    (1U << 6)
#define MB1_LOADER  (1U << 9)
#define MB1_FB      (1U << 12)

struct mb1_mod {
	u32 start, end, string, pad;
} __packed;
struct mb1_mmap {
	u32 size; /* of the rest */
	u64 addr, len;
	u32 type;
} __packed;

struct mb2_tag {
	u32 type, size;
} __packed;

/* Copies a NUL-terminated string from memory we know nothing about. */
static void copy_string(char *dst, size_t size, paddr_t pa, boot_map_fn *map)
{
	size_t i;

	for (i = 0; i + 1 < size; i++) {
		const char *c = map(pa + i, 1);

		if (!c || !*c)
			break;
		dst[i] = *c;
	}
	dst[i] = 0;
}

static void copy_field(char *dst, size_t size, const char *src, size_t len)
{
	size_t n = strnlen(src, len);

	if (n > size - 1)
		n = size - 1;
	memcpy(dst, src, n);
	dst[n] = 0;
}

static void add_mem(struct boot_info *bi, u64 addr, u64 len, u32 type)
{
	if (!len || bi->nr_e820 == E820_MAX)
		return;
	if (addr + len < addr)
		len = -addr;
	if (type < E820_RAM || type > E820_UNUSABLE)
		type = E820_RESERVED; /* types newer than we are */
	bi->e820[bi->nr_e820++] = (struct e820_entry){ addr, len, type };
}

static void add_module(struct boot_info *bi, u32 start, u32 end,
		       const char *str, size_t len)
{
	struct boot_module *m;

	if (bi->nr_mods >= ARRAY_SIZE(bi->mod) || end < start)
		return;
	m = &bi->mod[bi->nr_mods++];
	m->start = start;
	m->end = end;
	copy_field(m->cmdline_buf, sizeof(m->cmdline_buf), str, len);
	m->cmdline = m->cmdline_buf;
}

/* Drops the first word: the file's name, or what menu generators put there. */
static void strip_first_word(char *s)
{
	size_t n = 0;

	while (s[n] && s[n] != ' ')
		n++;
	while (s[n] == ' ')
		n++;
	memmove(s, s + n, strlen(s + n) + 1);
}

static void cook_cmdline(char *s, bool has_name)
{
	size_t n = 0;

	while (s[n] == ' ')
		n++;
	memmove(s, s + n, strlen(s + n) + 1);
	if (has_name)
		strip_first_word(s);
	if (!strncmp(s, "placeholder", 11) && (s[11] == ' ' || !s[11]))
		strip_first_word(s);
}

static void fb_set(struct boot_info *bi, u64 base, u32 pitch, u32 w, u32 h,
		   u8 bpp, u8 type, const u8 *color)
{
	if (type == 2) { /* EGA text */
		bi->fb.kind = 1;
		bi->fb.base = base;
		bi->fb.width = w;
		bi->fb.height = h;
		return;
	}
	if (type != 1) /* indexed colours: nobody can use it */
		return;
	bi->fb.kind = 2;
	bi->fb.base = base;
	bi->fb.pitch = pitch;
	bi->fb.width = w;
	bi->fb.height = h;
	bi->fb.bpp = bpp;
	bi->fb.rpos = color[0];
	bi->fb.rsize = color[1];
	bi->fb.gpos = color[2];
	bi->fb.gsize = color[3];
	bi->fb.bpos = color[4];
	bi->fb.bsize = color[5];
}

static void mb1_mmap(struct boot_info *bi, u32 pa, u32 len, boot_map_fn *map)
{
	u32 off = 0;

	while (len - off >= sizeof(struct mb1_mmap)) {
		const struct mb1_mmap *m = map((paddr_t)pa + off, sizeof(*m));

		if (!m)
			return;
		add_mem(bi, m->addr, m->len, m->type);
		if (m->size < 20 || m->size > len - off - 4)
			return;
		off += m->size + 4;
	}
}

static int mb1_parse(struct boot_info *bi, paddr_t pa, boot_map_fn *map)
{
	const struct mb1_info *p = map(pa, sizeof(*p));
	struct mb1_info i;

	if (!p)
		return -EINVAL;
	i = *p;
	if (i.flags & MB1_LOADER)
		copy_string(bi->loader, sizeof(bi->loader), i.boot_loader_name,
			    map);
	if (i.flags & MB1_CMDLINE)
		copy_string(bi->cmdline, sizeof(bi->cmdline), i.cmdline, map);
	if (i.flags & MB1_MMAP) {
		mb1_mmap(bi, i.mmap_addr, i.mmap_length, map);
	} else if (i.flags & MB1_MEM) {
		add_mem(bi, 0, (u64)i.mem_lower << 10, E820_RAM);
		add_mem(bi, 1 << 20, (u64)i.mem_upper << 10, E820_RAM);
	}
	for (u32 m = 0; (i.flags & MB1_MODS) && m < i.mods_count; m++) {
		const struct mb1_mod *q =
			map((paddr_t)i.mods_addr + m * sizeof(*q), sizeof(*q));
		char str[1024] = "";
		u32 start, end, string;

		if (!q || bi->nr_mods == ARRAY_SIZE(bi->mod))
			break;
		start = q->start;
		end = q->end;
		string = q->string;
		if (string)
			copy_string(str, sizeof(str), string, map);
		add_module(bi, start, end, str, sizeof(str));
	}
	bi->fb.kind = 1; /* a PC in text mode unless told otherwise */
	bi->fb.base = 0xb8000;
	bi->fb.width = 80;
	bi->fb.height = 25;
	if (i.flags & MB1_FB)
		fb_set(bi, i.fb_addr, i.fb_pitch, i.fb_width, i.fb_height,
		       i.fb_bpp, i.fb_type, i.fb_color);
	return 0;
}

static u32 rd32(const void *p, size_t off)
{
	u32 v;

	memcpy(&v, (const char *)p + off, 4);
	return v;
}
static u64 rd64(const void *p, size_t off)
{
	u64 v;

	memcpy(&v, (const char *)p + off, 8);
	return v;
}

static void mb2_mmap(struct boot_info *bi, const void *t, u32 size)
{
	u32 step;

	if (size < 16)
		return;
	step = rd32(t, 8);
	if (step < 24)
		return;
	for (u32 off = 16; size - off >= 24; off += step) {
		add_mem(bi, rd64(t, off), rd64(t, off + 8), rd32(t, off + 16));
		if (step > size - off)
			break;
	}
}

/* One tag; t has `size` readable bytes (8 at least). */
static void mb2_tag(struct boot_info *bi, u32 type, const void *t, u32 size,
		    paddr_t tag_pa)
{
	const char *c = t;

	switch (type) {
	case 1:
		copy_field(bi->cmdline, sizeof(bi->cmdline), c + 8, size - 8);
		break;
	case 2:
		copy_field(bi->loader, sizeof(bi->loader), c + 8, size - 8);
		break;
	case 3:
		if (size >= 16)
			add_module(bi, rd32(t, 8), rd32(t, 12), c + 16,
				   size - 16);
		break;
	case 6:
		mb2_mmap(bi, t, size);
		break;
	case 8:
		if (size >= 30 && (c[29] != 1 || size >= 38))
			fb_set(bi, rd64(t, 8), rd32(t, 16), rd32(t, 20),
			       rd32(t, 24), c[28], c[29], (const u8 *)c + 32);
		break;
	case 11:
	case 12:
		bi->efi = true;
		if (type == 12 && size >= 16)
			bi->efi_system_table = rd64(t, 8);
		break;
	case 14: /* ACPI 1.0 RSDP: the newer one is preferred */
	case 15:
		if (size >= 8 + 20 && (type == 15 || !bi->rsdp))
			bi->rsdp = tag_pa + 8;
		break;
	case 17:
		if (size >= 16) {
			bi->efi_memdesc_size = rd32(t, 8);
			bi->efi_memdesc_version = rd32(t, 12);
			bi->efi_memmap = tag_pa + 16;
			bi->efi_memmap_size = size - 16;
		}
		break;
	}
}

static int mb2_parse(struct boot_info *bi, paddr_t pa, boot_map_fn *map)
{
	const u32 *hdr = map(pa, 8);
	u32 total, off = 8;

	if (!hdr)
		return -EINVAL;
	total = hdr[0];
	if (total < 16 || total > MB2_MAX)
		return -EINVAL;
	while (total - off >= sizeof(struct mb2_tag)) {
		const struct mb2_tag *t = map(pa + off, sizeof(*t));
		u32 type, size;

		if (!t)
			return -EINVAL;
		type = t->type;
		size = t->size;
		if (type == 0)
			return 0;
		if (size < sizeof(*t) || size > total - off)
			return -EINVAL;
		t = map(pa + off, size);
		if (!t)
			return -EINVAL;
		mb2_tag(bi, type, t, size, pa + off);
		size = ROUNDUP(size, 8);
		if (size > total - off)
			break;
		off += size;
	}
	return 0;
}

int multiboot_parse(struct boot_info *bi, u32 magic, paddr_t pa,
		    boot_map_fn *map)
{
	bool has_name;
	int rc;

	memset(bi, 0, sizeof(*bi));
	if (magic == MB1_MAGIC)
		rc = mb1_parse(bi, pa, map);
	else if (magic == MB2_MAGIC)
		rc = mb2_parse(bi, pa, map);
	else
		return -EINVAL;
	if (rc)
		return rc;

	/* GRUB 2 leaves the file's name out, others put it first. */
	has_name = strncmp(bi->loader, "GRUB 2", 6) != 0;
	cook_cmdline(bi->cmdline, has_name);
	for (unsigned int i = 0; i < bi->nr_mods; i++)
		cook_cmdline(bi->mod[i].cmdline_buf, has_name);

	bi->nr_e820 = e820_sanitize(bi->e820, bi->nr_e820, E820_MAX);
	return 0;
}
