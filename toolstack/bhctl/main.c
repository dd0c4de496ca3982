/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bhctl: the administrator's command. This file is the table of commands, the
 * options, and nothing else.
 */
#include "bhctl/bhctl.h"

#include <getopt.h>

struct cmd {
	const char *name, *args, *help;
	int min, max;
	unsigned int opts;
	int (*fn)(struct ctl *c);
};

#define O_WT (O_WAIT | O_TIMEOUT)

static const struct cmd cmds[] = {
	{ "list", "[GUEST]", "guests, running and stopped", 0, 1, O_JSON,
	  cmd_list },
	{ "info", "[GUEST]", "the host, or one guest in detail", 0, 1, O_JSON,
	  cmd_info },
	{ "start", "GUEST...", "start guests", 1, 1000, O_WT | O_CONSOLE,
	  cmd_start },
	{ "create", "-f FILE", "start a transient guest from a file", 0, 0,
	  O_WT | O_FILE | O_CONSOLE, cmd_create },
	{ "shutdown", "GUEST...", "ask guests to shut down", 0, 1000,
	  O_WT | O_FORCE | O_ALL, cmd_shutdown },
	{ "reboot", "GUEST", "ask a guest to reboot", 1, 1, O_WT, cmd_reboot },
	{ "destroy", "GUEST...", "end guests at once", 1, 1000, 0,
	  cmd_destroy },
	{ "pause", "GUEST", "stop a guest's processors", 1, 1, 0, cmd_pause },
	{ "unpause", "GUEST", "let them run again", 1, 1, 0, cmd_unpause },
	{ "console", "GUEST", "the guest's console; leave with Ctrl-]", 1, 1, 0,
	  cmd_console },
	{ "top", "", "guests and what they use, live", 0, 0,
	  O_JSON | O_COUNT | O_DELAY, cmd_top },
	{ "mem-set", "GUEST SIZE", "change a running guest's memory", 2, 2,
	  O_WT, cmd_mem_set },
	{ "mem-max", "GUEST SIZE", "limit what it may have", 2, 2, 0,
	  cmd_mem_max },
	{ "vcpu-list", "[GUEST]", "processors of guests", 0, 1, O_JSON,
	  cmd_vcpu_list },
	{ "vcpu-set", "GUEST N", "change how many are online", 2, 2, O_WT,
	  cmd_vcpu_set },
	{ "vcpu-pin", "GUEST VCPU|all CPUS", "where they may run", 3, 3, O_SOFT,
	  cmd_vcpu_pin },
	{ "sched", "[GUEST]", "weight and cap", 0, 1, O_JSON | O_WEIGHT | O_CAP,
	  cmd_sched },
	{ "block-attach", "GUEST DISK", "add a disk", 2, 2, 0,
	  cmd_block_attach },
	{ "block-detach", "GUEST VDEV", "take one away", 2, 2,
	  O_FORCE | O_TIMEOUT, cmd_block_detach },
	{ "block-list", "GUEST", "its disks", 1, 1, O_JSON, cmd_block_list },
	{ "network-attach", "GUEST [SETTINGS]", "add an interface", 1, 2, 0,
	  cmd_network_attach },
	{ "network-detach", "GUEST N|MAC", "take one away", 2, 2,
	  O_FORCE | O_TIMEOUT, cmd_network_detach },
	{ "network-list", "GUEST", "its interfaces", 1, 1, O_JSON,
	  cmd_network_list },
	{ "save", "GUEST FILE", "put a running guest into a file", 2, 2, 0,
	  cmd_save },
	{ "restore", "FILE", "continue a saved guest", 1, 1, O_WT,
	  cmd_restore },
	{ "rename", "GUEST NEW", "rename a stopped guest", 2, 2, 0,
	  cmd_rename },
	{ "enable", "GUEST...", "start guests with the host", 1, 1000, O_NOW,
	  cmd_enable },
	{ "disable", "GUEST...", "do not", 1, 1000, O_NOW, cmd_disable },
	{ "sysrq", "GUEST KEY", "send a system request key", 2, 2, 0,
	  cmd_sysrq },
	{ "events", "", "print what happens to guests", 0, 0,
	  O_JSON | O_TIMEOUT | O_COUNT, cmd_events },
	{ "dmesg", "", "the hypervisor's messages", 0, 0, O_CLEAR, cmd_dmesg },
};

