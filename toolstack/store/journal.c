/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See journal.h. Layout: one header, then batches of {length, sum, bytes},
 * each aligned to 8; zeros follow the last. Space is allocated ahead in steps,
 * so that a full tmpfs is an error here and not a SIGBUS in a store.
 */
#include <assert.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "store/journal.h"

#define JOURNAL_MAGIC "BulkheadStore 1"
#define STEP          (256u << 10)
#define LONG_MIN      (1u << 20)
#define MAP_MIN       (16u << 20)
#define MAX_FILE      (1u << 30)

struct header {
	char magic[16];
	char boot[40];
	uint64_t unused;
};

struct batch {
	uint32_t len; /* stored last; 0: end */
	uint32_t sum;
};

static_assert(sizeof(struct header) % 8 == 0, "batches are aligned");

struct journal {
	int dir;
	int lock;
	int fd;
	char *map;
	size_t map_size;  /* address space; the file may be smaller */
	size_t file_size; /* allocated */
	size_t used;
	size_t first; /* size after the last replace */
	char boot[40];
};

static size_t align8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static uint32_t checksum(const void *p, size_t len)
{
	const unsigned char *b = p;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

static int grow_file(struct journal *j, size_t need)
{
	size_t size = (need + STEP - 1) / STEP * STEP;
	int r;

	if (need <= j->file_size)
		return 0;
	if (size > j->map_size)
		return -ENOSPC;
	r = posix_fallocate(j->fd, (off_t)j->file_size,
			    (off_t)(size - j->file_size));
	if (r > 0)
		return -r;
	j->file_size = size;
	return 0;
}

int journal_append(struct journal *j, const void *batch, size_t len)
{
	struct batch *b;
	size_t next;
	int r;

	if (len == 0)
		return 0;
	if (len > MAX_FILE)
		return -ENOSPC;
	/* Room for the zero length behind it, too. */
	r = grow_file(j, align8(j->used + 2 * sizeof(*b) + len));
	if (r < 0)
		return r;

	b = (struct batch *)(void *)(j->map + j->used);
	next = align8(j->used + sizeof(*b) + len);
	memcpy(b + 1, batch, len);
	b->sum = checksum(batch, len);
	/*
	 * A longer batch that a kill cut short may have left its bytes where
	 * the next length goes: the end is marked anew before this counts.
	 */
	memset(j->map + next, 0, sizeof(*b));
	__atomic_store_n(&b->len, (uint32_t)len, __ATOMIC_RELEASE);
	j->used = next;
	return 0;
}

static void unmap(struct journal *j)
{
	if (j->map)
		munmap(j->map, j->map_size);
	j->map = NULL;
	j->fd = bh_close(j->fd);
}

static int map(struct journal *j, int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	j->fd = fd;
	j->map = p;
	j->map_size = size;
	return 0;
}

int journal_replace(struct journal *j, const void *batch, size_t len)
{
	struct journal n = { .dir = j->dir, .lock = j->lock, .fd = -1 };
	struct header h = { .magic = JOURNAL_MAGIC };
	int fd, r;

	fd = openat(j->dir, "journal.new",
		    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* Reserve address space for what may come before the next one. */
	r = map(&n, fd, MAX(align8(len) * 8, (size_t)MAP_MIN));
	if (r < 0) {
		bh_close(fd);
		return r;
	}
	memcpy(h.boot, j->boot, sizeof(h.boot));
	memcpy(n.boot, j->boot, sizeof(n.boot));
	r = grow_file(&n, sizeof(h) + sizeof(struct batch));
	if (r == 0) {
		memcpy(n.map, &h, sizeof(h));
		n.used = sizeof(h);
		r = journal_append(&n, batch, len);
	}
	n.first = n.used;
	if (r == 0 && renameat(j->dir, "journal.new", j->dir, "journal") < 0)
		r = -errno;
	if (r < 0) {
		unmap(&n);
		(void)unlinkat(j->dir, "journal.new", 0);
		return r;
	}
	unmap(j);
	*j = n;
	return 0;
}

bool journal_is_long(const struct journal *j)
{
	return j->used > LONG_MIN && j->used > 2 * j->first;
}

/* Passes on all whole batches of the mapped file; sets used. */
static int replay(struct journal *j, journal_fn fn, void *arg)
{
	j->used = sizeof(struct header);
	while (j->used + sizeof(struct batch) <= j->file_size) {
		const struct batch *b =
			(const struct batch *)(void *)(j->map + j->used);
		size_t room = j->file_size - j->used - sizeof(*b);
		int r;

		if (b->len == 0)
			return 0;
		if (b->len > room || checksum(b + 1, b->len) != b->sum)
			return -EBADMSG;
		r = fn(arg, (const uint8_t *)(b + 1), b->len);
		if (r < 0)
			return r;
		j->used = align8(j->used + sizeof(*b) + b->len);
	}
	return 0;
}

static int load(struct journal *j, journal_fn fn, void *arg, bool *ret_found)
{
	struct stat st;
	int fd, r;

	fd = openat(j->dir, "journal", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
		bh_close(fd);
		return r;
	}
	if (st.st_size < (off_t)sizeof(struct header) ||
	    st.st_size > MAX_FILE) {
		bh_close(fd);
		return 0;
	}
	r = map(j, fd, (size_t)st.st_size);
	if (r < 0) {
		bh_close(fd);
		return r;
	}
	j->file_size = (size_t)st.st_size;
	if (memcmp(j->map, JOURNAL_MAGIC, sizeof(JOURNAL_MAGIC)) != 0 ||
	    memcmp(((struct header *)(void *)j->map)->boot, j->boot,
		   sizeof(j->boot)) != 0) {
		bh_log(BH_NOTICE,
		       "journal is of another boot or version; starting empty");
		return 0;
	}
	r = replay(j, fn, arg);
	if (r == 0)
		*ret_found = true;
	return r;
}

static void read_boot_id(char *buf, size_t size)
{
	_cleanup_free_ char *id = NULL;

	memset(buf, 0, size);
	if (bh_read_file("/proc/sys/kernel/random/boot_id", 64, &id, NULL) == 0)
		snprintf(buf, size, "%s", bh_strip(id));
}

int journal_open(const char *dir, journal_fn fn, void *arg, bool *ret_found,
		 struct journal **ret)
{
	struct journal *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return -ENOMEM;
	*ret_found = false;
	j->fd = j->lock = -1;
	read_boot_id(j->boot, sizeof(j->boot));
	j->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir < 0) {
		r = -errno;
		goto fail;
	}
	j->lock = openat(j->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->lock < 0) {
		r = -errno;
		goto fail;
	}
	if (flock(j->lock, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		goto fail;
	}
	r = load(j, fn, arg, ret_found);
	if (r < 0)
		goto fail;
	*ret = j;
	return 0;
fail:
	journal_close(j);
	return r;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	unmap(j);
	bh_close(j->lock);
	bh_close(j->dir);
	free(j);
}
