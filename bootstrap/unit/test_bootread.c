/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boot menus and kernel payloads: what bootread makes of what is on a guest's
 * disk, good and bad, through a file system of strings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* ours is another */
#include <errno.h>
#include <zlib.h>

#include "bootread/pick.h"
#include "bootread/unpack.h"

struct file {
	const char *path, *text;
};

static int mem_read(struct vfs *v, const char *path, size_t max, char **ret,
		    size_t *ret_len, uint64_t *ret_mtime)
{
	for (const struct file *f = v->priv; f->path; f++)
		if (streq(f->path, path)) {
			assert_true(strlen(f->text) <= max);
			*ret = strdup(f->text);
			*ret_len = strlen(f->text);
			if (ret_mtime)
				*ret_mtime = 7;
			return 0;
		}
	return -ENOENT;
}

static int mem_list(struct vfs *v, const char *dir, struct strv *ret)
{
	size_t n = strlen(dir);
	bool any = false;

	for (const struct file *f = v->priv; f->path; f++)
		if (bh_startswith(f->path, dir) && f->path[n] == '/') {
			(void)strv_add(ret, f->path + n + 1);
			any = true;
		}
	return any ? 0 : -ENOENT;
}

static const struct vfs_ops mem_ops = { mem_read, mem_list, NULL };

static void load(const struct file *files, uint64_t ignore, struct menu *m)
{
	struct vfs v = { &mem_ops, (void *)(uintptr_t)files };

	assert_int_equal(menu_load(&v, ignore, m), 0);
}

#define HEADER                                                                       \
	"set default=\"0\"\n"                                                        \
	"if [ -s $prefix/grubenv ]; then\n  set have_grubenv=true\n  load_env\nfi\n" \
	"if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\n"        \
	"   set next_entry=\n   save_env next_entry\n   set boot_once=true\n"        \
	"else\n   set default=\"${saved_entry}\"\nfi\n"                              \
	"if [ x\"${feature_menuentry_id}\" = xy ]; then\n"                           \
	"  menuentry_id_option=\"--id\"\nelse\n  menuentry_id_option=\"\"\nfi\n"     \
	"function savedefault {\n  if [ -z \"${boot_once}\" ]; then\n"               \
	"    saved_entry=\"${chosen}\"\n    save_env saved_entry\n  fi\n}\n"
#define ENTRIES                                                                  \
	"menuentry 'Debian GNU/Linux' --class debian --class os "                \
	"$menuentry_id_option 'gnulinux-simple-1' {\n\tload_video\n"             \
	"\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi\n" \
	"\tset root='hd0,msdos1'\n"                                              \
	"\techo\t'Loading Linux ...'\n"                                          \
	"\tlinux\t/boot/vmlinuz-2 root=UUID=1 ro  quiet\n"                       \
	"\tinitrd\t/boot/initrd.img-2\n}\n"                                      \
	"submenu 'Advanced options' $menuentry_id_option 'adv' {\n"              \
	"\tmenuentry 'new' --class x $menuentry_id_option 'new' {\n"             \
	"\t\tlinux /boot/vmlinuz-2 root=UUID=1\n\t}\n"                           \
	"\tmenuentry 'old' --class x $menuentry_id_option 'old' {\n"             \
	"\t\tlinux (hd0,msdos1)/boot/vmlinuz-1 root=UUID=1 \"a b\"\n"            \
	"\t\tinitrd /u.img /boot/initrd.img-1\n\t}\n}\n"                         \
	"menuentry 'UEFI Firmware' $menuentry_id_option 'uefi' {\n\tfwsetup\n}\n"

static void expect_grub(const char *cfg, const char *env, const char *kernel)
{
	const struct file f[] = { { "/boot/grub/grub.cfg", cfg },
				  { env ? "/boot/grub/grubenv" : "/none",
				    env ? env : "" },
				  { NULL, NULL } };
	struct menu m;

	load(f, 0, &m);
	assert_true(m.chosen >= 0);
	assert_string_equal(m.e[m.chosen].kernel, kernel);
	menu_done(&m);
}

static void grub_default_is_the_first_entry(void **s __unused_arg)
{
	expect_grub(HEADER ENTRIES, NULL, "/boot/vmlinuz-2");
	expect_grub(ENTRIES, NULL, "/boot/vmlinuz-2");
}

static void grub_saved_entry_is_followed(void **s __unused_arg)
{
	static const char *const specs[] = {
		"saved_entry=adv>old\n", "saved_entry=1>1\n",
		"saved_entry=old\n", "saved_entry=Advanced options>old\n"
	};

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		_cleanup_free_ char *env = bh_asprintf(
			"# GRUB Environment Block\n%s####", specs[i]);

		expect_grub(HEADER ENTRIES, env, "/boot/vmlinuz-1");
	}
	expect_grub(HEADER ENTRIES, "saved_entry=gone\n", "/boot/vmlinuz-2");
}

