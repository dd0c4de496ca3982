/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fs.h. ext4 is the default everywhere: it is the one every kernel has
 * built in. It is made with metadata_csum_seed, so that a new UUID is a
 * matter of one block and not of rewriting every checksum.
 */
#define _GNU_SOURCE
#include "fs.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include <bulkhead/run.h>

#include "util.h"

void progress(const char *what, unsigned int percent)
{
	static char last[80];
	static unsigned int last_pct;
	static time_t start, last_t;
	time_t now = time(NULL);
	long s;

	if (opt_quiet)
		return;
	if (strncmp(last, what, sizeof(last) - 1) != 0) {
		if (*last && isatty(2))
			fputc('\n', stderr);
		snprintf(last, sizeof(last), "%s", what);
		if (!start)
			start = now;
		last_t = 0;
		last_pct = 101;
	}
	s = (long)(now - start);
	if (isatty(2)) {
		fprintf(stderr, "\r[%3u%%] %02ld:%02ld %s\033[K", percent,
			s / 60, s % 60, what);
	} else if (last_pct == 101 || (percent / 25 != last_pct / 25) ||
		   now - last_t >= 30) {
		fprintf(stderr, "%3u%% %02ld:%02ld %s\n", percent, s / 60,
			s % 60, what);
		last_t = now;
	}
	last_pct = percent;
	fflush(stderr);
}

void progress_end(void)
{
	if (!opt_quiet && isatty(2))
		fputs("\r\033[K", stderr);
}

int fs_probe(const char *dev, char **ret_type, char **ret_uuid)
{
	blkid_probe pr = blkid_new_probe_from_filename(dev);
	const char *v;

	*ret_type = NULL;
	if (ret_uuid)
		*ret_uuid = NULL;
	if (!pr)
		return fail(VMB_FAILED, "cannot open %s: %m", dev);
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE |
						      BLKID_SUBLKS_UUID);
	if (blkid_do_safeprobe(pr) == 0) {
		if (!blkid_probe_lookup_value(pr, "TYPE", &v, NULL))
			*ret_type = strdup(v);
		if (ret_uuid && !blkid_probe_lookup_value(pr, "UUID", &v, NULL))
			*ret_uuid = strdup(v);
	}
	blkid_free_probe(pr);
	return 0;
}

bool fs_is_known(const char *type)
{
	return type && (streq(type, "ext2") || streq(type, "ext3") ||
			streq(type, "ext4") || streq(type, "xfs") ||
			streq(type, "btrfs"));
}

int fs_check_type(const char *type)
{
	static const struct {
		const char *type, *tool;
	} known[] = { { "ext4", "mke2fs" },
		      { "ext3", "mke2fs" },
		      { "xfs", "mkfs.xfs" },
		      { "btrfs", "mkfs.btrfs" } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!streq(known[i].type, type))
			continue;
		if (bh_have_program(known[i].tool))
			return 0;
		return fail(VMB_MISSING,
			    "%s needs the program %s, which is not installed",
			    type, known[i].tool);
	}
	return fail(VMB_USAGE, "file system \"%s\": use ext4, xfs or btrfs",
		    type ? type : "(none recognised)");
}

static int tool(const char *const argv[], int ok_max)
{
	_cleanup_free_ char *out = NULL, *err = NULL;
	int rc = bh_run(argv, BH_RUN_TIED | BH_RUN_QUIET, &out, &err);

	if (rc <= ok_max)
		return 0;
	if (rc == 127)
		return fail(VMB_MISSING, "%s is not installed", argv[0]);
	return fail(VMB_FAILED, "%s: %s", argv[0],
		    err && *bh_strip(err) ? bh_strip(err)
		    : out                 ? bh_strip(out)
					  : "failed");
}

