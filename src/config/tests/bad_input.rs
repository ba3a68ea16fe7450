//! Every mistake has one clear line.

use super::SERVICE;
use crate::config::parse;

/// The whole message for a text.
fn said(text: &str) -> String {
    parse(text, "c.toml").expect_err(text).to_string()
}

/// The message after one change of the good service, whose name is in line 3 and steps are in line 7.
fn change(from: &str, to: &str) -> String {
    let text = SERVICE.replace(from, to);
    assert_ne!(text, SERVICE, "{from}");
    said(&text)
}

/// The message after lines were added to the good service; the first of them is line 8.
fn add(lines: &str) -> String {
    said(&format!("{SERVICE}{lines}\n"))
}

/// The message after a gate, beginning in line 8, and steps.
fn gate(lines: &str, steps: &str) -> String {
    let text = SERVICE.replace("[{ weight = 5 }]", steps);
    said(&format!("{text}[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\n{lines}\n"))
}

#[test]
fn form() {
    for (text, line) in [
        ("x", "c.toml:1:2: key with no value, expected `=`"),
        ("version = 2\nmoon = \"full\"", "c.toml:1:11: this is a configuration of version 2, this cutover knows 1: upgrade cutover"),
        ("[hots]", "c.toml:1:2: unknown key `hots`: did you mean `host`?"),
        ("[host]\nsockets = \"/x\"", "c.toml:2:1: unknown key `sockets`: did you mean `socket`?"),
        ("[moon]", "c.toml:1:2: unknown key `moon`: expected one of version, host, service, target, keys, journal, metrics, console"),
        ("[service]\nname = \"a\"", "c.toml:1:1: `service` is a list: write [[service]] with two brackets"),
        ("console.color = \"allways\"", "c.toml:1:17: unknown value `allways`: did you mean `always`?"),
        ("console.ascii = \"yes\"", "c.toml:1:17: `ascii`: invalid value: string \"yes\", expected true, false or \"auto\""),
        ("host.verify_rate = -1", "c.toml:1:20: `verify_rate`: invalid value: integer `-1`, expected u64"),
        ("[[target]]\nname = \"a\"\nkind = \"argus\"", "c.toml:3:8: unknown value `argus`: expected one of host, argo"),
        (
            "[[target]]\nname = \"a\"\ncontext = \"b\"",
            "c.toml:3:11: `kind = \"argo\"` is missing: `context` belongs to a cluster with Argo Rollouts",
        ),
        (
            "[[target]]\nname = \"a\"\nkind = \"argo\"\nsocket = \"/x\"",
            "c.toml:4:10: `socket` belongs to `kind = \"host\"`: a cluster is found by its `context`",
        ),
        ("[[target]]\nname = \"a\"\nkind = \"argo\"\nkubeconfig = \"x\"", "c.toml:4:14: a path must be absolute, from `/`"),
        (
            "[[target]]\nname = \"a\"\nkind = \"argo\"\nnamespace = [\"b\", \"\"]",
            "c.toml:4:19: a name is empty, or has characters that no name has",
        ),
        ("[[target]]\nname = \"a\"\nkind = \"argo\"\nnamespace = 7", "c.toml:4:13: `namespace`: write a name or a list of names"),
        ("[[target]]\nname = \"a\"\nkind = \"argo\"\ncontex = \"b\"", "c.toml:4:1: unknown key `contex`: did you mean `context`?"),
        ("keys.revert = 7", "c.toml:1:15: `revert`: invalid type: integer `7`, expected a key such as \"ctrl-l\" or a list of keys"),
        ("\u{fc} = 1\n", "c.toml:1:1: invalid unquoted key, expected letters, numbers, `-`, `_`"),
        ("x = \"\u{fc}\u{fc}\" y", "c.toml:1:10: unexpected key or value, expected newline, `#`"),
        ("x = 1\nx = 2", "c.toml:2:1: duplicate key"),
        ("\"\u{1b}[2Jx\" = 1", "c.toml:1:2: invalid basic string, expected non-double-quote visible characters, `\\`"),
    ] {
        assert_eq!(said(text), line);
    }
}

