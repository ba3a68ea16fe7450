//! Where signals come from: what is understood, and every mistake in one clear line.

use super::env_in;
use crate::{
    config::{Config, MetricsKind, load, parse, render},
    metrics::prometheus::access::{Auth, Header},
    model::spec::SecretSource,
};
use std::{path::PathBuf, time::Duration};

const METRICS: &str = "[metrics]\nkind = \"prometheus\"\nurl = \"https://prom.example.org/prometheus/\"\n";

/// The message after these lines, of which the first is line 4.
fn said(lines: &str) -> String {
    let error = parse(&format!("{METRICS}{lines}\n"), "c.toml").expect_err(lines);
    assert!(error.lines().iter().all(|line| !line.contains("s3cret")), "{error}");
    error.to_string()
}

#[test]
fn everything_arrives_in_the_client() {
    let text = format!(
        "{METRICS}timeout = \"2s\"\nproxy = \"http://proxy:3128\"\nauth = {{ bearer_command = [\"gcloud\", \"print\"] }}\n\
         headers = {{ X-Scope-OrgID = \"shop\", X-Token = {{ env = \"T\" }} }}\ntls = {{ cert = \"/c\", key = \"/k\" }}\n\
         parameters = {{ dedup = \"true\" }}\n"
    );
    let settings = parse(&text, "c.toml").unwrap().metrics.prometheus().unwrap();
    assert_eq!(settings.url.as_str(), "https://prom.example.org/prometheus/");
    assert_eq!((settings.timeout, settings.concurrency, settings.body_limit), (Duration::from_secs(2), 4, 16 << 20));
    assert_eq!(settings.proxy.unwrap().as_str(), "http://proxy:3128/");
    assert_eq!(settings.auth, Auth::BearerCommand(vec!["gcloud".into(), "print".into()]));
    assert_eq!(settings.headers["X-Scope-OrgID"], Header::Plain("shop".into()));
    assert_eq!(settings.headers["X-Token"], Header::Secret(SecretSource::Env("T".into())));
    assert_eq!(settings.tls.identity, Some((PathBuf::from("/c"), PathBuf::from("/k"))));
    assert_eq!(settings.parameters["dedup"], "true");
    assert!(Config::default().metrics.prometheus().is_none());
}

