use super::{
    Session, Settings,
    account::Account,
    kubeconfig::{Source, resolve},
    plugin::{self, Plugin},
    proxy::Proxies,
};
use crate::{clock::SystemClock, model::ident::TargetId, runtime::Fault};
use secrecy::ExposeSecret;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::{TempDir, tempdir};

fn settings(kubeconfig: &[&Path]) -> Settings {
    Settings { kubeconfig: kubeconfig.iter().map(PathBuf::from).collect(), ..Settings::of(TargetId::new("t")) }
}

fn file(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Clusters, users and contexts with one name each.
fn config(dir: &TempDir, name: &str, contexts: &[&str], user: &str) -> PathBuf {
    let part = |kind: &str, of: &dyn Fn(&str) -> String| {
        let all: String = contexts.iter().map(|c| format!("- name: {c}\n  {kind}: {}\n", of(c))).collect();
        format!("{kind}s:\n{all}")
    };
    let text = [
        part("cluster", &|c| format!("{{ server: 'https://{c}.example.org:6443' }}")),
        part("user", &|_| user.to_owned()),
        part("context", &|c| format!("{{ cluster: {c}, user: {c}, namespace: ns-{c} }}")),
    ];
    file(dir, name, &format!("apiVersion: v1\nkind: Config\ncurrent-context: {}\n{}", contexts[0], text.concat()))
}

fn why(settings: &Settings) -> String {
    match resolve(settings) {
        Ok(_) => panic!("it was resolved"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn the_first_of_several_files_wins_and_missing_ones_are_passed_over() {
    let dir = tempdir().unwrap();
    let first = config(&dir, "first", &["prod", "stage"], "{ token: one }");
    let second = config(&dir, "second", &["stage", "dev"], "{ token: two }");
    let mut settings = settings(&[&dir.path().join("gone"), &first, &second]);
    let token = |settings: &Settings| {
        let resolved = resolve(settings).unwrap();
        let token = resolved.config.auth_info.token.as_ref().unwrap().expose_secret().to_owned();
        (token, resolved.namespace.clone().unwrap(), resolved.place.to_string())
    };
    assert_eq!(token(&settings), ("one".into(), "ns-prod".into(), "context prod (https://prod.example.org:6443)".into()));
    settings.context = Some("stage".into());
    assert_eq!(token(&settings).0, "one");
    settings.context = Some("dev".into());
    assert_eq!(token(&settings).0, "two");
}

#[test]
fn what_is_wrong_is_one_line_that_says_what_to_do() {
    let dir = tempdir().unwrap();
    let good = config(&dir, "good", &["production", "stage"], "{ token: one }");
    let mut s = settings(&[&dir.path().join("nothing-there")]);
    assert!(why(&s).contains("there is no kubeconfig at") && why(&s).contains("set KUBECONFIG"), "{}", why(&s));
    s = settings(&[&good]);
    s.context = Some("prodution".into());
    assert_eq!(why(&s), "context prodution cannot be used: no context `prodution`: did you mean `production`?");
    s.context = Some("something-else-altogether".into());
    assert!(why(&s).ends_with("there are production, stage"), "{}", why(&s));
    let none = file(&dir, "none", "apiVersion: v1\nkind: Config\n");
    assert!(why(&settings(&[&none])).contains("has no contexts"));
    let yaml = file(&dir, "yaml", "users: [ { token: s3cret\n");
    let said = why(&settings(&[&yaml]));
    assert!(said.contains("no kubeconfig (YAML") && !said.contains("s3cret"), "{said}");
    let dangling = file(&dir, "dangling", "contexts: [{ name: a, context: { cluster: b } }]\ncurrent-context: a\n");
    assert!(why(&settings(&[&dangling])).contains("its cluster `b` is not in the kubeconfig"));
    let old = config(&dir, "old", &["a"], "{ auth-provider: { name: gcp } }");
    assert!(why(&settings(&[&old])).contains("the auth-provider `gcp` was replaced by exec plugins"));
    let asks = config(&dir, "asks", &["a"], "{ exec: { apiVersion: v1, command: login, interactiveMode: Always } }");
    assert!(why(&settings(&[&asks])).contains("must ask a person"));
    for fault in [&s].map(why) {
        assert_eq!(fault.lines().count(), 1);
    }
}

#[test]
fn a_kubeconfig_is_read_as_kubectl_reads_it() {
    let dir = tempdir().unwrap();
    let path = file(
        &dir,
        "config",
        "clusters: [{ name: c, cluster: { server: 'api:8080', insecure-skip-tls-verify: true, proxy-url: 'socks5://p:1', tls-server-name: n } }]\n\
         users: [{ name: u, user: { exec: { apiVersion: client.authentication.k8s.io/v1beta1, command: ./bin/login, args: [a], \
         env: [{ name: N, value: V }], provideClusterInfo: true } } }]\n\
         contexts: [{ name: x, context: { cluster: c, user: u } }]\ncurrent-context: x\n",
    );
    let mut s = settings(&[&path]);
    s.acts_as = Some("ana".into());
    let r = resolve(&s).unwrap();
    assert_eq!(r.config.cluster_url, "http://api:8080/");
    assert!(r.config.accept_invalid_certs && !r.config.default_retry);
    assert_eq!(r.config.tls_server_name.as_deref(), Some("n"));
    assert_eq!(r.config.proxy_url.as_ref().unwrap().to_string(), "socks5://p:1/");
    assert_eq!(r.config.auth_info.impersonate.as_deref(), Some("ana"));
    assert!(r.config.auth_info.exec.is_none(), "kube must not run it");
    let Source::Plugin(plugin) = &r.source else { panic!("no plugin") };
    assert_eq!(plugin.program, dir.path().join("./bin/login").display().to_string());
    assert_eq!(plugin.environment, [("N".to_owned(), "V".to_owned())]);
    assert_eq!(plugin.cluster.as_ref().unwrap()["server"], "api:8080");
    // TLS is checked unless the kubeconfig says otherwise.
    let plain = config(&dir, "plain", &["a"], "{}");
    assert!(!resolve(&settings(&[&plain])).unwrap().config.accept_invalid_certs);
}

/// A plugin that is a shell script.
fn script(dir: &TempDir, text: &str) -> Plugin {
    let path = file(dir, "plugin", &format!("#!/bin/sh\n{text}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Plugin {
        program: path.display().to_string(),
        arguments: vec!["login".into()],
        environment: vec![("REGION".into(), "eu".into())],
        api_version: "client.authentication.k8s.io/v1".into(),
        cluster: None,
        hint: None,
    }
}

async fn run(dir: &TempDir, text: &str) -> Result<plugin::Credential, String> {
    plugin::run(&script(dir, text), &[], Duration::from_secs(5)).await
}

const ANSWER: &str = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":"#;

#[tokio::test]
async fn a_plugin_is_asked_without_a_person() {
    let dir = tempdir().unwrap();
    let asked = dir.path().join("asked");
    let text = format!(
        "echo \"$1 $REGION $KUBERNETES_EXEC_INFO\" > {}\nread answer && exit 9\necho 'to nobody' >&2\n\
         echo '{ANSWER}{{\"token\":\"t0ken\",\"expirationTimestamp\":\"2030-01-02T03:04:05Z\"}}}}'",
        asked.display()
    );
    let credential = run(&dir, &text).await.unwrap();
    assert_eq!(credential.token.as_ref().unwrap().expose_secret(), "t0ken");
    assert_eq!(credential.expires.unwrap().to_rfc3339(), "2030-01-02T03:04:05+00:00");
    let asked = std::fs::read_to_string(asked).unwrap();
    assert!(asked.starts_with("login eu {"), "{asked}");
    let info: serde_json::Value = serde_json::from_str(asked.splitn(3, ' ').nth(2).unwrap()).unwrap();
    assert_eq!((&info["kind"], &info["spec"]["interactive"]), (&"ExecCredential".into(), &false.into()));
    assert!(!format!("{credential:?}").contains("t0ken"));
}

#[tokio::test]
async fn what_a_plugin_does_wrong_is_said_and_never_what_it_printed() {
    let dir = tempdir().unwrap();
    for (text, said) in [
        ("echo s3cret", "printed something else than a credential"),
        ("echo s3cret; echo 'token has expired, run login' >&2; exit 3", "ended with 3: token has expired, run login"),
        ("printf '\\033[31mSSO session expired\\033[0m\\n\\n' >&2; exit 255", "ended with 255: SSO session expired"),
        ("kill -9 $$", "ended with signal 9"),
        ("exec /nowhere/at/all", "is not installed"),
        ("head -c 2000000 /dev/zero", "printed more than a credential"),
        (r#"echo '{"kind":"Pod","status":{"token":"s3cret"}}'"#, "printed something else"),
        (
            r#"echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1alpha1","status":{"token":"s3cret"}}'"#,
            "answers in the form client.authentication.k8s.io/v1alpha1",
        ),
        (r#"echo '{"kind":"ExecCredential"}'"#, "without a status"),
        (r#"echo '{"kind":"ExecCredential","status":{}}'"#, "neither a token nor a certificate"),
        (r#"echo '{"kind":"ExecCredential","status":{"clientKeyData":"s3cret"}}'"#, "without its key"),
        (r#"echo '{"kind":"ExecCredential","status":{"token":"s3cret","expirationTimestamp":"soon"}}'"#, "an expiration that is no time"),
    ] {
        let error = run(&dir, text).await.map(|_| ()).unwrap_err();
        assert!(error.contains(said) && !error.contains("s3cret") && error.lines().count() == 1, "{text}: {error}");
    }
    let missing = Plugin { program: "no-such-plugin-here".into(), hint: Some("brew install it".into()), ..script(&dir, "") };
    let error = plugin::run(&missing, &[], Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error, "exec plugin `no-such-plugin-here` is not installed: brew install it");
}

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn ends(pid: &str) {
    let began = Instant::now();
    while alive(pid) {
        assert!(began.elapsed() < Duration::from_secs(5), "{pid} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_plugin_that_hangs_ends_with_everything_it_started() {
    let dir = tempdir().unwrap();
    let pid = dir.path().join("pid");
    // It ignores the first signal, and so does what it started.
    let text = format!("trap '' TERM\nsh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $! > {}\nwait", pid.display());
    let began = Instant::now();
    let error = plugin::run(&script(&dir, &text), &[], Duration::from_millis(400)).await.unwrap_err();
    assert!(error.contains("did not end within") && began.elapsed() < Duration::from_secs(5), "{error}");
    ends(&std::fs::read_to_string(&pid).unwrap()).await;
    // Nobody waits any more: it ends, too.
    let started = script(&dir, &text);
    std::fs::remove_file(&pid).unwrap();
    let running = tokio::spawn(async move { plugin::run(&started, &[], Duration::from_secs(60)).await.map(drop) });
    while std::fs::read_to_string(&pid).unwrap_or_default().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.abort();
    ends(&std::fs::read_to_string(&pid).unwrap()).await;
}

#[tokio::test]
async fn somebody_who_keeps_the_pipe_open_holds_nothing_up() {
    let dir = tempdir().unwrap();
    let pid = dir.path().join("pid");
    let text = format!("sleep 60 & echo $! > {}\necho '{ANSWER}{{\"token\":\"t\"}}}}'", pid.display());
    let began = Instant::now();
    assert!(run(&dir, &text).await.unwrap().token.is_some());
    assert!(began.elapsed() < Duration::from_secs(4));
    ends(&std::fs::read_to_string(&pid).unwrap()).await;
}

#[tokio::test]
async fn a_token_file_is_read_anew_and_what_cannot_be_read_is_said() {
    let dir = tempdir().unwrap();
    let config = config(&dir, "config", &["a"], "{ tokenFile: token }");
    let session = Session::new(settings(&[&config]), Arc::new(SystemClock::start()));
    let resolved = session.resolve().await.unwrap();
    let error = session.credential(&resolved).await.map(drop).unwrap_err();
    assert!(matches!(error, Fault::NoCredential { .. }) && error.to_string().contains("the token file"), "{error}");
    for token in ["first\n", "second"] {
        file(&dir, "token", token);
        let credential = session.credential(&resolved).await.unwrap();
        assert_eq!(credential.token.unwrap().expose_secret(), token.trim());
    }
}

/// What a certificate looks like from outside; what it says nobody asks before the first connection.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

#[test]
fn the_account_of_a_pod_is_used_where_there_is_no_kubeconfig() {
    let dir = tempdir().unwrap();
    let account = |host: &str, port: &str| Account { host: host.into(), port: port.into(), dir: dir.path().into() };
    let mut s = Settings { account: Some(account("10.96.0.1", "443")), ..settings(&[&dir.path().join("none")]) };
    assert!(why(&s).starts_with("this pod's account cannot be used: ") && why(&s).contains("/token: No such file"), "{}", why(&s));
    file(&dir, "token", "t0ken");
    assert!(why(&s).contains("/ca.crt: No such file"), "{}", why(&s));
    file(&dir, "ca.crt", "nothing");
    assert!(why(&s).contains("its certificate authority has no certificate in it"), "{}", why(&s));
    file(&dir, "ca.crt", PEM);
    s.acts_as = Some("ana".into());
    s.proxies = Proxies { https: Some("proxy:1".into()), except: Some("10.0.0.0/8".into()), ..Proxies::default() };
    let r = resolve(&s).unwrap();
    assert_eq!(
        (r.config.cluster_url.to_string().as_str(), r.place.as_str()),
        ("https://10.96.0.1:443/", "this pod's cluster (https://10.96.0.1:443)")
    );
    assert_eq!((r.config.root_cert.as_ref().unwrap().len(), r.config.proxy_url.clone(), r.namespace.clone()), (1, None, None));
    assert_eq!(r.config.auth_info.impersonate.as_deref(), Some("ana"));
    assert!(matches!(&r.source, Source::TokenFile { path, otherwise: None } if *path == dir.path().join("token")));
    // Another authority is another cluster to connect to.
    file(&dir, "namespace", "shop\n");
    file(&dir, "ca.crt", &PEM.repeat(2));
    let other = resolve(&s).unwrap();
    assert!(!other.same(&r) && other.namespace.as_deref() == Some("shop"));
    // Names and addresses of the other family.
    for (host, url) in [("fd00::1", "https://[fd00::1]:6443/"), ("kubernetes.default.svc", "https://kubernetes.default.svc:6443/")] {
        s.account = Some(account(host, "6443"));
        assert_eq!(resolve(&s).unwrap().config.cluster_url.to_string(), url);
    }
    for (host, port) in [("10.96.0.1", "https"), ("", "443"), ("a b", "443")] {
        s.account = Some(account(host, port));
        assert!(why(&s).contains("KUBERNETES_SERVICE_HOST and _PORT are no address"), "{}", why(&s));
    }
    // Whoever names a context means a kubeconfig, and one that is there goes first.
    s.context = Some("prod".into());
    assert!(why(&s).contains("there is no kubeconfig at"), "{}", why(&s));
    let kubeconfig = config(&dir, "config", &["prod"], "{ token: one }");
    let r = resolve(&Settings { context: None, kubeconfig: vec![kubeconfig], ..s }).unwrap();
    assert!(r.place.as_str().starts_with("context prod"), "{}", r.place);
}
