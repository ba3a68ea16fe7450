//! What may be seen, who we are, and what is said when we may not.

use super::rig::{NAMESPACE, PATIENCE, Rig, cluster, elsewhere, key, rollout, still};
use crate::replay::{
    fault::{Rule, What},
    server::Options,
};
use cutover::runtime::Fault;
use serde_json::json;
use std::{os::unix::fs::PermissionsExt, time::Duration};

#[tokio::test]
async fn a_missing_permission_takes_one_panel_and_says_so() {
    let rig = Rig::new(cluster(1, 2), still());
    rig.server.shared.faults.add(Rule::new(What::Status(403)).only("list", "experiments"));
    rig.server.shared.faults.add(Rule::new(What::Missing).only("list", "analysisruns"));
    let mut told = rig.watch();
    rig.open("web-00");
    told.until("what is not seen", |t| t.gaps("web-00").len() == 2 && t.line("web-00").contains("\"pods\": 2")).await;
    let gaps: Vec<String> = told.gaps("web-00").into_iter().collect();
    assert!(gaps[0].starts_with("analysisruns are not seen: analysisruns is not installed there"), "{gaps:?}");
    assert!(gaps[1].starts_with("experiments are not seen: User \"replay\" cannot list"), "{gaps:?}");
    // It is granted, without anybody doing anything here.
    rig.server.shared.faults.clear();
    told.until("it is seen", |t| t.gaps("web-00").is_empty() && t.line("web-00").contains("\"experiments\": 0")).await;
    // And withdrawn while it is watched.
    rig.server.shared.faults.add(Rule::new(What::Status(403)).only("list", "pods"));
    rig.server.shared.faults.add(Rule::new(What::Status(403)).only("watch", "pods"));
    rig.server.shared.faults.add(Rule::new(What::Status(403)).only("watch", "pods").after(0));
    rig.open("none");
    told.until("nothing is open", |t| t.line("web-00") == "step 0 {}").await;
    rig.open("web-00");
    told.until("it is not seen", |t| t.gaps("web-00").iter().any(|g| g.starts_with("pods are not seen"))).await;
    assert!(!told.line("web-00").contains("pods"), "unknown is not none: {}", told.line("web-00"));
}

#[tokio::test]
async fn a_permission_that_is_withdrawn_in_mid_watch_is_said() {
    let rig = Rig::new(cluster(1, 2), still());
    rig.server.shared.faults.add(Rule::new(What::Status(403)).after(2).only("watch", "pods"));
    rig.server.shared.faults.add(Rule { skip: 1, ..Rule::new(What::Status(403)).only("list", "pods") });
    let mut told = rig.watch();
    rig.open("web-00");
    told.until("its pods", |t| t.line("web-00").contains("\"pods\": 2")).await;
    told.until("they are not seen", |t| t.gaps("web-00").iter().any(|g| g.starts_with("pods are not seen"))).await;
    rig.server.push("rollouts", "MODIFIED", rollout("web-00", 4, 0));
    told.until("the rest goes on", |t| t.line("web-00").starts_with("step 4")).await;
    rig.server.shared.faults.clear();
    told.until("they are seen", |t| t.gaps("web-00").is_empty() && t.line("web-00").contains("\"pods\": 2")).await;
}

#[tokio::test]
async fn where_all_namespaces_may_not_be_listed_the_contexts_own_is() {
    let rig = Rig::new(cluster(2, 2), Options { namespaced: true, ..still() });
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    assert_eq!(told.rollouts.len(), 2);
    let said = told.gaps("web-00");
    assert_eq!(said.iter().next().unwrap(), "only namespace shop is seen: listing all of them is not allowed");
    assert_eq!(rig.count("list", "rollouts"), 2);
    // At once it is the same.
    let rollouts = rig.runtime.rollouts().await.unwrap();
    assert!(rollouts[0].reason.as_ref().unwrap().as_str().contains("\"pods\": 4"));
    // Namespaces that are named are asked for without trying the whole.
    let rig = Rig::with(cluster(2, 2), Options { namespaced: true, ..still() }, |s| s.namespaces = vec![NAMESPACE.into(), "empty".into()]);
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    assert_eq!((told.rollouts.len(), told.gaps("web-00").len()), (2, 0));
    assert!(rig.server.log().iter().all(|r| r.path.contains("/namespaces/")));
    rig.server.push("rollouts", "DELETED", rollout("web-01", 0, 0));
    told.until("one less", |t| t.rollouts.len() == 1).await;
}

