/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bootset: makes, proves and chooses boot sets. `bhctl boot ...` runs it for
 * the administrator; package hooks, /etc/grub.d/21_bulkhead and two units run
 * it for the machine. See bulkhead-boot-sets(7).
 */
#include <dirent.h>
#include <getopt.h>
#include <json-c/json.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bulkhead/hv.h>
#include <bulkhead/util.h>

#include "bootset.h"

static bool opt_json, opt_no_try;
static struct bootsets sets;
static struct settings settings;
static char running[16];

static bool same_content(const struct bootset *a, const struct bootset *b)
{
	return streq(a->hypervisor, b->hypervisor) &&
	       streq(a->kernel, b->kernel) && streq(a->hv_tag, b->hv_tag) &&
	       streq(a->kernel_tag, b->kernel_tag) &&
	       streq(a->initrd_tag, b->initrd_tag) &&
	       streq(a->hv_options, b->hv_options) &&
	       streq(a->linux_options, b->linux_options);
}

/* GRUB first, then our notes: a cut in between costs one extra try. */
static int arm(const char *id)
{
	int r = grub_env_set("bulkhead_next", id);

	if (r)
		return r;
	snprintf(sets.trying, sizeof(sets.trying), "%s", id);
	return sets_save_state(&sets);
}

/* Nothing to make; but an interrupted run may not have come to arm it. */
static int already_made(const struct bootset *s)
{
	int r = 0;

	if (streq(s->state, "new") && !opt_no_try &&
	    !streq(s->id, sets.trying) && !streq(s->id, running)) {
		printf("boot set %s is there and boots once at the next "
		       "reboot\n",
		       s->id);
		r = arm(s->id);
	} else if (streq(s->state, "bad")) {
		printf("boot set %s is made of the same files and has failed; "
		       "to try it again: bhctl boot try %s\n",
		       s->id, s->id);
	} else {
		printf("boot set %s is up to date\n", s->id);
	}
	return r ? r : grub_regenerate();
}

static int cmd_update(char **args)
{
	struct candidate c;
	struct bootset *s;
	char id[sizeof(s->id)];
	int r = scan_candidate(&settings, &c);

	if (r)
		return r;
	for (unsigned int i = 0; i < sets.nr; i++)
		if (same_content(&sets.set[i], &c.set))
			return already_made(&sets.set[i]);
	sets_tidy();
	r = verify_space(&c);
	if (!r)
		r = verify_candidate(&c);
	if (r) {
		bh_log(BH_ERR, "no new boot set was made; the machine boots as "
			       "before");
		return r;
	}
	r = sets_create(&sets, &c, &s);
	if (r)
		return r;
	printf("boot set %s: Bulkhead %s, Linux %s\n", s->id, s->hypervisor,
	       s->kernel);
	memcpy(id, s->id, sizeof(id)); /* pruning moves the sets */
	/* The menu before what points into it. */
	r = sets_prune(&sets, running);
	if (!r)
		r = grub_regenerate();
	if (!r)
		r = opt_no_try ? sets_save_state(&sets) : arm(id);
	if (!r && !opt_no_try)
		printf("it boots once at the next reboot and stays if it is "
		       "well\n");
	return r;
}

static const char *role(const struct bootset *s, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s", streq(s->id, running) ? "running " : "",
		 streq(s->id, sets.default_id) ? "default " : "",
		 streq(s->id, sets.trying) ? "next " : "");
	return buf;
}

static struct json_object *set_json(const struct bootset *s)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_object_new_string(s->id));
	json_object_object_add(o, "hypervisor",
			       json_object_new_string(s->hypervisor));
	json_object_object_add(o, "kernel", json_object_new_string(s->kernel));
	json_object_object_add(o, "state", json_object_new_string(s->state));
	json_object_object_add(o, "running",
			       json_object_new_boolean(streq(s->id, running)));
	return o;
}

static struct json_object *all_json(void)
{
	struct json_object *o = json_object_new_object();
	struct json_object *a = json_object_new_array();