#[test]
fn mistakes() {
    for (lines, message) in [
        ("every = \"500ms\"", "c.toml:4:9: `every` must be at least 1s: no server scrapes more often"),
        ("every = \"0s\"", "c.toml:4:9: `every` must be longer than 0s"),
        ("timeout = \"6m\"", "c.toml:4:11: `timeout` must not be longer than 5m"),
        ("concurrency = 0", "c.toml:4:15: `concurrency` is 0 and must be 1 to 64"),
        ("body_limit = 10", "c.toml:4:14: `body_limit` is 10 and must be 1024 to 1073741824"),
        ("preset = \"isto\"", "c.toml:4:10: unknown preset `isto`: did you mean `istio`?"),
        ("proxy = \"ftp://a\"", "c.toml:4:9: `proxy` must begin with http:// or https://, such as \"http://proxy.example.org:3128\""),
        (
            "proxy = \"http://ana:s3cret@proxy\"",
            "c.toml:4:9: `proxy` holds a user or a password, and addresses are shown: use a proxy that wants none",
        ),
        ("headers = { \"a b\" = \"c\" }", "c.toml:4:21: `a b` is no name of a header"),
        ("headers = { Host = \"c\" }", "c.toml:4:20: `Host` is set by every request itself"),
        ("headers = { A = \"b\\n\" }", "c.toml:4:17: the value of `A` has characters that no header has"),
        ("headers = { A = 7 }", "c.toml:4:17: `A`: write a text, or for a secret { file = \"…\" } or { env = \"…\" }"),
        (
            "headers = { authorization = \"Bearer s3cret\" }",
            "c.toml:4:29: its value is a secret: write { file = \"…\" } or { env = \"…\" }",
        ),
        ("auth = { bearer = \"s3cret\" }", "c.toml:4:19: its value is a secret: write { file = \"…\" } or { env = \"…\" }"),
        ("auth.bearer = 12345", "c.toml:4:15: its value is a secret: write { file = \"…\" } or { env = \"…\" }"),
        (
            "auth.basic.user = \"a\"\nauth.basic.password = \"s3cret\"",
            "c.toml:5:23: its value is a secret: write { file = \"…\" } or { env = \"…\" }",
        ),
        (
            "auth = { basic = \"ana:s3cret\" }",
            "c.toml:4:18: its value is a secret: write { user = \"…\", password = { file = \"…\" } }, or { env = \"…\" } in it",
        ),
        ("auth = \"Bearer s3cret\"", "c.toml:4:8: its value is a secret: write { bearer = { file = \"…\" } }, or { env = \"…\" } in it"),
        ("auth = { berer = { env = \"A\" } }", "c.toml:4:10: unknown value `berer`: did you mean `bearer`?"),
        (
            "auth = { bearer = { env = \"A\" } }\nheaders = { Authorization = { env = \"B\" } }",
            "c.toml:5:29: `auth` sets this header already: leave one of them out",
        ),
        ("auth = { bearer = { file = \"token\" } }", "c.toml:4:19: a path must be absolute, from `/`"),
        ("auth = { bearer = { env = \"\" } }", "c.toml:4:19: `env` must name a variable of the environment of whoever asks"),
        (
            "auth = { basic = { user = \"a:b\", password = { env = \"A\" } } }",
            "c.toml:4:27: a user's name has no `:` and no control characters",
        ),
        (
            "auth = { bearer_command = [] }",
            "c.toml:4:27: `bearer_command` is empty: write for example [\"gcloud\", \"auth\", \"print-access-token\"]",
        ),
        ("auth = { bearer_command = [\"./a\"] }", "c.toml:4:27: a program is a name that is looked for in $PATH, or a path from `/`"),
        ("tls = { cert = \"/c\" }", "c.toml:4:16: `key` is missing: a certificate and its key belong together"),
        ("tls = { key = \"/k\" }", "c.toml:4:15: `cert` is missing: a certificate and its key belong together"),
        ("tls = { ca = \"ca.pem\" }", "c.toml:4:14: a path must be absolute, from `/`"),
        ("tls = { server_name = \"10.0.0.1\" }", "c.toml:4:23: `server_name` must be a name, such as \"prom.internal\""),
        ("proxy = \"http://a\"\ntls = { server_name = \"a\" }", "c.toml:5:23: `server_name` cannot be had through a `proxy`"),
        ("parameters = { query = \"up\" }", "c.toml:4:24: `query` is set by every question itself"),
        ("variables = { \"a-b\" = \"c\" }", "c.toml:4:23: `a-b` is no variable: letters, digits and `_`, as {{name}} in a query"),
        ("[metrics.query]\nrequests = \" \"", "c.toml:5:12: the query `requests` is empty"),
        ("[metrics.query]\nrequests = { stable = \"a\", canary = \"\" }", "c.toml:5:37: the query `requests` is empty"),
        ("[metrics.query]\nrequests = { stable = \"a\" }", "c.toml:5:12: `requests`: write a query, or { stable = \"…\", canary = \"…\" }"),
        ("evry = \"1s\"", "c.toml:4:1: unknown key `evry`: did you mean `every`?"),
    ] {
        assert_eq!(said(lines), message, "{lines}");
    }
}

#[test]
fn addresses_that_are_none() {
    let said = |url: &str| {
        let error = parse(&format!("[metrics]\nkind = \"prometheus\"\nurl = \"{url}\"\n"), "c.toml").expect_err(url).to_string();
        assert!(!error.contains("s3cret"), "{error}");
        error
    };
    assert_eq!(
        said("https://ana:s3cret@prom"),
        "c.toml:3:7: `url` holds a user or a password, and addresses are shown: write auth = { basic = { user = \"…\", password = { file = \"…\" } } }"
    );
    assert_eq!(said("http://prom?token=s3cret"), "c.toml:3:7: `url` must end before `?` and `#`: write parameters = { … }");
    assert_eq!(said("prom:9090"), "c.toml:3:7: `url` must begin with http:// or https://, such as \"https://prom.example.org\"");
    assert_eq!(
        said("prom"),
        "c.toml:3:7: `url` is no address: relative URL without a base; write for example \"https://prom.example.org\""
    );
    for url in ["http://prom/api/v1/", "http://prom/api/v1/query"] {
        assert_eq!(said(url), "c.toml:3:7: `url` ends where `/api/v1` begins: leave that out, and what follows it");
    }
    let tls = parse("[metrics]\nkind = \"prometheus\"\nurl = \"http://prom\"\ntls = { ca = \"/a\" }", "c.toml").unwrap_err().to_string();
    assert_eq!(tls, "c.toml:4:7: `tls` needs a `url` that begins with https://");
}

