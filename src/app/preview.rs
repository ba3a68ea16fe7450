//! The open preview: what is shown before it is sent, kept true while it is read. When a guarded fact
//! moves it is withdrawn; what is not guarded changes it and must be shown again.

use super::{
    act,
    desk::{Draft, Meanwhile},
    msg::Planner,
    state::{Also, Confirm, KeyPress, Overlay, Preview, State},
};
use crate::{
    model::{
        action::{Action, Guard, Plan},
        back::How,
        ident::Key,
        rollout::{LastAction, Rollout},
        spec::OnFail,
        text::Text,
        time::{Time, elapsed, span},
        version::Version,
    },
    runtime::Ask,
};

/// Reasons for passing a gate that has not passed: one must be chosen or another one typed.
const REASONS: &[&str] = &["too little traffic to wait for", "checked by other means", "known, and worth it"];

impl State {
    /// Shows a plan. It is confirmed by keys that come after a frame with it was written.
    pub(super) fn show(&mut self, plan: Plan, ask: Ask, rollout: &Rollout, also: Vec<Also>, opened_by: Option<KeyPress>) {
        let key = rollout.key.clone();
        let confirm = self.confirm_for(&plan, &also, &ask, rollout);
        let meanwhile = self.meanwhile(rollout);
        let said = meanwhile.as_ref().map(|m| sentence(m, self.shared.there_now()));
        self.desk.draft = Some(Draft { ask, opened_by, since: self.shared.uptime, waiting: None, meanwhile });
        let mut preview = Preview { key, plan, also, confirm, withdrawn: None, meanwhile: said, painted: None, hint: None };
        self.dress(&mut preview);
        self.overlay = Overlay::Preview(Box::new(preview));
    }

    /// Adds what the runtime need not know: how old the picture is, and the gates that are gone over.
    fn dress(&self, preview: &mut Preview) {
        let plan = &mut preview.plan;
        if plan.action == Action::SkipGate && !plan.title.as_str().starts_with("SKIP GATE") {
            plan.title = format!("SKIP GATE: {}", plan.title).into();
        }
        if plan.needs_reason {
            let gates = self.shared.rollouts.get(&preview.key).map(|w| w.rollout.gates.as_slice()).unwrap_or_default();
            for gate in gates.iter().filter(|g| !g.verdict.passed() && g.on_fail != OnFail::Advise) {
                let name = gate.id.text();
                if !plan.notes.iter().chain(&plan.warns).any(|n| n.as_str().contains(name.as_str())) {
                    plan.notes.push(format!("gate {name} {}: {}", gate.verdict.word(), gate.verdict.reason()).into());
                }
            }
        }
        if preview.confirm == Confirm::Never {
            plan.warns.push("this target is read-only: nothing is sent".into());
        }
        if let (Action::Back { to }, Some(w)) = (&plan.action, self.shared.rollouts.get(&preview.key)) {
            let unsafe_ones = w.rollout.tracks.iter().map(|t| &t.version).filter(|v| v.id != *to);
            for (version, why) in unsafe_ones.filter_map(|v| Some((v, v.back_unsafe.as_ref()?))) {
                if !plan.warns.iter().any(|warn| warn.as_str().contains(why.as_str())) {
                    plan.warns.push(format!("UNSAFE to leave {}: {why}", version.label).into());
                }
            }
        }
        plan.warns.extend(self.silence(&preview.key));
        if self.desk.gone.contains_key(&preview.key) {
            plan.warns.push(format!("{} is gone from {}", preview.key.service.text(), preview.key.target.text()).into());
        }
        if let Some(reason) = self.desk.draft.as_ref().and_then(|d| d.ask.reason.as_ref()) {
            plan.notes.push(format!("reason: {reason}").into());
        }
    }

    /// Who acted since the person's last key, if it was somebody else.
    fn meanwhile(&self, rollout: &Rollout) -> Option<Meanwhile> {
        let before = self.desk.baseline.as_ref()?;
        let act = rollout.last.clone().filter(|last| before.as_ref() != Some(last))?;
        if self.was_mine(&rollout.key, &act.action, act.at) {
            return None;
        }
        let yours = before.as_ref().is_some_and(|b| {
            matches!((&b.action, &act.action), (Action::Pause, Action::Resume)) && self.was_mine(&rollout.key, &b.action, b.at)
        });
        Some(Meanwhile { act, yours })
    }

