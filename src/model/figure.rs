//! What each figure of a picture is: where it comes from, its unit, what it covers. One text per figure,
//! beside the types that carry them; whoever shows a figure shows this on request.

/// A figure in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figure {
    /// Its name on the screen.
    pub name: &'static str,
    /// Who computes it from what.
    pub source: &'static str,
    /// Its unit; empty where it is a word.
    pub unit: &'static str,
    /// Over what time.
    pub window: &'static str,
}

const fn figure(name: &'static str, source: &'static str, unit: &'static str, window: &'static str) -> Figure {
    Figure { name, source, unit, window }
}

impl Figure {
    /// Its line below its name.
    #[must_use]
    pub fn line(&self) -> String {
        let parts = [self.source, self.unit, self.window];
        parts.iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("; ")
    }
}

/// The figures of one rollout, in the order of its screen.
pub const ROLLOUT: &[Figure] = &[
    figure(
        "live, STALE",
        "when the target was heard of last, by this machine's clock",
        "",
        "STALE beyond twice the interval the target promised",
    ),
    figure(
        "at, traffic",
        "the share that the plan declares; `router` where the router says otherwise",
        "% of the requests of the default route",
        "now",
    ),
    figure("seen", "what the router counted (requests, connections or replicas, as it says beside)", "% of what was counted", "1 min"),
    figure("ready", "instances whose readiness probe answers, of those wanted, as the runtime counts them", "instances", "now"),
    figure(
        "restarts",
        "how often instances were started again, with the newest reason",
        "times",
        "since the version's instances were started",
    ),
    figure(
        "requests",
        "requests that arrived for the version, as counted by whoever measures its signals",
        "requests per second",
        "10 s; the line beside it 10 s a step; n: 1 min",
    ),
    figure("errors", "requests answered with 5xx or not at all, of all that arrived", "% of requests", "1 min"),
    figure("p50, p99", "time from a request's arrival to its response head; of a hundred 50, or 99, were faster", "ms", "1 min"),
    figure(
        "WORSE, certain",
        "the candidate's share is above stable's by more than five standard errors of the difference",
        "",
        "since this weight converged",
    ),
    figure("plan", "the steps of the configuration, frozen when the run started; 100 % follows by itself", "", ""),
    figure(
        "gates",
        "rules over signals, judged by the runtime: FAIL, WAIT (too little evidence), BLIND (no fresh signal), pass",
        "",
        "since this weight converged",
    ),
    figure(
        "BAD",
        "candidate requests that failed since a gate fails; waiting costs: its rate times how much its error share is above stable's",
        "requests; failed requests per second",
        "since the gate fails; 10 s",
    ),
    figure(
        "BACK",
        "checks of the way back, each with its own age; the time is the longest that a way back took here so far, of n",
        "s",
        "all that were measured",
    ),
    figure(
        "SAFE",
        "no request reached the version that was left, nothing is in flight on it, errors are as before; ROUTED: no request came at all",
        "",
        "30 s without a request",
    ),
    figure("proven", "how long a version had all the traffic, in all", "h", "all that is remembered"),
];

/// The figures of the fleet.
pub const FLEET: &[Figure] = &[
    figure(
        "order",
        "waiting for a person, failing, stuck, stale, baking, running, unproved, healthy; what has been so for longer goes first",
        "",
        "rows stay for 2 s after a key, while something is open, typed or marked",
    ),
    figure("step", "the current step of the plan and how many it has, from 1", "", "now"),
    figure("weight", "the share that the plan declares for the candidate", "% of the requests of the default route", "now"),
    figure("verdict", "the worst verdict of the rollout's gates", "", "since this weight converged"),
    figure("state", "what it waits for or what comes next, as its runtime says", "", "since when, and for how long"),
];

/// The figures of instances.
pub const INSTANCES: &[Figure] = &[
    figure("since", "when the runtime saw its state change", "", ""),
    figure("rst, restarts", "how often the runtime started it again", "times", "since it was first started"),
    figure("open", "requests it has not answered yet, counted where they are routed", "requests", "now"),
    figure("cpu", "processor time of its processes, as the kernel counts it", "cores", "10 s"),
    figure(
        "memory",
        "resident memory of its processes; growth by the line through what was measured, where what it never falls below grows too",
        "bytes, and bytes per hour",
        "now; the growth since it was warm, without the first fifth of its life",
    ),
    figure("fds", "open file descriptors of its processes", "", "now"),
    figure("probes", "readiness and liveness probes that failed", "", "since it started"),
    figure(
        "SICK",
        "one instance that does worse than its siblings of the same version: three times their share of errors or slow requests, and not by chance",
        "",
        "its last 15 intervals of a second or more",
    ),
];

