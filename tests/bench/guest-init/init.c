/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Process 1 of the guests tests/bench/guest-kernel measures: says when the
 * kernel came to it and how much memory is left, then times what
 * paravirtualisation makes expensive, each as the median of several rounds.
 *
 * Output, one line each on the console: "BENCH name value"; times in clock
 * ticks of the processor for the start, else nanoseconds per operation. With
 * "bench.step" on the kernel's command line every measurement waits for a line
 * of input before and after, so that the hypervisor's counters can be read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE	4096UL
#define PAGES	64	/* a mapping: 256 KiB */
#define PRIVATE 256	/* what the forking process has written to: 1 MiB */
#define ROUNDS	9
#define DATA	"/bench.data"

static volatile char *heap;
static int to_child[2], to_parent[2];

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void die(const char *what)
{
	printf("FAILED %s: %m\n", what);
	fflush(stdout);
	for (;;)
		pause();
}

static void touch(volatile char *p, unsigned int pages, bool write)
{
	for (unsigned int i = 0; i < pages; i++) {
		if (write)
			p[i * PAGE] = 1;
		else
			(void)p[i * PAGE];
	}
}

static void *map(int fd)
{
	void *p = fd < 0 ? mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) :
			   mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, fd,
				0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* Each measurement does its operation n times and returns nanoseconds. */

static long syscall_getppid(int n)
{
	long t = now();

	while (n--)
		syscall(SYS_getppid);
	return now() - t;
}

static long pipe_switch(int n)
{
	long t = now();
	char c = 0;

	for (int i = 0; i < n; i++)
		if (write(to_child[1], &c, 1) != 1 ||
		    read(to_parent[0], &c, 1) != 1)
			die("pipe");
	return (now() - t) / 2; /* there and back are two switches */
}

/* The first write to a page, the mapping being there already. */
static long page_fault(int n)
{
	long t, sum = 0;
	char *p;

	for (; n > 0; n -= PAGES) {
		p = map(-1);
		t = now();
		touch(p, PAGES, true);
		sum += now() - t;
		munmap(p, PAGES * PAGE);
	}
	return sum;
}

static int data_fd(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open(DATA, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(DATA);
	return fd;
}

/* A file in the page cache, mapped and read whole: what starting programs do. */
static long mmap_file(int n)
{
	long t, sum = 0;
	char *p;

	while (n--) {
		t = now();
		p = map(data_fd());
		touch(p, PAGES, false);
		sum += now() - t;
		munmap(p, PAGES * PAGE);
	}
	return sum;
}

static long mmap_only(int n)
{
	long t, sum = 0;
	char *p;

	while (n--) {
		t = now();
		p = map(-1);
		sum += now() - t;
		munmap(p, PAGES * PAGE);
	}
	return sum;
}

static long unmap(int n, int fd)
{
	long t, sum = 0;
	char *p;

	while (n--) {
		p = map(fd);
		touch(p, PAGES, fd < 0);
		t = now();
		munmap(p, PAGES * PAGE);
		sum += now() - t;
	}
	return sum;
}

static long munmap_file(int n)
{
	return unmap(n, data_fd());
}

static long munmap_anon(int n)
{
	return unmap(n, -1);
}

static long protect(int n)
{
	char *p = map(-1);
	long t;

	touch(p, PAGES, true);
	t = now();
	while (n--) {
		mprotect(p, PAGES * PAGE, PROT_READ);
		mprotect(p, PAGES * PAGE, PROT_READ | PROT_WRITE);
	}
	t = now() - t;
	munmap(p, PAGES * PAGE);
	return t;
}

static long fork_exit(int n)
{
	long t = now();

	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
	return now() - t;
}

/* The parent goes on writing to what it shares with the child. */
static long fork_write(int n)
{
	long t = now();

	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		touch(heap, PRIVATE, true);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
	return now() - t;
}

/* A dynamically linked program, started as shells do: fork shares the memory. */
static long exec_program(int n)
{
	char *argv[] = { "/bench.true", NULL };
	long t = now();

	while (n--) {
		pid_t pid = vfork();
		int status;

		if (!pid) {
			execve(argv[0], argv, argv + 1);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			die("exec");
	}
	return now() - t;
}

static const struct {
	const char *name;
	long (*fn)(int n);
	int n;
} measurements[] = {
	{ "syscall", syscall_getppid, 2000 },
	{ "pipe", pipe_switch, 200 },
	{ "fault", page_fault, 4 * PAGES },
	{ "mmap", mmap_file, 10 },
	{ "mmap_only", mmap_only, 50 },
	{ "munmap", munmap_file, 10 },
	{ "munmap_anon", munmap_anon, 10 },
	{ "mprotect", protect, 10 },
	{ "fork", fork_exit, 5 },
	{ "fork_write", fork_write, 5 },
	{ "exec", exec_program, 5 },
};

static int by_value(const void *a, const void *b)
{
	const long *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static long meminfo(const char *key)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	long v = 0;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)) &&
		    line[strlen(key)] == ':')
			v = atol(line + strlen(key) + 1);
	if (f)
		fclose(f);
	return v;
}

static void partner(void)
{
	char c;

	if (pipe2(to_child, O_CLOEXEC) || pipe2(to_parent, O_CLOEXEC))
		die("pipe");
	if (fork())
		return;
	while (read(to_child[0], &c, 1) == 1 && write(to_parent[1], &c, 1) == 1)
		;
	_exit(0);
}

static void step(bool wait, const char *name, const char *edge)
{
	char line[16];

	if (!wait)
		return;
	printf("STEP %s %s\n", name, edge);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		pause();
}

int main(void)
{
	unsigned long entered = __rdtsc();
	long used, t[ROUNDS];
	char cmdline[512] = "";
	bool wait;
	FILE *f;

	mount("proc", "/proc", "proc", 0, NULL);
	/* What a program could still have counts as free. */
	used = meminfo("MemFree") + meminfo("Cached") + meminfo("Buffers");
	f = fopen("/proc/cmdline", "re");
	if (f && fgets(cmdline, sizeof(cmdline), f))
		fclose(f);
	wait = strstr(cmdline, "bench.step");
	printf("BENCH entered %lu\nBENCH free_kib %ld\n", entered, used);
	fflush(stdout);
	heap = mmap(NULL, PRIVATE * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	touch(heap, PRIVATE, true);
	partner();
	sleep(4); /* what dom0 did to start this guest is over then */
	for (size_t i = 0; i < sizeof(measurements) / sizeof(*measurements);
	     i++) {
		if (strstr(cmdline, "bench.start"))
			break; /* no more was asked for */
		measurements[i].fn(measurements[i].n); /* warms up */
		step(wait, measurements[i].name, "begin");
		for (int r = 0; r < ROUNDS; r++)
			t[r] = measurements[i].fn(measurements[i].n) /
			       measurements[i].n;
		step(wait, measurements[i].name, "end");
		qsort(t, ROUNDS, sizeof(*t), by_value);
		printf("BENCH %s %ld\n", measurements[i].name, t[ROUNDS / 2]);
		fflush(stdout);
	}
	printf("BENCH end 0\n");
	fflush(stdout);
	sleep(2);
	reboot(RB_POWER_OFF);
	return 0;
}