static void grub_one_time_choice_is_followed_once(void **s __unused_arg)
{
	const struct file f[] = {
		{ "/boot/grub/grub.cfg", HEADER ENTRIES },
		{ "/boot/grub/grubenv",
		  "# GRUB Environment Block\nnext_entry=adv>old\n###" },
		{ NULL, NULL }
	};
	struct menu m;
	uint64_t once;

	load(f, 0, &m);
	assert_string_equal(m.e[m.chosen].kernel, "/boot/vmlinuz-1");
	assert_true(m.has_once);
	once = m.once;
	menu_done(&m);
	load(f, once, &m);
	assert_string_equal(m.e[m.chosen].kernel, "/boot/vmlinuz-2");
	assert_false(m.has_once);
	menu_done(&m);
}

static void grub_arguments_and_initrds_are_kept(void **s __unused_arg)
{
	const struct file f[] = { { "/grub2/grub.cfg",
				    HEADER "set default=1>1\n" ENTRIES },
				  { NULL, NULL } };
	struct menu m;
	struct entry *e;

	load(f, 0, &m);
	e = &m.e[m.chosen];
	assert_string_equal(e->cmdline, "root=UUID=1 a b");
	assert_int_equal(e->initrd.n, 2);
	assert_string_equal(e->initrd.v[1], "/boot/initrd.img-1");
	menu_done(&m);
}

static void grub_elif_and_nesting(void **s __unused_arg)
{
	expect_grub("set a=2\nif [ $a = 1 ]; then set default=0\n"
		    "elif [ \"$a\" = 2 -a ! -z \"$a\" ]; then\n"
		    " if true; then set default=1; else set default=0; fi\n"
		    "else set default=0; fi\n"
		    "menuentry a { linux /a\n}\nmenuentry b { linux /b\n}\n",
		    NULL, "/b");
}

static void grub_garbage_ends(void **s __unused_arg)
{
	static const char *const bad[] = { "menuentry 'x { linux /a",
					   "if if if if",
					   "submenu { submenu {",
					   "}}}}",
					   "fi else elif",
					   "\"${",
					   "menuentry a { menuentry b {",
					   "function {",
					   "\\",
					   "${",
					   "set default=\"" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vars vars = { 0 };
		struct menu m = { 0 };

		(void)grub_parse(bad[i], NULL, "/", &vars, &m);
		menu_done(&m);
		vars_done(&vars);
	}
}

static void grub_deep_nesting_ends(void **s __unused_arg)
{
	static char text[400000];
	struct vars vars = { 0 };
	struct menu m = { 0 };

	for (size_t i = 0; i + 16 < sizeof(text); i += 16)
		memcpy(text + i, "if true; then \n\n", 16);
	(void)grub_parse(text, NULL, "/", &vars, &m);
	menu_done(&m);
	for (size_t i = 0; i + 16 < sizeof(text); i += 16)
		memcpy(text + i, "submenu 'aaaa' {", 16);
	(void)grub_parse(text, NULL, "/", &vars, &m);
	menu_done(&m);
	vars_done(&vars);
}

static void bls_newest_first_and_saved(void **s __unused_arg)
{
	struct file f[] = {
		{ "/boot/loader/entries/a-6.1.9.conf",
		  "title Nine\nversion 6.1.9\nlinux /vmlinuz-6.1.9\n"
		  "initrd /i9 $tuned_initrd\noptions root=/dev/xvda $kernelopts\n" },
		{ "/boot/loader/entries/a-6.1.10.conf",
		  "title Ten\nlinux /vmlinuz-6.1.10\ninitrd /i10\noptions ro\n" },
		{ "/boot/loader/entries/efi.conf",
		  "title E\nefi /shell.efi\n" },
		{ "/boot/grub2/grubenv", "kernelopts=quiet\n" },
		{ NULL, NULL }
	};
	struct menu m;

	load(f, 0, &m);
	assert_int_equal(m.n, 2);
	assert_string_equal(m.e[m.chosen].kernel, "/vmlinuz-6.1.10");
	menu_done(&m);
	f[3].text = "saved_entry=a-6.1.9\nkernelopts=quiet\n";
	load(f, 0, &m);
	assert_string_equal(m.e[m.chosen].kernel, "/vmlinuz-6.1.9");
	assert_string_equal(m.e[m.chosen].cmdline, "root=/dev/xvda quiet");
	assert_int_equal(m.e[m.chosen].initrd.n, 1);
	menu_done(&m);
}

