/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Templates of real distributions, made by their own tools: mmdebstrap (or
 * debootstrap) for Debian and Ubuntu, dnf --installroot for Fedora and EL.
 * Mirrors come from the host's own configuration, because that is the one the
 * administrator trusts and can reach.
 */
#define _GNU_SOURCE
#include "fill.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include <bulkhead/run.h>

#include "fs.h"
#include "guestfs.h"
#include "ns.h"

struct watch {
	const struct {
		const char *text;
		unsigned int pct;
		const char *phase;
	} * phase;
	size_t n;
	char error[400], last[200];
	bool sure, more, full;
};

static const struct {
	const char *text;
	unsigned int pct;
	const char *phase;
} deb_phases[] = {
	{ "apt-get update", 2, "reading package lists" },
	{ "downloading", 8, "downloading packages" },
	{ "extracting archives", 30, "unpacking the base system" },
	{ "installing essential", 40, "configuring the base system" },
	{ "installing remaining", 55, "installing packages" },
	{ "cleaning", 90, "cleaning up" },
	{ "I: Retrieving", 8, "downloading packages" },
	{ "I: Extracting", 30, "unpacking the base system" },
	{ "I: Unpacking the base", 45, "configuring the base system" },
	{ "I: Configuring", 60, "installing packages" },
}, dnf_phases[] = {
	{ "Dependencies resolved", 10, "resolving dependencies" },
	{ "Downloading Packages", 15, "downloading packages" },
	{ "Running transaction", 40, "installing packages" },
	{ "Complete!", 90, "cleaning up" },
};

static void watch_line(const char *line, void *arg)
{
	/* The kernel, apt and dnf. */
	static const char *const full[] = { "No space left on device",
					    "have enough free space",
					    "more space needed on" };
	struct watch *w = arg;
	bool error, hint;
	size_t n;

	for (size_t i = 0; i < w->n; i++)
		if (strstr(line, w->phase[i].text))
			progress(w->phase[i].phase, w->phase[i].pct);
	/*
	 * The first error is the cause; what follows from it says less. dnf's
	 * may be on the indented lines after a bare "Error:".
	 */
	error = bh_startswith(line, "E: ") || bh_startswith(line, "Error:");
	hint = bh_startswith(line, "Err:") || bh_startswith(line, "W: Failure");
	n = strlen(w->error);
	w->more = w->more && *line == ' ';
	if (w->more)
		snprintf(w->error + n, sizeof(w->error) - n, "%s%s",
			 w->error[n - 1] == ' ' ? "" : " ",
			 line + strspn(line, " "));
	if (error ? !w->sure : hint && !*w->error) {
		snprintf(w->error, sizeof(w->error), "%s", line);
		w->more = streq(line, "Error:") || streq(line, "Error: ");
	}
	w->sure |= error;
	/* The volume is the only thing they write to. */
	for (size_t i = 0; i < ARRAY_SIZE(full); i++)
		w->full |= strstr(line, full[i]) != NULL;
	if (*line)
		snprintf(w->last, sizeof(w->last), "%s", line);
	if (getenv("VM_BOOTSTRAP_VERBOSE"))
		fprintf(stderr, "  %s\n", line);
}

/* Value of "signed-by=" among the options of a line of sources.list. */
static const char *list_key(const char *line, size_t n, size_t *ret_n)
{
	const char *end = memchr(line, ']', n);
	const char *p =
		end ? memmem(line, (size_t)(end - line), "signed-by=", 10)
		    : NULL;

	*ret_n = p ? strcspn(p + 10, " ]\n") : 0;
	return p ? p + 10 : NULL;
}

char *apt_signed_by(const char *text, bool stanzas, unsigned int nr)
{
	const char *key = NULL;
	unsigned int at = 0;
	bool inside = false;
	size_t n = 0, k;

	for (const char *l = text; *l; l += n + (l[n] == '\n')) {
		n = strcspn(l, "\n");
		/* Comments do not make a stanza, nor do they end one. */
		if (stanzas && *l == '#')
			continue;
		if (!stanzas)
			at++;
		else if (strspn(l, " \t\r") == n)
			inside = false;
		else if (!inside)
			inside = ++at;
		if (at != nr)
			continue;
		if (!stanzas) {
			key = list_key(l, n, &k);
			break;
		}
		if (!inside || n < 10 || strncasecmp(l, "Signed-By:", 10))
			continue;
		key = l + 10 + strspn(l + 10, " \t");
		k = strcspn(key, " \t\r\n");
		break;
	}
	/* Not a fingerprint, several, or a key written out. */
	if (!key || *key != '/' || memchr(key, ',', k))
		return NULL;
	return strndup(key, k);
}

