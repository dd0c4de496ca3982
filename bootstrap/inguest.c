/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See inguest.h. */
#define _GNU_SOURCE
#include "inguest.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "identity.h"

#define MAX_TEXT (4u << 20)
#define SELINUX  "security.selinux"

int inguest_read(const char *path, char **ret_text)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	struct stat st;
	ssize_t n;

	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > MAX_TEXT)
		return -EINVAL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	text[n] = 0;
	*ret_text = TAKE_PTR(text);
	return 0;
}

/* Where a new file's type differs from its directory's. */
static const char *special_type(const char *path)
{
	static const struct {
		const char *start, *part, *type;
	} types[] = {
		{ "/etc/ssh/ssh_host_", "", "sshd_key_t" },
		{ "/", "/.ssh", "ssh_home_t" },
		{ "/usr/lib/bulkhead/", "", "bin_t" },
		{ "/etc/", "/resolv.conf", "net_conf_t" },
	};
	const char *user = bh_startswith(path, "/home/");

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (bh_startswith(path, types[i].start) &&
		    strstr(path, types[i].part))
			return types[i].type;
	if (!user)
		return NULL;
	return strchr(path + 6, '/') ? "user_home_t" : "user_home_dir_t";
}

/*
 * The label that SELinux wants on a file: that of the one it replaces, else its
 * directory's, which is what the kernel would do, but for a few kinds. Nothing
 * where there are no labels. Without, sshd would have no keys and login no
 * passwords in a guest that enforces its policy.
 */
static size_t label_for(const char *path, char *label, size_t max)
{
	_cleanup_free_ char *dir = strdup(path);
	const char *type = special_type(path);
	char role[128], range[128];
	ssize_t n = lgetxattr(path, SELINUX, label, max);

	if (n > 0 || !dir)
		return n > 0 ? (size_t)n : 0;
	if (strrchr(dir, '/') == dir)
		return 0;
	*strrchr(dir, '/') = 0;
	n = lgetxattr(dir, SELINUX, label, max - 1);
	if (n <= 0)
		return 0;
	label[n] = 0;
	if (type &&
	    sscanf(label, "%127[^:]:%*[^:]:%*[^:]:%127s", role, range) == 2)
		n = snprintf(label, max, "%s:object_r:%s:%s", role, type,
			     range) +
		    1;
	return (size_t)n < max ? (size_t)n : 0;
}

void inguest_label(const char *path)
{
	char label[512];
	size_t n = label_for(path, label, sizeof(label));

	if (n)
		(void)lsetxattr(path, SELINUX, label, n, 0);
}

static int write_new(const char *path, const char *text, size_t n,
		     unsigned int mode)
{
	_cleanup_free_ char *tmp = bh_asprintf("%s.bulkhead-new", path);
	_cleanup_free_ char *dir = strdup(path);
	_cleanup_close_ int fd = -1;
	char label[512];
	struct stat st;
	size_t labelled;
	int r;

	if (!tmp || !dir)
		return oom();
	*strrchr(dir, '/') = 0;
	if (*dir && stat(dir, &st) < 0) {
		r = bh_mkdir_p(dir, 0755);
		if (r < 0)
			return fail(VMB_FAILED, "guest: cannot make %s: %s",
				    dir, strerror(-r));
		inguest_label(dir);
	}
	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		  0600);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n || fchmod(fd, mode) < 0)
		return fail(VMB_FAILED, "guest: cannot write %s: %m", path);
	/* An existing file keeps its owner (shadow belongs to a group). */
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    fchown(fd, st.st_uid, st.st_gid) < 0)
		return fail(VMB_FAILED, "guest: cannot write %s: %m", path);
	labelled = label_for(path, label, sizeof(label));
	if (labelled)
		(void)fsetxattr(fd, SELINUX, label, labelled, 0);
	if (rename(tmp, path) < 0)
		return fail(VMB_FAILED, "guest: cannot write %s: %m", path);
	return 0;
}

int inguest_write(const char *path, const char *text, unsigned int mode)
{
	return text ? write_new(path, text, strlen(text), mode) : oom();
}

int inguest_writef(const char *path, unsigned int mode, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0) {
		text = NULL;
		return oom();
	}
	return inguest_write(path, text, mode);
}

