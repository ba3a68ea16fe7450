//! Whatever goes wrong on the way, what is shown in the end is what is so, and nothing vanishes meanwhile.

use super::rig::{Rig, cluster, part, rollout, short, still};
use crate::replay::fault::{Rule, What};
use cutover::runtime::Fault;
use std::time::Duration;

/// Two rollouts, the first open; things happen while something goes wrong with a kind's watch or list, and
/// in the end everything is known.
async fn survives(kind: &str, rules: Vec<Rule>) -> (Rig, super::rig::Told) {
    let what = format!("{kind} {rules:?}");
    let rig = Rig::new(cluster(2, 3), still());
    for rule in rules {
        rig.server.shared.faults.add(rule);
    }
    let mut told = rig.watch();
    rig.open("web-00");
    told.until(&what, |t| t.whole).await;
    for n in 1..=6 {
        rig.server.push("rollouts", "MODIFIED", rollout("web-00", n, 0));
        rig.server.push("pods", "ADDED", part("web-00", &format!("web-00-new-{n}"), 0));
        rig.server.push("pods", "ADDED", part("web-00", "web-00-short", 0));
        rig.server.push("pods", "DELETED", part("web-00", "web-00-short", 0));
        told.settle(Duration::from_millis(40)).await;
    }
    rig.server.push("pods", "DELETED", part("web-00", "web-00-abc-0", 0));
    told.until(&what, |t| t.line("web-00").starts_with("step 6 ") && t.line("web-00").contains("\"pods\": 8")).await;
    told.until("the gaps are closed", |t| t.gaps("web-00").is_empty()).await;
    assert!(told.deleted.is_empty() && told.rollouts.len() == 2, "{what}: {:?} vanished", told.deleted);
    assert_eq!(told.lists, 1, "{what}");
    (rig, told)
}

#[tokio::test]
async fn watches_mend_themselves() {
    for kind in ["rollouts", "pods"] {
        for rule in [
            Rule::new(What::Cut).after(2).times(3),
            Rule::new(What::Close).after(1).times(2),
            Rule::new(What::Status(410)).after(2).times(2),
            Rule::new(What::Status(410)).times(2),
            Rule::new(What::Status(500)).after(1).times(1),
            Rule::new(What::Status(503)).times(1),
            Rule::new(What::Garbage).after(2).times(2),
            Rule::new(What::Twice),
            Rule::new(What::Swap),
            Rule::new(What::Drip(64)),
            Rule::new(What::Big(100_000)),
            Rule::new(What::NoBookmarks),
        ] {
            survives(kind, vec![rule.only("watch", kind)]).await;
        }
    }
}

#[tokio::test]
async fn lists_mend_themselves() {
    for rule in [
        Rule::new(What::Cut).times(2),
        Rule::new(What::Close).times(1),
        Rule::new(What::Status(410)).times(2),
        Rule::new(What::Status(500)).times(2),
        Rule::new(What::Garbage).times(1),
        Rule::new(What::Drip(256)),
        Rule::new(What::Twice),
    ] {
        survives("pods", vec![rule.only("list", "pods")]).await;
    }
}

#[tokio::test]
async fn objects_of_two_megabytes_and_slow_drips_lose_nothing() {
    let rig = Rig::new(cluster(2, 3), still());
    for verb in ["list", "watch"] {
        rig.server.shared.faults.add(Rule::new(What::Big(2 << 20)).only(verb, "pods"));
    }
    let mut told = rig.watch();
    rig.open("web-01");
    told.until("its pods", |t| t.line("web-01").contains("\"pods\": 3")).await;
    rig.server.push("pods", "ADDED", part("web-01", "large", 0));
    told.until("one more", |t| t.line("web-01").contains("\"pods\": 4")).await;
}

#[tokio::test]
async fn too_old_a_revision_is_a_new_list_and_nothing_flickers() {
    let rule = Rule::new(What::Status(410)).after(1).times(1).only("watch", "rollouts");
    let (rig, told) = survives("rollouts", vec![rule]).await;
    assert_eq!((rig.count("list", "rollouts"), rig.count("watch", "rollouts")), (2, 2));
    assert_eq!(told.deleted, Vec::<String>::new());
    // What is gone while nobody watched is gone, all at once.
    let rig = Rig::new(cluster(3, 0), still());
    rig.server.shared.faults.add(Rule::new(What::Status(410)).after(0).skip(1).times(1).only("watch", "rollouts"));
    rig.server.shared.faults.add(Rule::new(What::Close).after(0).times(1).only("watch", "rollouts"));
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    rig.server.push("rollouts", "DELETED", rollout("web-01", 0, 0));
    told.until("one less", |t| t.deleted == ["web-01"] && t.rollouts.len() == 2).await;
}