#[test]
fn a_service_that_lacks_something() {
    for (line, message) in [
        (
            "readiness = { path = \"/healthz\" }\n",
            "c.toml:2:1: `readiness` is missing: add readiness = { path = \"/healthz\" }, so that an instance gets traffic only once it answers",
        ),
        (
            "steps = [{ weight = 5 }]\n",
            "c.toml:2:1: `steps` is missing: add for example steps = [{ weight = 5 }, { gate = \"all\" }, { pause = \"10m\" }, { weight = 50 }]",
        ),
        ("command = [\"./serve\"]\n", "c.toml:2:1: `command` is missing: add for example command = [\"./serve\", \"--port\", \"{port}\"]"),
        ("listen = \"127.0.0.1:8080\"\n", "c.toml:2:1: `listen` is missing: add for example listen = \"127.0.0.1:8080\""),
        ("name = \"checkout\"\n", "c.toml:2:1: `name` is missing: give it a name of lower-case letters, digits, `-`, `_` and `.`"),
    ] {
        assert_eq!(change(line, ""), message);
    }
    assert_eq!(change("path = \"/healthz\"", ""), "c.toml:6:13: `path` is missing: add for example path = \"/healthz\"");
}

#[test]
fn a_service_that_is_wrong() {
    for (from, to, message) in [
        ("name", "nam", "c.toml:3:1: unknown key `nam`: did you mean `name`?"),
        ("readiness", "readyness", "c.toml:6:1: unknown key `readyness`: did you mean `readiness`?"),
        ("path =", "pth =", "c.toml:6:15: unknown key `pth`: did you mean `path`?"),
        (
            "\"checkout\"",
            "\"Check\\u001Bout\"",
            "c.toml:3:8: `Check\\u{1b}out` is no name: 1 to 63 lower-case letters, digits, `-`, `_`, `.`, beginning with a letter or digit",
        ),
        (
            "\"checkout\"",
            "\"\"",
            "c.toml:3:8: `` is no name: 1 to 63 lower-case letters, digits, `-`, `_`, `.`, beginning with a letter or digit",
        ),
        ("127.0.0.1:8080", "8080", "c.toml:4:10: `listen` must be an address and a port, such as \"127.0.0.1:8080\""),
        ("[\"./serve\"]", "[]", "c.toml:5:11: `command` is empty: write for example [\"./serve\", \"--port\", \"{port}\"]"),
        ("\"./serve\"", "\"./serve\", \"a\\u0000\"", "c.toml:5:23: an argument cannot contain a zero character"),
        (
            "[{ weight = 5 }]",
            "[]",
            "c.toml:7:9: the plan has no steps: write for example [{ weight = 5 }, { gate = \"all\" }, { weight = 50 }]",
        ),
        (
            "{ weight = 5 }",
            "{ weight = 50 }, { weight = 20.5 }",
            "c.toml:7:27: weight 20.5 % does not rise above the 50 % before it: weights of a plan grow from step to step",
        ),
        ("weight = 5", "weight = 101", "c.toml:7:10: weight 101 is not a percentage from 0 to 100 with at most two decimals"),
        ("weight = 5", "weight = \"5%\"", "c.toml:7:21: `weight` is the text \"5%\": write a number without quotes and unit, such as 5"),
        (
            "weight = 5",
            "pause = 120",
            "c.toml:7:20: `pause` is the number `120`: write it in quotes; a time has a unit, such as \"30s\" or \"10m\"",
        ),
        (
            "weight = 5",
            "weight = 5, pause = \"1m\"",
            "c.toml:7:10: a step has one key: write several, such as { weight = 5 }, { pause = \"2m\" }",
        ),
        ("[\"./serve\"]", "\"./serve\"", "c.toml:5:11: `command` is the text \"./serve\": write a list, such as [\"a\", \"b\"]"),
        (
            "/healthz\" }",
            "/healthz\", interval = 5 }",
            "c.toml:6:45: `interval` is the number `5`: write it in quotes; a time has a unit, such as \"30s\" or \"10m\"",
        ),
        ("weight = 5", "weight = 33.333", "c.toml:7:10: weight 33.333 is not a percentage from 0 to 100 with at most two decimals"),
        ("weight = 5", "wait = 5", "c.toml:7:12: unknown step `wait`: expected one of weight, pause, gate, check, warm, scale"),
        ("weight = 5", "pause = \"soon\"", "c.toml:7:10: pause `soon` is neither \"manual\" nor a duration such as \"30s\""),
        ("weight = 5", "pause = \"0s\"", "c.toml:7:10: `pause` must be longer than 0s"),
        ("/healthz", "healthz", "c.toml:6:22: `path` must start with `/` and be written as in a URL, such as \"/healthz\""),
        (
            "\" }",
            "\", interval = \"0s\", timeout = \"0s\" }",
            "c.toml:6:45: `interval` must be longer than 0s (1 more: cutover config check)",
        ),
        ("\" }", "\", failures = 0 }", "c.toml:6:45: `failures` is 0 and must be 1 to 100"),
        (
            "\" }",
            "\", interval = \"10s\", successes = 4 }\ndeadline.ready = \"30s\"",
            "c.toml:7:18: no instance can be ready in 30s: `readiness` alone needs 30s; make `deadline.ready` longer",
        ),
    ] {
        assert_eq!(change(from, to), message, "{to}");
    }
}