#[test]
fn a_kind_has_its_own_keys() {
    let said = |text: &str| parse(text, "c.toml").expect_err(text).to_string();
    assert_eq!(said("[metrics]\nkind = \"prometheus\""), "c.toml:1:2: `url` is missing: add for example url = \"http://127.0.0.1:9090\"");
    assert_eq!(
        said("[metrics]\nurl = \"http://a\"\nevery = \"15s\""),
        "c.toml:2:7: `kind = \"prometheus\"` is missing: `url` belongs to it"
    );
    // Also where it is what it is by default: whoever writes it wants it to matter.
    assert_eq!(
        said("[metrics]\nkind = \"host\"\nevery = \"15s\""),
        "c.toml:3:9: `kind = \"prometheus\"` is missing: `every` belongs to it"
    );
    assert_eq!(said("[metrics]\nkind = \"graphite\""), "c.toml:2:8: unknown value `graphite`: expected one of host, prometheus");
    let target = |kind: &str, metrics: &str| said(&format!("[[target]]\nname = \"a\"\nkind = \"{kind}\"\nmetrics = {metrics}"));
    assert_eq!(
        target("host", "{ kind = \"prometheus\", url = \"http://a\" }"),
        "c.toml:4:11: `metrics` of a target belong to `kind = \"argo\"`: the host itself is fed by [metrics]"
    );
    assert_eq!(
        target("argo", "{ kind = \"host\" }"),
        "c.toml:4:11: a cluster has no counters of its own: add kind = \"prometheus\" and its `url`"
    );
    assert_eq!(target("argo", "{ url = \"http://a\" }"), "c.toml:4:19: `kind = \"prometheus\"` is missing: `url` belongs to it");
    assert_eq!(
        target("argo", "{ kind = \"prometheus\", url = \"ftp://a\" }"),
        "c.toml:4:40: `url` must begin with http:// or https://, such as \"https://prom.example.org\""
    );
    let config =
        parse("[[target]]\nname = \"a\"\nkind = \"argo\"\n[target.metrics]\nkind = \"prometheus\"\nurl = \"http://a\"", "c.toml").unwrap();
    assert_eq!(config.targets[0].metrics.as_ref().unwrap().kind, MetricsKind::Prometheus);
}

#[test]
fn what_is_printed_reads_back_and_names_places_only() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("c.toml");
    let rest = "auth = { basic = { user = \"shop\", password = { file = \"/etc/prom\" } } }\nheaders = { \"X-A\" = \"b\", \"X-C\" = { env = \"C\" } }\n\
                [metrics.query]\nrequests = { stable = \"a\", canary = \"b\" }\n[[target]]\nname = \"p\"\nkind = \"argo\"\n\
                metrics = { kind = \"prometheus\", url = \"http://a\" }\n";
    std::fs::write(&path, format!("{METRICS}{rest}")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let loaded = load(Some(&path), &env_in(home.path())).unwrap();
    let printed = render(&loaded);
    let again = parse(&printed, "printed").unwrap();
    assert_eq!((again.metrics, again.targets), (loaded.config.metrics, loaded.config.targets), "{printed}");
    assert!(printed.contains("[metrics.auth.basic.password]\nfile = \"/etc/prom\"  # line 4"), "{printed}");
    assert!(printed.contains("every = \"15s\"  # default"), "{printed}");
}