    /// Keeps the open preview true after something changed.
    pub(super) fn refresh_preview(&mut self, planner: &dyn Planner) {
        let Overlay::Preview(preview) = &self.overlay else { return };
        if preview.withdrawn.is_some() {
            return;
        }
        let Some(rollout) = self.shared.rollouts.get(&preview.key).map(|w| w.rollout.clone()) else {
            return self.withdraw("it is not known any more".into());
        };
        if let Some(moved) = moved(&preview.plan, &rollout) {
            return self.withdraw(by_whom(moved, &rollout));
        }
        if self.desk.gone.contains_key(&rollout.key) && !matches!(preview.plan.action, Action::Back { .. }) {
            return self.withdraw("it is gone from its target".into());
        }
        if let Some(m) = self.meanwhile(&rollout)
            && let Some(draft) = &mut self.desk.draft
        {
            draft.meanwhile = Some(m);
        }
        let Some(ask) = self.desk.draft.as_ref().map(|d| d.ask.clone()) else { return };
        match act::plan(planner, &rollout, &ask) {
            Ok(plan) => self.replan(plan, &ask, &rollout),
            // The way back is never blocked: what speaks against it is said.
            Err(refusal) if matches!(ask.action, Action::Back { .. }) => {
                let warn = Text::from(refusal.to_string());
                if let Overlay::Preview(p) = &mut self.overlay
                    && !p.plan.warns.contains(&warn)
                {
                    p.plan.warns.push(warn);
                }
            }
            Err(refusal) => return self.withdraw(by_whom(refusal.to_string().into(), &rollout)),
        }
        self.refresh_also(planner);
    }

    /// The other rollouts of a preview of several: what moved on one of them withdraws it whole. One that
    /// was refused stays out, whatever becomes of it.
    fn refresh_also(&mut self, planner: &dyn Planner) {
        let Overlay::Preview(preview) = &self.overlay else { return };
        let Some(ask) = self.desk.draft.as_ref().map(|d| d.ask.clone()) else { return };
        let mut also = preview.also.clone();
        let (mut other, mut why) = (false, None);
        for one in &mut also {
            let Ok(plan) = &one.plan else { continue };
            let ask = Ask { action: one.action.clone(), id: one.id.clone(), ..ask.clone() };
            match self.again(&one.key, plan, &ask, planner) {
                Ok(new) => {
                    other |= !same_deed(plan, &new) || (plan.needs_reason != new.needs_reason && ask.reason.is_none());
                    one.plan = Ok(new);
                }
                Err(what) => why = why.or_else(|| Some(Text::from(format!("{}: {what}", one.key.service.text())))),
            }
        }
        if let Overlay::Preview(p) = &mut self.overlay {
            p.also = also;
            if other && !matches!(p.plan.action, Action::Back { .. }) {
                p.painted = None;
                p.hint = Some("the plan changed: read it again".into());
                if let Some(draft) = &mut self.desk.draft {
                    (draft.since, draft.waiting) = (self.shared.uptime, None);
                }
            }
        }
        if let Some(why) = why {
            self.withdraw(why);
        }
    }

    /// A plan as it is now, or what moved.
    fn again(&self, key: &Key, plan: &Plan, ask: &Ask, planner: &dyn Planner) -> Result<Plan, Text> {
        let Some(rollout) = self.shared.rollouts.get(key).map(|w| &w.rollout) else { return Err("it is not known any more".into()) };
        if let Some(moved) = moved(plan, rollout) {
            return Err(by_whom(moved, rollout));
        }
        match act::plan(planner, rollout, ask) {
            // The way back is never blocked: it goes as it was shown.
            Err(_) if matches!(ask.action, Action::Back { .. }) => Ok(plan.clone()),
            Err(refusal) => Err(by_whom(refusal.to_string().into(), rollout)),
            Ok(plan) => Ok(plan),
        }
    }

