/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-bootstrap: LVM-backed guests from templates, in one command. This file
 * is the table of subcommands and what all of them share; see vm-bootstrap(8)
 * for the user's view and journal.h for why a crash does no harm.
 */
#include <signal.h>
#include <sys/stat.h>

#include "cmd.h"
#include "conf.h"
#include "journal.h"
#include "lock.h"

static const struct cmd cmds[] = {
	{ "create", "NAME [--template T] [options]",
	  "make a guest from a template", cmd_create },
	{ "clone", "GUEST NEWNAME [options]",
	  "make a guest from another, stopped or running", cmd_clone },
	{ "list", "[--json]", "guests and their volumes", cmd_list },
	{ "info", "NAME [--json]", "all about one guest", cmd_info },
	{ "snapshot", "GUEST [SNAPSHOT] | --delete GUEST SNAPSHOT",
	  "keep the disk as it is now", cmd_snapshot },
	{ "snapshots", "[GUEST] [--json]", "list snapshots", cmd_snapshots },
	{ "rollback", "GUEST SNAPSHOT [--yes]", "put the disk back as it was",
	  cmd_rollback },
	{ "resize", "GUEST --disk SIZE", "enlarge the disk", cmd_resize },
	{ "destroy", "GUEST... [--yes] [--wipe]",
	  "remove guests with all their volumes", cmd_destroy },
	{ "export", "GUEST FILE", "write a whole guest to a file", cmd_export },
	{ "import", "FILE [NAME] [options]",
	  "make a guest from an exported one", cmd_import },
	{ "template", "list|build|import|export|info|remove ...",
	  "templates; \"vm-bootstrap template\" explains", cmd_template },
	{ "recover", "", "complete or undo what a crash interrupted",
	  cmd_recover },
};

static void help(FILE *f)
{
	fputs("usage: vm-bootstrap [--quiet] COMMAND ...\n\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		fprintf(f, "  %-10s %-48s %s\n", cmds[i].name, cmds[i].args,
			cmds[i].summary);
	fputs("\nOptions of a command: \"vm-bootstrap COMMAND --help\", and vm-bootstrap(8).\n",
	      f);
}

/* Of the commands that have many. */
static const char *options_of(const char *name)
{
	if (streq(name, "clone"))
		return "--ip A --gateway A --bridge BR --hostname NAME --vg VG --pool POOL\n"
		       "--start --autostart --wait --timeout SECONDS --dry-run --json\n";
	if (streq(name, "import"))
		return "--keep-identity --ip A --gateway A --bridge BR --vg VG --pool POOL\n"
		       "--start --autostart\n";
	return "";
}

int usage_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		if (streq(cmds[i].name, name))
			fprintf(stderr, "usage: vm-bootstrap %s %s\n%s", name,
				cmds[i].args, options_of(name));
	return -VMB_USAGE;
}

/* create and template have more to say, and say it themselves. */
static bool answers_help(const struct cmd *c)
{
	if (c->fn == cmd_create || c->fn == cmd_template)
		return false;
	printf("usage: vm-bootstrap %s %s\n\t%s\n%svm-bootstrap(8) explains.\n",
	       c->name, c->args, c->summary, options_of(c->name));
	return true;
}

int begin_guest(const char *name, const char *purpose)
{
	int lock = lock_take("guest", name, purpose, LOCK_TRY);
	int r;

	if (lock < 0)
		return lock;
	r = journal_recover_all("guest", name);
	if (r < 0) {
		lock_drop(lock);
		return fail(
			VMB_FAILED,
			"an interrupted operation could not be recovered (see above); fix the cause and run \"vm-bootstrap recover\"");
	}
	return lock;
}

int cmd_recover(int argc, char **argv __unused_arg)
{
	if (argc != 1)
		return usage_of("recover");
	return journal_recover_all(NULL, NULL);
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--help") || streq(argv[i], "-h"))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct cmd *c = NULL;
	int r;

	signal(SIGPIPE, SIG_IGN);
	umask(022);
	/* For every program started here, also in a guest's root. */
	setenv("PATH",
	       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	       1);
	setenv("LC_ALL", "C", 1);
	setenv("LVM_SUPPRESS_FD_WARNINGS", "1", 1);
	setenv("DEBIAN_FRONTEND", "noninteractive", 1);
	while (argc > 1 &&
	       (streq(argv[1], "--quiet") || streq(argv[1], "-q"))) {
		opt_quiet = true;
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	if (argc < 2 || streq(argv[1], "--help") || streq(argv[1], "-h") ||
	    streq(argv[1], "help")) {
		help(argc < 2 ? stderr : stdout);
		return argc < 2 ? VMB_USAGE : 0;
	}
	if (streq(argv[1], "--version")) {
		puts("vm-bootstrap " VERSION);
		return 0;
	}
	/* xen-create-image users start with options right away. */
	if (bh_startswith(argv[1], "--hostname")) {
		c = &cmds[0];
		argv--;
		argc++;
	}
	for (size_t i = 0; !c && i < ARRAY_SIZE(cmds); i++)
		if (streq(cmds[i].name, argv[1]))
			c = &cmds[i];
	if (!c) {
		(void)fail(
			VMB_USAGE,
			"there is no command \"%s\"; \"vm-bootstrap --help\" lists them",
			argv[1]);
		return VMB_USAGE;
	}
	if (wants_help(argc - 1, argv + 1)) {
		if (answers_help(c))
			return fflush(stdout) == 0 ? 0 : VMB_FAILED;
	} else if (geteuid() != 0) {
		(void)fail(VMB_FAILED,
			   "vm-bootstrap works on volumes: run it as root");
		return VMB_FAILED;
	}
	r = conf_load();
	if (r >= 0)
		r = c->fn(argc - 1, argv + 1);
	if (fflush(stdout) != 0 && r >= 0)
		r = fail(VMB_FAILED, "cannot write the output: %m");
	return r < 0 ? -r : r;
}