#[test]
fn gates_and_queries_that_the_stack_cannot_answer() {
    let service = |signal: &str, more: &str| {
        format!(
            "[[service]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\ncommand = [\"./a\"]\nreadiness = {{ path = \"/\" }}\nsteps = [{{ weight = 5 }}]\n\
             [[service.gate]]\nname = \"g\"\nsignal = \"{signal}\"\n{more}\n"
        )
    };
    let with = |preset: &str, service: String| {
        let text = format!("[metrics]\nkind = \"prometheus\"\nurl = \"http://a\"\n{preset}\n{service}");
        parse(&text, "c.toml").map(drop).map_err(|e| e.to_string())
    };
    let istio = "preset = \"istio\"\nvariables = { namespace = \"shop\" }";
    for signal in ["errors", "slow", "timeouts", "restarts", "p99", "alerts"] {
        assert_eq!(with("", service(signal, "")), Ok(()), "{signal}");
    }
    // gRPC codes are seen by a mesh, not by the host's proxy.
    assert_eq!(with(istio, service("errors", "errors = [\"grpc:14\"]")), Ok(()));
    for (preset, service, message) in [
        (
            "",
            service("errors", "errors = [\"429\"]"),
            "c.toml:14:10: errors `429` cannot be told: this stack's series only say classes of statuses",
        ),
        (
            "preset = \"haproxy\"",
            service("slow", ""),
            "c.toml:13:10: the preset `haproxy` has no `latency`, so nothing could judge this gate: add metrics.query.latency, or remove the gate",
        ),
        ("", service("alerts", "limit = 5.0"), "c.toml:14:9: alerts have no limit: the gate fails while one fires"),
        (
            "preset = \"istio\"",
            service("errors", ""),
            "c.toml:4:10: the preset `istio` needs {{namespace}}: add for example variables = { namespace = \"…\" }",
        ),
    ] {
        assert_eq!(with(preset, service), Err(message.to_owned()));
    }
    let own = service("alerts", "");
    assert_eq!(
        parse(&own, "c.toml").unwrap_err().to_string(),
        "c.toml:9:10: the host has no alerts of its own: they need [metrics] with kind = \"prometheus\""
    );
    for (lines, message) in [
        ("[metrics.query]\nrequest = \"a\"", "c.toml:5:11: query `request`: no such query; did you mean `requests`?"),
        (
            "[metrics.query]\nrequests = 'a{v=\"1\"}'",
            "c.toml:5:12: query `requests`: it does not tell versions apart: use {{version}} or {{pod_hash}}, or write { stable = \"…\", canary = \"…\" }",
        ),
        (
            "[metrics.query]\nrequests = 'a{v=\"{{version}}\",s=\"{{servce}}\"}'",
            "c.toml:5:12: the query `requests` needs {{servce}}: add for example variables = { servce = \"…\" }; did you mean `service`?",
        ),
        (
            "[metrics.query]\nerrors = { stable = 'increase(a[{{window}}])', canary = 'sum(rate(b[{{window}}]))' }",
            "c.toml:5:10: query `errors`: `rate` gives no counts, and counts are wanted: write increase(…[{{window}}])",
        ),
        (
            "[metrics.query]\nrequests = 'a{v=\"{{version}}\",t=\"{{tenant}}\"}'",
            "c.toml:5:12: the query `requests` needs {{tenant}}: add for example variables = { tenant = \"…\" }",
        ),
        ("alert_labels = [\"a-b\"]", "c.toml:4:17: `a-b` is no name of a label"),
        ("alert_matchers = { a-b = \"c\" }", "c.toml:4:26: `a-b` is no name of a label"),
    ] {
        assert_eq!(said(lines), message, "{lines}");
    }
}

#[test]
fn a_clusters_own_analyses_are_judged_where_that_is_asked_for() {
    let target = |more: &str| {
        let text =
            format!("[[target]]\nname = \"prod\"\nkind = \"argo\"\n[target.metrics]\nkind = \"prometheus\"\nurl = \"http://prom\"\n{more}");
        parse(&text, "c.toml").map(|config| config.targets[0].metrics.clone().unwrap())
    };
    let count = |more: &str| target(more).unwrap().queries().unwrap().all().count();
    // Without a stack of its own they say all of it.
    assert_eq!(count("analysis = true\n"), 0);
    assert!(count("") > 0 && count("analysis = true\npreset = \"istio\"\n") > 0);
    assert!(count("analysis = true\n[target.metrics.query]\nrequests = 'x{v=\"{{version}}\"}'\ncode_label = \"code\"\n") > 0);
    assert_eq!(said("analysis = true"), "c.toml:4:12: `analysis` belongs to [target.metrics]: only clusters have analyses of their own");
}