#[tokio::test]
async fn a_kind_that_may_not_be_seen_in_one_namespace_is_missing_there_only() {
    let namespaces = |s: &mut cutover::runtime::argo::connect::Settings| s.namespaces = vec![NAMESPACE.into(), "yard".into()];
    let rig = Rig::of(vec![cluster(1, 1), elsewhere("yard", "crane")], Options { namespaced: true, ..still() }, namespaces);
    rig.server.shared.faults.add(Rule::new(What::Status(403)).only("list", "pods").within("yard"));
    let told = |rollouts: &[cutover::model::rollout::Rollout]| -> Vec<(String, bool, usize)> {
        let one = |r: &cutover::model::rollout::Rollout| {
            (r.key.service.as_str().to_owned(), r.reason.as_ref().unwrap().as_str().contains("\"pods\""), r.findings.len())
        };
        rollouts.iter().map(one).collect()
    };
    let expected = [("web-00".to_owned(), true, 0), ("crane".to_owned(), false, 1)];
    let mut all = told(&rig.runtime.rollouts().await.unwrap());
    all.sort_by(|a, b| b.cmp(a));
    assert_eq!(all, expected);
    // The same while they are watched, one after the other.
    let mut told = rig.watch();
    rig.open("web-00");
    told.until("its pods", |t| t.line("web-00").contains("\"pods\"") && t.gaps("web-00").is_empty()).await;
    let mut crane = key("crane");
    crane.scope = vec![cutover::model::text::Raw::new("yard")];
    cutover::runtime::Runtime::focus(&rig.runtime, Some(&crane));
    told.until("what is not seen", |t| t.gaps("crane").len() == 1 && t.line("crane").contains("\"replicasets\": 0")).await;
    assert!(!told.line("crane").contains("pods"), "{}", told.line("crane"));
    rig.open("web-00");
    told.until("its pods again", |t| t.line("web-00").contains("\"pods\": 1") && t.gaps("web-00").is_empty()).await;
    told.until("what is not open is not asked for", |t| t.gaps("crane").is_empty()).await;
}

#[tokio::test]
async fn a_kind_whose_list_never_comes_holds_a_command_up_for_ten_seconds_and_is_named() {
    let rig = Rig::new(cluster(1, 2), still());
    rig.server.shared.faults.add(Rule::new(What::Stall).only("list", "pods"));
    let began = tokio::time::Instant::now();
    let rollouts = rig.runtime.rollouts().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(14), "{:?}", began.elapsed());
    let (line, found) = (rollouts[0].reason.as_ref().unwrap().as_str(), &rollouts[0].findings);
    assert!(line.contains("replicasets") && !line.contains("pods"), "{line}");
    assert!(found.len() == 1 && found[0].what.as_str().starts_with("pods are not seen: context shop ("), "{found:?}");
    assert!(found[0].what.as_str().ends_with("has been silent for 10 s"), "{found:?}");
}

#[tokio::test]
async fn a_namespace_that_may_not_be_seen_hides_no_other() {
    let namespaces = |s: &mut cutover::runtime::argo::connect::Settings| s.namespaces = vec![NAMESPACE.into(), "yard".into()];
    let rig = Rig::of(vec![cluster(1, 1), elsewhere("yard", "crane")], Options { namespaced: true, ..still() }, namespaces);
    rig.server.shared.faults.add(Rule::new(What::Status(403)).only("list", "rollouts").within("yard"));
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    assert_eq!(told.rollouts.keys().collect::<Vec<_>>(), ["web-00"]);
    let said = told.gaps("web-00");
    assert!(said.len() == 1 && said.iter().all(|g| g.starts_with("namespace yard is not seen: ")), "{said:?}");
}

#[tokio::test]
async fn nobody_may_see_rollouts_or_they_are_not_installed() {
    let rig = Rig::new(cluster(1, 1), still());
    rig.server.shared.faults.add(Rule::new(What::Missing).only("list", "rollouts"));
    let fault = rig.watch().ends().await;
    assert!(matches!(fault, Fault::Lacks { .. }), "{fault:?}");
    assert!(fault.to_string().ends_with("has no Argo Rollouts: the resource rollouts.argoproj.io is not installed there"), "{fault}");
    assert_eq!(rig.runtime.rollouts().await.unwrap_err(), fault);
    rig.server.shared.faults.clear();
    rig.server.shared.faults.add(Rule::new(What::Status(403)).only("list", "rollouts"));
    let fault = rig.watch().ends().await;
    assert!(matches!(fault, Fault::Denied { .. }) && fault.to_string().contains("cannot list resource"), "{fault:?}");
}

#[tokio::test]
async fn we_act_as_somebody_else_when_asked_to() {
    let rig = Rig::with(cluster(1, 1), still(), |s| s.acts_as = Some("ana".into()));
    rig.runtime.rollouts().await.unwrap();
    let log = rig.server.log();
    assert!(!log.is_empty() && log.iter().all(|r| r.acts_as.as_deref() == Some("ana")), "{log:?}");
}