static void blscfg_in_grub_cfg(void **s __unused_arg)
{
	const struct file f[] = {
		{ "/boot/grub2/grub.cfg",
		  "insmod blscfg\nset default=\"${saved_entry}\"\nblscfg\n" },
		{ "/boot/grub2/grubenv", "saved_entry=x-2\n" },
		{ "/boot/loader/entries/x-2.conf", "title 2\nlinux /v2\n" },
		{ "/boot/loader/entries/x-3.conf", "title 3\nlinux /v3\n" },
		{ NULL, NULL }
	};
	struct menu m;

	load(f, 0, &m);
	assert_string_equal(m.e[m.chosen].kernel, "/v2");
	menu_done(&m);
}

static void extlinux_default_and_relative_paths(void **s __unused_arg)
{
	const struct file f[] = {
		{ "/boot/extlinux/extlinux.conf",
		  "default l1\nprompt 0\nlabel l0\n kernel /boot/v0\n"
		  "label l1\n\tmenu label One\n\tlinux ../v1\n"
		  "\tappend root=/dev/xvda initrd=i1 ro\n" },
		{ NULL, NULL }
	};
	struct menu m;

	load(f, 0, &m);
	assert_string_equal(m.e[m.chosen].kernel, "/boot/extlinux/../v1");
	assert_string_equal(m.e[m.chosen].cmdline, "root=/dev/xvda ro");
	assert_string_equal(m.e[m.chosen].initrd.v[0], "/boot/extlinux/i1");
	menu_done(&m);
}

static size_t bzimage(char *out, const char *payload, size_t n)
{
	uint16_t version = 0x20f;
	uint32_t off = 0x40, len = (uint32_t)n;

	memset(out, 0, 0x1000);
	out[0x1f1] = 4;
	memcpy(out + 0x202, "HdrS", 4);
	memcpy(out + 0x206, &version, 2);
	memcpy(out + 0x248, &off, 4);
	memcpy(out + 0x24c, &len, 4);
	memcpy(out + 5 * 512 + off, payload, n);
	return 5 * 512 + off + n;
}

static void kernel_payloads(void **s __unused_arg)
{
	static char elf[4096] = "\177ELF", img[0x4000], packed[4096 + 4];
	z_stream z = { 0 };
	const char *why;
	char *out;
	size_t n, len;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, 0), Z_OK);
	z.next_in = (void *)elf;
	z.avail_in = sizeof(elf);
	z.next_out = (void *)packed;
	z.avail_out = sizeof(packed);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = sizeof(packed) - z.avail_out;
	deflateEnd(&z);
	len = bzimage(img, packed, n + 4);
	assert_int_equal(kernel_unpack(img, len, 1 << 20, &out, &n, &why), 0);
	assert_int_equal(n, sizeof(elf));
	free(out);
	/* Every cut is refused, none reads beyond the end. */
	for (size_t cut = 0; cut < len - 4; cut++) {
		_cleanup_free_ char *copy = malloc(cut ? cut : 1);

		memcpy(copy, img, cut);
		assert_true(kernel_unpack(copy, cut, 1 << 20, &out, &n, &why) <
			    0);
	}
	/* Too large is refused. */
	assert_true(kernel_unpack(img, len, 1024, &out, &n, &why) < 0);
	/* A plain ELF passes. */
	assert_int_equal(
		kernel_unpack(elf, sizeof(elf), 1 << 20, &out, &n, &why), 0);
	free(out);
}

static void damaged_payloads_are_refused(void **s __unused_arg)
{
	static const char *const magic[] = { "\x1f\x8b",
					     "\xfd"
					     "7zXZ\0",
					     "\x5d\0\0",
					     "BZh9",
					     "\x28\xb5\x2f\xfd",
					     "\x02\x21\x4c\x18" };
	static const size_t len[] = { 2, 6, 3, 4, 4, 4 };
	static char img[0x4000];

	for (size_t i = 0; i < ARRAY_SIZE(magic); i++) {
		char p[512];
		const char *why;
		char *out;
		size_t n;

		memset(p, 0x55, sizeof(p));
		memcpy(p, magic[i], len[i]);
		n = bzimage(img, p, sizeof(p));
		assert_true(kernel_unpack(img, n, 1 << 20, &out, &n, &why) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grub_default_is_the_first_entry),
		cmocka_unit_test(grub_saved_entry_is_followed),
		cmocka_unit_test(grub_one_time_choice_is_followed_once),
		cmocka_unit_test(grub_arguments_and_initrds_are_kept),
		cmocka_unit_test(grub_elif_and_nesting),
		cmocka_unit_test(grub_garbage_ends),
		cmocka_unit_test(grub_deep_nesting_ends),
		cmocka_unit_test(bls_newest_first_and_saved),
		cmocka_unit_test(blscfg_in_grub_cfg),
		cmocka_unit_test(extlinux_default_and_relative_paths),
		cmocka_unit_test(kernel_payloads),
		cmocka_unit_test(damaged_payloads_are_refused),
	};

	return cmocka_run_group_tests_name("bootread", tests, NULL, NULL);
}
