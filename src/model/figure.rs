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
        "requests that arrived for the version, counted where they are routed",
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
        "no request reached the version that was left, nothing is in flight on it, errors are as before",
        "",
        "30 s without a request",
    ),
    figure("proven", "how long a version had all the traffic, in all", "h", "all that is remembered"),
];

/// The figures of the fleet.
pub const FLEET: &[Figure] = &[
    figure(
        "order",
        "waiting for a person, failing, stuck, stale, baking, running, healthy; what has been so for longer goes first",
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
        "resident memory of its processes; growth by the line through what was measured",
        "bytes, and bytes per hour",
        "now; the growth over what is kept",
    ),
    figure("fds", "open file descriptors of its processes", "", "now"),
    figure("probes", "readiness and liveness probes that failed", "", "since it started"),
    figure("SICK", "one instance that does worse than its siblings while all together look well", "", "as its runtime judges"),
];

/// The figures of versions.
pub const VERSIONS: &[Figure] = &[
    figure("standing", "good: baked without a failed gate; baking; unproven; left; TAINTED by a person", "", ""),
    figure("proven", "how long the version had all the traffic, in all", "h", "all that is remembered"),
    figure("errors", "its requests that failed in that time", "% of requests", "while it had all the traffic"),
    figure("available", "whether its artifact is still in the store", "", "as of the last check"),
];
