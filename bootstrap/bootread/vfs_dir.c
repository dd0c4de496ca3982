/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mounted way of vfs.h; the process has its root in the mount. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "vfs.h"

static int dir_read(struct vfs *v __unused_arg, const char *path, size_t max,
		    char **ret, size_t *ret_len, uint64_t *ret_mtime)
{
	_cleanup_close_ int fd =
		open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	_cleanup_free_ char *data = NULL;
	struct stat st;
	size_t done = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	while (done < (size_t)st.st_size) {
		ssize_t r = read(fd, data + done, (size_t)st.st_size - done);

		if (r <= 0)
			return -EIO;
		done += (size_t)r;
	}
	data[done] = 0;
	*ret_len = done;
	if (ret_mtime)
		*ret_mtime = (uint64_t)st.st_mtime;
	*ret = TAKE_PTR(data);
	return 0;
}

static int dir_list(struct vfs *v __unused_arg, const char *dir,
		    struct strv *ret)
{
	DIR *d = opendir(dir);
	struct dirent *de;

	if (!d)
		return -errno;
	while ((de = readdir(d)) && ret->n < 4096)
		if (!streq(de->d_name, ".") && !streq(de->d_name, ".."))
			(void)strv_add(ret, de->d_name);
	closedir(d);
	return 0;
}

static void dir_close(struct vfs *v __unused_arg)
{
}

static const struct vfs_ops dir_ops = { dir_read, dir_list, dir_close };

int vfs_open_root(struct vfs *ret)
{
	ret->ops = &dir_ops;
	ret->priv = NULL;
	return 0;
}