#[test]
fn more_of_a_service_that_is_wrong() {
    for (lines, message) in [
        ("keep = 1", "c.toml:8:8: `keep` must be at least 2: the version that runs and the one to go back to"),
        ("instances = 0", "c.toml:8:13: `instances` is 0 and must be 1 to 100"),
        ("instances = 101", "c.toml:8:13: `instances` is 101 and must be 1 to 100"),
        (
            "drain = \"30\"",
            "c.toml:8:9: `drain`: `30` is not a duration such as \"30s\" or \"10m\": time unit needed, for example 30sec or 30ms",
        ),
        ("drain = \"2years\"", "c.toml:8:9: `drain` must not be longer than 30days"),
        ("strategy = \"blue\"", "c.toml:8:12: unknown value `blue`: expected one of canary, blue-green, rolling, recreate"),
        ("bake = \"2years\"", "c.toml:8:8: `bake` must not be longer than 30days"),
        (
            "rolling = { surge = 0 }",
            "c.toml:8:11: `surge` and `unavailable` are both 0, so no instance could ever be replaced: raise one of them",
        ),
        ("rolling = { surge = 101 }", "c.toml:8:21: `surge` is 101 and must be 0 to 100"),
        ("rolling = { surge = -1 }", "c.toml:8:21: `surge`: invalid value: integer `-1`, expected u32"),
        ("user = \"\"", "c.toml:8:8: `user` must be the name of a system user"),
        ("proxy.trusted_proxies = [\"10.0.0.0/8\"]", "c.toml:8:26: `trusted_proxies` must be addresses, such as \"10.0.0.1\""),
        ("proxy.try_timeout = \"2m\"", "c.toml:8:1: `proxy.try_timeout` must not be longer than `proxy.timeout`, which covers all tries"),
        ("restart.min = \"2m\"", "c.toml:8:1: `restart.max` must not be shorter than `restart.min`"),
        ("environment.PORT = \"1\"", "c.toml:8:20: `PORT` is set by the host for each instance: remove it"),
        ("environment.\"A B\" = \"1\"", "c.toml:8:21: `A B` is no name of an environment variable: letters, digits and `_`"),
        ("environment.A = \"1\"\nsecrets.A = { env = \"A\" }", "c.toml:9:13: `A` is in `environment` too: keep one of the two"),
        ("secrets.A = { file = \"a\" }", "c.toml:8:13: a path must be absolute, from `/`"),
        ("secrets.A = \"s3cret\"", "c.toml:8:13: its value is a secret: write { file = \"…\" } or { env = \"…\" }"),
        ("secrets.A = { fil = \"/a\" }", "c.toml:8:15: unknown value `fil`: did you mean `file`?"),
        ("liveness = { path = \"\" }", "c.toml:8:21: `path` must start with `/` and be written as in a URL, such as \"/healthz\""),
        ("deadline.on_fail = \"rollback\"", "c.toml:8:20: unknown value `rollback`: expected one of hold, revert, advise"),
    ] {
        assert_eq!(add(lines), message);
    }
}

