//! One verb on every rollout that is marked: written out in the palette, never by a key. Its preview lists
//! each of them with its plan or why there is none, and is confirmed like the verb.

use super::{
    act,
    msg::Planner,
    state::{Also, KeyPress, Overlay, State},
};
use crate::{
    model::{
        action::{Action, Plan, Refusal},
        ident::Key,
        rollout::Rollout,
        text::Text,
    },
    runtime::Ask,
};

/// Lines of a preview that are no rollouts: its bar, how to confirm, a reason to choose, hints.
const AROUND: usize = 12;

impl State {
    /// Plans a verb on everything that is marked and shows it.
    pub(super) fn act_on_marked(
        &mut self,
        verb: &str,
        words: &str,
        opened_by: Option<KeyPress>,
        planner: &dyn Planner,
    ) -> Result<(), String> {
        let marked = self.marked();
        if marked.is_empty() {
            return Err("nothing is marked: space marks a row of the fleet".into());
        }
        let room = usize::from(self.size.1).saturating_sub(AROUND).max(2);
        if marked.len() > room {
            return Err(format!(
                "{} are marked and {room} fit on this screen: what is sent must be seen; mark fewer, or make it taller",
                marked.len()
            ));
        }
        let mut reason = None;
        let mut all: Vec<Also> = Vec::new();
        for key in marked {
            let id = self.desk.ids.next();
            let Some(rollout) = self.shared.rollouts.get(&key).map(|w| w.rollout.clone()) else {
                let why = Refusal::NotNow { why: "it is gone".into() };
                all.push(Also { key, action: Action::Pause, id, plan: Err(why) });
                continue;
            };
            let (action, why) = match self.order(verb, words, &rollout)? {
                Some(order) => order,
                None if verb == "weight" => return Err("write `:weight marked PERCENT`".into()),
                None => match self.action_now(verb, &rollout, planner) {
                    Some(action) => (action, None),
                    None => return Err(format!("`{verb}` cannot be done on several at once")),
                },
            };
            reason = reason.or(why);
            let ask = Ask {
                action: action.clone(),
                id: id.clone(),
                name: self.desk.name.clone(),
                reason: reason.clone(),
                force: false,
                switch_only: false,
            };
            let plan = self.planned(&rollout, &ask, planner);
            all.push(Also { key, action, id, plan });
        }
        let Some(at) = all.iter().position(|a| a.plan.is_ok()) else {
            self.overlay = self.none_of(&all);
            return Ok(());
        };
        let first = all.remove(at);
        if let (Ok(plan), Some(rollout)) = (first.plan, self.shared.rollouts.get(&first.key).map(|w| w.rollout.clone())) {
            let ask = Ask { action: first.action, id: first.id, name: self.desk.name.clone(), reason, force: false, switch_only: false };
            self.show(plan, ask, &rollout, all, opened_by);
        }
        Ok(())
    }

    /// What is marked, in the order of the rows.
    fn marked(&self) -> Vec<Key> {
        let mut marked: Vec<Key> = self.fleet.marks().iter().cloned().collect();
        marked.sort_by_key(|key| (self.fleet.rank(key).is_none(), self.fleet.rank(key)));
        marked
    }

    /// A plan, or why not, whatever forbids it.
    fn planned(&self, rollout: &Rollout, ask: &Ask, planner: &dyn Planner) -> Result<Plan, Refusal> {
        match self.forbidden(&rollout.key, &ask.action) {
            Some(refusal) => Err(refusal),
            None => act::plan(planner, rollout, ask),
        }
    }

    fn none_of(&self, all: &[Also]) -> Overlay {
        let why = |a: &Also| a.plan.as_ref().err().map(|r| format!("{}: {r}", a.key.service.text()));
        let text: Vec<String> = all.iter().filter_map(why).collect();
        let why: Text = format!("not on any of the {} that are marked. {}", all.len(), text.join("; ")).into();
        let action = all.first().map_or(Action::Pause, |a| a.action.clone());
        Overlay::Refused { action, refusal: Refusal::NotNow { why } }
    }
}