	for (unsigned int i = 0; i < sets.nr; i++)
		json_object_array_add(a, set_json(&sets.set[i]));
	json_object_object_add(o, "schema", json_object_new_int(1));
	json_object_object_add(o, "default",
			       json_object_new_string(sets.default_id));
	json_object_object_add(o, "next", json_object_new_string(sets.trying));
	json_object_object_add(o, "running", json_object_new_string(running));
	json_object_object_add(o, "last_try", json_object_new_string(sets.why));
	json_object_object_add(o, "sets", a);
	return o;
}

static int cmd_list(char **args)
{
	char buf[64];

	if (opt_json) {
		struct json_object *o = all_json();

		puts(json_object_to_json_string_ext(o,
						    JSON_C_TO_STRING_PRETTY));
		json_object_put(o);
		return 0;
	}
	printf("%-5s %-20s %-28s %-5s %s\n", "Set", "Hypervisor", "Kernel",
	       "State", "Role");
	for (unsigned int i = 0; i < sets.nr; i++) {
		const struct bootset *s = &sets.set[i];

		printf("%-5s %-20s %-28s %-5s %s\n", s->id, s->hypervisor,
		       s->kernel, s->state, role(s, buf, sizeof(buf)));
	}
	return 0;
}

static int cmd_status(char **args)
{
	if (opt_json)
		return cmd_list(args);
	printf("running: %s%s\n",
	       *running ? running
			: "not a boot set (plain Linux or another menu entry)",
	       *running && streq(sets.trying, running) ? " (on trial)" : "");
	printf("default: %s\n",
	       *sets.default_id ? sets.default_id : "plain Linux");
	printf("next:    %s\n", *sets.trying ? sets.trying : "the default");
	if (*sets.why)
		printf("last:    %s\n", sets.why);
	return 0;
}

static struct bootset *need_set(char **args)
{
	struct bootset *s = args[0] ? sets_find(&sets, args[0]) : NULL;

	if (!s)
		bh_log(BH_ERR,
		       args[0] ? "no boot set %s: see bhctl boot list"
			       : "which boot set? see bhctl boot list",
		       args[0]);
	return s;
}

static int cmd_try(char **args)
{
	struct bootset *s = need_set(args);

	if (!s)
		return -ENOENT;
	printf("boot set %s boots once at the next reboot\n", s->id);
	return arm(s->id);
}

static int make_default(const char *id)
{
	int r = grub_env_set("bulkhead_default", id);

	if (r)
		return r;
	snprintf(sets.default_id, sizeof(sets.default_id), "%s", id);
	return sets_save_state(&sets);
}

static int cmd_default(char **args)
{
	struct bootset *s;

	if (args[0] && streq(args[0], "none")) { /* plain Linux, from now on */
		if (grub_env_set("bulkhead_next", ""))
			return -EIO;
		sets.trying[0] = '\0';
		return make_default("");
	}
	s = need_set(args);
	return s ? make_default(s->id) : -ENOENT;
}

/* The newest good set that is not the one running. */
static int cmd_rollback(char **args)
{
	for (unsigned int i = sets.nr; i-- > 0;) {
		struct bootset *s = &sets.set[i];

		if (streq(s->id, running) || !streq(s->state, "good"))
			continue;
		if (grub_env_set("bulkhead_next", ""))
			return -EIO;
		sets.trying[0] = '\0';
		printf("default is now boot set %s; reboot to run it\n", s->id);
		return make_default(s->id);
	}
	bh_log(BH_ERR, "no other set has proven good; see bhctl boot list");
	return -ENOENT;
}

static int cmd_remove(char **args)
{
	struct bootset *s = need_set(args);
	int r;

	if (!s)
		return -ENOENT;
	if (streq(s->id, running) || streq(s->id, sets.default_id) ||
	    streq(s->id, sets.trying)) {
		bh_log(BH_ERR,
		       "boot set %s is running, default or next: choose "
		       "another one first (bhctl boot default ID)",
		       s->id);
		return -EBUSY;
	}
	r = sets_remove(&sets, args[0]);
	if (!r)
		r = sets_save_state(&sets);
	return r ? r : grub_regenerate();
}