/* entry: FILE:N, where apt has an archive from. */
static char *key_of(char *entry)
{
	_cleanup_free_ char *text = NULL;
	char *colon = strrchr(entry, ':');
	unsigned long nr;

	if (!colon || bh_parse_u64(colon + 1, 10, 100000, &nr) < 0)
		return NULL;
	*colon = 0;
	if (bh_read_file(entry, 1 << 20, &text, NULL) < 0)
		return NULL;
	return apt_signed_by(text, bh_endswith(entry, ".sources"),
			     (unsigned int)nr);
}

/* An archive of the host's apt, and the file with its key if it has one. */
struct archive_of {
	char *uri, *key;
};

static void archive_done(struct archive_of *a)
{
	free(a->uri);
	free(a->key);
}

static int add_line(const struct recipe *r, const struct archive_of *a,
		    const char *of, struct strv *ret)
{
	return strv_addf(ret, "deb %s%s%s%s %s%s %s",
			 a->key ? "[signed-by=" : "", a->key ? a->key : "",
			 a->key ? "] " : "", a->uri, r->suite, of,
			 r->components);
}

/*
 * "deb" lines from the host's apt: the archive's place and key, for our suite.
 * Updates and security updates where the host has them for its own: a small
 * archive of somebody's own need not have any. The origin is what the archive's
 * signed Release file says, which tells the distribution from what others offer
 * for it.
 */
static int host_mirrors(const struct recipe *r, struct strv *ret)
{
	const char *av[] = { "apt-get",
			     "indextargets",
			     "--format",
			     "$(RELEASE) $(REPO_URI) $(SOURCESENTRY) $(ORIGIN)",
			     "Created-By: Packages",
			     NULL };
	struct archive_of base __attribute__((cleanup(archive_done))) = { 0 };
	struct archive_of security
		__attribute__((cleanup(archive_done))) = { 0 };
	_cleanup_free_ char *out = NULL;
	bool updates = false;
	char *save = NULL;
	int rc;

	if (bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, &out, NULL) == 0 && out)
		for (char *l = strtok_r(out, "\n", &save); l;
		     l = strtok_r(NULL, "\n", &save)) {
			char *in, *rel = strtok_r(l, " ", &in);
			char *uri = strtok_r(NULL, " ", &in);
			char *entry = strtok_r(NULL, " ", &in);
			/* all the rest: "Debian Backports" is not Debian */
			char *origin = strtok_r(NULL, "", &in);
			struct archive_of *a = NULL;

			if (!origin || strcasecmp(origin, r->distribution))
				continue;
			if (bh_endswith(rel, "-security"))
				a = &security;
			else if (bh_endswith(rel, "-updates"))
				updates = true;
			else if (!strchr(rel, '-'))
				a = &base;
			if (a && !a->uri) {
				a->uri = strdup(uri);
				a->key = key_of(entry);
			}
		}
	if (!base.uri)
		return fail(
			VMB_SOURCE,
			"the host's apt knows no %s archive; run apt-get update if it never was, or give one with --mirror URL or mirror = in bootstrap.conf",
			r->distribution);
	rc = add_line(r, &base, "", ret);
	if (rc >= 0 && updates)
		rc = add_line(r, &base, "-updates", ret);
	if (rc >= 0 && security.uri)
		rc = add_line(r, &security, "-security", ret);
	return rc < 0 ? oom() : 0;
}

static int mirror_lines(const struct fill_recipe *f, struct strv *ret)
{
	const char *m = f->mirror ? f->mirror : f->recipe->mirror;

	if (!m)
		return host_mirrors(f->recipe, ret);
	/* "[trusted=yes] URL" passes options on. */
	if (strv_addf(ret, "deb %s %s %s", m, f->recipe->suite,
		      f->recipe->components) < 0)
		return oom();
	return 0;
}