int fs_make(const char *dev, const char *type, const char *uuid,
	    const char *features)
{
	_cleanup_free_ char *m = bh_asprintf("uuid=%s", uuid);
	const char *ext[] = {
		"mke2fs",
		"-q",
		"-F",
		"-t",
		type,
		"-U",
		uuid,
		"-m",
		"1",
		"-O",
		features ? features : "metadata_csum,metadata_csum_seed,64bit",
		"-E",
		"lazy_itable_init=1,lazy_journal_init=1,nodiscard",
		dev,
		NULL
	};
	const char *xfs[] = {
		"mkfs.xfs", "-q", "-f", "-K", "-m", m, dev, NULL
	};
	const char *btr[] = { "mkfs.btrfs", "-q", "-f", "-K",
			      "-U",         uuid, dev,  NULL };

	if (!m)
		return oom();
	if (streq(type, "xfs"))
		return tool(xfs, 0);
	if (streq(type, "btrfs"))
		return tool(btr, 0);
	return tool(ext, 0);
}

int fs_repair(const char *dev, const char *type)
{
	const char *ext[] = { "e2fsck", "-p", dev, NULL };

	/* XFS and btrfs replay their logs when they are mounted. */
	return bh_startswith(type, "ext") ? tool(ext, 1) : 0;
}

int fs_set_uuid(const char *dev, const char *type, const char *uuid)
{
	const char *ext[] = { "tune2fs", "-U", uuid, dev, NULL };
	const char *fsck[] = { "e2fsck", "-f", "-p", dev, NULL };
	const char *xfs[] = { "xfs_admin", "-U", uuid, dev, NULL };
	const char *btr[] = { "btrfstune", "-f", "-M", uuid, dev, NULL };

	if (streq(type, "xfs"))
		return tool(xfs, 0);
	if (streq(type, "btrfs"))
		return tool(btr, 0);
	if (bh_run(ext, BH_RUN_TIED | BH_RUN_QUIET, NULL, NULL) == 0)
		return 0;
	/* Older file systems want a fresh check before a new UUID. */
	if (tool(fsck, 1) < 0)
		return -VMB_FAILED;
	return tool(ext, 0);
}