static int cmd_grub(char **args)
{
	if (!args[0] || !args[1])
		return -EINVAL;
	return grub_print_menu(&sets, args[0], args[1], settings.deadline);
}

static void set_state(struct bootset *s, const char *state)
{
	if (s)
		snprintf(s->state, sizeof(s->state), "%s", state);
}

/*
 * Early at every boot: did the set that was to be tried come up? If another one
 * runs, it did not, and how far it came is in its state: "bad" if it was found
 * unwell (why says so), "trial" if dom0 was up but the end came before that.
 */
static int cmd_boot_check(char **args)
{
	struct bootset *s = sets_find(&sets, sets.trying);
	char why[200];

	if (!*sets.trying)
		return 0;
	if (streq(sets.trying, running)) {
		set_state(s, "trial");
		return sets_save_state(&sets);
	}
	if (s && streq(s->state, "bad"))
		snprintf(why, sizeof(why), "%.199s", sets.why);
	else if (s && streq(s->state, "trial"))
		snprintf(
			why, sizeof(why),
			"boot set %s came up, but the machine went down before "
			"it was found well",
			sets.trying);
	else
		snprintf(why, sizeof(why), "boot set %s did not come up",
			 sets.trying);
	snprintf(sets.why, sizeof(sets.why), "%s; the machine is back on %s",
		 why, *running ? running : "plain Linux");
	set_state(s, "bad");
	sets.trying[0] = '\0';
	if (grub_env_set("bulkhead_next", ""))
		bh_log(BH_WARNING, "the failed set may be tried again");
	notify_admin(sets.why);
	return sets_save_state(&sets);
}

/* Ends its boot watchdog, if it has one (Xen has not). */
static void hypervisor_is_well(void)
{
	_cleanup_(bh_hv_close_cleanup) struct bh_hv *h = NULL;
	int r = bh_hv_open(&h);

	if (!r)
		r = bh_hv_boot_watchdog_done(h);
	if (r && r != -EINVAL)
		bh_log_errno(BH_WARNING, r,
			     "cannot end the hypervisor's boot watchdog");
}

static int bless(void)
{
	struct bootset *s = sets_find(&sets, running);
	int r;

	if (!s)
		return 0;
	set_state(s, "good");
	if (streq(sets.trying, running)) {
		sets.trying[0] = '\0';
		snprintf(sets.why, sizeof(sets.why),
			 "boot set %s is well and is now the default", running);
		bh_log(BH_INFO, "%s", sets.why);
	}
	r = make_default(running);
	hypervisor_is_well();
	return r;
}

/* Takes the lock only for the change: checking may take minutes. */
static int cmd_health(char **args)
{
	char why[256] = "";
	bool trial = streq(sets.trying, running) && *running;
	int r;

	if (!*running)
		return 0;
	r = health_check(&settings, why, sizeof(why));
	if (boot_lock() < 0 || sets_load(&sets) || !sets_find(&sets, running))
		return -EIO; /* sets may have changed meanwhile */
	if (!r)
		return trial ? bless() : 0;
	if (!trial) {
		bh_log(BH_ERR, "not well: %s", why);
		return r;
	}
	/* "trying" stays: the old set's boot-check tells the administrator. */
	snprintf(sets.why, sizeof(sets.why),
		 "boot set %s was not well (%.150s)", running, why);
	set_state(sets_find(&sets, running), "bad");
	r = sets_save_state(&sets);
	bh_log(BH_ERR, "%s: rebooting into the previous one", sets.why);
	sync();
	execlp("systemctl", "systemctl", "reboot", (char *)NULL);
	return r ? r : -errno;
}

static int cmd_deadman(char **args)
{
	return *running ? deadman(&settings, running) : 0;
}

/* Does a guest boot this kernel? vm-bootstrap gives guests the host's where no
 * package has one made for them. Its name must end where the version does. */
static bool names_kernel(const char *text, const char *version)
{
	char path[160];
	size_t n;

	if (bh_snprintf(path, sizeof(path), "/boot/vmlinuz-%s", version) < 0)
		return false;
	n = strlen(path);
	while ((text = strstr(text, path))) {
		text += n;
		if (!*text || strchr("\"' \t\n", *text))
			return true;
	}
	return false;
}

