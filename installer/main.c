/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead-setup: options, answer file, and walking the steps. See setup.h and
 * bulkhead-setup(8).
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bulkhead/pairs.h>
#include <bulkhead/util.h>

#include "setup.h"

#define STATE_DIR  "/var/lib/bulkhead/setup"
#define STATE_FILE STATE_DIR "/state"

struct answers answers = { .network = true, .net_timeout = 60 };
struct host host;
bool opt_dry_run;

static const struct step *const steps[] = { &step_storage, &step_network,
					    &step_dom0, &step_boot };

void report(enum finding f, const char *fmt, ...)
{
	static const char *const marks[] = { "ok      ", "warning ",
					     "ERROR   " };
	va_list ap;

	fflush(stdout);
	fputs(marks[f], f == R_BAD ? stderr : stdout);
	va_start(ap, fmt);
	vfprintf(f == R_BAD ? stderr : stdout, fmt, ap);
	va_end(ap);
	fputc('\n', f == R_BAD ? stderr : stdout);
}

/* ---- what was done ------------------------------------------------------------- */

static int state_rewrite(const char *drop, const char *key, const char *value)
{
	_cleanup_free_ char *text = NULL, *out = NULL;
	char *save = NULL;
	size_t len;
	FILE *f;
	int r = bh_read_file(STATE_FILE, 65536, &text, &len);

	if (r && r != -ENOENT)
		return r;
	f = open_memstream(&out, &len);
	if (!f)
		return -ENOMEM;
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save)) {
		size_t n = strcspn(l, "=");

		if (strlen(drop) != n || strncmp(l, drop, n))
			fprintf(f, "%s\n", l);
	}
	if (key)
		fprintf(f, "%s=%s\n", key, value);
	fclose(f);
	if (opt_dry_run)
		return 0;
	r = bh_mkdir_p(STATE_DIR, 0700);
	return r ? r : bh_write_file(STATE_FILE, out, len, 0600);
}

int state_add(const char *key, const char *value)
{
	return state_rewrite(key, key, value);
}

int state_drop(const char *key)
{
	return state_rewrite(key, NULL, NULL);
}

struct wanted {
	const char *key;
	char *value;
};

static int state_line(unsigned int line __unused_arg, const char *key,
		      const char *value, void *arg)
{
	struct wanted *w = arg;

	if (value && streq(key, w->key)) {
		free(w->value);
		w->value = strdup(value);
	}
	return 0;
}

const char *state_get(const char *key)
{
	struct wanted w = { .key = key };

	/* Never freed: a few short strings that callers keep. */
	(void)bh_pairs_read(STATE_FILE, state_line, &w);
	return w.value;
}

/* ---- options and answers -------------------------------------------------------- */

enum {
	O_ANSWERS = 256,
	O_UNATTENDED,
	O_CHECK,
	O_UNDO,
	O_ROLLBACK,
	O_DRY,
	O_VG,
	O_POOL,
	O_PV,
	O_POOLSIZE,
	O_BRIDGE,
	O_NIC,
	O_NONET,
	O_MEM,
	O_CPUS,
	O_FORCE,
	O_NETTIME,
	O_VERSION
};