    fn replan(&mut self, plan: Plan, ask: &Ask, rollout: &Rollout) {
        let uptime = self.shared.uptime;
        let mut overlay = std::mem::replace(&mut self.overlay, Overlay::None);
        if let Overlay::Preview(p) = &mut overlay {
            let back = matches!(plan.action, Action::Back { .. });
            let other = !same_deed(&p.plan, &plan) || (p.plan.needs_reason != plan.needs_reason && ask.reason.is_none());
            p.plan = plan;
            self.dress(p);
            // What the way back does is fixed by what it guards: it never has to be read twice.
            if other && !back {
                p.confirm = self.confirm_for(&p.plan, &p.also, ask, rollout);
                p.painted = None;
                p.hint = Some("the plan changed: read it again".into());
                if let Some(draft) = &mut self.desk.draft {
                    (draft.since, draft.waiting) = (uptime, None);
                }
            }
        }
        self.overlay = overlay;
    }

    /// The reason was given: the plan is made again with it. True when nothing else is to be confirmed.
    pub(super) fn reasoned(&mut self, reason: Text, planner: &dyn Planner) -> bool {
        let Overlay::Preview(preview) = &self.overlay else { return false };
        let Some(rollout) = self.shared.rollouts.get(&preview.key).map(|w| w.rollout.clone()) else { return false };
        let Some(draft) = &mut self.desk.draft else { return false };
        draft.ask.reason = Some(reason);
        let ask = draft.ask.clone();
        let plan = match act::plan(planner, &rollout, &ask) {
            Ok(plan) => plan,
            Err(refusal) => {
                self.withdraw(refusal.to_string().into());
                return false;
            }
        };
        self.refresh_also(planner);
        let uptime = self.shared.uptime;
        let mut overlay = std::mem::replace(&mut self.overlay, Overlay::None);
        let mut done = false;
        if let Overlay::Preview(p) = &mut overlay {
            done = same_deed(&p.plan, &plan) && !matches!(&p.confirm, Confirm::Reason { then_typed: Some(_), .. });
            p.plan = plan;
            self.dress(p);
            if p.withdrawn.is_some() {
                done = false;
            } else {
                p.confirm = self.confirm_for(&p.plan, &p.also, &ask, &rollout);
                p.hint = None;
            }
            if !done {
                p.painted = None;
                if let Some(draft) = &mut self.desk.draft {
                    (draft.since, draft.waiting) = (uptime, None);
                }
            }
        }
        self.overlay = overlay;
        done
    }

    /// A guarded fact moved: nothing can be sent from here any more.
    pub(super) fn withdraw(&mut self, why: Text) {
        if let Overlay::Preview(p) = &mut self.overlay {
            p.withdrawn = Some(why);
            p.hint = None;
        }
        self.forget_waiting();
    }

    /// Where nothing may be sent, and where there is nothing to send, nothing confirms.
    fn confirm_for(&self, plan: &Plan, also: &[Also], ask: &Ask, rollout: &Rollout) -> Confirm {
        if self.is_read_only(&rollout.key) || plan.calls.is_empty() { Confirm::Never } else { confirm_for(plan, also, ask, rollout) }
    }

    /// Ages in the second line move on.
    pub(super) fn age_preview(&mut self) {
        let now = self.shared.there_now();
        if let (Overlay::Preview(p), Some(m)) = (&mut self.overlay, self.desk.draft.as_ref().and_then(|d| d.meanwhile.as_ref())) {
            p.meanwhile = Some(sentence(m, now));
        }
    }
}

/// `ben resumed your pause 8 s ago; step 3 → 4`.
fn sentence(m: &Meanwhile, now: Time) -> Text {
    let LastAction { by, action, at, effect } = &m.act;
    let what = if m.yours { "resumed your pause" } else { action.past() };
    let effect = if effect.is_empty() { String::new() } else { format!("; {effect}") };
    format!("{by} {what} {} ago{effect}", span(elapsed(now, *at))).into()
}

