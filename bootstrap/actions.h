/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a journal record can say: a fixed set of verbs, each of which can be
 * repeated without harm and never touches a volume without our tag on it.
 */
#pragma once

#include <stdbool.h>

int action_run(const char *verb, unsigned int n, const char *const *arg);
/*
 * After a commit most steps are repeated until they succeed, and nothing else
 * happens to the guest. Not so those that a guest, by what it wrote on its disk,
 * or the state of the host could make fail for ever, and that can be made good
 * by hand; they say how.
 */
bool action_may_fail(const char *verb);