/// The figures of versions.
pub const VERSIONS: &[Figure] = &[
    figure("standing", "good: baked without a failed gate; baking; unproven; left; TAINTED by a person", "", ""),
    figure("proven", "how long the version had all the traffic, in all", "h", "all that is remembered"),
    figure("errors", "its requests that failed in that time", "% of requests", "while it had all the traffic"),
    figure("available", "whether its artifact is still in the store", "", "as of the last check"),
];

/// The figures of health.
pub const HEALTH: &[Figure] = &[
    figure(
        "the charts",
        "what was counted by whoever measures the signals: stable is the dotted line, the candidate is filled; both share a scale from 0",
        "as at the ends of the scale",
        "2 min second by second, 30 min by 10 s, 24 h by 5 min; a cell covers as many of them as fit",
    ),
    figure("a gap", "nothing was measured then, or a share of no requests; never a zero", "", ""),
    figure(
        "upright lines",
        "the candidate's declared share became what stands below: by the plan, a person or the way back",
        "",
        "this run",
    ),
    figure("the line across", "the limit of the gate that looks at the signal", "", ""),
    figure("value beside the name", "the signal now; dim where it is old, absent or without traffic", "", "1 min; requests 10 s"),
    figure("slow", "requests slower than stable's p99 when the run started", "% of requests", "1 min"),
    figure("p50, p99", "in a cell of several intervals the highest of them, so that a spike stays seen", "ms", "the cell"),
    figure("unavailable", "requests meant for the version while it had no ready instance", "requests", "since its instances were started"),
];

/// The figures of evidence.
pub const EVIDENCE: &[Figure] = &[
    figure(
        "worse, the bar",
        "odds that the candidate is worse than stable, by errors and requests of both; the bar is full at the line that fails the gate. \
         With a healthy candidate the chance of ever reaching 100:1 is at most 1 %, however often one looks",
        "parts to one",
        "the whole run, never begun anew",
    ),
    figure("this step", "the same odds of this weight alone: shown, and decides nothing", "parts to one", "since this weight converged"),
    figure(
        "change",
        "a detector that forgets: it sees harm that begins late. A false alarm in n intervals has a chance of at most n/line",
        "parts to one",
        "since the odds were last below 1:1",
    ),
    figure(
        "within",
        "the same odds as `safe`, of the run and since the change: what is over its line and within this holds and does not fail",
        "parts to one",
        "the whole run; since the change",
    ),
    figure(
        "safe",
        "odds that the candidate is not r_max times as bad as stable; at its line the gate passes",
        "parts to one",
        "since this weight converged",
    ),
    figure(
        "under",
        "odds that the candidate's share is under the limit; at its line the gate passes",
        "parts to one",
        "since this weight converged",
    ),
    figure(
        "over",
        "odds that a version's share is over the limit; both over it: going back does not help",
        "parts to one",
        "the whole run",
    ),
    figure(
        "over late",
        "the same by a detector that forgets, held to the line of change",
        "parts to one",
        "since the odds were last below 1:1",
    ),
    figure(
        "bursts (phi)",
        "how much more stable's errors scatter than independent ones would (Pearson); the logarithm of all odds is divided by it. \
         10 also means: too few errors to know",
        "1 is independent",
        "what is known of stable",
    ),
    figure("between", "where the candidate's share lies, right at all times at once in 95 of 100 runs", "%", "since this weight converged"),
    figure("missing", "what a healthy candidate lacks to pass, and when it is there", "requests", "at the traffic of now"),
    figure(
        "power",
        "the smallest ratio to stable that would have failed the gate by now, a smaller one and when it is seen, the weight that decides",
        "times stable's share",
        "expected at the traffic of now",
    ),
    figure(
        "burn",
        "how fast the error budget of the slo is spent: 1 spends it in 30 days; spent counts only the candidate's errors above stable's share, and stops a run when they are more than chance gives, 20:1",
        "times; % of the month's budget",
        "1 h; alerts as they say; spent since the run began",
    ),
    figure(
        "quantile",
        "edges of the buckets that it lies between for certain; in the last bucket only a floor is known",
        "ms",
        "since this weight converged",
    ),
    figure(
        "sensors",
        "each series the gate needs: fresh, stale, absent, no traffic, contradictory; one that is needed and not fresh is BLIND",
        "",
        "now",
    ),
    figure("intervals", "pieces of time with counts of both versions that were judged; age is the newest sample's", "", "this run"),
    figure("query", "what was asked of the metrics backend, when it was evaluated, what it warned of", "", ""),
    figure("peers", "what another tool's rule would say of the same numbers; decides nothing", "", ""),
];