static const struct option long_opts[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "wait", no_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, 't' },
	{ "force", no_argument, NULL, 'F' },
	{ "file", required_argument, NULL, 'f' },
	{ "all", no_argument, NULL, 'a' },
	{ "clear", no_argument, NULL, 'c' },
	{ "weight", required_argument, NULL, 'W' },
	{ "cap", required_argument, NULL, 'C' },
	{ "console", no_argument, NULL, 'o' },
	{ "soft", no_argument, NULL, 's' },
	{ "count", required_argument, NULL, 'n' },
	{ "delay", required_argument, NULL, 'd' },
	{ "now", no_argument, NULL, 'N' },
	{ "help", no_argument, NULL, 'h' },
	{},
};

static const struct {
	int c;
	unsigned int bit;
	const char *text;
} opt_bits[] = {
	{ 'j', O_JSON, "--json" },
	{ 'w', O_WAIT, "--wait" },
	{ 't', O_TIMEOUT, "--timeout SECONDS" },
	{ 'F', O_FORCE, "--force" },
	{ 'f', O_FILE, "--file FILE" },
	{ 'a', O_ALL, "--all" },
	{ 'c', O_CLEAR, "--clear" },
	{ 'W', O_WEIGHT, "--weight N" },
	{ 'C', O_CAP, "--cap PERCENT" },
	{ 'o', O_CONSOLE, "--console" },
	{ 's', O_SOFT, "--soft" },
	{ 'n', O_COUNT, "--count N" },
	{ 'd', O_DELAY, "--delay SECONDS" },
	{ 'N', O_NOW, "--now" },
};

int fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("bhctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int need_hv(struct ctl *c)
{
	int r = c->hv ? 0 : bh_hv_open(&c->hv);

	if (r == -EACCES || r == -EPERM)
		return fail(EX_FAIL, "/dev/xen/privcmd: only root may do this");
	if (r < 0)
		return fail(EX_FAIL,
			    "/dev/xen/privcmd: %s (is this dom0 of a running "
			    "hypervisor?)",
			    strerror(-r));
	return 0;
}

int need_xs(struct ctl *c)
{
	int r = c->xs ? 0 : bh_xs_open(&c->xs);

	if (r < 0)
		return fail(EX_FAIL,
			    "cannot reach the store: %s (systemctl status "
			    "bulkhead-store)",
			    strerror(-r));
	return 0;
}

int need_guest(struct ctl *c, const char *name, uint32_t *ret_domid)
{
	int r = need_hv(c);

	if (r == 0)
		r = need_xs(c);
	if (r)
		return r;
	r = bh_store_find(c->xs, c->hv, name, ret_domid);
	if (r == -ESRCH) {
		char path[160];

		if (bh_name_valid(name) &&
		    bh_snprintf(path, sizeof(path), ETC_DIR "/%s.cfg", name) >=
			    0 &&
		    access(path, F_OK) == 0)
			return fail(EX_STATE,
				    "guest %s does not run; bhctl start %s "
				    "starts it",
				    name, name);
		return fail(EX_NO_GUEST, "there is no guest %s", name);
	}
	if (r < 0)
		return fail(EX_FAIL, "cannot list domains: %s", strerror(-r));
	return 0;
}

struct json_object *json_doc(void)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "schema", json_object_new_int(JSON_VERSION));
	return o;
}

void print_json(struct json_object *o)
{
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static void print_opts(FILE *f, const struct cmd *cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(opt_bits); i++)
		if (cmd->opts & opt_bits[i].bit)
			fprintf(f, " [%s]", opt_bits[i].text);
}

static int usage_cmd(FILE *f, const struct cmd *cmd)
{
	fprintf(f, "usage: bhctl %s %s", cmd->name, cmd->args);
	print_opts(f, cmd);
	fprintf(f, "\n%s\n", cmd->help);
	return f == stderr ? EX_USAGE_ERR : 0;
}