#[test]
fn gates_that_are_wrong() {
    let one = "[{ weight = 5 }]";
    for (lines, steps, message) in [
        ("margin = 1", one, "c.toml:11:10: `margin` is no more: `r_max` says how many times stable's ratio is too much"),
        ("r_max = 1", one, "c.toml:11:9: `r_max` is 1 and must be 1.1 to 100"),
        ("r_max = nan", one, "c.toml:11:9: `r_max` is NaN and must be 1.1 to 100"),
        ("slo = 100", one, "c.toml:11:7: `slo` is 100 and must be 1 to 99.9999"),
        ("slo = 0.999", one, "c.toml:11:7: `slo` is in percent: write 99.9 for 0.999"),
        ("budget = 0", one, "c.toml:11:10: `budget` is 0 and must be 0.01 to 100"),
        ("errors = []", one, "c.toml:11:10: `errors` is empty, so nothing would count: write for example [\"5xx\"]"),
        (
            "errors = [\"3xx\"]",
            one,
            "c.toml:11:10: `errors`: `3xx` is no error: write \"5xx\", \"4xx\", a status from \"400\" to \"599\", or a gRPC code such as \"grpc:unavailable\" or \"grpc:14\"",
        ),
        (
            "errors = [\"5xx\", \"grpc:unavailable\"]",
            one,
            "c.toml:11:10: `grpc:unavailable` is not seen by the host's proxy, which counts HTTP statuses: gRPC codes need another `metrics.kind`",
        ),
        ("interval = \"100ms\"", one, "c.toml:11:12: `interval` must be 1s to 10m"),
        ("rules = { flagger_threshold = 0 }", one, "c.toml:11:31: `flagger_threshold` is 0 and must be 1 to 1000"),
        ("rules = { argo_failure_limit = -2 }", one, "c.toml:11:32: `argo_failure_limit` is -2 and must be -1 to 1000"),
        ("rules = { every = \"2h\" }", one, "c.toml:11:19: `every` must be 1s to 1h"),
        (
            "rules = { treshold = 2 }",
            one,
            "c.toml:11:11: unknown key `treshold`: expected one of flagger_threshold, argo_failure_limit, every",
        ),
        (
            "[[service.gate]]\nname = \"r\"\nsignal = \"restarts\"\nrules = { every = \"1m\" }",
            one,
            "c.toml:14:9: rules of other tools are told beside shares of requests: `restarts` is none",
        ),
        ("limit = 0", one, "c.toml:11:9: `limit` is 0 and must be 0.01 to 100"),
        ("limit = 100.5", one, "c.toml:11:9: `limit` is 100.5 and must be 0.01 to 100"),
        ("min_requests = 9", one, "c.toml:11:16: `min_requests` is no more: the judge itself knows how many requests it needs"),
        (
            "[[service.gate]]\nname = \"p\"\nsignal = \"p99\"\non_fail = \"revert\"",
            one,
            "c.toml:14:11: quantiles only advise: to go back by latency use signal = \"slow\"",
        ),
        (
            "[[service.gate]]\nname = \"r\"\nsignal = \"restarts\"\nslo = 99",
            one,
            "c.toml:14:7: an `slo` is a share of good requests: `restarts` has none",
        ),
        (
            "[[service.gate]]\nname = \"errors\"\nsignal = \"slow\"",
            one,
            "c.toml:12:8: gate `errors` is in line 9 already: choose another name",
        ),
        ("", "[{ weight = 5 }, { gate = [\"erors\"] }]", "c.toml:7:26: unknown gate `erors`: did you mean `errors`?"),
        ("", "[{ weight = 5 }, { gate = \"latency\" }]", "c.toml:7:26: unknown gate `latency`: the service has errors"),
        ("", "[{ weight = 5 }, { gate = [] }]", "c.toml:7:26: this step names no gate: write their names, or \"all\""),
        (
            "",
            "[{ gate = \"all\" }, { weight = 5 }]",
            "c.toml:7:10: this gate comes before any weight and would wait for ever: gates judge the candidate's traffic",
        ),
    ] {
        assert_eq!(gate(lines, steps), message);
    }
    assert_eq!(
        change("{ weight = 5 }", "{ weight = 5 }, { gate = \"all\" }"),
        "c.toml:7:26: this step waits for all gates, but the service has none: add a [[service.gate]] or remove the step"
    );
}

