//! What was known of a run when its traffic was decided: of every gate all that its verdict rested on. It is
//! kept until the next run begins, since what is asked after a way back is why; what is judged by then is
//! another version, or none.

use super::{gate::GateState, ident::RunId, text::Text, time::Time};
use serde::{Deserialize, Serialize};

/// Decisions that a run keeps: it may be promoted and go back afterwards.
const DECISIONS: usize = 2;

/// One decision, and what was known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// Of which run.
    pub run: RunId,
    /// When.
    pub at: Time,
    /// What.
    pub what: Decision,
    /// The version that was judged, as people call it.
    pub version: Text,
    /// The version that it was compared with; `None` where it stood alone.
    #[serde(default)]
    pub beside: Option<Text>,
    /// The gates as they stood.
    pub gates: Vec<GateState>,
    /// Gates of which nothing is kept, for want of room.
    #[serde(default)]
    pub dropped: u32,
}

/// What was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The candidate gets all the traffic for good.
    Promoted,
    /// All traffic goes back.
    WentBack,
}

/// The version whose gates are judged alone: it has all the traffic and nothing is beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alone {
    /// Its label.
    pub version: Text,
    /// Since when.
    pub since: Time,
}

impl Decision {
    /// Its word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::WentBack => "went_back",
        }
    }

    /// `when it was promoted`
    #[must_use]
    pub const fn when(self) -> &'static str {
        match self {
            Self::Promoted => "when it was promoted",
            Self::WentBack => "when it went back",
        }
    }
}

impl Decided {
    /// The gate that spoke for all.
    #[must_use]
    pub fn worst_gate(&self) -> Option<&GateState> {
        self.gates.iter().min_by_key(|g| g.place())
    }

    fn bytes(&self) -> usize {
        serde_json::to_vec(self).map_or(usize::MAX, |text| text.len())
    }

    /// Lets go of what tells least until the rest has so many bytes at most: other tools' rules, then what was
    /// asked for gates that did not decide, then their numbers, then they themselves; the worst gate goes last.
    fn fit(&mut self, most: usize) {
        let cuts: [fn(&mut GateState); 3] = [
            |gate| gate.evidence.iter_mut().for_each(|e| e.peers.clear()),
            |gate| gate.evidence.iter_mut().for_each(|e| (e.sensors, e.queries, e.power) = (Vec::new(), Vec::new(), None)),
            |gate| gate.evidence = None,
        ];
        for cut in cuts {
            let mut order: Vec<usize> = (0..self.gates.len()).collect();
            order.sort_by_key(|i| std::cmp::Reverse(self.gates.get(*i).map(GateState::place)));
            for place in order {
                if self.bytes() <= most {
                    return;
                }
                if let Some(gate) = self.gates.get_mut(place) {
                    cut(gate);
                }
            }
        }
        while self.bytes() > most {
            let Some(least) = (0..self.gates.len()).max_by_key(|i| self.gates.get(*i).map(GateState::place)) else { return };
            self.gates.remove(least);
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

/// Puts a decision before the earlier ones of its run.
pub fn add(decided: &mut Vec<Decided>, new: Decided) {
    decided.retain(|d| d.run == new.run && d.what != new.what);
    decided.insert(0, new);
    decided.truncate(DECISIONS);
}

/// Keeps so many bytes at most: each decision has an equal share of them.
pub fn keep(decided: &mut [Decided], most: usize) {
    let each = most / decided.len().max(1);
    decided.iter_mut().for_each(|d| d.fit(each));
}

#[cfg(test)]
mod tests {
    use super::{Decided, Decision, add, keep};
    use crate::model::{
        gate::{Arm, Evidence, GateState, Peer, Verdict},
        ident::{GateId, RunId},
        interval::Query,
        signal::SignalId,
        spec::OnFail,
        text::Text,
        time::Time,
    };

    fn gate(name: &str, verdict: Verdict, query: usize) -> GateState {
        let text = Text::from("x".repeat(query));
        let query = Query { name: "requests".into(), text, at: Time::UNIX_EPOCH, warnings: Vec::new(), infos: Vec::new() };
        let peers = vec![Peer { name: "Argo".into(), word: "would hold".into(), why: "y".repeat(500).into() }];
        GateState {
            id: GateId::new(name),
            signal: SignalId::Errors,
            rule: "under 5 %".into(),
            on_fail: OnFail::Hold,
            verdict,
            since: Time::UNIX_EPOCH,
            evidence: Some(Evidence { queries: vec![query], peers, ..Evidence::default() }),
        }
    }

    fn decided(what: Decision) -> Decided {
        let pass = |name| gate(name, Verdict::Pass { why: "under 5 %".into() }, 3_000);
        let bad = gate("errors", Verdict::Fail { who: Arm::Candidate, why: "worse 465:1".into() }, 3_000);
        let gates = vec![pass("slow"), bad, pass("restarts")];
        Decided { run: RunId::new("3"), at: Time::UNIX_EPOCH, what, version: "v3".into(), beside: Some("v2".into()), gates, dropped: 0 }
    }

    #[test]
    fn what_decided_keeps_its_evidence_longest() {
        let kept = |most: usize| {
            let mut all = [decided(Decision::WentBack)];
            keep(&mut all, most);
            let [one] = all;
            assert!(one.bytes() <= most, "{most}: {}", one.bytes());
            let bad = one.gates.iter().find(|g| g.id.as_str() == "errors").cloned();
            (one, bad.and_then(|g| g.evidence))
        };
        let whole = decided(Decision::WentBack).bytes();
        assert_eq!(kept(whole).0, decided(Decision::WentBack), "what has room stays as it is");
        let (one, bad) = kept(whole - 3_000);
        assert_eq!(bad.map(|e| e.queries.len()), Some(1), "its query stays");
        assert_eq!(one.gates.iter().filter(|g| g.evidence.as_ref().is_some_and(|e| e.queries.is_empty())).count(), 1);
        let (one, _) = kept(700);
        let left: Vec<&str> = one.gates.iter().map(|g| g.id.as_str()).collect();
        assert_eq!(left.first().copied().filter(|_| left.len() == 1).or(Some("errors")), Some("errors"), "{left:?}");
        assert_eq!(one.gates.len() + one.dropped as usize, 3);
        assert!(left.contains(&"errors"), "the one that decided goes last: {left:?}");
        kept(10_000);
    }

    #[test]
    fn a_run_keeps_its_promotion_and_its_way_back_and_nothing_of_another() {
        let mut all = Vec::new();
        add(&mut all, Decided { run: RunId::new("2"), ..decided(Decision::WentBack) });
        add(&mut all, decided(Decision::Promoted));
        add(&mut all, decided(Decision::WentBack));
        assert_eq!(
            all.iter().map(|d| (d.run.as_str(), d.what)).collect::<Vec<_>>(),
            [("3", Decision::WentBack), ("3", Decision::Promoted)]
        );
    }
}
