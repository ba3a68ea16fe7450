//! The schema takes what is taken and refuses what is refused.

use super::example::uncommented;
use crate::config::{parse, schema};
use serde_json::{Value, json};

fn valid(text: &str) -> bool {
    let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let validator = jsonschema::draft202012::options().build(&schema()).unwrap();
    let value = serde_json::to_value(table).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert_eq!(wrong.is_empty(), validator.is_valid(&value));
    if !wrong.is_empty() {
        println!("{}", wrong.join("\n"));
    }
    wrong.is_empty()
}

#[test]
fn it_is_a_schema_and_the_example_follows_it() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
    assert!(valid(""), "everything has a default");
    assert!(valid(&uncommented()));
}

#[test]
fn every_key_is_named_with_what_it_is() {
    let schema = schema();
    let at = |path: &str| schema.pointer(path).unwrap_or_else(|| panic!("no {path} in {schema:#}"));
    assert_eq!(at("/properties/host/properties/verify_rate/default"), &json!(8_388_608));
    assert_eq!(at("/properties/service/items/properties/drain/default"), &json!("30s"));
    assert_eq!(at("/properties/service/items/properties/strategy/enum/0"), &json!("canary"));
    assert_eq!(at("/properties/service/items/properties/gate/items/properties/on_fail/enum"), &json!(["hold", "revert", "advise"]));
    assert_eq!(at("/properties/service/items/properties/liveness/properties/path/type"), &json!("string"));
    assert!(at("/properties/service/items/required").as_array().unwrap().contains(&json!("readiness")));
    assert!(at("/properties/host/description").as_str().unwrap().contains("cutover host"), "{}", at("/properties/host"));
    let undescribed: Vec<&String> = at("/properties/host/properties")
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, s)| s["description"] == Value::Null)
        .map(|(k, _)| k)
        .collect();
    assert!(undescribed.is_empty(), "{undescribed:?}");
}

const SERVICE: &str = r#"
[[service]]
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./server", "--port", "{port}"]
readiness = { path = "/healthz" }
steps = [{ weight = 5 }, { pause = "2m" }, { gate = "all" }, { gate = ["errors"] }, { pause = "manual" }]
environment = { LOG_LEVEL = "info" }
secrets = { TOKEN = { env = "TOKEN" }, KEY = { file = "/etc/key" } }
[[service.gate]]
name = "errors"
signal = "errors"
"#;

#[test]
fn it_agrees_with_what_reads_it() {
    let both = |text: &str| (parse(text, "test").is_ok(), valid(text));
    assert_eq!(both(SERVICE), (true, true));
    assert_eq!(both("[keys]\nstep = \"S\"\npause = [\"p\", \"f2\"]\n[console]\nascii = true"), (true, true));
    for (from, to) in [
        ("name = \"checkout\"\n", ""),
        ("readiness = { path = \"/healthz\" }\n", ""),
        ("readiness = { path", "readynes = { path"),
        ("listen = \"127.0.0.1:8080\"", "listen = 8080"),
        ("command = [", "command = 5 #["),
        ("{ weight = 5 }", "{ weight = 5, pause = \"2m\" }"),
        ("{ weight = 5 }", "{ wait = 5 }"),
        ("{ weight = 5 }", "{ weight = 101 }"),
        ("{ env = \"TOKEN\" }", "{ env = \"TOKEN\", file = \"/etc/token\" }"),
        ("{ env = \"TOKEN\" }", "\"s3cret\""),
        ("LOG_LEVEL = \"info\"", "LOG_LEVEL = 3"),
        ("signal = \"errors\"", "signal = \"colour\""),
        ("signal = \"errors\"", ""),
    ] {
        assert!(SERVICE.contains(from), "{from}");
        assert_eq!(both(&SERVICE.replacen(from, to, 1)), (false, false), "{from} -> {to}");
    }
    for bad in ["hst = {}", "[host]\nisolation = \"jail\"", "[console]\nascii = \"yes\"", "[[target]]\nsocket = \"/x\"", "[keys]\nstep = 5"]
    {
        assert_eq!(both(bad), (false, false), "{bad}");
    }
}

const METRICS: &str = r#"
[metrics]
kind = "prometheus"
url = "https://prom.example.org"
preset = "istio"
auth = { basic = { user = "shop", password = { env = "PROM" } } }
headers = { X-Scope-OrgID = "shop", X-Token = { file = "/etc/token" } }
tls = { ca = "/etc/ca.pem", server_name = "prom.internal" }
variables = { namespace = "shop" }
[metrics.query]
requests = 'a{v="{{version}}"}'
errors = { stable = "a", canary = "b" }
[[target]]
name = "prod"
kind = "argo"
metrics = { kind = "prometheus", url = "http://127.0.0.1:9090" }
"#;

#[test]
fn it_agrees_about_metrics() {
    let both = |text: &str| (parse(text, "test").map_err(|e| println!("{e}")).is_ok(), valid(text));
    assert_eq!(both(METRICS), (true, true));
    assert_eq!(both("[metrics]"), (true, true));
    assert_eq!(both("[metrics]\nkind = \"host\""), (true, true));
    for (from, to) in [
        ("kind = \"prometheus\"\nurl", "url"),
        ("kind = \"prometheus\"\nurl", "kind = \"host\"\nurl"),
        ("url = \"https://prom.example.org\"\n", ""),
        ("\"istio\"", "\"isto\""),
        ("{ env = \"PROM\" }", "\"PROM\""),
        ("{ basic = { user = \"shop\", password = { env = \"PROM\" } } }", "{ bearer = { file = \"/a\" }, bearer_command = [\"b\"] }"),
        ("{ file = \"/etc/token\" }", "7"),
        ("server_name", "servername"),
        ("canary = \"b\"", "candidate = \"b\""),
        ("url = \"http://127.0.0.1:9090\"", ""),
        ("kind = \"prometheus\", ", ""),
    ] {
        assert!(METRICS.contains(from), "{from}");
        assert_eq!(both(&METRICS.replacen(from, to, 1).replace(", }", " }")), (false, false), "{from} -> {to}");
    }
}
