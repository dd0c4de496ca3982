/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See identity.h. The current root is the guest's when these run. */
#define _GNU_SOURCE
#include "identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <bulkhead/run.h>

#include "inguest.h"

int hostkeys_make(struct hostkeys *k, const char *mnt)
{
	static const char *const types[] = { "ed25519", "ecdsa" };
	_cleanup_free_ char *sshd = bh_asprintf("%s/etc/ssh", mnt);
	static const char dir[] = "/run/bulkhead/keys";
	struct stat st;

	/* lstat: a link planted there must not lead us about. */
	if (!sshd || lstat(sshd, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	k->wanted = true;
	if (!bh_have_program("ssh-keygen"))
		return fail(
			VMB_MISSING,
			"ssh-keygen is needed for the guest's host keys; install openssh-client");
	if (bh_mkdir_p(dir, 0700) < 0 ||
	    mount("tmpfs", dir, "tmpfs", MS_NODEV | MS_NOSUID, "mode=700") < 0)
		return fail(VMB_FAILED, "cannot mount a tmpfs on %s: %m", dir);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		_cleanup_free_ char *f = bh_asprintf("%s/%s", dir, types[i]);
		_cleanup_free_ char *pub = bh_asprintf("%s.pub", f);
		const char *av[] = { "ssh-keygen", "-q", "-t", types[i],
				     "-N",         "",   "-C", "",
				     "-f",         f,    NULL };

		if (!f || !pub ||
		    bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, NULL, NULL) ||
		    bh_read_file(f, 65536, &k->key[k->n].text, NULL) < 0 ||
		    bh_read_file(pub, 65536, &k->key[k->n + 1].text, NULL) < 0)
			return fail(VMB_FAILED, "ssh-keygen -t %s failed",
				    types[i]);
		k->key[k->n].name =
			bh_asprintf("/etc/ssh/ssh_host_%s_key", types[i]);
		k->key[k->n++].mode = 0600;
		k->key[k->n].name =
			bh_asprintf("/etc/ssh/ssh_host_%s_key.pub", types[i]);
		k->key[k->n++].mode = 0644;
	}
	return umount2(dir, MNT_DETACH) < 0
		       ? fail(VMB_FAILED, "cannot unmount %s: %m", dir)
		       : 0;
}

void hostkeys_done(struct hostkeys *k)
{
	for (unsigned int i = 0; i < k->n; i++) {
		free(k->key[i].name);
		if (k->key[i].text)
			explicit_bzero(k->key[i].text, strlen(k->key[i].text));
		free(k->key[i].text);
	}
	memset(k, 0, sizeof(*k));
}

