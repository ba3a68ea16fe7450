//! Pools whose size changes while they run, and whether what runs is still what was started.

use super::{Entry, Instance, Instances, LONGEST_GRACE, Pool, PoolId, proc};
use crate::model::{ident::InstanceId, instance::InstanceState, text::Text};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

impl Pool {
    /// Marks which instances are too many, first those that are not ready, then the newest, takes back those that are not any more,
    /// and says how many are missing.
    pub(super) fn resize(&mut self, wanted: u32) -> usize {
        let wanted = wanted as usize;
        // Those that were told to end do so, whatever is wanted by now.
        let mut rest: Vec<&mut Entry> = self.slots.iter_mut().filter(|slot| slot.stop.borrow().is_none()).collect();
        // Stable: of equals the oldest stay.
        rest.sort_by_key(|slot| slot.view.state != InstanceState::Ready);
        let staying = rest.len().min(wanted);
        for (place, slot) in rest.into_iter().enumerate() {
            slot.leaving = place >= wanted;
        }
        wanted - staying
    }

    /// Those that are too many and were not told to end yet.
    pub(super) fn leaving(&self) -> Vec<InstanceId> {
        let leaving = self.slots.iter().filter(|slot| slot.leaving && slot.stop.borrow().is_none());
        leaving.map(|slot| slot.view.id.clone()).collect()
    }
}

impl Entry {
    /// As it is shown: one that is leaving is not ready for more.
    pub(super) fn shown(&self) -> Instance {
        let mut view = self.view.clone();
        if self.leaving && view.state != InstanceState::Ended {
            (view.state, view.reason) = (InstanceState::Draining, None);
        }
        view
    }

    /// Tells it to end. A later call may shorten the grace, never lengthen it.
    pub(super) fn end(&self, grace: Duration) {
        self.stop.send_if_modified(|stop| {
            let shorter = stop.is_none_or(|before| grace < before);
            if shorter {
                *stop = Some(grace);
            }
            shorter
        });
    }
}

impl Instances {
    /// Asks one instance to end (TERM) and kills what is left after `grace`: one that is too many, once
    /// it has finished what it had.
    pub fn end(&self, pool: &PoolId, instance: &InstanceId, grace: Duration) {
        let state = self.0.lock();
        let slot = state.pools.get(pool).and_then(|p| p.slots.iter().find(|s| s.view.id == *instance));
        if let Some(slot) = slot {
            slot.end(grace.min(LONGEST_GRACE));
        }
        drop(state);
        self.0.bump();
    }

    /// Instances that are not what was started, each with what is different. Blocks while it reads `/proc`.
    ///
    /// A service may change its directory and execute other programs of the machine; it may not run from
    /// another artifact's copy, nor from files that were taken away under it.
    #[must_use]
    pub fn strayed(&self) -> Vec<(PoolId, InstanceId, Text)> {
        let marks: Vec<_> = {
            let state = self.0.lock();
            let slots = state.pools.values().flat_map(|pool| pool.slots.iter().map(move |slot| (pool, slot)));
            let running =
                slots.filter_map(|(pool, slot)| Some((pool.plan.id.clone(), slot.view.id.clone(), slot.leader?, pool.plan.root.clone())));
            running.collect()
        };
        let look = |(pool, instance, mark, root): (PoolId, InstanceId, super::records::Mark, PathBuf)| {
            let what = match proc::process(mark.pid) {
                // Its supervisor is about to say so.
                None => return None,
                Some(found) if found.zombie => return None,
                Some(found) if found.start != mark.start => format!("pid {} is another process than was started", mark.pid),
                Some(_) => stray(mark.pid, &root)?,
            };
            // It may have ended while it was looked at.
            let still =
                self.0.lock().pools.get(&pool).is_some_and(|p| p.slots.iter().any(|s| s.view.id == instance && s.leader == Some(mark)));
            still.then(|| (pool, instance, what.into()))
        };
        marks.into_iter().filter_map(look).collect()
    }
}

/// What is wrong with the places of a process, as far as they may be read.
fn stray(pid: u32, root: &Path) -> Option<String> {
    let copies = root.parent()?;
    for (link, what) in [("exe", "program"), ("cwd", "directory")] {
        let Ok(place) = fs::read_link(format!("/proc/{pid}/{link}")) else { continue };
        let Ok(inside) = place.strip_prefix(copies) else { continue };
        let shown = Text::clean(&inside.display().to_string());
        if !place.starts_with(root) {
            return Some(format!("its {what} is in another copy: {shown}"));
        }
        // The system's word for a file that has no name any more.
        if place.to_string_lossy().ends_with(" (deleted)") && !place.exists() {
            return Some(format!("its {what} is no longer there: {shown}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::stray;
    use std::{fs, path::Path, process::Command};

    #[test]
    fn another_copy_and_files_that_went_are_seen_and_the_machines_own_are_not() {
        let copies = tempfile::tempdir().unwrap();
        let copies = copies.path().canonicalize().unwrap();
        let (own, other) = (copies.join("own"), copies.join("other"));
        for dir in [&own, &other] {
            fs::create_dir(dir).unwrap();
            fs::copy("/bin/sleep", dir.join("serve")).unwrap();
        }
        let start = |program: &Path, dir: &Path| Command::new(program).arg("60").current_dir(dir).spawn().unwrap();
        let mut fine = start(&own.join("serve"), &own);
        let mut elsewhere = start(Path::new("/bin/sleep"), Path::new("/"));
        let mut wrong = start(&other.join("serve"), &own);
        assert_eq!((stray(fine.id(), &own), stray(elsewhere.id(), &own)), (None, None));
        assert_eq!(stray(wrong.id(), &own).unwrap(), "its program is in another copy: other/serve");
        assert_eq!(stray(u32::MAX, &own), None, "what cannot be read is no finding");
        fs::remove_file(own.join("serve")).unwrap();
        assert!(stray(fine.id(), &own).unwrap().starts_with("its program is no longer there: own/serve"));
        for child in [&mut fine, &mut elsewhere, &mut wrong] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
