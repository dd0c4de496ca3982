/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files from strangers: images, archives and exported guests that want more
 * than to be imported.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* ours is another */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fill.h"
#include "guest.h"
#include "image.h"
#include "inguest.h"
#include "scratch.h"

/* A guest in a file; what is in the fields varies. */
#define FOREIGN(boot, files, nic)                                                      \
	"{\"name\":\"a\",\"vg\":\"v\",\"boot\":\"" boot "\",\"vcpus\":1,"              \
	"\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\",\"memory\":99999999," files \
	",\"nics\":[{\"bridge\":\"br0\",\"mac\":"                                      \
	"\"00:16:3e:01:02:03\"" nic "}]}"

static void guests_in_files_are_strangers(void **s __unused_arg)
{
	static const struct {
		const char *json;
		bool ok, keeps;
	} cases[] = {
		{ FOREIGN("host", "\"kernel\":\"/boot/vmlinuz-6\"", ""), true,
		  true },
		{ FOREIGN("host",
			  "\"kernel\":\"/usr/lib/bulkhead/kernels/6/vmlinuz\","
			  "\"ramdisk\":\"/etc/shadow\"",
			  ""),
		  true, false },
		{ FOREIGN("pvgrub", "\"kernel\":\"/etc/shadow\"", ""), true,
		  false },
		{ FOREIGN("host",
			  "\"kernel\":\"/boot/vmlinuz-/../../etc/shadow\"", ""),
		  true, false },
		{ FOREIGN("magic", "\"kernel\":\"/boot/vmlinuz-6\"", ""), false,
		  false },
		{ FOREIGN("disk", "\"extra\":\"x\"",
			  ",\"bridge\":\"br0,vifname=eth0\""),
		  false, false },
		{ FOREIGN("disk", "\"extra\":\"x\"", ",\"mac\":\"x\""), false,
		  false },
		{ FOREIGN("disk", "\"extra\":\"x\"",
			  ",\"dns\":[\"1.1.1.1\\nx\",null]"),
		  false, false },
		{ FOREIGN("disk", "\"hostname\":\"a b\"", ""), false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest g = { 0 };

		assert_int_equal(guest_parse(cases[i].json, &g), 0);
		assert_int_equal(guest_check_foreign(&g) >= 0, cases[i].ok);
		if (cases[i].ok)
			assert_int_equal(g.kernel != NULL, cases[i].keeps);
		guest_done(&g);
	}
}

static void qcow2_names_no_other_file(void **s __unused_arg)
{
	static const struct {
		size_t at;
		char byte;
		int r;
	} cases[] = { { 0, 'Q', 0 },
		      { 15, 112, -VMB_SOURCE }, /* a backing file */
		      { 79, 4, -VMB_SOURCE },   /* an external data file */
		      { 79, 1, 0 } };           /* just not closed cleanly */
	_cleanup_free_ char *file = bh_asprintf("%s/x.qcow2", root);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char h[112] = "QFI\xfb\0\0\0\3";

		h[cases[i].at] = cases[i].byte;
		assert_int_equal(bh_fill_file(file, h, sizeof(h), 0600), 0);
		assert_true(import_is_qcow2(file));
		assert_int_equal(import_check_qcow2(file), cases[i].r);
	}
}

/* libarchive would run lrzip for it: after chroot, what a layer calls so. */
static void no_program_unpacks_an_archive(void **s __unused_arg)
{
	static const char lrz[64] = "LRZI\0\6";
	_cleanup_free_ char *bin = bh_asprintf("%s/lrzip", root);
	_cleanup_free_ char *file = bh_asprintf("%s/x.tar.lrz", root);
	_cleanup_free_ char *script =
		bh_asprintf("#!/bin/sh\n: >%s/ran\n", root);
	_cleanup_free_ char *path = strdup(getenv("PATH"));
	uint64_t bytes;

	assert_int_equal(bh_fill_file(bin, script, strlen(script), 0755), 0);
	assert_int_equal(bh_fill_file(file, lrz, sizeof(lrz), 0600), 0);
	setenv("PATH", root, 1);
	assert_int_equal(import_measure(file, &bytes), -VMB_SOURCE);
	setenv("PATH", path, 1);
	assert_false(there("ran"));
}

/* One file in a tar archive; its bytes are all the same. */
static size_t packed(char *out, size_t max, const char *name, const char *text,
		     size_t n, bool gzip)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	size_t used = 0;

	if (gzip)
		archive_write_add_filter_gzip(a);
	archive_write_set_format_ustar(a);
	archive_write_set_bytes_in_last_block(a, 1);
	assert_int_equal(archive_write_open_memory(a, out, max, &used), 0);
	archive_entry_set_pathname(e, name);
	archive_entry_set_size(e, (la_int64_t)n);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	assert_int_equal(archive_write_header(a, e), 0);
	assert_int_equal(archive_write_data(a, text, n), (int)n);
	archive_entry_free(e);
	archive_write_free(a);
	return used;
}