static char *join(const struct strv *a, const struct strv *b, char sep)
{
	_cleanup_buf_ struct buf out = { 0 };

	(void)buf_add(&out, "", 0);
	for (int k = 0; k < 2; k++) {
		const struct strv *s = k ? b : a;

		for (size_t i = 0; s && i < s->n; i++)
			if (buf_addf(&out, "%.*s%s", out.n ? 1 : 0, &sep,
				     s->v[i]) < 0)
				return NULL;
	}
	return TAKE_PTR(out.s);
}

static bool wants_kernel(const struct fill_recipe *f)
{
	return !streq(f->boot, "host");
}

static int source_failed(const char *program, int rc, const struct watch *w)
{
	if (w->full)
		return fail(
			VMB_NOSPACE,
			"%s: the system does not fit into the template's volume; give it more with --size, or build-size in the recipe",
			program);
	return fail(
		VMB_SOURCE,
		"%s failed (exit code %d): %s; check the network and the mirror (--mirror URL), VM_BOOTSTRAP_VERBOSE=1 shows all it says",
		program, rc, *w->error ? w->error : w->last);
}

/* Of a "deb" line: where the archive is, and what its options say of keys. */
static const char *line_url(const struct strv *words, char **ret_key)
{
	for (size_t i = 0; i < words->n; i++) {
		char *w = words->v[i];
		char *k = strstr(w, "signed-by="), *t = strstr(w, "trusted=");

		if (strstr(w, ":/"))
			return w;
		w[strcspn(w, "]")] = 0;
		free(k || t ? *ret_key : NULL);
		if (k)
			*ret_key = bh_asprintf("--keyring=%s", k + 10);
		else if (t)
			*ret_key = strdup("--no-check-gpg");
	}
	return NULL;
}

/*
 * debootstrap takes one bare URL, the first line's, and all guests would know
 * of; the others (updates, security) come into sources.list afterwards.
 */
static int run_debootstrap(const struct fill_recipe *f, const char *mnt,
			   const char *include, const struct strv *mirrors,
			   struct watch *w)
{
	_cleanup_strv_ struct strv words = { 0 };
	_cleanup_free_ char *inc = bh_asprintf("--include=%s", include);
	_cleanup_free_ char *comp =
		bh_asprintf("--components=%s", f->recipe->components);
	_cleanup_free_ char *list = bh_asprintf("%s/etc/apt/sources.list", mnt);
	_cleanup_free_ char *text = join(mirrors, NULL, '\n'), *key = NULL;
	const char *url;
	int rc;

	if (!inc || !comp || !list || !text ||
	    strv_split(&words, mirrors->v[0], " ") < 0)
		return oom();
	for (char *p = comp; (p = strchr(p, ' '));)
		*p = ',';
	url = line_url(&words, &key);
	{
		const char *av[] = { "debootstrap",
				     "--variant=minbase",
				     inc,
				     comp,
				     key ? key : "--force-check-gpg",
				     f->recipe->suite,
				     mnt,
				     url,
				     NULL };

		rc = bh_run_lines(av, BH_RUN_TIED, watch_line, w);
	}
	if (rc)
		return source_failed("debootstrap", rc, w);
	rc = bh_fill_file(list, text, strlen(text), 0644);
	return rc < 0 ? fail(VMB_FAILED, "cannot write %s: %s", list,
			     strerror(-rc))
		      : 0;
}

static int run_mmdebstrap(const struct fill_recipe *f, const char *mnt,
			  const char *include, const struct strv *mirrors,
			  struct watch *w)
{
	_cleanup_strv_ struct strv av = { 0 };
	int rc = strv_split(&av,
			    "mmdebstrap --mode=root --variant=minbase "
			    "--format=directory --skip=cleanup/apt/lists/fail",
			    " ");

	if (rc >= 0)
		rc = strv_addf(&av, "--include=%s", include);
	if (rc >= 0)
		rc = strv_add(&av, f->recipe->suite);
	if (rc >= 0)
		rc = strv_add(&av, mnt);
	for (size_t i = 0; rc >= 0 && i < mirrors->n; i++)
		rc = strv_add(&av, mirrors->v[i]);
	if (rc < 0)
		return oom();
	rc = bh_run_lines((const char *const *)av.v, BH_RUN_TIED, watch_line,
			  w);
	return rc ? source_failed("mmdebstrap", rc, w) : 0;
}

