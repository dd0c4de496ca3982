/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The helpers of bulkhead/util.h. Nothing here knows about domains; it is what
 * libc leaves to be written wrong a little differently in every file.
 */
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>

#include "bulkhead/util.h"

void bh_cleanup_free(void *p)
{
	void **pp = p;
	int saved = errno;

	free(*pp);
	errno = saved;
}

void bh_cleanup_close(int *fd)
{
	*fd = bh_close(*fd);
}

void bh_cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

int bh_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

/* ---- logging ----------------------------------------------------------- */

static struct {
	const char *program;
	enum bh_level max;
	bool journal; /* stderr is the journal: prefix lines with <level> */
} logger = { .max = BH_INFO };

void bh_log_setup(const char *program, enum bh_level max)
{
	logger.program = program;
	logger.max = max;
	logger.journal = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
}

void bh_printable(char *s, char keep)
{
	for (; *s; s++)
		if (*s != keep && iscntrl((unsigned char)*s))
			*s = '?';
}

void bh_logv(enum bh_level level, const char *fmt, va_list ap)
{
	char line[2048];
	int n;

	if (level > logger.max)
		return;

	n = vsnprintf(line, sizeof(line), fmt, ap);
	if (n < 0)
		return;

	/* A guest's string must not forge a second log line. */
	bh_printable(line, '\0');

	if (logger.journal)
		fprintf(stderr, "<%d>%s\n", (int)level, line);
	else if (logger.program)
		fprintf(stderr, "%s: %s\n", logger.program, line);
	else
		fprintf(stderr, "%s\n", line);
}

void bh_log(enum bh_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	bh_logv(level, fmt, ap);
	va_end(ap);
}

int bh_log_errno(enum bh_level level, int err, const char *fmt, ...)
{
	char text[1536];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	bh_log(level, "%s: %s", text, strerror(err < 0 ? -err : err));
	return err;
}

/* ---- strings ----------------------------------------------------------- */

const char *bh_startswith(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool bh_endswith(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

char *bh_asprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}

int bh_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	return (size_t)n < size ? n : -ENAMETOOLONG;
}

int bh_parse_u64(const char *s, int base, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	/* strtoull() accepts white space and a sign; a number has neither. */
	if (!isxdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, base);
	if (*end)
		return -EINVAL;
	if (errno == ERANGE || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int bh_parse_u32(const char *s, uint32_t *ret)
{
	uint64_t v = 0;
	int r = bh_parse_u64(s, 10, UINT32_MAX, &v);

	if (r == 0)
		*ret = (uint32_t)v;
	return r;
}

char *bh_strip(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n > 0 && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}

/* ---- memory ------------------------------------------------------------ */

int bh_grow(void *array, size_t *alloc, size_t need, size_t size)
{
	void *old, *p;
	size_t n;

	if (need <= *alloc)
		return 0;
	n = MAX(need, *alloc * 2);
	n = MAX(n, (size_t)8);
	memcpy(&old, array, sizeof(old)); /* any pointer type will do */
	p = reallocarray(old, n, size);
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*alloc = n;
	/* cppcheck-suppress memleak */
	return 0;
}

/* ---- files ------------------------------------------------------------- */

int bh_read_fd(int fd, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, alloc = 0;

	for (;;) {
		ssize_t n;
		int r = bh_grow(&buf, &alloc, len + 4096, 1);

		if (r < 0)
			return r;
		n = read(fd, buf + len, alloc - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	buf[len] = '\0';
	*ret = TAKE_PTR(buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int bh_read_file(const char *path, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return bh_read_fd(fd, max, ret, ret_len);
}

int bh_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int bh_fill_file(const char *path, const void *buf, size_t len,
		 unsigned int mode)
{
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	int r;

	/* The mode is what was asked for, whatever the umask. */
	if (fd < 0 || fchmod(fd, mode) < 0)
		return -errno;
	r = bh_write_all(fd, buf, len);
	if (r < 0)
		return r;
	return fsync(fd) < 0 ? -errno : 0;
}

int bh_write_file(const char *path, const void *buf, size_t len,
		  unsigned int mode)
{
	_cleanup_free_ char *tmp = bh_asprintf("%s.new-%d", path, getpid());
	int r;

	if (!tmp)
		return -ENOMEM;
	r = bh_fill_file(tmp, buf, len, mode);
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

int bh_sync_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	_cleanup_close_ int fd = -1;
	char dir[4096] = ".";

	if (len >= sizeof(dir))
		return -ENAMETOOLONG;
	if (slash)
		memcpy(dir, path, len + (len == 0));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int bh_mkdir_p(const char *path, unsigned int mode)
{
	_cleanup_free_ char *dir = strdup(path);

	if (!dir)
		return -ENOMEM;
	for (char *p = dir + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(dir, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

uint64_t bh_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