static int set_names(const struct identity *id)
{
	_cleanup_free_ char *hosts = NULL;
	_cleanup_buf_ struct buf b = { 0 };
	size_t host_len = strcspn(id->hostname, ".");
	char *save = NULL;
	int r;

	/* The FQDN goes to hosts, the first part is the name. */
	r = inguest_writef("/etc/hostname", 0644, "%.*s\n", (int)host_len,
			   id->hostname);
	if (r < 0)
		return r;
	(void)inguest_read("/etc/hosts", &hosts);
	buf_addf(&b, "127.0.0.1\tlocalhost\n127.0.1.1\t%s%s%.*s\n",
		 id->hostname, id->hostname[host_len] ? " " : "",
		 id->hostname[host_len] ? (int)host_len : 0, id->hostname);
	if (!hosts)
		buf_addf(&b, "::1\tlocalhost ip6-localhost ip6-loopback\n");
	for (char *l = hosts ? strtok_r(hosts, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		if (!bh_startswith(l, "127.0.1.1") &&
		    !bh_startswith(l, "127.0.0.1"))
			buf_addf(&b, "%s\n", l);
	return inguest_write("/etc/hosts", b.s, 0644);
}

static int set_machine_id(void)
{
	unsigned char id[16];
	struct stat st;
	char hex[34];
	int r;

	if (lstat("/etc/systemd", &st) < 0 && lstat("/etc/machine-id", &st) < 0)
		return 0;
	uuid_random(id);
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	strcat(hex, "\n");
	r = inguest_write("/etc/machine-id", hex, 0444);
	/* D-Bus may have a copy of its own instead of a link. */
	if (r >= 0 && lstat("/var/lib/dbus/machine-id", &st) == 0 &&
	    S_ISREG(st.st_mode))
		r = inguest_write("/var/lib/dbus/machine-id", hex, 0444);
	return r;
}

static void remove_matching(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (*de->d_name != '.' && bh_startswith(de->d_name, prefix))
			(void)unlinkat(dirfd(d), de->d_name, 0);
	if (d)
		closedir(d);
}

static void forget_instance(void)
{
	static const char *const files[] = {
		"/var/lib/systemd/random-seed",
		"/var/lib/systemd/credential.secret",
		"/var/lib/NetworkManager/secret_key",
		"/var/lib/cloud/instance",
		"/etc/udev/rules.d/70-persistent-net.rules",
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)unlink(files[i]);
	remove_matching("/etc/ssh", "ssh_host_");
	remove_matching("/var/lib/dhcp", "");
	remove_matching("/var/lib/NetworkManager", "dhclient");
	remove_matching("/var/lib/NetworkManager", "internal-");
	remove_matching("/etc/systemd/network", "09-bulkhead");
	remove_matching("/etc/systemd/network", "10-bulkhead");
	remove_matching("/etc/NetworkManager/system-connections", "bulkhead");
}

int identity_strip(void)
{
	struct stat st;

	forget_instance();
	if (lstat("/etc/machine-id", &st) == 0)
		return inguest_write("/etc/machine-id", "", 0444);
	return 0;
}

/* Those of the line for the same file system there is, or opts as they are. */
static void root_options(const char *old, const char *fstype, char opts[256])
{
	_cleanup_free_ char *copy = strdup(old ? old : "");
	char *save = NULL;

	for (char *l = copy ? strtok_r(copy, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save)) {
		char what[256], where[256], type[64], o[256];

		if (sscanf(l, " %255s %255s %63s %255s", what, where, type,
			   o) == 4 &&
		    *what != '#' && streq(where, "/") && streq(type, fstype))
			memcpy(opts, o, sizeof(o));
	}
}

char *fstab_rewrite(const char *old, const struct identity *id)
{
	_cleanup_free_ char *copy = strdup(old ? old : "");
	_cleanup_buf_ struct buf b = { 0 };
	char opts[256] = "defaults";
	char *save = NULL;

	if (!copy)
		return NULL;
	root_options(old, id->fstype, opts);
	buf_addf(&b, "UUID=%s / %s %s%s 0 %d\n", id->root_uuid, id->fstype,
		 opts,
		 streq(id->fstype, "ext3") || strstr(opts, "x-systemd.growfs")
			 ? ""
			 : ",x-systemd.growfs",
		 bh_startswith(id->fstype, "ext") ? 1 : 0);
	if (id->swap_uuid)
		buf_addf(&b, "UUID=%s none swap sw 0 0\n", id->swap_uuid);
	for (char *l = strtok_r(copy, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save)) {
		char what[256] = "", where[256] = "", type[64] = "";

		/* A swap file is in the disk and has come along. */
		if (sscanf(l, " %255s %255s %63s", what, where, type) == 3 &&
		    *what != '#' &&
		    (streq(where, "/") ||
		     (streq(type, "swap") &&
		      (*what != '/' || bh_startswith(what, "/dev/")))))
			continue;
		/* The installer's notes on devices that are not here. */
		if (bh_startswith(l, "# UNCONFIGURED"))
			continue;
		buf_addf(&b, "%s\n", l);
	}
	return TAKE_PTR(b.s);
}

static int set_mounts(const struct identity *id)
{
	static const char *const boot[] = {
		"/boot/grub/grub.cfg",
		"/boot/grub2/grub.cfg",
		"/boot/extlinux/extlinux.conf",
		"/etc/kernel/cmdline",
		"/etc/default/grub",
		"/boot/grub2/grubenv",
		"/boot/grub/grubenv",
	};
	_cleanup_free_ char *old = NULL, *fresh = NULL;
	int r;

	(void)inguest_read("/etc/fstab", &old);
	fresh = fstab_rewrite(old, id);
	if (!fresh)
		return oom();
	r = inguest_write("/etc/fstab", fresh, 0644);
	for (size_t i = 0; r >= 0 && id->old_uuid && i < ARRAY_SIZE(boot); i++)
		r = inguest_replace(boot[i], id->old_uuid, id->root_uuid);
	if (r >= 0 && id->old_uuid)
		r = inguest_replace_in_dir("/boot/loader/entries", ".conf",
					   id->old_uuid, id->root_uuid);
	return r;
}

static bool has_udev(void)
{
	static const char *const files[] = { "/lib/systemd/systemd-udevd",
					     "/usr/lib/systemd/systemd-udevd",
					     "/sbin/udevd", "/usr/sbin/udevd",
					     "/lib/udev/udevd" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (access(files[i], F_OK) == 0)
			return true;
	return false;
}

static enum netstyle detect_net(void)
{
	if (access("/etc/bulkhead-tiny", F_OK) == 0)
		return NET_TINY;
	if (access("/etc/netplan", F_OK) == 0 &&
	    access("/usr/sbin/netplan", F_OK) == 0)
		return NET_NETPLAN;
	if (access("/usr/sbin/NetworkManager", F_OK) == 0)
		return NET_NM;
	/* wicked has an ifup, too, but another place for its files. */
	if (access("/etc/network", F_OK) == 0 &&
	    (access("/sbin/ifup", F_OK) == 0 ||
	     access("/usr/sbin/ifup", F_OK) == 0))
		return NET_IFUPDOWN;
	if (access("/lib/systemd/systemd-networkd", F_OK) == 0 ||
	    access("/usr/lib/systemd/systemd-networkd", F_OK) == 0)
		return NET_NETWORKD;
	return NET_NONE;
}

/* resolv.conf only where nobody in the guest manages it. */
static int set_resolver(const struct identity *id)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct stat st;

	if (lstat("/etc/resolv.conf", &st) == 0 && S_ISLNK(st.st_mode))
		return 0;
	for (size_t i = 0; i < id->n_nics; i++)
		for (size_t k = 0; k < id->nics[i].dns.n; k++)
			buf_addf(&b, "nameserver %s\n", id->nics[i].dns.v[k]);
	return b.n ? inguest_write("/etc/resolv.conf", b.s, 0644) : 0;
}

/* Debian ships networkd without enabling it. */
static int enable_networkd(void)
{
	static const char link_[] =
		"/etc/systemd/system/multi-user.target.wants/systemd-networkd.service";
	int r = bh_mkdir_p("/etc/systemd/system/multi-user.target.wants", 0755);

	if (r >= 0 &&
	    symlink("/lib/systemd/system/systemd-networkd.service", link_) <
		    0 &&
	    errno != EEXIST)
		r = -errno;
	return r < 0 ? fail(VMB_FAILED,
			    "guest: cannot enable systemd-networkd: %s",
			    strerror(-r))
		     : 0;
}

static int set_network(const struct identity *id)
{
	enum netstyle style = id->net_detect ? detect_net() : id->net;
	struct netfiles nf = { 0 };
	int r;

	if (id->n_nics && style == NET_NONE && id->net_detect)
		note("%s: no network tool known in the guest; configure it by hand",
		     id->hostname);
	if (style == NET_IFUPDOWN && !has_udev())
		style = NET_IFUPDOWN_ETH;
	r = netconf_render(style, id->nics, id->n_nics, &nf);
	for (size_t i = 0; r >= 0 && i < nf.n; i++)
		r = inguest_write(nf.f[i].path, nf.f[i].text, nf.f[i].mode);
	netfiles_done(&nf);
	if (r >= 0 && style == NET_NETWORKD && id->n_nics)
		r = enable_networkd();
	return r < 0 ? r : set_resolver(id);
}

static int set_cloud(const struct identity *id)
{
	_cleanup_free_ char *iid = NULL;
	unsigned char u[16];
	struct stat st;
	int r;

	if (lstat("/etc/cloud/cloud.cfg", &st) < 0)
		return id->user_data
			       ? fail(VMB_USAGE,
				      "--user-data: the template has no cloud-init")
			       : 0;
	uuid_random(u);
	iid = uuid_text(u);
	r = inguest_writef("/var/lib/cloud/seed/nocloud/meta-data", 0600,
			   "instance-id: %s\nlocal-hostname: %s\n", iid,
			   id->hostname);
	if (r >= 0)
		r = inguest_write(
			"/var/lib/cloud/seed/nocloud/user-data",
			id->user_data
				? id->user_data
				: "#cloud-config\nssh_deletekeys: false\n",
			0600);
	/* The network is ours: written above in the guest's own language. */
	if (r >= 0)
		r = inguest_write("/etc/cloud/cloud.cfg.d/99-bulkhead.cfg",
				  "# Written by vm-bootstrap.\n"
				  "datasource_list: [NoCloud, None]\n"
				  "network: {config: disabled}\n"
				  "ssh_deletekeys: false\n",
				  0644);
	return r;
}

static int set_keys(const struct hostkeys *k)
{
	int r = 0;

	for (unsigned int i = 0; r >= 0 && i < k->n; i++)
		r = inguest_write(k->key[i].name, k->key[i].text,
				  k->key[i].mode);
	return r;
}

static unsigned int boot_files;

static int is_kernel(const char *path, const struct stat *st, int type,
		     struct FTW *f)
{
	static const char *const words[] = { "vmlinu", "kernel", "Image",
					     "linux" };

	/* Nobody has thousands of files there but to keep us busy. */
	if (f->level > 6 || ++boot_files > 10000)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (type == FTW_F && S_ISREG(st->st_mode) && st->st_size &&
		    strstr(path + f->base, words[i]))
			return 1;
	return 0;
}

static int check_kernel(const struct identity *id)
{
	boot_files = 0;
	if (!id->own_kernel || nftw("/boot", is_kernel, 8, FTW_PHYS) == 1)
		return 0;
	return fail(
		VMB_USAGE,
		"guest %s is to boot a kernel of its own, and its template has none in /boot; build that with --boot disk, or use --boot host",
		id->hostname);
}

int identity_apply(const struct identity *id, const struct hostkeys *keys)
{
	int r = check_kernel(id);

	if (r < 0)
		return r;
	if (id->mounts_only)
		return set_mounts(id);
	forget_instance();
	r = set_names(id);
	if (r >= 0)
		r = set_machine_id();
	if (r >= 0)
		r = set_mounts(id);
	if (r >= 0)
		r = set_keys(keys);
	if (r >= 0)
		r = inguest_users(id);
	if (r >= 0)
		r = set_network(id);
	if (r >= 0)
		r = set_cloud(id);
	return r;
}