static const struct option options[] = {
	{ "answers", required_argument, NULL, O_ANSWERS },
	{ "unattended", no_argument, NULL, O_UNATTENDED },
	{ "check", no_argument, NULL, O_CHECK },
	{ "undo", no_argument, NULL, O_UNDO },
	{ "rollback-network", no_argument, NULL, O_ROLLBACK },
	{ "dry-run", no_argument, NULL, O_DRY },
	{ "vg", required_argument, NULL, O_VG },
	{ "pool", required_argument, NULL, O_POOL },
	{ "pv", required_argument, NULL, O_PV },
	{ "pool-size", required_argument, NULL, O_POOLSIZE },
	{ "bridge", required_argument, NULL, O_BRIDGE },
	{ "nic", required_argument, NULL, O_NIC },
	{ "no-network", no_argument, NULL, O_NONET },
	{ "dom0-memory", required_argument, NULL, O_MEM },
	{ "dom0-vcpus", required_argument, NULL, O_CPUS },
	{ "network-timeout", required_argument, NULL, O_NETTIME },
	{ "force", no_argument, NULL, O_FORCE },
	{ "version", no_argument, NULL, O_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

static const char usage_text[] =
	"usage: bulkhead-setup [OPTIONS]\n"
	"Turns this server into a Bulkhead host. Asks, unless told not to.\n"
	"  --unattended          do not ask; use options, answers and defaults\n"
	"  --answers FILE        KEY=VALUE lines, keys as the options below\n"
	"  --check               only look at this host; exit 1 if it will not do\n"
	"  --undo                take back what earlier runs did\n"
	"  --dry-run             say what would be done\n"
	"  --vg NAME             volume group (default: the one there is)\n"
	"  --pv DEVICE[,...]     make the volume group on these\n"
	"  --pool NAME           thin pool (default: the one there is, or thin)\n"
	"  --pool-size SIZE      e.g. 100G or 80%FREE (default)\n"
	"  --bridge NAME         bridge for guests (default xenbr0)\n"
	"  --nic NAME            its port (default: that of the default route)\n"
	"  --no-network          leave the network alone\n"
	"  --network-timeout N   seconds until a dead network is put back (60)\n"
	"  --dom0-memory MIB     (default: an eighth, 1024 to 8192)\n"
	"  --dom0-vcpus N        (default: up to 4)\n"
	"  --force               use devices even if they hold data\n";

static int number(const char *name, const char *arg, uint32_t *ret)
{
	char *end;
	unsigned long v = strtoul(arg, &end, 10);

	if (end == arg || !streq(*end == 'M' ? end + 1 : end, "") || !v ||
	    v > 1 << 24) {
		report(R_BAD, "--%s: '%s' is not a number", name, arg);
		return -EINVAL;
	}
	*ret = v;
	return 0;
}

/* LVM's and the kernel's rules for names, and nothing that looks like an
 * option or a path. */
static int name_arg(const char *opt, const char *arg, char *dst, size_t size)
{
	if (!*arg || *arg == '-' || strlen(arg) >= size ||
	    strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			"0123456789._+-") != strlen(arg)) {
		report(R_BAD,
		       "--%s: '%s' is not a usable name (letters, "
		       "digits, . _ + -, at most %zu)",
		       opt, arg, size - 1);
		return -EINVAL;
	}
	snprintf(dst, size, "%s", arg);
	return 0;
}

static int read_answers(const char *path);

static int take_option(int o, const char *name, const char *arg)
{
	switch (o) {
	case O_VG:
		return name_arg(name, arg, answers.vg, sizeof(answers.vg));
	case O_POOL:
		return name_arg(name, arg, answers.pool, sizeof(answers.pool));
	case O_BRIDGE:
		return name_arg(name, arg, answers.bridge,
				sizeof(answers.bridge));
	case O_NIC:
		return name_arg(name, arg, answers.nic, sizeof(answers.nic));
	case O_PV:
		snprintf(answers.pv, sizeof(answers.pv), "%s", arg);
		return 0;
	case O_POOLSIZE:
		snprintf(answers.pool_size, sizeof(answers.pool_size), "%s",
			 arg);
		return 0;
	case O_MEM:
		return number(name, arg, &answers.dom0_mib);
	case O_CPUS:
		return number(name, arg, &answers.dom0_vcpus);
	case O_NETTIME:
		return number(name, arg, &answers.net_timeout);
	case O_NONET:
		answers.network = false;
		return 0;
	case O_FORCE:
		answers.force = true;
		return 0;
	case O_ANSWERS:
		return read_answers(arg);
	}
	return -EINVAL;
}

static int answer(unsigned int line, const char *key, const char *val,
		  void *path)
{
	const struct option *o;

	for (o = options; o->name && !streq(o->name, key); o++)
		;
	if (!o->name || o->val < O_VG || o->val > O_NETTIME ||
	    (o->has_arg && !val)) {
		report(R_BAD,
		       "%s:%u: '%s' is not an answer: see "
		       "bulkhead-setup --help",
		       (char *)path, line, key);
		return -EINVAL;
	}
	return take_option(o->val, o->name, val);
}

static int read_answers(const char *path)
{
	_cleanup_free_ char *text = NULL;
	int r = bh_read_file(path, 65536, &text, NULL);

	if (r) {
		report(R_BAD, "cannot read answers %s: %s", path, strerror(-r));
		return r;
	}
	return bh_pairs_parse(text, answer, (void *)(uintptr_t)path);
}

/* ---- walking the steps ----------------------------------------------------------- */

static int do_setup(bool ask)
{
	char text[ARRAY_SIZE(steps)][256] = { "" };
	int todo[ARRAY_SIZE(steps)], r;

	if (check_host(&host)) {
		report(R_BAD, "this host will not do as it is; nothing was "
			      "changed");
		return -EINVAL;
	}
	if (ask) {
		r = ui_ask();
		if (r) {
			report(R_BAD,
			       r == -ECANCELED
				       ? "cancelled"
				       : "no terminal for the dialogs: use --unattended");
			return r;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		todo[i] = steps[i]->plan(text[i], sizeof(text[i]));
		if (todo[i] < 0)
			return todo[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		printf("%s %s: %s\n", todo[i] ? "==>" : "   ", steps[i]->name,
		       text[i]);
		r = todo[i] ? steps[i]->apply() : 0;
		if (r) {
			report(R_BAD,
			       "step %s failed; what was done before it "
			       "stays: mend the cause and run again, or "
			       "bulkhead-setup --undo",
			       steps[i]->name);
			return r;
		}
	}
	printf("\nReady. The next boot runs Bulkhead with dom0 Linux; plain "
	       "Linux stays in\nthe menu, and a boot that fails comes back to "
	       "it. Now: reboot\n");
	return 0;
}

static int do_undo(void)
{
	int bad = 0;

	for (size_t i = ARRAY_SIZE(steps); i-- > 0;) {
		printf("==> undo %s\n", steps[i]->name);
		bad |= steps[i]->undo();
	}
	return bad;
}

int main(int argc, char **argv)
{
	enum {
		ASK,
		UNATTENDED,
		CHECK,
		UNDO,
		ROLLBACK
	} mode = ASK;
	int o, idx, fd;

	while ((o = getopt_long(argc, argv, "h", options, &idx)) != -1) {
		if (o == 'h')
			return fputs(usage_text, stdout) < 0;
		else if (o == O_VERSION)
			return puts("bulkhead-setup " BH_VERSION) < 0;
		else if (o == O_UNATTENDED)
			mode = UNATTENDED;
		else if (o == O_CHECK)
			mode = CHECK;
		else if (o == O_UNDO)
			mode = UNDO;
		else if (o == O_ROLLBACK)
			mode = ROLLBACK;
		else if (o == O_DRY)
			opt_dry_run = true;
		else if (o == '?' || take_option(o, options[idx].name, optarg))
			return 2;
	}
	if (optind < argc) {
		report(R_BAD, "unexpected '%s': see --help", argv[optind]);
		return 2;
	}
	/* Every line when it is due, also into a pipe; and a terminal that goes
	 * away with the network must not end us half way. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (geteuid() && mode != CHECK) {
		report(R_BAD, "must run as root");
		return 1;
	}
	probe_host(&host);
	if (mode == CHECK)
		return check_host(&host) ? 1 : 0;
	/* One run at a time; the network rollback must not wait for us. */
	fd = mode == ROLLBACK || bh_mkdir_p(STATE_DIR, 0700)
		     ? -1
		     : open(STATE_DIR "/lock", O_RDWR | O_CREAT | O_CLOEXEC,
			    0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		report(R_BAD, "another bulkhead-setup is running");
		return 1;
	}
	if (mode == ROLLBACK)
		return network_rollback() ? 1 : 0;
	if (mode == UNDO)
		return do_undo() ? 1 : 0;
	return do_setup(mode == ASK) ? 1 : 0;
}
