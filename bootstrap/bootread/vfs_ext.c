/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ext2/3/4 through libext2fs, with an I/O manager of our own over an already
 * open descriptor: inside the sandbox nothing can be opened any more. Reading
 * does not replay the journal; after an unclean stop the newest writes may be
 * missing, which is what the kept last-good kernel is for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <sys/stat.h>

#include "vfs.h"

struct dev {
	int fd;
	uint64_t off;
};

/* libext2fs passes only a name to open(); one device at a time is enough. */
static struct dev current;

static errcode_t dev_open(const char *name, int flags, io_channel *ret);

static errcode_t dev_close(io_channel ch)
{
	ext2fs_free_mem(&ch->name);
	ext2fs_free_mem(&ch);
	return 0;
}

static errcode_t dev_blksize(io_channel ch, int size)
{
	ch->block_size = size;
	return 0;
}

/* A negative count is a length in bytes. */
static errcode_t dev_read64(io_channel ch, unsigned long long block, int count,
			    void *data)
{
	size_t n = count < 0 ? (size_t) - (long)count
			     : (size_t)count * (size_t)ch->block_size;
	uint64_t at;

	if (block > (1ULL << 50))
		return EXT2_ET_SHORT_READ;
	at = current.off + block * (uint64_t)ch->block_size;
	while (n) {
		ssize_t r = pread(current.fd, data, n, (off_t)at);

		if (r <= 0)
			return EXT2_ET_SHORT_READ;
		data = (char *)data + r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

static errcode_t dev_read(io_channel ch, unsigned long block, int count,
			  void *data)
{
	return dev_read64(ch, block, count, data);
}

static errcode_t dev_write(io_channel ch __unused_arg,
			   unsigned long b __unused_arg, int n __unused_arg,
			   const void *d __unused_arg)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t dev_flush(io_channel ch __unused_arg)
{
	return 0;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "bootread",
	.open = dev_open,
	.close = dev_close,
	.set_blksize = dev_blksize,
	.read_blk = dev_read,
	.write_blk = dev_write,
	.flush = dev_flush,
	.read_blk64 = dev_read64,
};

static errcode_t dev_open(const char *name, int flags __unused_arg,
			  io_channel *ret)
{
	io_channel ch = NULL;

	if (ext2fs_get_memzero(sizeof(*ch), &ch))
		return EXT2_ET_NO_MEMORY;
	if (ext2fs_get_mem(strlen(name) + 1, &ch->name)) {
		ext2fs_free_mem(&ch);
		return EXT2_ET_NO_MEMORY;
	}
	strcpy(ch->name, name);
	ch->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	ch->manager = &manager;
	ch->block_size = 1024;
	ch->refcount = 1;
	*ret = ch;
	return 0;
}

static int ext_read(struct vfs *v, const char *path, size_t max, char **ret,
		    size_t *ret_len, uint64_t *ret_mtime)
{
	ext2_filsys fs = v->priv;
	struct ext2_inode inode;
	ext2_file_t f = NULL;
	_cleanup_free_ char *data = NULL;
	unsigned int got, done = 0;
	ext2_ino_t ino;
	uint64_t size;

	if (ext2fs_namei_follow(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino) ||
	    ext2fs_read_inode(fs, ino, &inode))
		return -ENOENT;
	if (!LINUX_S_ISREG(inode.i_mode))
		return -EINVAL;
	size = EXT2_I_SIZE(&inode);
	if (size > max)
		return -EFBIG;
	data = malloc((size_t)size + 1);
	if (!data)
		return -ENOMEM;
	if (ext2fs_file_open(fs, ino, 0, &f))
		return -EIO;
	while (done < size &&
	       !ext2fs_file_read(f, data + done, (unsigned int)(size - done),
				 &got) &&
	       got)
		done += got;
	ext2fs_file_close(f);
	if (done != size)
		return -EIO;
	data[size] = 0;
	*ret_len = (size_t)size;
	if (ret_mtime)
		*ret_mtime = inode.i_mtime;
	*ret = TAKE_PTR(data);
	return 0;
}

static int add_name(struct ext2_dir_entry *de, int offset __unused_arg,
		    int blocksize __unused_arg, char *buf __unused_arg,
		    void *arg)
{
	struct strv *s = arg;
	char name[256];
	int n = ext2fs_dirent_name_len(de);

	if (n <= 0 || n > 255 || s->n > 4096)
		return 0;
	memcpy(name, de->name, (size_t)n);
	name[n] = 0;
	if (!streq(name, ".") && !streq(name, ".."))
		(void)strv_add(s, name);
	return 0;
}

static int ext_list(struct vfs *v, const char *dir, struct strv *ret)
{
	ext2_filsys fs = v->priv;
	ext2_ino_t ino;

	if (ext2fs_namei_follow(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, dir, &ino))
		return -ENOENT;
	return ext2fs_dir_iterate(fs, ino, 0, NULL, add_name, ret) ? -EIO : 0;
}

static void ext_close(struct vfs *v)
{
	ext2_filsys fs = v->priv;

	(void)ext2fs_close_free(&fs);
}

static const struct vfs_ops ext_ops = { ext_read, ext_list, ext_close };

int vfs_open_ext(int fd, uint64_t offset, struct vfs *ret)
{
	ext2_filsys fs = NULL;

	current = (struct dev){ fd, offset };
	if (ext2fs_open("guest", EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES,
			0, 0, &manager, &fs))
		return -EINVAL;
	ret->ops = &ext_ops;
	ret->priv = fs;
	return 0;
}