#[test]
fn things_that_clash() {
    let second = |name: &str, listen: &str| SERVICE.replace("checkout", name).replace("127.0.0.1:8080", listen);
    for (text, message) in [
        (second("cart", "127.0.0.1:8080"), "c.toml:10:10: port 8080 is taken by `checkout` in line 4: choose another one"),
        (second("cart", "0.0.0.0:8080"), "c.toml:10:10: port 8080 is taken by `checkout` in line 4: choose another one"),
        (second("checkout", "127.0.0.1:8081"), "c.toml:9:8: service `checkout` is in line 3 already: choose another name"),
        (
            "[host]\nmetrics_listen = \"127.0.0.1:8080\"\n".into(),
            "c.toml:4:10: port 8080 is taken by `metrics` in line 9: choose another one",
        ),
        (
            "[host]\nmetrics_listen = \"0.0.0.0:9464\"\n".into(),
            "c.toml:9:18: metrics are answered on a loopback address only: write for example \"127.0.0.1:9464\"",
        ),
        ("[host]\nsocket = \"host.sock\"\n".into(), "c.toml:9:10: a path must be absolute, from `/`"),
        (
            format!("[[target]]\nname = \"a\"\nsocket = \"/{}\"\n", "x".repeat(107)),
            "c.toml:10:10: the path of a socket has at most 107 bytes, this one has 108",
        ),
        (
            "[[target]]\nname = \"a\"\n[[target]]\nname = \"a\"\n".into(),
            "c.toml:11:8: target `a` is in line 9 already: choose another name",
        ),
        ("[keys]\nrevert = [\"R\", \"\"]\n".into(), "c.toml:9:10: \"\" is no key: write for example \"R\", \"ctrl-l\" or \"g g\""),
        ("[host]\nverify_rate = 0".into(), "c.toml:9:15: `verify_rate` must be at least 1 byte per second, so that drift is found at all"),
    ] {
        assert_eq!(add(text.trim_start_matches('\n')), message);
    }
    // Different addresses may share a port, and the system chooses 0 differently each time.
    for (one, two) in [("127.0.0.1:8080", "127.0.0.2:8080"), ("127.0.0.1:0", "127.0.0.1:0")] {
        let text = SERVICE.replace("127.0.0.1:8080", one) + &second("cart", two);
        assert!(parse(&text, "c.toml").is_ok(), "{one} {two}");
    }
}

#[test]
fn routing_and_preview() {
    for (lines, message) in [
        ("preview_listen = \"127.0.0.1:8080\"", "c.toml:8:18: port 8080 is taken by `checkout` in line 4: choose another one"),
        (
            "routing.sticky = { cookie = \"a b\" }",
            "c.toml:8:18: `cookie` must be the name of a cookie: letters, digits, `-` and `_`, such as \"track\"",
        ),
        (
            "routing.sticky = { header = \"\" }",
            "c.toml:8:18: `header` must be the name of a header: letters, digits, `-` and `_`, such as \"x-user\"",
        ),
        ("routing.sticky = { header = \"Host\" }", "c.toml:8:18: the header `Host` belongs to HTTP itself: choose another one"),
        ("routing.tester = { secret = { file = \"token\" } }", "c.toml:8:18: a path must be absolute, from `/`"),
        ("routing.tester = { secret = { env = \"\" } }", "c.toml:8:18: `env` must name a variable of the host's environment"),
        (
            "routing.sticky = { header = \"X-Who\" }\nrouting.tester = { header = \"x-who\", secret = { env = \"T\" } }",
            "c.toml:9:18: testers and sticky clients cannot be known by the same header: choose another one",
        ),
        ("routing.on_revert = { cut_after = \"40days\" }", "c.toml:8:21: `cut_after` must not be longer than 30days"),
    ] {
        assert_eq!(add(lines), message);
    }
}