/* An image's volume holds its layers packed and unpacked for a while. */
static void layers_are_measured(void **s __unused_arg)
{
	enum {
		BIG = 1 << 20
	};
	_cleanup_free_ char *big = calloc(1, BIG), *layer = malloc(BIG);
	_cleanup_free_ char *image = malloc(BIG);
	_cleanup_free_ char *file = bh_asprintf("%s/image.tar", root);
	uint64_t bytes = 0;
	size_t n = packed(layer, BIG, "etc/big", big, BIG, true), k;

	assert_in_range(n, 1, BIG / 10);
	for (int i = 0; i < 2; i++) {
		/* The same blob in a root archive is a file like any other. */
		k = packed(image, BIG, i ? "srv/layer.tar" : "index.json",
			   layer, n, false);
		assert_int_equal(bh_fill_file(file, image, k, 0600), 0);
		assert_int_equal(import_measure(file, &bytes), 0);
		if (i)
			assert_in_range(bytes, n, BIG / 2);
		else
			assert_in_range(bytes, BIG + n, BIG + n + 16384);
	}
}

static void boot_of_an_image_is_no_link(void **s __unused_arg)
{
	_cleanup_free_ char *mnt = state_path("image"), *dir = NULL;
	_cleanup_free_ char *boot = state_path("image/boot");

	assert_true(bh_mkdir_p(mnt, 0755) >= 0);
	assert_int_equal(symlink(root, boot), 0);
	assert_int_equal(import_dir(mnt, "/boot", &dir), -VMB_SOURCE);
	assert_null(dir);
	assert_int_equal(unlink(boot), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(import_dir(mnt, "/boot", &dir), 0);
		assert_string_equal(dir, boot);
		free(dir);
		dir = NULL;
	}
	assert_int_equal(rmdir(boot), 0);
}

static void keys_of_archives(void **s __unused_arg)
{
	static const char list[] =
		"# deb [signed-by=/no] http://a b c\n"
		"deb [arch=amd64 signed-by=/k/a.gpg] http://a b c\n"
		"deb http://a b c\n"
		"deb [signed-by=/k/b.gpg,/k/c.gpg] http://a b c\n"
		"deb [signed-by=0123ABCD] http://a b c";
	static const char stanzas[] = "# none here\n"
				      "\n"
				      "Types: deb\n"
				      "# Signed-By: /no\n"
				      "Signed-By: /k/a.gpg\n"
				      "\n\n"
				      "Types: deb\n"
				      "\n"
				      "signed-by:\n"
				      " -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
				      "\n"
				      "Signed-By: /k/d.gpg";
	static const struct {
		const char *text;
		bool stanzas;
		unsigned int nr;
		const char *key;
	} cases[] = {
		{ list, false, 2, "/k/a.gpg" },
		{ list, false, 3, NULL },
		{ list, false, 4, NULL },
		{ list, false, 5, NULL },
		{ list, false, 6, NULL },
		{ stanzas, true, 1, "/k/a.gpg" },
		{ stanzas, true, 2, NULL },
		{ stanzas, true, 3, NULL },
		{ stanzas, true, 4, "/k/d.gpg" },
		{ stanzas, true, 5, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *got = apt_signed_by(
			cases[i].text, cases[i].stanzas, cases[i].nr);

		if (cases[i].key)
			assert_string_equal(got, cases[i].key);
		else
			assert_null(got);
	}
}

/* A written file is a new one: it would have lost its label. */
static void labels_stay(void **s __unused_arg)
{
	static const struct {
		const char *name, *type;
	} cases[] = { { "etc/shadow", "shadow_t" },
		      { "etc/new.conf", "etc_t" },
		      { "etc/.ssh/authorized_keys", "ssh_home_t" },
		      { "bare/x", NULL } };
	static const char attr[] = "security.selinux";
	static const char etc[] = "system_u:object_r:etc_t:s0";
	static const char shadow[] = "system_u:object_r:shadow_t:s0";
	_cleanup_free_ char *dir = bh_asprintf("%s/etc", root);
	_cleanup_free_ char *bare = bh_asprintf("%s/bare", root);
	_cleanup_free_ char *old = bh_asprintf("%s/etc/shadow", root);

	assert_true(bh_mkdir_p(dir, 0755) >= 0 && bh_mkdir_p(bare, 0755) >= 0);
	assert_int_equal(bh_fill_file(old, "x", 1, 0600), 0);
	if (setxattr(dir, attr, etc, sizeof(etc), 0) < 0 ||
	    setxattr(old, attr, shadow, sizeof(shadow), 0) < 0)
		skip(); /* not as root, or not on this file system */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *p =
			bh_asprintf("%s/%s", root, cases[i].name);
		_cleanup_free_ char *want =
			bh_asprintf("system_u:object_r:%s:s0", cases[i].type);
		char got[128] = "";

		assert_int_equal(inguest_write(p, "y", 0600), 0);
		assert_int_equal(getxattr(p, attr, got, sizeof(got)) > 0,
				 cases[i].type != NULL);
		if (cases[i].type)
			assert_string_equal(got, want);
	}
}

