/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest configuration: what is accepted, what it means, and that each
 * rejection names file and line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "bulkhead/cfg.h"

static int parse(const char *text, struct bh_guest_cfg **c, struct bh_err *e)
{
	*c = NULL;
	*e = (struct bh_err){};
	return bh_guest_cfg_parse("t.cfg", text, strlen(text), NULL, NULL, NULL,
				  c, e);
}

#define OK(text)                              \
	struct bh_guest_cfg *c;               \
	struct bh_err e;                      \
	int r_ = parse(text, &c, &e);         \
	if (r_)                               \
		print_message("%s\n", e.msg); \
	assert_int_equal(r_, 0)

static void file_of_2005_starts(void **state)
{
	(void)state;
	OK("kernel = \"/boot/vmlinuz-2.6.11-xenU\"\n"
	   "memory = 256\n"
	   "name = \"vmname\"\n"
	   "nics = 1\n"
	   "vif = [ 'mac=00:60:b0:28:78:84, bridge=xen-cust' ]\n"
	   "disk = ['phy:vg0/vmname_root,sda1,w', "
	   "'phy:vg0/vmname_swap,sda2,w', 'phy:vg0/modules,sda3,r']\n"
	   "root = \"/dev/sda1 ro\"\n");
	assert_string_equal(c->name, "vmname");
	assert_int_equal(c->memory_kib, 256 << 10);
	assert_int_equal(c->n_vifs, 1);
	assert_string_equal(c->vifs[0].bridge, "xen-cust");
	assert_int_equal(c->vifs[0].mac[5], 0x84);
	assert_int_equal(c->n_disks, 3);
	assert_string_equal(c->disks[0].target, "/dev/vg0/vmname_root");
	assert_int_equal(c->disks[0].devid, 8 << 8 | 1);
	assert_false(c->disks[0].readonly);
	assert_true(c->disks[2].readonly);
	assert_string_equal(c->cmdline, "root=/dev/xvda1 ro");
	bh_guest_cfg_free(c);
}

static void syntax_has_all_forms(void **state)
{
	(void)state;
	OK("name = 'a' ; kernel=\"/k\" # comment\n"
	   "extra = \"x=\\\"1\\\" \\x41\\n\"\nextra += ' more'\n"
	   "memory = \\\n 0x40\n\n"
	   "disk = [ # inside\n 'phy:/dev/a,xvda,w' ,\n\n"
	   "\"/img,raw,xvdb1,r\", 'format=raw, vdev=xvdc, access=rw, "
	   "target=/d,e', ]\n"
	   "vcpus=\"2\"\r\nlocaltime=0");
	assert_string_equal(c->cmdline, "x=\"1\" A\n more");
	assert_int_equal(c->memory_kib, 64 << 10);
	assert_int_equal(c->n_disks, 3);
	assert_int_equal(c->disks[0].devid, 202 << 8);
	assert_int_equal(c->disks[1].devid, 202 << 8 | 17);
	assert_string_equal(c->disks[2].target, "/d,e");
	assert_int_equal(c->vcpus, 2);
	bh_guest_cfg_free(c);
}

static void rejections_name_line_and_reason(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "name = \"a\"\nmemory = lots\n", "t.cfg:2: 'lots'" },
		{ "name = \"a\n", "t.cfg:1: found the end of the line" },
		{ "x = [ 1, 2\n", "t.cfg:2: found the end of the file" },
		{ "= 3\n", "t.cfg:1: found '='" },
		{ "a b\n", "t.cfg:1: found 'b', expected '='" },
		{ "name=\"a\" b=1\n", "expected the end of the line" },
		{ "name=\"../x\"\n", "t.cfg:1: name '../x'" },
		{ "name=\"12\"\n", "not a number" },
		{ "\n\nmemory = 1\n", "t.cfg:3: memory: 1 is out of range" },
		{ "name='a'\nkernel='k'\n", "expected an absolute path" },
		{ "name='a'\n", "nothing to boot" },
		{ "kernel='/k'\n", "no name" },
		{ "vfb = [ 'vnc=1' ]\n", "t.cfg:1: vfb is not supported" },
		{ "pci = [ '01:00.0' ]\n", "pci is not supported" },
		{ "disk = [ 'tap:aio:/x,xvda,w' ]\n", "expected phy:" },
		{ "disk = [\n'phy:/x,xvda,w',\n'phy:/y,xvda,w' ]\n",
		  "t.cfg:3: disk" },
		{ "disk = [ 'phy:/x,foo,w' ]\n", "disk name 'foo'" },
		{ "disk = [ '/x,qcow2,xvda,w' ]\n", "qcow2" },
		{ "vif = [ 'mac=01:00:00:00:00:00' ]\n", "unicast" },
		{ "vif = [ 'bridge=a/b' ]\n", "vif bridge" },
		{ "type = \"hvm\"\n", "'hvm' is not supported" },
		{ "on_reboot = \"dance\"\n", "on_reboot 'dance'" },
		{ "cpus = \"3-1\"\n", "cpus '3-1'" },
		{ "bulkhead_foo = 1\n", "unknown setting 'bulkhead_foo'" },
		{ "x = [[[[[1]]]]]\n", "four deep" },
		{ "a = \"\\q\"\n", "expected one of" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bh_guest_cfg *c;
		struct bh_err e;

		assert_true(parse(cases[i].text, &c, &e) < 0);
		if (!strstr(e.msg, cases[i].want))
			fail_msg("case %zu: got '%s', want '%s'", i, e.msg,
				 cases[i].want);
	}
}

