/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System time: nanoseconds since boot, from the time-stamp counter.
 *
 * Normally one linear function of the TSC serves every CPU from boot on. Guests
 * get the very same function in their pvclock records with TSC_STABLE set, so
 * that their user space reads the clock without a system call, and a record is
 * written once in a vCPU's life instead of at each switch.
 *
 * This needs counters that agree between CPUs and run at a constant rate. A
 * processor may promise it (invariant TSC); where it does not, we look: all
 * CPUs race to see another's counter ahead of their own, and once a second the
 * TSC is compared with the platform timer. The first contradiction takes the
 * promise back (guests check the flag at each reading): from then on each CPU
 * has a scale of its own, steered once a second towards the platform timer, and
 * NOW() never returns less than it did anywhere before.
 */
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/smp.h>

#define CALIBRATE_PERIOD SECONDS(1)
#define WARP_TEST_NS     50000
#define SAMPLE_MAX_NS    1000000
#define MAX_DRIFT_PPM    2000 /* beyond measuring error of a slow host */

u64 cpu_khz;

struct scale {
	u64 tsc_stamp;
	s_time_t stime_stamp;
	u32 mul;
	s8 shift;
};

static struct scale boot_scale; /* the one of all CPUs while stable */
static struct scale inverse;    /* ns to TSC ticks */
static bool stable;
static u32 generation = 1; /* of all scales */
static s_time_t last_now;  /* unstable: highest time handed out */
static char tsc_option[16];
PARAM_STR("tsc", tsc_option);

/* Platform timer, extended to 64 bits; boot CPU only. */
static struct {
	u64 last, count;
	struct scale to_ns;
	u64 tsc_base; /* TSC when count was 0 */
	u64 tsc_prev;
	bool valid;
} platform;

static struct timer calibrate_timer;

static u64 scale_delta(u64 delta, u32 mul, s8 shift)
{
	if (shift < 0)
		delta >>= -shift;
	else
		delta <<= shift;
	return (u64)(((unsigned __int128)delta * mul) >> 32);
}

/* ticks of `from` Hz to ticks of `to` Hz: mul/2^32 * 2^shift, mul >= 2^31. */
static void make_scale(u64 from, u64 to, struct scale *s)
{
	s8 shift = 0;

	while (to >= from) {
		from <<= 1;
		shift++;
	}
	while (to < from / 2) {
		to <<= 1;
		shift--;
	}
	while (to >> 31) {
		to >>= 1;
		from >>= 1;
	}
	s->mul = (u32)((to << 32) / from);
	s->shift = shift;
}

bool time_is_stable(void)
{
	return stable;
}