static int usage(FILE *f)
{
	fputs("usage: bhctl COMMAND [ARGUMENTS]\n\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		fprintf(f, "  %-15s %-20s %s\n", cmds[i].name, cmds[i].args,
			cmds[i].help);
	fputs("\nbhctl COMMAND --help names its options; see bhctl(8).\n", f);
	return f == stderr ? EX_USAGE_ERR : 0;
}

/* For the shell's completion: names of commands, or of one's options. */
static int complete(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		if (argc < 1) {
			puts(cmds[i].name);
			continue;
		}
		if (!streq(cmds[i].name, argv[0]))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(opt_bits); k++)
			if (cmds[i].opts & opt_bits[k].bit)
				printf("%.*s\n",
				       (int)strcspn(opt_bits[k].text, " "),
				       opt_bits[k].text);
	}
	return 0;
}

static int number(const char *opt, const char *s, uint32_t min, uint32_t max,
		  uint32_t *ret)
{
	uint32_t n;

	if (bh_parse_u32(s, &n) < 0 || n < min || n > max)
		return fail(EX_USAGE_ERR, "%s '%s': expected %u to %u", opt, s,
			    min, max);
	*ret = n;
	return 0;
}

static int take_opt(struct ctl *c, int o, const char *arg)
{
	switch (o) {
	case 'j':
		c->json = true;
		return 0;
	case 'w':
		c->wait = true;
		return 0;
	case 't':
		return number("--timeout", arg, 1, 86400, &c->timeout);
	case 'F':
		c->force = true;
		return 0;
	case 'f':
		c->file = arg;
		return 0;
	case 'a':
		c->all = true;
		return 0;
	case 'c':
		c->clear = true;
		return 0;
	case 'W':
		return number("--weight", arg, 1, 65535, &c->weight);
	case 'C':
		return number("--cap", arg, 0, 65535, &c->cap);
	case 'o':
		c->console = true;
		return 0;
	case 's':
		c->soft = true;
		return 0;
	case 'n':
		return number("--count", arg, 1, 1000000, &c->count);
	case 'd':
		return number("--delay", arg, 1, 3600, &c->delay);
	case 'N':
		c->now = true;
		return 0;
	}
	return EX_USAGE_ERR;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct ctl c = { .cap = UINT32_MAX };
	int o, r;

	optind = 1;
	while ((o = getopt_long(argc, argv, "jwt:Ff:acW:C:osn:d:Nh", long_opts,
				NULL)) != -1) {
		bool known = false;

		if (o == 'h')
			return usage_cmd(stdout, cmd);
		for (size_t i = 0; i < ARRAY_SIZE(opt_bits); i++)
			if (opt_bits[i].c == o && (cmd->opts & opt_bits[i].bit))
				known = true;
		if (!known)
			return usage_cmd(stderr, cmd);
		r = take_opt(&c, o, optarg);
		if (r)
			return r;
	}
	c.argc = argc - optind;
	c.argv = argv + optind;
	if (c.argc < cmd->min || c.argc > cmd->max)
		return usage_cmd(stderr, cmd);
	r = cmd->fn(&c);
	bh_xs_free(c.xs);
	bh_hv_close(c.hv);
	return r;
}

int main(int argc, char **argv)
{
	bh_log_setup("bhctl", BH_NOTICE);
	if (argc < 2)
		return usage(stderr);
	if (streq(argv[1], "--help") || streq(argv[1], "help"))
		return usage(stdout);
	if (streq(argv[1], "--version")) {
		printf("bhctl %s\n", BH_VERSION);
		return 0;
	}
	if (streq(argv[1], "--complete"))
		return complete(argc - 2, argv + 2);
	/* "boot ..." and other parts come as programs of their own */
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		if (streq(cmds[i].name, argv[1]))
			return run(&cmds[i], argc - 1, argv + 1);
	if (streq(argv[1], "boot"))
		execv("/usr/libexec/bulkhead/bootset", argv + 1);
	if (bh_name_valid(argv[1])) {
		char path[160];

		if (bh_snprintf(path, sizeof(path),
				"/usr/libexec/bulkhead/bhctl-%s", argv[1]) >= 0)
			execv(path, argv + 1);
	}
	fail(EX_USAGE_ERR, "unknown command '%s'; bhctl --help lists them",
	     argv[1]);
	return EX_USAGE_ERR;
}
