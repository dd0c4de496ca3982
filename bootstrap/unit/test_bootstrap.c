/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-bootstrap's parts that need no volume: names, sizes, configuration,
 * recipes, identity text, LVM's reports and guests' files.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* ours is another */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <bulkhead/run.h>

#include "fs.h"
#include "guest.h"
#include "identity.h"
#include "inguest.h"
#include "lvm.h"
#include "names.h"
#include "nic.h"
#include "options.h"
#include "recipe.h"
#include "scratch.h"

static void names(void **s __unused_arg)
{
	static const char *const good[] = { "a", "web1", "web-1.example.org",
					    "0a", "A-b.C" };
	static const char *const bad[] = {
		"",
		"-a",
		"a-",
		".a",
		"a.",
		"a..b",
		"a.-b",
		"a-.b",
		"a_b",
		"a+b",
		"a/b",
		"../a",
		"a b",
		"a\nb",
		"Domain-0",
		"123",
		"snapshot1",
		"pvmove0",
		"a@b",
		"\xc3\xa4",
		"a123456789012345678901234567890123456789012345678901234567890123",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(name_check_guest(good[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(name_check_guest(bad[i]), -VMB_USAGE);
	assert_true(name_is_reserved_lv("x_tmeta"));
	assert_int_equal(name_check_bridge("br0"), 0);
	assert_int_equal(name_check_bridge("a,b"), -VMB_USAGE);
	assert_int_equal(name_check_user("0x"), -VMB_USAGE);
}

static void messages_do_not_work_the_terminal(void **s __unused_arg)
{
	assert_int_equal(name_check_guest("a\033]0;b\007c"), -VMB_USAGE);
	assert_null(strpbrk(last_failure(), "\033\007"));
	assert_non_null(strstr(last_failure(), "a?]0;b?c"));
}

static void sizes(void **s __unused_arg)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = { { "512M", 512ull << 20 }, { "8G", 8ull << 30 },
		     { "8GiB", 8ull << 30 },   { "64", 64ull << 20 },
		     { "1.5g", 3ull << 29 },   { "100b", 100 },
		     { "2048k", 2ull << 20 } };
	static const char *const bad[] = { "",    "-1",   "8X", "large",
					   "8G8", "1e99", " 8G" };
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(parse_size(good[i].text, 1 << 20, &v), 0);
		assert_int_equal(v, good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(parse_size(bad[i], 1 << 20, &v) < 0);
}

static void recipes(void **s __unused_arg)
{
	char good[] =
		"# one\nname = d\nbuilder = debian\npackages = a b \\\n c\n"
		"packages = d\nrun = x = y\nrun = z\nbuild-size = 1G\n";
	static const char *const bad[] = {
		"name = d\n",
		"builder = debian\n",
		"name = d\nbuilder = make\n",
		"name = d\nbuilder = tiny\nnope = 1\n",
		"name = d\nbuilder = tiny\ndisk = big\n",
		"name\n",
		"name = a/b\nbuilder = tiny\n",
		"name = d\nbuilder = tiny\nboot = net\n",
		"name = d\nbuilder = tiny\nnetwork = wires\n",
		"name = d\nbuilder = dnf\nrepository = x\n",
	};
	struct recipe r;

	assert_int_equal(recipe_parse("x", good, &r), 0);
	assert_int_equal(r.packages.n, 4);
	assert_string_equal(r.packages.v[2], "c");
	assert_string_equal(r.run.v[0], "x = y");
	assert_int_equal(r.build_size, 1ull << 30);
	assert_string_equal(r.fstype, "ext4");
	recipe_done(&r);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *t = strdup(bad[i]);

		assert_int_equal(recipe_parse("x", t, &r), -VMB_USAGE);
	}
}

static void shipped_recipes_are_valid(void **s __unused_arg)
{
	static const char *const names_[] = { "tiny",         "debian-12",
					      "debian-13",    "ubuntu-22.04",
					      "ubuntu-24.04", "fedora-41",
					      "el-9" };

	for (size_t i = 0; i < ARRAY_SIZE(names_); i++) {
		_cleanup_free_ char *p =
			bh_asprintf("templates/%s.recipe", names_[i]);
		struct recipe r;

		assert_int_equal(recipe_load(p, &r), 0);
		assert_string_equal(r.name, names_[i]);
		recipe_done(&r);
	}
}

static void fstab_keeps_the_rest(void **s __unused_arg)
{
	struct identity id = { .root_uuid = "R",
			       .swap_uuid = "S",
			       .fstype = "ext4" };
	_cleanup_free_ char *t = fstab_rewrite(
		"# comment\n/dev/sda1 / ext4 rw 0 1\nUUID=x none swap sw 0 0\n"
		"tmpfs /tmp tmpfs size=1G 0 0\n",
		&id);
	_cleanup_free_ char *clone = fstab_rewrite(
		"UUID=x / ext4 noatime,errors=remount-ro,x-systemd.growfs 0 1\n"
		"/swapfile none swap sw 0 0\n/dev/xvdb none swap sw 0 0\n",
		&id);
	_cleanup_free_ char *other =
		fstab_rewrite("UUID=x / xfs inode64 0 0\n", &id);

	assert_string_equal(t, "UUID=R / ext4 rw,x-systemd.growfs 0 1\n"
			       "UUID=S none swap sw 0 0\n# comment\n"
			       "tmpfs /tmp tmpfs size=1G 0 0\n");
	assert_string_equal(
		clone,
		"UUID=R / ext4 noatime,errors=remount-ro,x-systemd.growfs 0 1\n"
		"UUID=S none swap sw 0 0\n/swapfile none swap sw 0 0\n");
	assert_string_equal(other,
			    "UUID=R / ext4 defaults,x-systemd.growfs 0 1\n"
			    "UUID=S none swap sw 0 0\n");
}

static void users_are_edited_in_place(void **s __unused_arg)
{
	_cleanup_free_ char *a =
		colon_set_field("a:1:2\nroot:x:0\nb:1\n", "root", 1, "*");
	_cleanup_free_ char *b =
		group_add_member("x:x:1:\nsudo:x:27:\n", "sudo", "joe");
	_cleanup_free_ char *c =
		group_add_member("sudo:x:27:ann\n", "sudo", "joe");

	assert_string_equal(a, "a:1:2\nroot:*:0\nb:1\n");
	assert_string_equal(b, "x:x:1:\nsudo:x:27:joe\n");
	assert_string_equal(c, "sudo:x:27:ann,joe\n");
	assert_int_equal(passwd_free_id("root:x:0:0\na:x:1000:\nz:x:65534:\n"),
			 1001);
}

static void passwords_are_hashed(void **s __unused_arg)
{
	char *a = NULL, *b = NULL;

	assert_int_equal(password_hash("secret", &a), 0);
	assert_int_equal(password_hash("secret", &b), 0);
	assert_true(bh_startswith(a, "$6$"));
	assert_string_not_equal(a, b);
	free(a);
	free(b);
}

static void key_files(void **s __unused_arg)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{ "ssh-ed25519 AAAAC3 me\n", 0 },
		{ "# c\n\nfrom=\"1.2.3.4\" ssh-rsa AAAAB3 x\n", 0 },
		{ "", -VMB_USAGE },
		{ "junk\n", -VMB_USAGE },
		{ "ssh-rsa\n", -VMB_USAGE },
		{ "-----BEGIN OPENSSH PRIVATE KEY-----\n", -VMB_USAGE },
		{ "ssh-ed25519 AAAA a\nrm -rf /\n", -VMB_USAGE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *p = bh_asprintf("%s/key", root);
		_cleanup_buf_ struct buf b = { 0 };

		assert_int_equal(bh_fill_file(p, cases[i].text,
					      strlen(cases[i].text), 0600),
				 0);
		assert_int_equal(opt_ssh_key(p, &b), cases[i].r);
	}
}

static const char vgs[] =
	"{\"report\":[{\"vg\":[{\"vg_name\":\"vg0\",\"vg_size\":\"1000\",\"vg_free\":\"100\","
	"\"vg_extent_size\":\"10\"},{\"vg_name\":\"vg1\",\"vg_size\":\"5\",\"vg_free\":\"5\","
	"\"vg_extent_size\":\"1\"}]}]}";
static const char lvs[] =
	"{\"report\":[{\"lv\":[{\"vg_name\":\"vg0\",\"lv_name\":\"thin\",\"lv_uuid\":\"u\","
	"\"lv_attr\":\"twi-aotz--\",\"lv_size\":\"800\",\"pool_lv\":\"\",\"origin\":\"\","
	"\"data_percent\":\"95.00\",\"metadata_percent\":\"10.00\",\"lv_tags\":\"\"},"
	"{\"vg_name\":\"vg0\",\"lv_name\":\"a-root\",\"lv_uuid\":\"u\",\"lv_attr\":\"Vwi-aotz--\","
	"\"lv_size\":\"64\",\"pool_lv\":\"thin\",\"origin\":\"\",\"data_percent\":\"\","
	"\"metadata_percent\":\"\",\"lv_tags\":\"bulkhead.guest=a,bulkhead.role=root\"}]}]}";

static void lvm_reports(void **s __unused_arg)
{
	const struct lv *pool, *a;
	const struct vg *vg;
	struct lvm l;

	assert_int_equal(lvm_parse(vgs, lvs, &l), 0);
	a = lvm_lv(&l, "vg0", "a-root");
	assert_non_null(a);
	assert_true(lv_is_thin(a) && lv_is_open(a) && !lv_is_pool(a));
	assert_string_equal(lv_tag(a, TAG_GUEST), "a");
	/* Two groups, one with a pool: that one. */
	assert_int_equal(lvm_choose(&l, NULL, NULL, &vg, &pool), 0);
	assert_string_equal(vg->name, "vg0");
	assert_string_equal(pool->name, "thin");
	assert_int_equal(lvm_choose(&l, "vg1", NULL, &vg, &pool), 0);
	assert_null(pool);
	assert_int_equal(lvm_choose(&l, "no", NULL, &vg, &pool), -VMB_MISSING);
	assert_int_equal(lvm_choose(&l, "vg1", "p", &vg, &pool), -VMB_MISSING);
	/* A pool at 95 % is refused, with numbers. */
	pool = lvm_lv(&l, "vg0", "thin");
	assert_int_equal(lvm_check_space(lvm_vg(&l, "vg0"), pool, 1),
			 -VMB_NOSPACE);
	assert_non_null(strstr(last_failure(), "95.0%"));
	assert_int_equal(lvm_check_space(lvm_vg(&l, "vg0"), NULL, 101),
			 -VMB_NOSPACE);
	assert_int_equal(lvm_check_space(lvm_vg(&l, "vg0"), NULL, 100), 0);
	lvm_done(&l);
	assert_true(lvm_parse("{", "[]", &l) < 0);
}

/* What is to be written counts up to the limit, and so does what is just being
 * written. */
static void copies_do_not_fill_a_pool(void **s __unused_arg)
{
	static const char half[] =
		"{\"report\":[{\"lv\":[{\"vg_name\":\"vg0\",\"lv_name\":\"thin\",\"lv_uuid\":\"u\","
		"\"lv_attr\":\"twi-aotz--\",\"lv_size\":\"800\",\"pool_lv\":\"\",\"origin\":\"\","
		"\"data_percent\":\"50.00\",\"metadata_percent\":\"10.00\",\"lv_tags\":\"\"},"
		"{\"vg_name\":\"vg0\",\"lv_name\":\"a-root\",\"lv_uuid\":\"u\",\"lv_attr\":\"Vwi-aotz--\","
		"\"lv_size\":\"400\",\"pool_lv\":\"thin\",\"origin\":\"\",\"data_percent\":\"25.00\","
		"\"metadata_percent\":\"\",\"lv_tags\":\"bulkhead.filling=300,bulkhead.guest=a\"}]}]}";
	const struct lv *pool;
	const struct vg *vg;
	struct lvm l;

	assert_int_equal(lvm_parse(vgs, half, &l), 0);
	vg = lvm_vg(&l, "vg0");
	pool = lvm_lv(&l, "vg0", "thin");
	assert_int_equal(lvm_check_space(vg, pool, 320), 0);
	assert_int_equal(lvm_check_space(vg, pool, 321), -VMB_NOSPACE);
	assert_int_equal(lvm_promised(&l, pool), 200);
	assert_int_equal(lvm_promised(&l, NULL), 0);
	lvm_done(&l);
}

/* What the administrator wrote in the .cfg goes before the state file. */
static void edited_configurations(void **s __unused_arg)
{
	static const char text[] =
		"name = \"e\"\nmemory = 300\nvcpus = 3; weight = 512\n"
		"kernel = '/k2'\nroot = \"/dev/xvda ro\"\n"
		"extra = 'init=/bin/sh -c \"x y\" \\'z\\''\n"
		"cpus = [ '0-1', \"1\" ]\non_crash = \"preserve\"\n"
		"disk = [ 'phy:/dev/v/e-root,xvda,w', 'phy:/dev/v/x,xvdc,w' ]\n"
		"vif = [ 'bridge=br9, mac=02:00:00:00:00:0A,rate=1MB/s', 'mac=02:00:00:00:00:02' ]\n";
	struct guest g = { 0 }, back = { 0 };
	_cleanup_free_ char *path = guest_cfg_path("e"),
			    *dir = etc_path("guests");
	_cleanup_free_ char *cfg = NULL, *json = NULL;

	assert_int_equal(
		guest_parse(
			"{\"name\":\"e\",\"vg\":\"v\",\"boot\":\"host\",\"memory\":1048576,\"vcpus\":1,\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\",\"nics\":["
			"{\"mac\":\"02:00:00:00:00:01\",\"bridge\":\"br0\"},"
			"{\"mac\":\"02:00:00:00:00:0a\",\"bridge\":\"br0\",\"ip4\":\"10.0.0.5/24\"}]}",
			&g),
		0);
	assert_int_equal(guest_read_cfg(&g), -VMB_FAILED);
	assert_int_equal(bh_mkdir_p(dir, 0755), 0);
	assert_int_equal(bh_fill_file(path, "memory = [", 10, 0644), 0);
	assert_int_equal(guest_read_cfg(&g), -VMB_FAILED);
	assert_int_equal(g.memory, 1048576);
	assert_int_equal(bh_fill_file(path, text, strlen(text), 0644), 0);
	assert_int_equal(guest_read_cfg(&g), 0);
	assert_int_equal(g.memory, 300ull << 20);
	assert_int_equal(g.vcpus, 3);
	assert_true(g.more_disks);
	assert_string_equal(g.kernel, "/k2");
	assert_int_equal(g.n_nics, 2);
	assert_string_equal(g.nics[0].ip4, "10.0.0.5/24");
	assert_string_equal(g.nics[0].bridge, "br9");
	assert_string_equal(g.nics[0].more, "rate=1MB/s");
	assert_string_equal(g.nics[1].mac, "02:00:00:00:00:02");
	assert_null(g.nics[1].bridge);
	/* Written again it says the same, and a command line keeps its quotes. */
	g.nics[1].bridge = strdup("br1");
	g.created = strdup("now");
	cfg = guest_to_cfg(&g);
	assert_int_equal(bh_fill_file(path, cfg, strlen(cfg), 0644), 0);
	json = guest_to_json(&g);
	assert_int_equal(guest_parse(json, &back), 0);
	assert_string_equal(back.extra, "init=/bin/sh -c \"x y\" 'z'");
	assert_int_equal(guest_read_cfg(&back), 0);
	assert_string_equal(back.extra, g.extra);
	assert_string_equal(back.more, g.more);
	assert_string_equal(back.nics[0].more, "rate=1MB/s");
	assert_non_null(strstr(cfg, "weight = 512\n"));
	assert_non_null(strstr(cfg, "cpus = [ \"0-1\", \"1\" ]\n"));
	assert_non_null(strstr(cfg, "on_crash = \"preserve\"\n"));
	assert_non_null(strstr(cfg, "root = \"/dev/xvda ro\"\n"));
	assert_null(strstr(cfg, "/dev/xvda rw"));
	assert_null(strstr(cfg, "on_reboot"));
	assert_int_equal(unlink(path), 0);
	guest_done(&g);
	guest_done(&back);
}

/* Only what no file uses is taken for free. */
static void free_blocks(void **s __unused_arg)
{
	static const char data[] = "what a file holds";
	_cleanup_free_ char *img = bh_asprintf("%s/fs.img", root);
	_cleanup_free_ char *dir = bh_asprintf("%s/fs.d", root);
	_cleanup_free_ char *file = bh_asprintf("%s/f", dir);
	_cleanup_free_ char *buf = malloc(8 << 20), *was = malloc(8 << 20);
	const char *mk[] = { "mke2fs", "-q", "-t", "ext4", "-d",
			     dir,      img,  "8M", NULL };
	struct fs_map *m;
	int fd;

	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(bh_fill_file(file, data, sizeof(data), 0600), 0);
	assert_int_equal(bh_run(mk, BH_RUN_TIED | BH_RUN_QUIET, NULL, NULL), 0);
	fd = open(img, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	/* The last block is nobody's. */
	assert_int_equal(pwrite(fd, "stale", 5, (8 << 20) - 1024), 5);
	assert_int_equal(pread(fd, was, 8 << 20, 0), 8 << 20);
	memcpy(buf, was, 8 << 20);
	m = fs_map_open(img, "ext4");
	assert_non_null(m);
	fs_map_clean(m, 0, buf, 4 << 20);
	fs_map_clean(m, 4 << 20, buf + (4 << 20), 4 << 20);
	fs_map_close(m);
	assert_null(memmem(buf, 8 << 20, "stale", 5));
	assert_non_null(memmem(buf, 8 << 20, data, sizeof(data)));
	memset(was + (8 << 20) - 1024, 0, 1024);
	assert_memory_equal(buf, was, 8 << 20);
	/* One that has to be mended first is taken as it is. */
	assert_int_equal(pwrite(fd, "\2", 1, 1024 + 0x3a), 1);
	assert_null(fs_map_open(img, "ext4"));
	assert_null(fs_map_open(img, "xfs"));
	close(fd);
}

/* A plain snapshot lives in its origin, and dies when it is full. */
static void plain_snapshots(void **s __unused_arg)
{
	static const char report[] =
		"{\"report\":[{\"lv\":["
		"{\"vg_name\":\"v\",\"lv_name\":\"a-root\",\"lv_attr\":\"owi-a-s---\",\"lv_tags\":\"bulkhead.guest=a\"},"
		"{\"vg_name\":\"v\",\"lv_name\":\"a+1\",\"lv_attr\":\"swi-I-s---\",\"origin\":\"a-root\",\"lv_tags\":\"bulkhead.guest=a\"},"
		"{\"vg_name\":\"v\",\"lv_name\":\"a+2\",\"lv_attr\":\"swi-a-s---\",\"origin\":\"a-root\",\"data_percent\":\"9.5\",\"lv_tags\":\"bulkhead.guest=a\"},"
		"{\"vg_name\":\"w\",\"lv_name\":\"x\",\"lv_attr\":\"swi-a-s---\",\"origin\":\"a-root\"},"
		"{\"vg_name\":\"v\",\"lv_name\":\"%s\",\"lv_attr\":\"%cwi-a-s---\",\"origin\":\"a-root\"}"
		"]}]}";
	static const char owner[] = TAG_GUEST "a";

	for (int i = 0; i < 2; i++) {
		/* The first is a thin one: that lives on without its origin. */
		_cleanup_free_ char *text =
			bh_asprintf(report, "mine", i ? 's' : 'V');
		struct lvm l;
		const struct lv *other;

		assert_int_equal(lvm_parse("{}", text, &l), 0);
		assert_true(lv_is_overrun(lvm_lv(&l, "v", "a+1")));
		assert_false(lv_is_overrun(lvm_lv(&l, "v", "a+2")));
		assert_false(lv_is_overrun(lvm_lv(&l, "v", "a-root")));
		other = lvm_stranger_on(&l, lvm_lv(&l, "v", "a-root"), owner);
		assert_int_equal(lvm_check_strangers(&l, "v", owner),
				 i ? -VMB_CONFLICT : 0);
		assert_int_equal(lvm_check_strangers(&l, "w", owner), 0);
		assert_string_equal(other ? other->name : "none",
				    i ? "mine" : "none");
		lvm_done(&l);
	}
}

static void guest_files(void **s __unused_arg)
{
	struct guest g = { 0 }, back;
	_cleanup_free_ char *json = NULL, *cfg = NULL;

	g.name = strdup("web1");
	g.uuid = strdup("U");
	g.vg = strdup("vg0");
	g.boot = strdup("host");
	g.network = strdup("none");
	g.kernel = strdup("/k");
	g.extra = strdup("console=hvc0");
	g.created = strdup("now");
	g.memory = 512ull << 20;
	g.disk = 8ull << 30;
	g.swap = 1ull << 30;
	g.vcpus = 2;
	assert_int_equal(
		nic_parse(
			"bridge=br0,mac=02:00:00:00:00:01,ip=10.0.0.5/24,dns=1.1.1.1",
			&g.nics[g.n_nics++]),
		0);
	json = guest_to_json(&g);
	cfg = guest_to_cfg(&g);
	assert_int_equal(guest_parse(json, &back), 0);
	assert_string_equal(back.nics[0].ip4, "10.0.0.5/24");
	assert_string_equal(back.network, "none");
	assert_int_equal(back.disk, g.disk);
	assert_non_null(strstr(cfg, "memory = 512\nvcpus = 2\n"));
	assert_non_null(strstr(cfg, "'phy:/dev/vg0/web1-root,xvda,w'"));
	assert_non_null(strstr(cfg, "'phy:/dev/vg0/web1-swap,xvdb,w'"));
	assert_non_null(
		strstr(cfg, "vif = [ 'mac=02:00:00:00:00:01,bridge=br0' ]"));
	assert_non_null(strstr(cfg, "root = \"/dev/xvda rw\""));
	guest_done(&back);
	/* What could break out of a quoted string does not come back. */
	assert_true(
		guest_parse(
			"{\"name\":\"a\\\"b\",\"vg\":\"v\",\"boot\":\"host\"}",
			&back) < 0);
	assert_true(guest_parse("[]", &back) < 0);
	assert_true(guest_parse("{\"name\"", &back) < 0);
	guest_done(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(messages_do_not_work_the_terminal),
		cmocka_unit_test(sizes),
		cmocka_unit_test(recipes),
		cmocka_unit_test(shipped_recipes_are_valid),
		cmocka_unit_test(fstab_keeps_the_rest),
		cmocka_unit_test(users_are_edited_in_place),
		cmocka_unit_test(passwords_are_hashed),
		cmocka_unit_test(key_files),
		cmocka_unit_test(lvm_reports),
		cmocka_unit_test(copies_do_not_fill_a_pool),
		cmocka_unit_test(edited_configurations),
		cmocka_unit_test(free_blocks),
		cmocka_unit_test(plain_snapshots),
		cmocka_unit_test(guest_files),
	};

	return cmocka_run_group_tests_name("bootstrap", tests, enter, leave);
}