static int run_steps(const struct fill_recipe *f, const char *mnt)
{
	int r = chroot_prepare(mnt);

	for (size_t i = 0; r >= 0 && i < f->recipe->run.n; i++) {
		int rc;

		progress("running the recipe's steps", 92);
		rc = guestfs_shell(f->recipe->run.v[i], NULL, NULL);
		if (rc)
			r = fail(VMB_FAILED,
				 "%s: step \"%s\" failed (exit code %d)",
				 f->recipe->path, f->recipe->run.v[i], rc);
	}
	return r;
}

/* Keys that no package brings: the guest's apt asks for them where ours did. */
static int copy_keys(const struct strv *mirrors, const char *mnt)
{
	for (size_t i = 0; i < mirrors->n; i++) {
		_cleanup_free_ char *key =
			apt_signed_by(mirrors->v[i], false, 1);
		_cleanup_free_ char *to =
			key ? bh_asprintf("%s%s", mnt, key) : NULL;
		_cleanup_free_ char *data = NULL, *dir = to ? strdup(to) : NULL;
		size_t n;

		if (!dir || access(to, F_OK) == 0)
			continue;
		*strrchr(dir, '/') = 0;
		if (bh_read_file(key, 1 << 20, &data, &n) < 0 ||
		    bh_mkdir_p(dir, 0755) < 0 ||
		    bh_fill_file(to, data, n, 0644) < 0)
			return fail(VMB_FAILED, "cannot copy %s to %s: %m", key,
				    to);
	}
	return 0;
}

static int finish(const struct fill_recipe *f, const char *mnt)
{
	int r = run_steps(f, mnt);

	if (r >= 0)
		r = fill_guest_tools(mnt);
	if (r >= 0 && wants_kernel(f))
		r = fill_boot_menu(mnt, *f->uuid);
	return r;
}

int fill_debian(const char *mnt, void *arg)
{
	const struct fill_recipe *f = arg;
	_cleanup_strv_ struct strv mirrors = { 0 };
	_cleanup_free_ char *include = NULL;
	struct watch w = { .phase = (const void *)deb_phases,
			   .n = ARRAY_SIZE(deb_phases) };
	int r;

	if (!f->recipe->distribution || !f->recipe->suite)
		return fail(VMB_USAGE, "%s: distribution and suite are needed",
			    f->recipe->path);
	r = mirror_lines(f, &mirrors);
	if (r < 0)
		return r;
	include = join(&f->recipe->packages,
		       wants_kernel(f) ? &f->recipe->boot_packages : NULL, ',');
	if (!include)
		return oom();
	progress("starting", 1);
	if (bh_have_program("mmdebstrap"))
		r = run_mmdebstrap(f, mnt, include, &mirrors, &w);
	else if (bh_have_program("debootstrap"))
		r = run_debootstrap(f, mnt, include, &mirrors, &w);
	else
		r = fail(
			VMB_MISSING,
			"building %s needs mmdebstrap or debootstrap; install one of them",
			f->recipe->name);
	if (r >= 0)
		r = copy_keys(&mirrors, mnt);
	return r < 0 ? r : finish(f, mnt);
}

/*
 * What kernel-install(8) is to do when the kernel's package calls it, now and at
 * every upgrade in the guest: entries of the Boot Loader Specification below
 * /boot, which bootread reads. By itself it would take them for another boot
 * loader's business, and the arguments from the machine this is built on. The
 * machine id, with which entries are named otherwise, changes with every guest.
 */
static int prepare_kernel(const char *mnt, const char *uuid)
{
	_cleanup_free_ char *cmdline =
		bh_asprintf("root=UUID=%s ro console=hvc0\n", uuid);
	const char *const files[][2] = {
		{ "install.conf", "layout=bls\nBOOT_ROOT=/boot\n" },
		{ "entry-token", "bulkhead\n" },
		{ "cmdline", cmdline },
	};
	_cleanup_free_ char *dir = bh_asprintf("%s/etc/kernel", mnt);

	if (!cmdline || !dir || bh_mkdir_p(dir, 0755) < 0)
		return oom();
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *p = bh_asprintf("%s/%s", dir, files[i][0]);

		if (!p ||
		    bh_fill_file(p, files[i][1], strlen(files[i][1]), 0644) < 0)
			return fail(VMB_FAILED, "cannot write %s: %m", p);
	}
	return 0;
}

