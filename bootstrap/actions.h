/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a journal record can say: a fixed set of verbs, each of which can be
 * repeated without harm and never touches a volume without our tag on it.
 */
#pragma once

int action_run(const char *verb, unsigned int n, const char *const *arg);