#[tokio::test]
async fn a_cut_goes_on_where_it_was_without_a_list() {
    let (rig, _) = survives("pods", vec![Rule::new(What::Cut).after(3).times(2).only("watch", "pods")]).await;
    assert_eq!((rig.count("list", "pods"), rig.count("watch", "pods")), (1, 3));
}

#[tokio::test]
async fn a_watch_that_falls_silent_is_made_anew_once_it_has_had_bookmarks() {
    // The first watch has bookmarks and ends; the second is one from the future: connected, and silent.
    let rig = Rig::new(cluster(1, 0), still());
    rig.server.shared.faults.add(Rule::new(What::Close).after(3).times(1).only("watch", "rollouts"));
    rig.server.shared.faults.add(Rule::new(What::Silent).skip(1).times(1).only("watch", "rollouts"));
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    told.until("the silent one", |_| rig.count("watch", "rollouts") == 2).await;
    rig.server.push("rollouts", "MODIFIED", rollout("web-00", 9, 0));
    told.until("what nobody told", |t| t.line("web-00").starts_with("step 9")).await;
    assert_eq!((rig.count("list", "rollouts"), rig.count("watch", "rollouts")), (2, 3));
}

#[tokio::test]
async fn silence_without_bookmarks_says_nothing() {
    let rig = Rig::new(cluster(1, 0), still());
    rig.server.shared.faults.add(Rule::new(What::NoBookmarks));
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    told.settle(short().silent * 3).await;
    assert_eq!((rig.count("list", "rollouts"), rig.count("watch", "rollouts")), (1, 1));
}

#[tokio::test]
async fn a_busy_server_is_given_the_time_it_asks_for() {
    let rig = Rig::new(cluster(1, 1), still());
    rig.server.shared.faults.add(Rule::new(What::Busy(1)).times(1).only("list", "rollouts"));
    rig.server.shared.faults.add(Rule::new(What::Busy(1)).times(1).only("watch", "rollouts"));
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    rig.server.push("rollouts", "MODIFIED", rollout("web-00", 2, 0));
    told.until("a step", |t| t.line("web-00").starts_with("step 2")).await;
    let times =
        |verb: &str| -> Vec<f64> { rig.server.log().iter().filter(|r| r.verb == verb && r.kind == "rollouts").map(|r| r.at).collect() };
    for verb in ["list", "watch"] {
        let times = times(verb);
        assert!(times.len() == 2 && times[1] - times[0] >= 0.99, "{verb} {times:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_too_old_for_ever_is_not_asked_in_a_circle() {
    let rig = Rig::new(cluster(1, 1), still());
    rig.server.shared.faults.add(Rule::new(What::Status(410)).after(0).only("watch", "rollouts"));
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    told.settle(Duration::from_secs(2)).await;
    // 20, 40, 80, 160, 200 ms, … apart, give or take a fifth.
    let lists = rig.count("list", "rollouts");
    assert!((5..=20).contains(&lists), "{lists} lists in 2 s");
}

#[tokio::test]
async fn rollouts_that_cannot_be_watched_any_more_end_the_source() {
    let rig = Rig::new(cluster(1, 1), still());
    let mut told = rig.watch();
    rig.open("web-00");
    told.until("its parts", |t| t.line("web-00").contains("\"pods\": 1")).await;
    drop(rig.server);
    let fault = told.ends().await;
    assert!(matches!(fault, Fault::Unreachable { .. }), "{fault:?}");
    assert!(fault.to_string().contains("context shop (http://127.0.0.1:") && fault.to_string().contains("refused"), "{fault}");
}

#[tokio::test]
async fn a_list_that_stalls_half_way_is_given_up() {
    let rig = Rig::new(cluster(1, 1), still());
    rig.server.shared.faults.add(Rule::new(What::Cut).only("list", "rollouts"));
    let fault = rig.watch().ends().await;
    assert!(matches!(fault, Fault::Closed { .. }), "{fault:?}");
    rig.server.shared.faults.clear();
    rig.server.shared.faults.add(Rule::new(What::Garbage).only("list", "rollouts"));
    let fault = rig.watch().ends().await;
    assert!(fault.to_string().contains("a list of rollouts that is none"), "{fault}");
}