int inguest_replace(const char *path, const char *from, const char *to)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_buf_ struct buf b = { 0 };
	struct stat st;
	char *p, *hit;

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
	    inguest_read(path, &text) < 0 || !strstr(text, from))
		return 0;
	for (p = text; (hit = strstr(p, from)); p = hit + strlen(from))
		if (buf_add(&b, p, (size_t)(hit - p)) < 0 ||
		    buf_add(&b, to, strlen(to)) < 0)
			return oom();
	if (buf_add(&b, p, strlen(p)) < 0)
		return oom();
	return write_new(path, b.s, b.n, st.st_mode & 0777);
}

int inguest_replace_in_dir(const char *dir, const char *suffix,
			   const char *from, const char *to)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	int r = 0;

	while (r >= 0 && d && (de = readdir(d))) {
		_cleanup_free_ char *p = NULL;

		if (!bh_endswith(de->d_name, suffix))
			continue;
		p = bh_asprintf("%s/%s", dir, de->d_name);
		r = p ? inguest_replace(p, from, to) : oom();
	}
	if (d)
		closedir(d);
	return r;
}

static const char *line_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p && *p;
	     p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (strncmp(p, name, n) == 0 && p[n] == ':')
			return p;
	return NULL;
}

char *colon_set_field(const char *text, const char *name, unsigned int field,
		      const char *value)
{
	const char *p = line_of(text, name);

	if (!p)
		return strdup(text);
	for (; field && *p && *p != '\n'; p++)
		if (*p == ':')
			field--;
	return bh_asprintf("%.*s%s%s", (int)(p - text), text, value,
			   p + strcspn(p, ":\n"));
}

char *group_add_member(const char *text, const char *group, const char *user)
{
	const char *p = line_of(text, group), *end;

	if (!p)
		return strdup(text);
	end = p + strcspn(p, "\n");
	return bh_asprintf("%.*s%s%s%s", (int)(end - text), text,
			   end > p && end[-1] == ':' ? "" : ",", user, end);
}

unsigned long passwd_free_id(const char *passwd)
{
	unsigned long best = 1000;

	for (const char *p = passwd; p && *p;
	     p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		unsigned long id;

		if (sscanf(p, "%*[^:]:%*[^:]:%lu:", &id) == 1 && id >= best &&
		    id < 60000)
			best = id + 1;
	}
	return best;
}

static int write_keys(const char *home, unsigned long uid, const char *keys)
{
	_cleanup_free_ char *dir = bh_asprintf("%s/.ssh", home);
	_cleanup_free_ char *file =
		bh_asprintf("%s/.ssh/authorized_keys", home);
	int r;

	if (!dir || !file)
		return oom();
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fail(VMB_FAILED, "guest: cannot make %s: %m", dir);
	inguest_label(dir);
	r = inguest_write(file, keys, 0600);
	if (r < 0)
		return r;
	if (lchown(dir, (uid_t)uid, (gid_t)uid) < 0 ||
	    lchown(file, (uid_t)uid, (gid_t)uid) < 0)
		return fail(VMB_FAILED, "guest: cannot own %s: %m", file);
	return 0;
}

/* Like cp -r /etc/skel, for plain files. */
static void copy_skel(const char *home, uid_t uid)
{
	DIR *d = opendir("/etc/skel");
	struct dirent *de;

	while (d && (de = readdir(d))) {
		_cleanup_free_ char *from =
			bh_asprintf("/etc/skel/%s", de->d_name);
		_cleanup_free_ char *to =
			bh_asprintf("%s/%s", home, de->d_name);
		_cleanup_free_ char *text = NULL;

		if (from && to && inguest_read(from, &text) >= 0 &&
		    inguest_write(to, text, 0644) >= 0)
			(void)lchown(to, uid, uid);
	}
	if (d)
		closedir(d);
}

