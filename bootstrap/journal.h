/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal that makes a change to guests and volumes all or nothing.
 *
 * Before each step its undo is written and synced; the steps that publish the
 * result are written as redo. Until the commit record is on disk a crash is
 * undone, backwards, by the next run; after it, the redo list is carried out,
 * forwards. Every action can be repeated, so recovery may itself be
 * interrupted at any point. One journal per guest or template, named after
 * its lock: whoever can take the lock may recover.
 */
#pragma once

#include <stdbool.h>

struct journal;

/*
 * kind is "guest" or "template", name its name; the caller holds that lock.
 * Fails if an unrecovered journal is there.
 */
int journal_begin(const char *kind, const char *name, const char *op,
		  struct journal **ret);
/* Verb and arguments, NULL-terminated. To be called before the act. */
int journal_undo(struct journal *j, const char *verb, ...)
	__attribute__((sentinel));
int journal_redo(struct journal *j, const char *verb, ...)
	__attribute__((sentinel));
/*
 * Makes it so: syncs the commit record, runs the redo list, forgets. Some steps
 * may fail (see actions.h); the rest is done then, and this fails.
 */
int journal_commit(struct journal **j);
/* Undoes what was recorded; for the error path. Accepts NULL. */
void journal_abort(struct journal **j);

static inline void journal_abortp(struct journal **j)
{
	journal_abort(j);
}
#define _cleanup_journal_ __attribute__((cleanup(journal_abortp)))

/*
 * Recovers what dead runs left behind, skipping journals whose lock is held.
 * held_kind/held_name: a lock the caller already has (may be NULL); then only
 * that journal's failure is returned, others are only told.
 */
int journal_recover_all(const char *held_kind, const char *held_name);

/*
 * Forgets a committed journal that recovery cannot complete, because what it is
 * about is to be removed altogether. The caller holds the lock.
 */
int journal_give_up(const char *kind, const char *name);

/*
 * Fault injection, for tests only. VM_BOOTSTRAP_FAULT=kill:N, reset:N or
 * stop:N makes the N-th point (from 1) kill this process, reset the machine
 * without a sync, or stop so that the harness can cut the power; N = 0 means
 * every point.
 * VM_BOOTSTRAP_FAULT_LOG=FILE appends every point's number and name.
 */
void fault_point(const char *name);
