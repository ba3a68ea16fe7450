use super::{BUILT_IN, DEFAULT, Scenario, find, list, parse};
use std::time::Duration;

/// A scenario that is fine.
const FINE: &str = r#"
[demo]
about = "one"

[demo.service.web]
load = { rate = 20 }
version = [{ label = "v1" }, { label = "v2", at = "5s", behaves = { errors = [[0, 1], [10, 5]] } }]
expect = { phase = "completed", within = "60s" }

[[service]]
name = "web"
listen = "127.0.0.1:0"
command = ["cutover", "sample", "--port", "{port}", "--behaviour", "behaviour.toml"]
readiness = { path = "/healthz" }
steps = [{ weight = 10 }, { pause = "20s" }, { gate = "all" }]
bake = "10m"
warmup = "40s"
deadline = { ready = "30s" }

[[service.gate]]
name = "errors"
signal = "errors"
"#;

fn refused(from: &str, to: &str, speed: f64) -> String {
    assert!(FINE.contains(from), "{from}");
    let text = FINE.replacen(from, to, 1);
    parse(&text, "mine.toml", speed).expect_err(to).to_string()
}

#[test]
fn every_scenario_is_well_formed_and_its_host_part_is_an_ordinary_configuration() {
    for (name, _) in BUILT_IN {
        for speed in [0.5, 1.0, 10.0] {
            let scenario = find(name, speed, 0).unwrap_or_else(|e| panic!("{name}: {e}"));
            let text = toml::to_string(&scenario.host).unwrap();
            let config = crate::config::parse(&text, name).unwrap();
            assert!(config.services.iter().all(|s| scenario.parts.contains_key(&s.name)), "{name}");
        }
    }
    assert_eq!(find(DEFAULT, 1.0, 0).unwrap().parts.len(), 5);
    let all = list().unwrap();
    assert_eq!(all.len(), BUILT_IN.len());
    assert!(all.iter().all(|(_, about)| (20..110).contains(&about.len())), "{all:?}");
}

#[test]
fn an_unknown_name_has_a_nearest_one() {
    let message = find("erors", 1.0, 0).unwrap_err().to_string();
    assert!(message.contains("did you mean `errors`?"), "{message}");
}

#[test]
fn a_file_of_ones_own_is_read_and_one_that_others_may_write_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, FINE).unwrap();
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    mode(0o644);
    assert_eq!(find(path.to_str().unwrap(), 1.0, uid).unwrap().about, "one");
    mode(0o666);
    let message = find(path.to_str().unwrap(), 1.0, uid).unwrap_err().to_string();
    assert!(message.contains("may be written by others"), "{message}");
    let message = find("./no/such.toml", 1.0, uid).unwrap_err().to_string();
    assert!(message.contains("./no/such.toml"), "{message}");
}

#[test]
fn what_cannot_be_is_said_with_its_place() {
    let cases = [
        ("rate = 20", "rate = 0", "mine.toml:6:17: `rate` must be above 0"),
        ("rate = 20", "rate = -3", "`rate` must be above 0"),
        ("rate = 20", "rte = 20", "mine.toml:6:10: unknown key `rte`: did you mean `rate`?"),
        ("errors = [[0, 1]", "erors = [[0, 1]", "unknown key `erors`: did you mean `errors`?"),
        ("within", "withn", "unknown key `withn`: did you mean `within`?"),
        ("[demo.service.web]", "[demo.service.wed]", "mine.toml:5:1: unknown service `wed`: did you mean `web`?"),
        ("phase = \"completed\"", "phase = \"complete\"", "unknown value `complete`: did you mean `completed`?"),
        ("{ pause = \"20s\" }", "{ pause = \"manual\" }", "this can never be `completed`: the plan has `pause = \"manual\"`"),
        ("phase = \"completed\"", "phase = \"reverted\"", "this can never be `reverted`"),
        ("load = { rate = 20 }", "", "the plan has a gate, which nothing can ever pass without requests"),
        ("within = \"60s\"", "within = \"10s\"", "mine.toml:8:42: 10s are too short: the plan's pauses alone are 20s"),
        ("label = \"v1\"", "label = \"v2\"", "version `v2` is there already"),
        ("label = \"v1\"", "label = \"v1\", at = \"1s\"", "the first version is stable from the start: remove `at`"),
        ("at = \"5s\"", "at = \"soon\"", "`soon` is not a duration"),
        ("[10, 5]]", "[0, 5]]", "`errors` is points [seconds, percent]"),
        ("errors = [[0, 1], [10, 5]]", "crash = { code = 1 }", "this crash never comes"),
        ("errors = [[0, 1], [10, 5]]", "sick = { instance = 2, percent = 180 }", "`sick.percent` must be 0 to 100"),
        ("errors = [[0, 1], [10, 5]]", "crash = { megabytes = 10 }", "nothing leaks"),
        ("[[service.gate]]\nname", "[[service.gte]]\nname", "unknown key `gte`: did you mean `gate`?"),
        ("about = \"one\"", "", "`about` is missing"),
        ("{ weight = 10 }", "{ weight = 0 }", "weight"),
    ];
    let said = cases.map(|(from, to, why)| (refused(from, to, 1.0), to, why));
    let wrong: Vec<_> = said.iter().filter(|(line, _, why)| !line.contains(why) || line.contains('\n')).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let line = parse("[[service]]\nname = \"x\"", "mine.toml", 1.0).unwrap_err().to_string();
    assert!(line.contains("[demo] is missing"), "{line}");
    // Of several, the first in the file, and how many more.
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(&file, FINE.replace("rate = 20", "rate = 0").replace("[10, 5]]", "[0, 5]]")).unwrap();
    let line = find(file.path().to_str().unwrap(), 1.0, rustix::process::geteuid().as_raw()).unwrap_err().to_string();
    assert!(line.contains(":6:17: `rate` must be") && line.ends_with(" (and 1 more)"), "{line}");
    // Two services, one of which the demo does not know.
    let other = FINE.to_owned() + &FINE[FINE.find("[[service]]").unwrap()..].replace("\"web\"", "\"api\"");
    let line = parse(&other, "mine.toml", 1.0).unwrap_err().to_string();
    assert!(line.contains("this service has no version: add [demo.service.api]"), "{line}");
}

#[test]
fn speed_is_for_what_takes_time() {
    let fast = parse(FINE, "mine.toml", 4.0).unwrap();
    let of = |s: &Scenario| crate::config::parse(&toml::to_string(&s.host).unwrap(), "host").unwrap().services.remove(0);
    let spec = of(&fast);
    assert_eq!((spec.bake, spec.deadline.ready), (Duration::from_secs(150), Duration::from_millis(7_500)));
    assert_eq!(spec.warmup, Duration::from_secs(10));
    assert_eq!(spec.steps[1], toml::from_str::<toml::Table>("pause = \"5s\"").unwrap().try_into().unwrap());
    let part = &fast.parts["web"];
    assert_eq!(part.versions[1].behaves.errors, vec![[0.0, 1.0], [2.5, 5.0]]);
    assert_eq!((part.versions[1].at(), part.expect.within), (Duration::from_secs(5), Duration::from_secs(60)));
    // A slower one has more time, and is never refused for want of it.
    assert_eq!(parse(FINE, "mine.toml", 0.5).unwrap().parts["web"].expect.within, Duration::from_secs(120));
    assert!(refused("within = \"60s\"", "within = \"15s\"", 1.0).contains("too short"));
    assert!(parse(&FINE.replace("within = \"60s\"", "within = \"15s\""), "mine.toml", 2.0).is_ok());
}