static void vdevs_have_xens_numbers(void **state)
{
	static const struct {
		const char *name;
		uint32_t id;
	} cases[] = {
		{ "xvda", 0xca00 },
		{ "xvda1", 0xca01 },
		{ "xvdp15", 0xcaff },
		{ "xvdq", 1u << 28 | 16 << 8 },
		{ "xvdaa", 1u << 28 | 26 << 8 },
		{ "sda", 0x800 },
		{ "sdp15", 0x8ff },
		{ "hda", 0x300 },
		{ "hdb5", 0x345 },
		{ "hdc", 0x1600 },
	};
	static const char *const bad[] = { "",       "xvd",    "xvda0",
					   "xvda01", "sdq",    "hde",
					   "vda",    "xvda1x", "xvdaaaa",
					   "xvda256" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[32];
		uint32_t id;

		assert_int_equal(bh_vdev_parse(cases[i].name, &id), 0);
		assert_int_equal(id, cases[i].id);
		assert_true(bh_vdev_format(id, buf, sizeof(buf)) >= 0);
		assert_string_equal(buf, cases[i].name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint32_t id;

		assert_true(bh_vdev_parse(bad[i], &id) < 0);
	}
}

static void cpumaps_round_trip(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = { { "0-3,^2", "0-1,3" },
		      { "all", "all" },
		      { "5", "5" },
		      { "1, 2,3", "1-3" } };
	struct bh_cpumap m;
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(bh_cpumap_parse(cases[i].in, &m), 0);
		assert_true(bh_cpumap_format(&m, buf, sizeof(buf)) >= 0);
		assert_string_equal(buf, cases[i].out);
	}
	assert_true(bh_cpumap_parse("", &m) < 0);
	assert_true(bh_cpumap_parse("0,^0", &m) < 0);
	assert_true(bh_cpumap_parse("99999", &m) < 0);
	assert_true(bh_cpumap_parse("1x", &m) < 0);
}

static void rates_and_macs(void **state)
{
	struct bh_vif v;
	uint8_t a[6], b[6];

	(void)state;
	assert_int_equal(bh_vif_parse("rate=10Mb/s", &v, NULL), 0);
	assert_int_equal(v.rate_bytes, 62500);
	assert_int_equal(v.rate_usecs, 50000);
	assert_int_equal(bh_vif_parse("rate=1MB/s@20ms,csum=off", &v, NULL), 0);
	assert_int_equal(v.rate_bytes, 20000);
	assert_true(v.csum_off);
	assert_true(bh_vif_parse("rate=1MB/s@99999999999s", &v, NULL) < 0);
	bh_vif_default_mac("web1", 0, a);
	bh_vif_default_mac("web1", 1, b);
	assert_memory_not_equal(a, b, 6);
	assert_int_equal(a[0], 0);
	assert_int_equal(a[1], 0x16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_of_2005_starts),
		cmocka_unit_test(syntax_has_all_forms),
		cmocka_unit_test(rejections_name_line_and_reason),
		cmocka_unit_test(vdevs_have_xens_numbers),
		cmocka_unit_test(cpumaps_round_trip),
		cmocka_unit_test(rates_and_macs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
