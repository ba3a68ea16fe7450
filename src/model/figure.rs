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
    figure(
        "errors",
        "requests that failed, of all that arrived: what the first gate over errors counts, by default 5xx and no answer",
        "% of requests",
        "1 min",
    ),
    figure("p50, p99", "time from a request's arrival to its response head; of a hundred 50, or 99, were faster", "ms", "1 min"),
    figure(
        "WORSE, certain",
        "a gate over the row fails and blames the candidate. Certain: it is shown to be worse than stable, the odds `worse` or the \
         detector `change` being over their lines (see evidence). WORSE alone: it is over its limit, its budget is spent, or its \
         quantile is higher",
        "",
        "the whole run, or since the change; a quantile since this weight converged",
    ),
    figure(
        "BOTH bad",
        "both versions are shown to be over the gate's limit: going back does not help, and nothing goes back by itself",
        "",
        "the whole run, or since the change; a quantile since this weight converged",
    ),
    figure("plan", "the steps of the configuration, frozen when the run started; 100 % follows by itself", "", ""),
    figure(
        "gates",
        "rules over signals, judged by the runtime: FAIL, WAIT (too little evidence, or worse and not enough so to fail), BLIND (a \
         needed signal is not fresh, or no request arrives), pass",
        "",
        "FAIL: the whole run, or since a change; pass: this weight; a quantile: this weight",
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
    figure("verdict", "the worst verdict of the rollout's gates", "", "FAIL: the whole run, or since a change; pass: this weight"),
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
        "odds that the candidate is worse than stable, by errors and requests of both. At 20:1 they hold the plan, at 100:1, where the \
         bar is full, the gate fails; of gates that revert both lines are multiplied by their number. With a healthy candidate the \
         chance of ever reaching 100:1 is at most 1 %, however often one looks. In their place on a gate's own line: `over` where it \
         is nearer to its line, `change` or `late` where that is what decides, `both` where both versions are over the limit",
        "parts to one",
        "the whole run, never begun anew",
    ),
    figure("worse, step", "the same odds of this weight alone: shown, and decides nothing", "parts to one", "since this weight converged"),
    figure(
        "change",
        "a detector that forgets: it sees harm that begins late, and fails the gate at a line of its own, 10,000:1 times the intervals \
         of a minute (60,000:1 at 10 s), of gates that revert times their number. A false alarm in n intervals has a chance of at most \
         n/line. Far below its line it means nothing: of healthy candidates many are at 100:1 some time in a few hours",
        "parts to one",
        "since it was last below 1:1",
    ),
    figure(
        "within",
        "the same odds as `safe`: of the run they excuse `worse`, since the change they excuse `change`. What is over its line and \
         within r_max by these holds the plan and does not fail. Where the run looks worse and is within, a change fails only if the \
         candidate is shown to be more than a little (1.25 times) worse",
        "parts to one",
        "the whole run; since the change",
    ),
    figure(
        "safe",
        "odds that the candidate is not r_max times as bad as stable; at its line the gate passes, unless it fails or looks worse",
        "parts to one",
        "since this weight converged",
    ),
    figure(
        "under",
        "odds that the candidate's share is under the limit; at its line the gate passes, unless it fails or looks worse",
        "parts to one",
        "since this weight converged",
    ),
    figure(
        "over",
        "odds that a version's share is over the limit, held to the line at which `worse` fails: the candidate's alone fail the gate; \
         both over it: going back does not help",
        "parts to one",
        "the whole run; of a version that bakes, since it has all the traffic",
    ),
    figure("late", "`over` by a detector that forgets, held to the line of `change`", "parts to one", "since it was last below 1:1"),
    figure(
        "bursts (phi)",
        "how much more stable's errors scatter than independent ones would (Pearson), between intervals, or between instances where \
         they can be told apart; the logarithm of all odds is divided by it. 10 also means: fewer than 20 errors, too few to know",
        "1 is independent",
        "the last hour of stable, before what it is applied to",
    ),
    figure(
        "this step, the run",
        "requests that failed, of all that were judged, of both versions: of the first a pass is made, of the second a fail",
        "requests, and %",
        "since this weight converged; since the run is judged",
    ),
    figure(
        "warming",
        "requests to instances that got ready less than the gate's `warmup` ago, or to all while these cannot be told apart: their \
         latency is shown and not judged; their errors are judged",
        "requests",
        "since this weight converged",
    ),
    figure("between", "where the candidate's share lies, right at all times at once in 95 of 100 runs", "%", "since this weight converged"),
    figure(
        "missing",
        "what the candidate lacks to pass by `safe` or `under`, whichever is nearer, if it does as it did so far, and when it is there",
        "requests",
        "at the traffic of now",
    ),
    figure(
        "power",
        "the smallest ratio to stable that would have been seen by now, a smaller one and when it is seen, and the weight at which a \
         healthy candidate passes. Seen is `worse` at its line, failed or held: a candidate within r_max is held, not failed",
        "times stable's share",
        "expected at the traffic of now",
    ),
    figure(
        "burn",
        "how fast the error budget of the slo is spent: 1 spends it in 30 days; the candidate's part is what its share of the traffic \
         burns of the whole service's. An alert needs its rate over a long and a short window, and a version burnt nothing before its \
         first request. Spent counts only the candidate's errors above stable's share, and fails the gate at its budget when they are \
         more than chance gives, by odds at the line where `worse` holds",
        "times; % of the month's budget",
        "1 h; alerts as they say; spent since the run began",
    ),
    figure(
        "quantile",
        "edges of the buckets that it lies between, each right at all times at once in 95 of 100 runs; in the last bucket only a floor \
         is known. Two versions differ from a p of 0.01 down",
        "ms",
        "since this weight converged",
    ),
    figure(
        "sensors",
        "each series the gate needs: fresh, stale, absent, no traffic, contradictory; one that is needed and not fresh is BLIND",
        "",
        "now",
    ),
    figure("samples", "pieces of time with counts of both versions that were judged; age is the newest sample's", "", "this run"),
    figure("query", "what was asked of the metrics backend, when it was evaluated, what it warned of", "", ""),
    figure("peers", "what another tool's rule would say of the same numbers; decides nothing", "", ""),
];