int fs_device_size(const char *dev, uint64_t *ret)
{
	_cleanup_close_ int fd = open(dev, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(VMB_FAILED, "cannot open %s: %m", dev);
	if (S_ISREG(st.st_mode)) {
		*ret = (uint64_t)st.st_size;
		return 0;
	}
	if (ioctl(fd, BLKGETSIZE64, ret) < 0)
		return fail(VMB_FAILED, "cannot tell the size of %s: %m", dev);
	return 0;
}

int fs_length(const char *dev, uint64_t *ret)
{
	uint8_t sb[1024];
	_cleanup_close_ int fd = open(dev, O_RDONLY | O_CLOEXEC);
	uint32_t lo, hi, log;

	if (fd < 0 || pread(fd, sb, sizeof(sb), 1024) != sizeof(sb))
		return fail(VMB_FAILED, "cannot read %s: %m", dev);
	if (sb[56] != 0x53 || sb[57] != 0xef)
		return fs_device_size(dev, ret);
	memcpy(&lo, sb + 4, 4);
	memcpy(&log, sb + 24, 4);
	memcpy(&hi, sb + 0x150, 4);
	if (!(sb[0x60] & 0x80)) /* INCOMPAT_64BIT */
		hi = 0;
	*ret = (((uint64_t)hi << 32) | lo) << (10 + (log & 15));
	return 0;
}

int fs_used(const char *dev, const char *type, uint64_t *ret)
{
	ext2_filsys fs = NULL;
	blk64_t free_blocks = 0;

	if (!type || !bh_startswith(type, "ext") ||
	    ext2fs_open(dev,
			EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES |
				EXT2_FLAG_IGNORE_CSUM_ERRORS,
			0, 0, unix_io_manager, &fs) != 0)
		return fs_device_size(dev, ret);
	/* Of a mounted one the total in the superblock is old; these are not. */
	for (dgrp_t g = 0; g < fs->group_desc_count; g++)
		free_blocks += ext2fs_bg_free_blocks_count(fs, g);
	*ret = ext2fs_blocks_count(fs->super);
	*ret = (*ret > free_blocks ? *ret - free_blocks : 0) * fs->blocksize;
	(void)ext2fs_close_free(&fs);
	return 0;
}

int fs_blank_tables(const char *dev, uint64_t from)
{
	ext2_filsys fs = NULL;
	errcode_t e = ext2fs_open(dev,
				  EXT2_FLAG_RW | EXT2_FLAG_64BITS |
					  EXT2_FLAG_SOFTSUPP_FEATURES,
				  0, 0, unix_io_manager, &fs);

	for (dgrp_t g = 0; !e && g < fs->group_desc_count; g++) {
		if (ext2fs_inode_table_loc(fs, g) < from / fs->blocksize ||
		    !ext2fs_has_group_desc_csum(fs) ||
		    !ext2fs_bg_flags_test(fs, g, EXT2_BG_INODE_UNINIT))
			continue;
		ext2fs_bg_flags_set(fs, g, EXT2_BG_INODE_ZEROED);
		ext2fs_group_desc_csum_set(fs, g);
		ext2fs_mark_super_dirty(fs);
	}
	/* The copies of the descriptors are for e2fsck, which sees to them. */
	if (!e)
		fs->flags |= EXT2_FLAG_MASTER_SB_ONLY;
	if (fs && ext2fs_close_free(&fs) && !e)
		e = EIO;
	return e ? fail(VMB_FAILED, "cannot write the group table of %s", dev)
		 : 0;
}

static int copy_range(int in, int out, uint64_t off, uint64_t len, char *chunk,
		      size_t max)
{
	while (len) {
		size_t n = len < max ? (size_t)len : max;
		ssize_t r = pread(in, chunk, n, (off_t)off);

		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		for (ssize_t done = 0; done < r;) {
			ssize_t w =
				pwrite(out, chunk + done, (size_t)(r - done),
				       (off_t)off + done);

			if (w < 0)
				return -errno;
			done += w;
		}
		off += (uint64_t)r;
		len -= (uint64_t)r;
	}
	return 0;
}

/* Walks the used blocks of an ext2/3/4 file system in runs. */
static int copy_ext(ext2_filsys fs, int in, int out, char *chunk, size_t max,
		    const char *label)
{
	blk64_t total = ext2fs_blocks_count(fs->super);
	blk64_t used = total - ext2fs_free_blocks_count(fs->super), done = 0;
	blk64_t b = fs->super->s_first_data_block;
	int r;

	/* The boot block is not in the bitmap of a 1 KiB block file system. */
	r = copy_range(in, out, 0, (uint64_t)b * fs->blocksize, chunk, max);
	while (r >= 0 && b < total) {
		blk64_t first, end;

		if (ext2fs_find_first_set_block_bitmap2(fs->block_map, b,
							total - 1, &first))
			break;
		if (ext2fs_find_first_zero_block_bitmap2(fs->block_map, first,
							 total - 1, &end))
			end = total;
		/* In slices, so that progress moves. */
		if (end - first > (32u << 20) / fs->blocksize)
			end = first + (32u << 20) / fs->blocksize;
		r = copy_range(in, out, first * fs->blocksize,
			       (end - first) * fs->blocksize, chunk, max);
		done += end - first;
		progress(label, used ? (unsigned int)(done * 100 / used) : 100);
		b = end;
	}
	return r;
}

int fs_copy(const char *src, const char *dst, const char *type,
	    const char *label)
{
	enum {
		MAX = 1 << 20
	};
	_cleanup_close_ int in = open(src, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = open(dst, O_WRONLY | O_CLOEXEC);
	_cleanup_free_ char *chunk = malloc(MAX);
	ext2_filsys fs = NULL;
	uint64_t len = 0;
	int r = 0;

	if (in < 0 || out < 0 || !chunk)
		return fail(VMB_FAILED, "cannot open %s: %m",
			    in < 0 ? src : dst);
	if (type && bh_startswith(type, "ext") &&
	    ext2fs_open(src, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0,
			0, unix_io_manager, &fs) == 0) {
		r = ext2fs_read_block_bitmap(fs)
			    ? -EIO
			    : copy_ext(fs, in, out, chunk, MAX, label);
		(void)ext2fs_close_free(&fs);
	} else {
		if (fs_device_size(src, &len) < 0)
			return -VMB_FAILED;
		for (uint64_t off = 0; r >= 0 && off < len; off += 32u << 20) {
			uint64_t n =
				len - off < 32u << 20 ? len - off : 32u << 20;

			progress(label, (unsigned int)(off * 100 / len));
			r = copy_range(in, out, off, n, chunk, MAX);
		}
	}
	progress_end();
	if (r >= 0 && fsync(out) < 0)
		r = -errno;
	if (r < 0)
		return fail(VMB_FAILED, "copying %s to %s: %s", src, dst,
			    strerror(-r));
	return 0;
}

struct fs_map {
	ext2_filsys fs;
};

struct fs_map *fs_map_open(const char *dev, const char *type)
{
	struct fs_map *m = calloc(1, sizeof(*m));

	if (m && bh_startswith(type, "ext") &&
	    ext2fs_open(dev, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0,
			0, unix_io_manager, &m->fs) == 0 &&
	    !ext2fs_has_feature_journal_needs_recovery(m->fs->super) &&
	    (m->fs->super->s_state & EXT2_VALID_FS) &&
	    !(m->fs->super->s_state & EXT2_ERROR_FS) &&
	    ext2fs_read_block_bitmap(m->fs) == 0)
		return m;
	fs_map_close(m);
	return NULL;
}

void fs_map_clean(const struct fs_map *m, uint64_t off, char *buf, size_t n)
{
	size_t bs = m->fs->blocksize;
	blk64_t first = m->fs->super->s_first_data_block;
	blk64_t end = ext2fs_blocks_count(m->fs->super);

	for (size_t i = 0; i + bs <= n; i += bs) {
		blk64_t b = (off + i) / bs;

		if (b >= first && b < end &&
		    !ext2fs_test_block_bitmap2(m->fs->block_map, b))
			memset(buf + i, 0, bs);
	}
}

void fs_map_close(struct fs_map *m)
{
	if (m && m->fs)
		(void)ext2fs_close_free(&m->fs);
	free(m);
}

/* The header of swapon(2): one page, signature in its last ten bytes. */
int fs_write_swap(const char *dev, const uint8_t uuid[16])
{
	enum {
		PAGE = 4096
	};
	_cleanup_close_ int fd = open(dev, O_RDWR | O_CLOEXEC);
	uint8_t page[PAGE] = { 0 };
	uint32_t version = 1, last;
	uint64_t size;

	if (fd < 0)
		return fail(VMB_FAILED, "cannot open %s: %m", dev);
	if (fs_device_size(dev, &size) < 0)
		return -VMB_FAILED;
	if (size < 10 * PAGE)
		return fail(VMB_USAGE, "swap volume %s: too small", dev);
	last = (uint32_t)(size / PAGE - 1);
	memcpy(page + 1024, &version, 4);
	memcpy(page + 1028, &last, 4);
	memcpy(page + 1036, uuid, 16);
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	if (pwrite(fd, page, PAGE, 0) != PAGE || fsync(fd) < 0)
		return fail(VMB_FAILED, "cannot write %s: %m", dev);
	return 0;
}

int fs_wipe(const char *dev, const char *label)
{
	_cleanup_close_ int fd = open(dev, O_WRONLY | O_CLOEXEC);
	uint64_t size, step = 64u << 20;

	if (fd < 0)
		return fail(VMB_FAILED, "cannot open %s: %m", dev);
	if (fs_device_size(dev, &size) < 0)
		return -VMB_FAILED;
	for (uint64_t off = 0; off < size; off += step) {
		uint64_t range[2] = { off,
				      size - off < step ? size - off : step };

		progress(label, (unsigned int)(off * 100 / size));
		if (ioctl(fd, BLKZEROOUT, range) < 0)
			return fail(VMB_FAILED, "cannot wipe %s: %m", dev);
	}
	progress_end();
	return fsync(fd) < 0 ? fail(VMB_FAILED, "cannot wipe %s: %m", dev) : 0;
}