static int add_user(const struct identity *id)
{
	_cleanup_free_ char *passwd = NULL, *shadow = NULL, *group = NULL;
	_cleanup_free_ char *home = bh_asprintf("/home/%s", id->user);
	static const char *const extra[] = { "sudo", "wheel", "adm" };
	unsigned long uid;
	int r;

	if (inguest_read("/etc/passwd", &passwd) < 0 ||
	    inguest_read("/etc/group", &group) < 0)
		return fail(VMB_FAILED, "guest: no /etc/passwd to add %s to",
			    id->user);
	if (line_of(passwd, id->user))
		return fail(VMB_CONFLICT,
			    "user \"%s\" exists in the template already",
			    id->user);
	uid = passwd_free_id(passwd);
	r = inguest_writef("/etc/passwd", 0644, "%s%s:x:%lu:%lu:%s:%s:%s\n",
			   passwd, id->user, uid, uid, id->user, home,
			   access("/bin/bash", X_OK) == 0 ? "/bin/bash"
							  : "/bin/sh");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(extra); i++) {
		char *g = group_add_member(group, extra[i], id->user);

		free(group);
		group = g;
		if (!g)
			return oom();
	}
	if (r >= 0)
		r = inguest_writef("/etc/group", 0644, "%s%s:x:%lu:\n", group,
				   id->user, uid);
	if (r >= 0 && inguest_read("/etc/shadow", &shadow) >= 0)
		r = inguest_writef("/etc/shadow", 0640,
				   "%s%s:%s:19700:0:99999:7:::\n", shadow,
				   id->user,
				   id->password_hash ? id->password_hash : "*");
	if (r < 0)
		return r;
	if (bh_mkdir_p(home, 0750) < 0 ||
	    lchown(home, (uid_t)uid, (gid_t)uid) < 0)
		return fail(VMB_FAILED, "guest: cannot make %s: %m", home);
	inguest_label(home);
	copy_skel(home, (uid_t)uid);
	return id->ssh_keys ? write_keys(home, uid, id->ssh_keys) : 0;
}

/* A password belongs into a file that not everybody reads; tiny has none. */
static int make_shadow(void)
{
	_cleanup_free_ char *old = NULL;
	_cleanup_buf_ struct buf passwd = { 0 }, shadow = { 0 };
	char *save = NULL;
	int r;

	if (inguest_read("/etc/passwd", &old) < 0)
		return fail(VMB_FAILED,
			    "guest: no /etc/passwd to set a password in");
	for (char *l = strtok_r(old, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save)) {
		char *pw = strchr(l, ':'),
		     *rest = pw ? strchr(pw + 1, ':') : NULL;

		if (!rest ||
		    buf_addf(&passwd, "%.*s:x%s\n", (int)(pw - l), l, rest) <
			    0 ||
		    buf_addf(&shadow, "%.*s:19700:0:99999:7:::\n",
			     (int)(rest - l), l) < 0)
			return fail(VMB_FAILED,
				    "guest: /etc/passwd is damaged");
	}
	r = inguest_write("/etc/shadow", shadow.s, 0600);
	return r < 0 ? r : inguest_write("/etc/passwd", passwd.s, 0644);
}

static int set_root(const struct identity *id)
{
	_cleanup_free_ char *shadow = NULL, *fresh = NULL;
	/* "*" and not "!": sshd refuses keys of accounts locked with "!". */
	const char *hash =
		id->password_hash && !id->user ? id->password_hash : "*";
	int r = 0;

	if (inguest_read("/etc/shadow", &shadow) >= 0) {
		fresh = colon_set_field(shadow, "root", 1, hash);
		r = inguest_write("/etc/shadow", fresh, 0640);
	}
	if (r >= 0 && id->ssh_keys && access("/root", F_OK) == 0)
		r = write_keys("/root", 0, id->ssh_keys);
	return r;
}

int inguest_users(const struct identity *id)
{
	struct stat st;
	int r;

	if (id->keep_root)
		return 0;
	r = id->password_hash && lstat("/etc/shadow", &st) < 0 ? make_shadow()
							       : 0;
	if (r >= 0)
		r = set_root(id);
	return r >= 0 && id->user ? add_user(id) : r;
}

/*
 * libcrypt changes its soname between distributions (.1 in Debian, .2 in EL);
 * loading it by name keeps one binary good for both.
 */
int password_hash(const char *password, char **ret)
{
	static const char b64[] =
		"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char *(*crypt_fn)(const char *, const char *) = NULL;
	unsigned char salt[16];
	char setting[24] = "$6$";
	void *lib = dlopen("libcrypt.so.1", RTLD_NOW);
	const char *hash;

	if (!lib)
		lib = dlopen("libcrypt.so.2", RTLD_NOW);
	if (lib)
		*(void **)&crypt_fn = dlsym(lib, "crypt");
	if (!crypt_fn || random_bytes(salt, sizeof(salt)) < 0)
		return fail(VMB_MISSING, "--password-file needs libcrypt");
	for (size_t i = 0; i < sizeof(salt); i++)
		setting[3 + i] = b64[salt[i] & 63];
	setting[19] = 0;
	hash = crypt_fn(password, setting);
	if (!hash || *hash == '*')
		return fail(VMB_FAILED, "cannot hash the password");
	*ret = strdup(hash);
	return *ret ? 0 : oom();
}
