# SPDX-License-Identifier: GPL-2.0-or-later
srcs-y += sched/softirq.c sched/timer_heap.c sched/timer.c sched/time.c
srcs-y += sched/runqueue.c sched/sched.c sched/sched_domain.c sched/runstate.c
srcs-y += sched/sched_op.c sched/vcpu_op.c