static s_time_t now_unstable(void)
{
	unsigned long flags = irq_save();
	struct cpu *c = this_cpu();
	s_time_t t, last;

	t = c->time.stime_stamp +
	    scale_delta(rdtsc_ordered() - c->time.tsc_stamp, c->time.mul,
			c->time.shift);
	irq_restore(flags);
	last = __atomic_load_n(&last_now, __ATOMIC_RELAXED);
	do {
		if (t <= last)
			return last;
	} while (!__atomic_compare_exchange_n(
		&last_now, &last, t, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return t;
}

s_time_t NOW(void)
{
	if (unlikely(!stable))
		return boot_scale.mul ? now_unstable() : 0;
	return scale_delta(rdtsc_ordered() - boot_scale.tsc_stamp,
			   boot_scale.mul, boot_scale.shift);
}

s_time_t tsc_to_stime(u64 tsc)
{
	const struct cpu *c = this_cpu();

	if (stable)
		return scale_delta(tsc - boot_scale.tsc_stamp, boot_scale.mul,
				   boot_scale.shift);
	return c->time.stime_stamp +
	       scale_delta(tsc - c->time.tsc_stamp, c->time.mul, c->time.shift);
}

u64 stime_to_tsc(s_time_t t)
{
	const struct cpu *c = this_cpu();

	if (stable)
		return boot_scale.tsc_stamp +
		       scale_delta(t, inverse.mul, inverse.shift);
	t -= c->time.stime_stamp;
	return c->time.tsc_stamp +
	       (t > 0 ? scale_delta(t, inverse.mul, inverse.shift) : 0);
}

/* ---- guests' records -------------------------------------------------------- */

static u32 generation_here(void)
{
	const struct cpu *c = this_cpu();

	return stable ? generation << 9
		      : (generation + c->time.steered) << 9 | (c->id + 1);
}

static void record_write(struct vcpu_time_info *to,
			 const struct vcpu_time_info *rec)
{
	u32 version = READ_ONCE(to->version) & ~1U;

	WRITE_ONCE(to->version, version + 1);
	smp_wmb(); /* pairs with the guest's read of version first */
	to->tsc_timestamp = rec->tsc_timestamp;
	to->system_time = rec->system_time;
	to->tsc_to_system_mul = rec->tsc_to_system_mul;
	to->tsc_shift = rec->tsc_shift;
	to->flags = rec->flags;
	smp_wmb();
	WRITE_ONCE(to->version, version + 2);
}

void time_update_vcpu(struct vcpu *v)
{
	u32 gen = generation_here();
	const struct cpu *c = this_cpu();
	struct vcpu_time_info rec;

	if (likely(v->time_gen == gen))
		return;
	v->time_gen = gen;
	rec = (struct vcpu_time_info){
		.tsc_timestamp = c->time.tsc_stamp,
		.system_time = c->time.stime_stamp,
		.tsc_to_system_mul = c->time.mul,
		.tsc_shift = c->time.shift,
		.flags = stable ? XEN_PVCLOCK_TSC_STABLE_BIT : 0,
	};
	record_write(&v->info->time, &rec);
	if (v->time_area.va[0]) {
		/* Odd version, body, even version: also across two frames. */
		rec.version = v->info->time.version | 1;
		guest_area_write(&v->time_area, &rec.version, 0, 4);
		smp_wmb();
		guest_area_write(&v->time_area, (u8 *)&rec + 4, 4,
				 sizeof(rec) - 4);
		smp_wmb();
		rec.version++;
		guest_area_write(&v->time_area, &rec.version, 0, 4);
	}
}

/* ---- wall clock --------------------------------------------------------------- */

static struct spinlock wc_lock = SPINLOCK_INIT(LOCK_NONE);
static u64 wc_base_ns; /* wall clock at system time 0 */

void time_update_wallclock(struct domain *d)
{
	unsigned long flags = spin_lock_irqsave(&wc_lock);
	struct shared_info *s = READ_ONCE(d->shared);
	u64 base, sec;
	u32 version;

	if (!s)
		goto out;
	base = wc_base_ns + (u64)d->time_offset * 1000000000;
	sec = base / 1000000000;
	version = READ_ONCE(s->wc_version) & ~1U;
	WRITE_ONCE(s->wc_version, version + 1);
	smp_wmb(); /* pairs with the guest's read of wc_version first */
	s->wc_sec = (u32)sec;
	s->wc_sec_hi = (u32)(sec >> 32);
	s->wc_nsec = base % 1000000000;
	smp_wmb();
	WRITE_ONCE(s->wc_version, version + 2);
out:
	spin_unlock_irqrestore(&wc_lock, flags);
}

void time_set_wallclock(u64 secs, u32 nsecs, s_time_t at)
{
	struct domain *d = NULL;
	unsigned long flags = spin_lock_irqsave(&wc_lock);
	u32 next = 0;

	wc_base_ns = secs * 1000000000 + nsecs - at;
	spin_unlock_irqrestore(&wc_lock, flags);
	while ((d = domain_get_next(next)) != NULL) {
		next = d->id + 1U;
		time_update_wallclock(d);
		domain_put(d);
	}
}

u64 wallclock_now_ns(void)
{
	return wc_base_ns + NOW();
}

/* ---- checking the TSC ----------------------------------------------------------- */

/* Boot CPU: platform time in ns since platform.tsc_base, and the TSC with it. */
static bool platform_sample(u64 *ns, u64 *tsc)
{
	u64 best = ~0UL, count = 0, mask = platform_timer_mask, before, after;
	u64 value;

	if (!platform_timer_hz)
		return false;
	/* The reading with the fewest ticks around it was not interrupted. */
	for (int i = 0; i < 3; i++) {
		before = rdtsc_ordered();
		value = platform_timer_read() & mask;
		after = rdtsc_ordered();
		if (after - before < best) {
			best = after - before;
			count = value;
			*tsc = before + best / 2;
		}
	}
	/* Interrupted each time (we may be a guest ourselves): no good. */
	if (scale_delta(best, boot_scale.mul, boot_scale.shift) > SAMPLE_MAX_NS)
		return false;
	/* Held up so long that the counter may have wrapped: begin anew. */
	if (platform.valid && scale_delta(*tsc - platform.tsc_prev,
					  boot_scale.mul, boot_scale.shift) >
				      scale_delta(mask / 2, platform.to_ns.mul,
						  platform.to_ns.shift))
		platform.valid = false;
	if (!platform.valid) {
		platform.valid = true;
		platform.count = 0;
		platform.tsc_base = *tsc;
	} else {
		platform.count += (count - platform.last) & mask;
	}
	platform.last = count;
	platform.tsc_prev = *tsc;
	*ns = scale_delta(platform.count, platform.to_ns.mul,
			  platform.to_ns.shift);
	return platform.count != 0;
}

static struct {
	u32 arrived, done;
	u64 last;
	u64 warp;
} warp_test;

/* Every CPU at once: does anyone see time run backwards against another? */
static void warp_check(void)
{
	u64 limit = (cpu_khz * WARP_TEST_NS) / 1000000, start, now, last;
	u32 all = 0, cpu;

	for_each_online_cpu(cpu)
		all++;
	__atomic_add_fetch(&warp_test.arrived, 1, __ATOMIC_SEQ_CST);
	start = rdtsc();
	while (READ_ONCE(warp_test.arrived) < all) {
		cpu_relax();
		if (rdtsc() - start > 20 * limit)
			break; /* someone is busy: test with who is here */
	}
	start = rdtsc();
	do {
		last = __atomic_load_n(&warp_test.last, __ATOMIC_SEQ_CST);
		now = rdtsc_ordered();
		if (now < last)
			WRITE_ONCE(warp_test.warp, last - now);
		else
			(void)__atomic_compare_exchange_n(
				&warp_test.last, &last, now, false,
				__ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	} while (now - start < limit);
	__atomic_add_fetch(&warp_test.done, 1, __ATOMIC_SEQ_CST);
}

static void go_unstable(const char *why)
{
	unsigned int cpu;

	printk(LVL_WARN "time: TSC is not stable (%s): guests read the clock "
			"through their kernel\n",
	       why);
	last_now = NOW();
	for_each_online_cpu(cpu) {
		cpus[cpu]->time.tsc_stamp = boot_scale.tsc_stamp;
		cpus[cpu]->time.stime_stamp = 0;
		cpus[cpu]->time.mul = boot_scale.mul;
		cpus[cpu]->time.shift = boot_scale.shift;
	}
	generation++;
	smp_wmb();
	WRITE_ONCE(stable, false);
}

/* Unstable: aims this CPU's line at where platform time will be in a second. */
static u64 steer_ns, steer_tsc; /* boot CPU's last sample */
static void steer_here(void)
{
	struct cpu *c = this_cpu();
	unsigned long flags = irq_save();
	u64 tsc = rdtsc_ordered(), mine, truth, period = CALIBRATE_PERIOD;
	s64 ahead;

	mine = c->time.stime_stamp +
	       scale_delta(tsc - c->time.tsc_stamp, c->time.mul, c->time.shift);
	/* Its TSC may be offset: the platform timer is the only common clock. */
	truth = steer_ns + scale_delta(rdtsc_ordered() - steer_tsc,
				       boot_scale.mul, boot_scale.shift);
	ahead = (s64)(mine - truth);
	if (ahead < -(s64)period / 10 || ahead > (s64)period / 10)
		mine = max(truth, (u64)last_now), ahead = 0;
	c->time.tsc_stamp = tsc;
	c->time.stime_stamp = mine;
	c->time.mul = (u32)(((unsigned __int128)boot_scale.mul *
			     (u64)(((period - ahead) << 20) / period)) >>
			    20);
	c->time.shift = boot_scale.shift;
	c->time.steered++; /* guests' records are old */
	irq_restore(flags);
}

static void calibrate_softirq(void)
{
	if (!stable)
		steer_here();
	else if (nr_cpu_ids > 1)
		warp_check();
	if (!is_idle_vcpu(current))
		time_update_vcpu(current);
}

static void calibrate_tick(void *unused)
{
	static unsigned int beat;
	u64 ns = 0, tsc = 0, mine, diff;
	unsigned int cpu;

	beat++;
	if (platform_sample(&ns, &tsc) && ns > (u64)SECONDS(1)) {
		mine = scale_delta(tsc - platform.tsc_base, boot_scale.mul,
				   boot_scale.shift);
		diff = mine > ns ? mine - ns : ns - mine;
		if (stable && diff > (u64)MILLISECS(20) &&
		    diff / (ns / 1000000) > MAX_DRIFT_PPM)
			go_unstable("it drifts against the platform timer");
		steer_ns = ns +
			   scale_delta(platform.tsc_base - boot_scale.tsc_stamp,
				       boot_scale.mul, boot_scale.shift);
		steer_tsc = tsc;
	}
	if (stable && warp_test.warp)
		go_unstable("processors disagree");
	if (!stable || beat == 2) {
		warp_test.arrived = 0;
		for_each_online_cpu(cpu)
			softirq_raise_on(cpu, SOFTIRQ_TIME_CALIBRATE);
	}
	timer_set(&calibrate_timer, NOW() + CALIBRATE_PERIOD);
}

void time_init(u64 tsc_hz, bool tsc_reliable)
{
	if (tsc_hz < 1000000)
		panic("time-stamp counter rate of %lu Hz is not credible\n",
		      tsc_hz);
	cpu_khz = tsc_hz / 1000;
	make_scale(tsc_hz, 1000000000, &boot_scale);
	make_scale(1000000000, tsc_hz, &inverse);
	if (platform_timer_hz)
		make_scale(platform_timer_hz, 1000000000, &platform.to_ns);
	boot_scale.tsc_stamp = rdtsc_ordered();
	wc_base_ns = cmos_read_time() * 1000000000;
	stable = true;
	printk(LVL_INFO "time: TSC %lu.%03lu MHz%s\n", cpu_khz / 1000,
	       cpu_khz % 1000, tsc_reliable ? ", invariant" : "");
	softirq_open(SOFTIRQ_TIME_CALIBRATE, calibrate_softirq);
	time_init_cpu();
	if (!strcmp(tsc_option, "unstable"))
		go_unstable("tsc=unstable");
}

void time_init_cpu(void)
{
	struct cpu *c = this_cpu();

	c->time.tsc_stamp = boot_scale.tsc_stamp;
	c->time.stime_stamp = boot_scale.stime_stamp;
	c->time.mul = boot_scale.mul;
	c->time.shift = boot_scale.shift;
}

/* Called by sched_init() once timers work. */
void time_start_checks(void)
{
	timer_init(&calibrate_timer, calibrate_tick, NULL, 0);
	timer_set(&calibrate_timer, NOW() + CALIBRATE_PERIOD);
}