/*
 * The kernel's package leaves it to kernel-install to bring the kernel to /boot.
 * Where that did not work (it says so, and the transaction goes on), by hand.
 */
static int place_kernels(const char *mnt)
{
	static const char script[] =
		"for k in /lib/modules/*/vmlinuz; do\n"
		"	[ -s \"$k\" ] || continue\n"
		"	v=${k%/vmlinuz}; v=${v##*/}\n"
		"	e=/boot/loader/entries/bulkhead-$v.conf\n"
		"	set -- \"/boot/bulkhead/$v\"/initrd*\n"
		"	if [ -s \"$e\" ] && [ -s \"$1\" ]; then continue; fi\n"
		"	[ ! -e \"$e\" ] || rm \"$e\" || exit 1\n"
		"	[ -s \"/boot/vmlinuz-$v\" ] || cp \"$k\" \"/boot/vmlinuz-$v\" || exit 1\n"
		"	i=/boot/initramfs-$v.img\n"
		"	[ -s \"$i\" ] || dracut --force --no-hostonly \"$i\" \"$v\" || exit 1\n"
		"done";
	_cleanup_free_ char *boot = bh_asprintf("%s/boot", mnt);
	int rc;

	if (!boot || bh_mkdir_p(boot, 0755) < 0)
		return oom();
	rc = guestfs_shell(script, NULL, NULL);
	return rc ? fail(VMB_FAILED,
			 "the new root's dracut makes no initrd (exit code %d)",
			 rc)
		  : 0;
}

int fill_dnf(const char *mnt, void *arg)
{
	const struct fill_recipe *f = arg;
	_cleanup_strv_ struct strv av = { 0 };
	struct watch w = { .phase = (const void *)dnf_phases,
			   .n = ARRAY_SIZE(dnf_phases) };
	const char *mirror = f->mirror ? f->mirror : f->recipe->mirror;
	const struct strv *lists[] = { &f->recipe->packages,
				       wants_kernel(f)
					       ? &f->recipe->boot_packages
					       : NULL };
	int r;

	if (!bh_have_program("dnf"))
		return fail(VMB_MISSING, "building %s needs dnf; install it",
			    f->recipe->name);
	r = strv_split(&av,
		       "dnf -y --setopt=install_weak_deps=False "
		       "--setopt=tsflags=nodocs --setopt=keepcache=False",
		       " ");
	if (r >= 0)
		r = strv_addf(&av, "--installroot=%s", mnt);
	if (r >= 0 && f->recipe->suite)
		r = strv_addf(&av, "--releasever=%s", f->recipe->suite);
	if (r >= 0 && mirror) {
		r = strv_split(&av, "--disablerepo=* --enablerepo=bulkhead",
			       " ");
		if (r >= 0)
			r = strv_addf(&av, "--repofrompath=bulkhead,%s",
				      mirror);
		/* A directory of one's own has no key. */
		if (r >= 0 && (bh_startswith(mirror, "/") ||
			       bh_startswith(mirror, "file:")))
			r = strv_add(&av, "--setopt=bulkhead.gpgcheck=0");
	}
	if (r >= 0)
		r = strv_add(&av, "install");
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		for (size_t i = 0; r >= 0 && lists[k] && i < lists[k]->n; i++)
			r = strv_add(&av, lists[k]->v[i]);
	if (r < 0)
		return oom();
	r = chroot_prepare(mnt); /* scriptlets want /dev and /proc */
	if (r >= 0 && wants_kernel(f))
		r = prepare_kernel(mnt, *f->uuid);
	if (r < 0)
		return r;
	progress("resolving dependencies", 2);
	r = bh_run_lines((const char *const *)av.v, BH_RUN_TIED, watch_line,
			 &w);
	if (r)
		return source_failed("dnf", r, &w);
	r = wants_kernel(f) ? place_kernels(mnt) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < f->recipe->run.n; i++) {
		r = guestfs_shell(f->recipe->run.v[i], NULL, NULL);
		if (r)
			return fail(VMB_FAILED,
				    "%s: step \"%s\" failed (exit code %d)",
				    f->recipe->path, f->recipe->run.v[i], r);
	}
	r = fill_guest_tools(mnt);
	return r >= 0 && wants_kernel(f) ? fill_boot_menu(mnt, *f->uuid) : r;
}