#[test]
fn steps_that_do_not_fit_their_strategy() {
    let plan = |strategy: &str, steps: &str| {
        let text = SERVICE.replace("[{ weight = 5 }]", steps);
        format!("{text}strategy = \"{strategy}\"\n[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\n")
    };
    let why = [
        ("blue-green", "blue-green switches all traffic at once, before the first gate or after the last step"),
        ("rolling", "the share of a rolling replacement follows its instances"),
        ("recreate", "recreate runs one version at a time, so there is nothing to share"),
    ];
    for (strategy, why) in why {
        let line = format!("c.toml:7:10: {why}: remove `weight`, or use strategy = \"canary\"");
        assert_eq!(said(&plan(strategy, "[{ weight = 5 }]")), line);
        for steps in ["[]", "[{ check = { http = \"/\" } }, { pause = \"manual\" }, { gate = \"all\" }, { pause = \"1m\" }]"] {
            assert!(parse(&plan(strategy, steps), "c.toml").is_ok(), "{strategy} {steps}");
        }
    }
    for (strategy, steps, line) in [
        (
            "rolling",
            "[{ scale = 2 }]",
            "c.toml:7:10: a rolling replacement counts its instances itself: use `rolling.surge` and `rolling.unavailable`",
        ),
        (
            "blue-green",
            "[{ gate = \"all\" }, { scale = 2 }]",
            "c.toml:7:28: after the switch the candidate has all its instances: move `scale` before the first gate",
        ),
        (
            "blue-green",
            "[{ gate = \"all\" }, { warm = { requests = 1 } }]",
            "c.toml:7:28: `warm` is for a candidate without traffic: move it before the first gate",
        ),
        (
            "canary",
            "[{ weight = 5 }, { check = { http = \"/\" } }]",
            "c.toml:7:26: `check` is for a candidate without traffic: move it before the first weight",
        ),
    ] {
        assert_eq!(said(&plan(strategy, steps)), line);
    }
    let without = SERVICE.replace("steps = [{ weight = 5 }]\n", "strategy = \"rolling\"\n");
    assert!(parse(&without, "c.toml").is_ok(), "only a canary needs steps");
}

#[test]
fn checks_that_are_wrong() {
    for (step, message) in [
        ("check = {}", "c.toml:7:10: this check does nothing: give it a `command` or an `http` path"),
        (
            "check = { http = \"/\", command = [\"./a\"] }",
            "c.toml:7:10: a check has a `command` or an `http` path, not both: write two steps",
        ),
        ("check = { http = \"selftest\" }", "c.toml:7:29: `http` must start with `/` and be written as in a URL, such as \"/healthz\""),
        ("check = { command = [\"\"] }", "c.toml:7:32: `command` is empty: write for example [\"./check\", \"--port\", \"{port}\"]"),
        ("check = { command = [\"./a\", \"\\u0000\"] }", "c.toml:7:40: an argument cannot contain a zero character"),
        ("check = { http = \"/\", timeout = \"0s\" }", "c.toml:7:44: `timeout` must be longer than 0s"),
        (
            "check = { http = \"/\", timeout = \"2h\" }",
            "c.toml:7:44: the `timeout` of a check is at most 1h: a check that hangs holds the plan for so long",
        ),
        ("check = { http = \"/\", on_fail = \"stop\" }", "c.toml:7:44: unknown value `stop`: expected one of hold, revert, advise"),
        ("warm = { requests = 0 }", "c.toml:7:32: `requests` is 0 and must be 1 to 1000000"),
        (
            "warm = { requests = 9, path = \"x y\" }",
            "c.toml:7:42: `path` must start with `/` and be written as in a URL, such as \"/healthz\"",
        ),
        ("scale = 0", "c.toml:7:10: `scale` is 0 and must be 1 to 100"),
        ("native = \"x\"", "c.toml:7:10: the host has no `native` step: it only shows those of other runtimes"),
    ] {
        assert_eq!(change("weight = 5", step), message, "{step}");
    }
}