static int guest_needs(const char *version)
{
	char dir[PATH_MAX];
	DIR *d = opendir(root_path(dir, sizeof(dir), "/etc/bulkhead/guests"));
	struct dirent *e;
	int r = 0;

	while (d && !r && (e = readdir(d))) {
		_cleanup_free_ char *path =
			bh_asprintf("%s/%s", dir, e->d_name);
		_cleanup_free_ char *text = NULL;

		if (!bh_endswith(e->d_name, ".cfg") || !path ||
		    bh_read_file(path, 1 << 20, &text, NULL) < 0 ||
		    !names_kernel(text, version))
			continue;
		bh_log(BH_ERR,
		       "/boot/vmlinuz-%s is the kernel of a guest: give it "
		       "another (kernel and ramdisk in %s), then remove this",
		       version, path);
		r = -EBUSY;
	}
	if (d)
		closedir(d);
	return r;
}

/* For /etc/kernel/prerm.d: may this kernel go? */
static int cmd_may_remove(char **args)
{
	const char *const keep[] = { running, sets.default_id, sets.trying };

	if (!args[0])
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		struct bootset *s = sets_find(&sets, keep[i]);

		if (!s || (!streq(s->kernel, args[0]) &&
			   !streq(s->hypervisor, args[0])))
			continue;
		bh_log(BH_ERR,
		       "%s belongs to boot set %s, which is running, "
		       "default or next: run bhctl boot default ID with "
		       "another set, reboot, and try again",
		       args[0], s->id);
		return -EBUSY;
	}
	return guest_needs(args[0]);
}

static const struct command {
	const char *name, *usage;
	int (*fn)(char **args);
	bool unlocked; /* only reads, or locks itself */
} commands[] = {
	{ "list", "list the sets", cmd_list, true },
	{ "status", "what runs, what is default, what boots next", cmd_status,
	  true },
	{ "try", "ID: boot this set once at the next reboot", cmd_try },
	{ "default", "ID|none: make this set (or plain Linux) the default",
	  cmd_default },
	{ "rollback", "make the last good set before this one the default",
	  cmd_rollback },
	{ "remove", "ID: remove a set that is not in use", cmd_remove },
	{ "update", "make a set of the newest hypervisor and kernel, arm it",
	  cmd_update },
	{ "may-remove", "VERSION: fail if a set in use or a guest needs it",
	  cmd_may_remove },
	{ "boot-check", "note a failed try (unit, early at boot)",
	  cmd_boot_check },
	{ "health", "check the host; bless or leave the set on trial (unit)",
	  cmd_health, true },
	{ "deadman", "reboot unless the set on trial is well in time (unit)",
	  cmd_deadman, true },
	{ "grub", "PREPARE DIR: print menu entries (/etc/grub.d)", cmd_grub,
	  true }, /* under update, which holds the lock */
};

static void usage(FILE *f)
{
	fprintf(f, "usage: bhctl boot [--json] COMMAND\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-11s %s\n", commands[i].name, commands[i].usage);
	fprintf(f, "options: --json (list, status), --no-try (update: do not "
		   "arm the new set)\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "no-try", no_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ 0 }
	};
	int o, r;

	bh_log_setup("bhctl boot", BH_INFO);
	signal(SIGPIPE,
	       SIG_IGN); /* whoever reads must not end a change midway */
	while ((o = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		if (o == 'j')
			opt_json = true;
		else if (o == 'n')
			opt_no_try = true;
		else if (o == 'v')
			return puts("bootset " BH_VERSION) < 0;
		else {
			usage(o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : 2;
		}
	}
	for (size_t i = 0; optind < argc && i < ARRAY_SIZE(commands); i++) {
		if (!streq(commands[i].name, argv[optind]))
			continue;
		if ((!commands[i].unlocked && boot_lock() < 0) ||
		    settings_load(&settings) || sets_load(&sets))
			return 1;
		running_set(running, sizeof(running));
		r = commands[i].fn(argv + optind + 1);
		return r ? 1 : 0;
	}
	usage(stderr);
	return 2;
}
