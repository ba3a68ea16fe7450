use super::{Auth, Header, Keeper, Proof, Sources};
use crate::{clock::ManualClock, model::spec::SecretSource};
use reqwest::header::AUTHORIZATION;
use secrecy::SecretString;
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

fn lookup(name: &str) -> Option<SecretString> {
    (name == "THERE").then(|| "s3cret".into())
}

fn keeper(auth: Auth, headers: &[(&str, Header)]) -> (Keeper, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(chrono::DateTime::from_timestamp(1_000, 0).unwrap()));
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<BTreeMap<_, _>>();
    (Keeper::new(Sources { auth, headers, lookup, launcher: Vec::new() }, Arc::<ManualClock>::clone(&clock)), clock)
}

fn authorization(proof: &Proof) -> &str {
    proof.headers[AUTHORIZATION].to_str().unwrap()
}

/// Says no as often as it is asked for another token, and counts in a file.
fn counting(dir: &Path) -> Auth {
    let count = dir.join("count");
    let script = format!("echo x >> {0}; echo t$(wc -l < {0})", count.display());
    Auth::BearerCommand(vec!["sh".into(), "-c".into(), script])
}

fn file(path: &Path) -> SecretSource {
    SecretSource::File(path.to_owned())
}

#[tokio::test]
async fn secrets_of_files_and_of_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    fs::write(&path, "pass word\r\n").unwrap();
    let (basic, _) = keeper(Auth::Basic { user: "ana".into(), password: file(&path) }, &[]);
    assert_eq!(authorization(&basic.proof().await.unwrap()), "Basic YW5hOnBhc3Mgd29yZA==");
    let plain = ("X-Scope-OrgID", Header::Plain("shop".into()));
    let (bearer, _) =
        keeper(Auth::Bearer(SecretSource::Env("THERE".into())), &[plain, ("X-Token", Header::Secret(SecretSource::Env("THERE".into())))]);
    let proof = bearer.proof().await.unwrap();
    assert_eq!(
        (authorization(&proof), &proof.headers["x-scope-orgid"], &proof.headers["x-token"]),
        ("Bearer s3cret", &"shop".parse().unwrap(), &"s3cret".parse().unwrap())
    );
    assert!(!format!("{proof:?}{:?}", proof.headers).contains("s3cret"));
    let (none, _) = keeper(Auth::None, &[]);
    assert!(none.proof().await.unwrap().headers.is_empty());
}

#[tokio::test]
async fn why_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let said = |auth: Auth| async move { keeper(auth, &[]).0.proof().await.unwrap_err() };
    assert_eq!(
        said(Auth::Bearer(file(&path))).await,
        format!("the token is in a file that cannot be read: {}: no such file or directory", path.display())
    );
    for (content, what) in [("\n", "the token is empty"), ("s3\u{1}cret", "the token has characters that no header has")] {
        fs::write(&path, content).unwrap();
        assert_eq!(said(Auth::Bearer(file(&path))).await, what);
    }
    fs::write(&path, [b's', 0xff]).unwrap();
    assert_eq!(said(Auth::Bearer(file(&path))).await, format!("the token in {} is no text", path.display()));
    fs::write(&path, vec![b's'; (1 << 20) + 1]).unwrap();
    assert!(said(Auth::Bearer(file(&path))).await.ends_with("has more than 1048576 bytes"));
    assert!(said(Auth::Bearer(file(dir.path()))).await.ends_with("is not a file"));
    assert_eq!(said(Auth::Bearer(SecretSource::Env("NOWHERE".into()))).await, "the token: the variable NOWHERE is not set");
    for (script, what) in [
        ("echo s3cret; echo 'log in again' >&2; exit 3", "`sh` ended with 3: log in again"),
        ("echo 'nobody is logged in' >&2", "`sh` printed no token (nobody is logged in)"),
        ("echo you are s3cret", "`sh` printed something else than a token"),
    ] {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        assert_eq!(said(Auth::BearerCommand(command)).await, what);
    }
    assert_eq!(said(Auth::BearerCommand(vec!["no-such-program".into()])).await, "`no-such-program` is not installed");
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "first\n").unwrap();
    let (keeper, _) = keeper(Auth::Bearer(file(&path)), &[]);
    let first = keeper.proof().await.unwrap();
    assert_eq!(keeper.proof().await.unwrap().generation, first.generation, "nothing has changed");
    // Refused, and nothing else is there.
    assert!(keeper.renew(&first).await.unwrap().is_none());
    // Another file takes its place, as a rotation does it.
    fs::write(dir.path().join("new"), "other\n").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(authorization(&keeper.proof().await.unwrap()), "Bearer other");
    // Whoever was refused with the old one gets the new one without further ado.
    assert_eq!(authorization(&keeper.renew(&first).await.unwrap().unwrap()), "Bearer other");
    fs::remove_file(&path).unwrap();
    assert!(keeper.proof().await.is_err());
}

#[tokio::test]
async fn a_program_runs_seldom() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, clock) = keeper(counting(dir.path()), &[]);
    let first = keeper.proof().await.unwrap();
    assert_eq!((authorization(&first), authorization(&keeper.proof().await.unwrap())), ("Bearer t1", "Bearer t1"));
    // What is brand new is not made again because it is refused.
    assert!(keeper.renew(&first).await.unwrap().is_none());
    clock.advance(Duration::from_secs(11));
    let second = keeper.renew(&first).await.unwrap().unwrap();
    assert_eq!(authorization(&second), "Bearer t2");
    assert_eq!(authorization(&keeper.renew(&first).await.unwrap().unwrap()), "Bearer t2");
    clock.advance(Duration::from_secs(299));
    assert_eq!(authorization(&keeper.proof().await.unwrap()), "Bearer t2");
    clock.advance(Duration::from_secs(1));
    assert_eq!(authorization(&keeper.proof().await.unwrap()), "Bearer t3");
}

#[tokio::test]
async fn a_program_that_fails_is_left_alone_for_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    let script = format!("echo x >> {}; exit 1", count.display());
    let (keeper, clock) = keeper(Auth::BearerCommand(vec!["sh".into(), "-c".into(), script]), &[]);
    let runs = || fs::read_to_string(&count).unwrap().lines().count();
    for _ in 0..3 {
        assert_eq!(keeper.proof().await.unwrap_err(), "`sh` ended with 1");
    }
    assert_eq!(runs(), 1);
    clock.advance(Duration::from_secs(10));
    keeper.proof().await.unwrap_err();
    assert_eq!(runs(), 2);
}