/// A kubeconfig whose credential comes from a script.
fn with_plugin(rig: &Rig, script: &str) {
    let path = rig.dir.path().join("login");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut kubeconfig = rig.server.kubeconfig();
    kubeconfig["users"][0]["user"] = json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": "./login" } });
    std::fs::write(rig.dir.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
}

/// Prints `token-N`, one more each time.
fn counting(expires: &str) -> String {
    format!(
        "n=$(($(cat $0.n 2>/dev/null || echo 0)+1)); echo $n > $0.n\n\
         echo '{{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{{\"token\":\"token-'$n'\"{expires}}}}}'"
    )
}

fn runs(rig: &Rig) -> String {
    std::fs::read_to_string(rig.dir.path().join("login.n")).unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn a_plugin_runs_once_for_all_requests_and_again_when_its_token_is_refused() {
    let rig = Rig::new(cluster(1, 2), Options { tokens: vec!["token-1".into()], ..still() });
    with_plugin(&rig, &counting(""));
    let mut told = rig.watch();
    assert_eq!(runs(&rig), "", "nothing runs before it is watched");
    rig.open("web-00");
    told.until("its parts", |t| t.line("web-00").contains("\"pods\": 2") && t.line("web-00").contains("\"events\": 0")).await;
    assert_eq!(runs(&rig), "1");
    // It is revoked; the next is as good.
    rig.server.accept(&["token-2"]);
    rig.server.shared.faults.add(Rule::new(What::Status(410)).times(1).only("watch", "pods"));
    rig.open("none");
    told.until("nothing is open", |t| t.line("web-00") == "step 0 {}").await;
    rig.open("web-00");
    told.until("its parts", |t| t.line("web-00").contains("\"pods\": 2") && t.line("web-00").contains("\"events\": 0")).await;
    assert_eq!(runs(&rig), "2");
    // A source that is opened again keeps what it has.
    drop(told);
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    assert_eq!(runs(&rig), "2");
    // Nothing it prints is good any more.
    drop(told);
    rig.server.accept(&["another"]);
    let fault = rig.watch().ends().await;
    assert!(matches!(fault, Fault::Denied { .. }) && fault.to_string().contains("was refused (401)"), "{fault:?}");
    assert_eq!(runs(&rig), "3");
}

#[tokio::test]
async fn a_token_that_stands_there_and_is_refused_is_said_at_once() {
    let rig = Rig::new(cluster(1, 2), Options { tokens: vec!["good".into()], ..still() });
    rig.server.accept(&["other"]);
    let fault = rig.watch().ends().await;
    assert!(fault.to_string().contains("the credential was refused (401): it has expired or was revoked, log in again"), "{fault}");
    assert_eq!(rig.server.log().len(), 1);
}

#[tokio::test]
async fn a_plugin_that_fails_is_a_fault_with_its_own_words() {
    let rig = Rig::new(cluster(1, 2), still());
    with_plugin(&rig, "echo 'SSO session has expired, run: aws sso login' >&2; exit 255");
    let fault = rig.watch().ends().await;
    assert!(matches!(fault, Fault::NoCredential { .. }), "{fault:?}");
    assert!(fault.to_string().contains("ended with 255: SSO session has expired, run: aws sso login"), "{fault}");
    assert!(rig.server.log().is_empty());
}

#[tokio::test]
async fn a_token_file_that_is_written_anew_is_read_anew() {
    let rig = Rig::new(cluster(1, 2), Options { tokens: vec!["one".into()], ..still() });
    let token = rig.dir.path().join("token");
    std::fs::write(&token, "one\n").unwrap();
    let mut kubeconfig = rig.server.kubeconfig();
    kubeconfig["users"][0]["user"] = json!({ "tokenFile": "token" });
    std::fs::write(rig.dir.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
    rig.runtime.rollouts().await.unwrap();
    std::fs::write(&token, "two\n").unwrap();
    rig.server.accept(&["two"]);
    rig.runtime.rollouts().await.unwrap();
    let tokens: Vec<Option<String>> = rig.server.log().into_iter().map(|r| r.token).collect();
    assert!(tokens.contains(&Some("one".into())) && tokens.contains(&Some("two".into())), "{tokens:?}");
}

#[tokio::test]
async fn a_change_of_the_kubeconfig_is_noticed_when_the_source_is_opened_again() {
    let rig = Rig::new(cluster(1, 2), still());
    rig.watch().until("the rollouts", |t| t.whole).await;
    std::fs::remove_file(rig.dir.path().join("kubeconfig")).unwrap();
    let fault = rig.watch().ends().await;
    assert!(matches!(fault, Fault::Unusable { .. }) && fault.to_string().contains("there is no kubeconfig at"), "{fault:?}");
}

#[tokio::test]
async fn nobody_there_and_nobody_who_speaks() {
    let rig = Rig::new(cluster(1, 2), still());
    let write = |server: &str| {
        let mut kubeconfig = rig.server.kubeconfig();
        kubeconfig["clusters"][0]["cluster"] = json!({ "server": server });
        std::fs::write(rig.dir.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
    };
    write("http://no-such-host.invalid:1");
    let fault = rig.watch().ends().await;
    assert!(matches!(fault, Fault::Unreachable { .. }), "{fault:?}");
    assert_eq!(fault.to_string().lines().count(), 1);
    // TLS is expected where there is none.
    write(&rig.server.url.replace("http:", "https:"));
    let fault = tokio::time::timeout(PATIENCE, async { rig.watch().ends().await }).await.unwrap();
    assert!(fault.to_string().contains("it does not speak TLS"), "{fault}");
    tokio::time::sleep(Duration::ZERO).await;
}
