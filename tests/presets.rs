//! Every query of every preset is PromQL, also with awkward values: `promtool` says so.

use crate::support;
use cutover::metrics::{
    preset::{Queries, names},
    template::Variables,
};
use std::{collections::BTreeMap, fmt::Write, process::Command, time::Duration};

#[test]
fn presets_are_promql_whatever_is_filled_in() {
    if !support::need("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (n, value) in ["shop", "a\"b} or up{c='\\", "1.2.3+x\ny"].into_iter().enumerate() {
        let values: Variables = ["service", "stable_service", "canary_service", "ingress", "namespace", "version", "pod_hash"]
            .map(|k| (k.to_owned(), value.to_owned()))
            .into();
        let mut rules = "groups:\n- name: presets\n  rules:\n".to_owned();
        let mut add = |name: String, query: String| {
            writeln!(rules, "  - record: {name}\n    expr: {}", serde_json::to_string(&query).unwrap()).unwrap();
        };
        for preset in names() {
            let queries = Queries::of(preset, &BTreeMap::new()).unwrap();
            for (what, asked) in queries.all() {
                for (arm, template) in [("stable", &asked.stable), ("canary", &asked.canary)] {
                    let text = template.fill(&values, Duration::from_secs(60)).unwrap();
                    let name = format!("{}_{}_{arm}", preset.replace('-', "_"), what.name());
                    if asked.metric.is_some() && !what.is_now() {
                        // As it is asked: a range of it, its size, and what came in a window.
                        add(format!("{name}_samples"), format!("count_over_time({text}[60s])"));
                        add(format!("{name}_size"), format!("count({text})"));
                        add(format!("{name}_increase"), format!("sum by (code, le) (increase({text}[60s]))"));
                        add(format!("{name}_newest"), format!("min(timestamp({text}) and {text})"));
                        let by = "count by (job, instance, pod)";
                        add(format!("{name}_born"), format!("count({by} ({text}) unless {by} ({text} offset 60s))"));
                    } else {
                        add(name, text);
                    }
                }
            }
        }
        let file = dir.path().join(format!("{n}.yml"));
        std::fs::write(&file, &rules).unwrap();
        let out = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
        assert!(out.status.success(), "{value:?}: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let made = rules.matches("- record").count();
        assert!(
            String::from_utf8_lossy(&out.stdout).contains(&format!("SUCCESS: {made} rules found")),
            "{}",
            String::from_utf8_lossy(&out.stdout)
        );
    }
}