fn by_whom(what: Text, rollout: &Rollout) -> Text {
    match &rollout.last {
        Some(last) => format!("{what} (last: {} {})", last.by, last.action.past()).into(),
        None => what,
    }
}

/// Whether two plans do the same to the traffic.
fn same_deed(a: &Plan, b: &Plan) -> bool {
    let calls = |p: &Plan| p.calls.iter().map(|c| (c.verb.clone(), c.path.clone())).collect::<Vec<_>>();
    a.action == b.action && a.weights == b.weights && calls(a) == calls(b)
}

/// The guarded fact that moved, in words. The way back guards only the run and the version it goes to.
fn moved(plan: &Plan, rollout: &Rollout) -> Option<Text> {
    let was = &plan.belief;
    let name = |v: Option<&Version>| v.map_or_else(|| "none".to_owned(), |v| v.label.to_string());
    if was.key != rollout.key {
        return Some("it is another rollout".into());
    }
    if was.run != rollout.run {
        let run = |r: Option<&crate::model::ident::RunId>| r.map_or_else(|| "none".into(), crate::model::ident::RunId::text);
        return Some(format!("the run moved: {} → {}", run(was.run.as_ref()), run(rollout.run.as_ref())).into());
    }
    if let Action::Back { to } = &plan.action {
        return match (&rollout.back.to, &rollout.back.how) {
            (Some(now), _) if now.id != *to => Some(format!("the way back goes to {} now", now.label).into()),
            (None, How::None { why }) => Some(format!("there is no way back any more: {why}").into()),
            _ => None,
        };
    }
    let guards = |fact: &str| {
        let mut facts = plan.calls.iter().filter_map(|c| match &c.guard {
            Guard::Facts(facts) => Some(facts),
            Guard::ReadBack => None,
        });
        // Without named facts the target compares nothing: everything believed is guarded here.
        facts.clone().next().is_none() || facts.any(|facts| facts.iter().any(|f| f.name.as_str() == fact))
    };
    let at = rollout.at.map(|at| at.index);
    if guards("step") && was.at != at {
        let step = |i: Option<usize>| match i {
            Some(i) if i < rollout.steps.len() => (i + 1).to_string(),
            Some(_) => "100 %".to_owned(),
            None => "–".to_owned(),
        };
        return Some(format!("step {} → {}", step(was.at), step(at)).into());
    }
    let stable = rollout.stable().map(|t| &t.version);
    if guards("stable") && was.stable.as_ref() != stable.map(|v| &v.id) {
        return Some(format!("stable is {} now", name(stable)).into());
    }
    let candidate = rollout.candidate().map(|t| &t.version);
    if guards("candidate") && was.candidate.as_ref() != candidate.map(|v| &v.id) {
        return Some(format!("the candidate is {} now", name(candidate)).into());
    }
    None
}

fn confirm_for(plan: &Plan, also: &[Also], ask: &Ask, rollout: &Rollout) -> Confirm {
    let typed = matches!(plan.action, Action::Promote).then(|| first_four(rollout));
    let reason = ask.reason.is_none() && (plan.needs_reason || also.iter().any(|a| a.plan.as_ref().is_ok_and(|p| p.needs_reason)));
    match (reason, typed) {
        (true, expected) => Confirm::Reason {
            ready: REASONS.iter().map(|r| Text::from(*r)).collect(),
            // None is chosen for them: a reason that nobody gave would be a lie in the journal.
            chosen: REASONS.len(),
            typed: String::new(),
            then_typed: expected.map(|e| (e, String::new())),
        },
        (false, Some(expected)) => Confirm::Typed { expected, typed: String::new() },
        (false, None) => Confirm::Key { letter: matches!(plan.action, Action::Back { .. }), pending: None },
    }
}

/// The first four characters of the candidate's digest, or of its hash where it is not sealed.
fn first_four(rollout: &Rollout) -> String {
    let Some(version) = rollout.candidate().map(|t| &t.version) else { return String::new() };
    version.short_id().as_str().chars().filter(char::is_ascii_alphanumeric).take(4).collect::<String>().to_ascii_lowercase()
}
