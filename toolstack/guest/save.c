/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving, by a child: it takes as long as the guest is large, and meanwhile
 * the supervisor answers, takes the guest's last words and can be told to
 * destroy it.
 *
 * The child has connections of its own to hypervisor and store; what it writes
 * to the pipe is why it failed. It does not outlive its parent. The guest it
 * leaves suspended then is let run on by the next supervisor (guest_check()).
 */
#include "bulkhead/save.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "guest/guest.h"

static void child(struct guest *g, int fd)
{
	struct bh_hv *hv = NULL;
	struct bh_xs *xs = NULL;
	struct bh_err e = {};
	sigset_t none;
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	g->lock_fd = bh_close(g->lock_fd); /* the guest is our parent's */
	r = bh_hv_open(&hv);
	if (r == 0)
		r = bh_xs_open(&xs);
	if (r == 0)
		r = bh_save(hv, xs, &g->dom, g->cfg, g->config_path,
			    g->save.path, &e);
	if (r < 0)
		dprintf(fd, "%s", bh_err_text(&e, r));
	_exit(r < 0);
}

static void done(struct guest *g)
{
	sd_event_source_unref(g->save.src);
	bh_close(g->save.fd);
	free(g->save.path);
	g->save = (struct saving){};
}

static void failed(struct guest *g, const char *why)
{
	bool stop = g->save.stop_wanted;

	bh_log(BH_ERR, "guest %s: not saved: %s", g->name, why);
	sockets_answer_waiting(g, "save", why);
	done(g);
	guest_set_phase(g, PHASE_RUNNING);
	if (stop)
		guest_stop(g);
	else
		guest_check(g);
}

static int on_child(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct guest *g = arg;
	struct saving *v = &g->save;
	ssize_t n = read(fd, v->text + v->len, sizeof(v->text) - 1 - v->len);
	int status = 0;

	(void)s;
	(void)revents;
	if (n < 0)
		return 0;
	v->len += (size_t)n;
	if (n > 0 && v->len < sizeof(v->text) - 1)
		return 0;
	if (waitpid(v->pid, &status, 0) == v->pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0) {
		guest_finish(g, 0, "saved to %s", v->path);
		done(g);
		return 0;
	}
	failed(g, v->len ? v->text : "its helper was killed");
	return 0;
}

int guest_save(struct guest *g, const char *path, struct bh_err *e)
{
	struct saving *v = &g->save;
	int p[2], r;

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return bh_fail(e, -errno, "pipe: %s", strerror(errno));
	*v = (struct saving){ .fd = p[0], .path = strdup(path) };
	r = v->path ? sd_event_add_io(g->event, &v->src, p[0], EPOLLIN,
				      on_child, g)
		    : -ENOMEM;
	if (r >= 0) {
		v->pid = fork();
		if (v->pid == 0)
			child(g, p[1]);
		r = v->pid < 0 ? -errno : 0;
	}
	close(p[1]);
	if (r < 0) {
		done(g);
		return bh_fail(e, r, "cannot start saving: %s", strerror(-r));
	}
	guest_set_phase(g, PHASE_SAVING);
	return 0;
}

void guest_save_abandon(struct guest *g, const char *why)
{
	_cleanup_free_ char *part = NULL;

	if (!g->save.pid)
		return;
	(void)kill(g->save.pid, SIGKILL);
	(void)waitpid(g->save.pid, NULL, 0);
	part = bh_asprintf("%s.part", g->save.path);
	if (part)
		(void)unlink(part);
	sockets_answer_waiting(g, "save", why);
	done(g);
}