static void subvolumes_of_an_image(void **s __unused_arg)
{
	static const char fstab[] =
		"# /etc/fstab\n"
		"UUID=1 / btrfs compress=zstd:1,defaults,subvol=root 0 0\n"
		"UUID=2 /boot ext4 defaults 1 2\n"
		"#UUID=1 /srv btrfs subvol=srv 0 0\n"
		"UUID=1 /home btrfs compress=zstd:1,subvol=home 0 0\n"
		"UUID=1 /.snapshots btrfs subvol=@/.snapshots 0 0\n"
		"UUID=1 /var/log btrfs subvol=/@/var/log,nofail 0 0\n"
		"UUID=1 /opt btrfs subvolid=5 0 0\n";
	static const char *const want[] = { "home", "/home", "/@/var/log",
					    "/var/log" };
	static const char *const bad[] = {
		"x /../../etc btrfs subvol=a 0 0\n",
		"x /a\"b btrfs subvol=a 0 0\n",
		"x swap btrfs subvol=a 0 0\n",
		"x /var btrfs subvol=../x 0 0\n",
	};
	struct strv sv _cleanup_strv_ = { 0 };

	assert_int_equal(image_subvolumes(fstab, &sv), 0);
	assert_int_equal(sv.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < sv.n; i++)
		assert_string_equal(sv.v[i], want[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(image_subvolumes(bad[i], &sv), -VMB_SOURCE);
}

static void root_of_an_image_has_a_new_name(void **s __unused_arg)
{
	static const struct {
		const char *old, *new;
	} cases[] = {
		{ "\tlinux /boot/vmlinuz-6 root=PARTUUID=a-b ro console=tty1\n",
		  "\tlinux /boot/vmlinuz-6 root=UUID=N ro console=tty1\n" },
		{ "options root=UUID=old ro rootflags=subvol=root quiet\n",
		  "options root=UUID=N ro quiet\n" },
		{ "root=LABEL=cloudimg-rootfs ro", "root=UUID=N ro" },
		{ "GRUB_CMDLINE_LINUX=\"root=/dev/vda1 rootfstype=xfs\"\n",
		  "GRUB_CMDLINE_LINUX=\"root=UUID=N \"\n" },
		{ "kernelopts=root=/dev/sda2 ro\n",
		  "kernelopts=root=UUID=N ro\n" },
		{ "set root='hd0,gpt1'\nsearch --fs-uuid --set=root old\n",
		  "set root='hd0,gpt1'\nsearch --fs-uuid --set=root old\n" },
		{ "linux ($root)/vmlinuz nfsroot=x\n",
		  "linux ($root)/vmlinuz nfsroot=x\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *got = root_args_rewrite(cases[i].old, "N");

		assert_string_equal(got, cases[i].new);
	}
}

static void copying_an_image_follows_no_link(void **s __unused_arg)
{
	_cleanup_free_ char *from = state_path("from"), *to = state_path("to");
	_cleanup_free_ char *new = state_path("from/x");
	_cleanup_free_ char *link = state_path("to/x");
	_cleanup_free_ char *host = bh_asprintf("%s/host", root), *text = NULL;
	struct stat st;

	assert_true(bh_mkdir_p(from, 0755) >= 0 && bh_mkdir_p(to, 0755) >= 0);
	assert_int_equal(bh_fill_file(host, "host", 4, 0600), 0);
	assert_int_equal(bh_fill_file(new, "image", 5, 0600), 0);
	assert_int_equal(symlink(host, link), 0);
	assert_int_equal(import_copy_tree(from, to), 0);
	assert_true(bh_read_file(host, 64, &text, NULL) >= 0);
	assert_string_equal(text, "host");
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guests_in_files_are_strangers),
		cmocka_unit_test(qcow2_names_no_other_file),
		cmocka_unit_test(no_program_unpacks_an_archive),
		cmocka_unit_test(layers_are_measured),
		cmocka_unit_test(boot_of_an_image_is_no_link),
		cmocka_unit_test(keys_of_archives),
		cmocka_unit_test(labels_stay),
		cmocka_unit_test(subvolumes_of_an_image),
		cmocka_unit_test(root_of_an_image_has_a_new_name),
		cmocka_unit_test(copying_an_image_follows_no_link),
	};

	return cmocka_run_group_tests_name("import", tests, enter, leave);
}
