//! What the demo puts into its directory: the program, the host's configuration, sealed versions.

use super::{Interrupted, TARGET, cast::Planned};
use crate::{
    artifact::{Layout, SealOptions},
    cli::demo::{scenario::Scenario, scraper::Ports},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a scenario's command calls this program.
const PROGRAM: &str = "cutover";

/// Where versions are sealed.
pub fn layout(dir: &Path) -> PathBuf {
    dir.join("sealed")
}

/// This program in the demo's directory, so that instances are started from the same bytes even when it is built
/// anew meanwhile. It is no part of the artifacts, as an interpreter is none: ten versions share it, and their
/// digests do not depend on how it was built.
pub fn program(dir: &Path) -> io::Result<PathBuf> {
    let to = dir.join(PROGRAM);
    let linked = fs::read_link("/proc/self/exe").and_then(|own| fs::hard_link(own, &to));
    // Another file system, another owner, a file that was replaced: then its bytes.
    linked.or_else(|_| fs::copy("/proc/self/exe", &to).map(drop))?;
    Ok(to)
}

/// The scenario's host configuration, with everything private to the demo's directory.
pub fn configuration(scenario: &Scenario, dir: &Path, socket: &Path, program: &Path, scraped: Option<Ports>) -> anyhow::Result<String> {
    let mut config = scenario.host.clone();
    let path = |name: &str| toml::Value::from(dir.join(name).display().to_string());
    let mut host = toml::Table::new();
    host.insert("socket".into(), socket.display().to_string().into());
    for name in ["state", "store", "run"] {
        host.insert(name.into(), path(name));
    }
    if let Some(ports) = scraped {
        host.insert("metrics_listen".into(), format!("127.0.0.1:{}", ports.host).into());
        let metrics =
            [("kind", "prometheus".to_owned()), ("url", format!("http://127.0.0.1:{}", ports.scraper)), ("every", "1s".to_owned())];
        let metrics = metrics.into_iter().map(|(key, value)| (key.to_owned(), toml::Value::from(value)));
        config.insert("metrics".into(), toml::Table::from_iter(metrics).into());
    }
    config.insert("host".into(), host.into());
    let journal = toml::Table::from_iter([("path".to_owned(), path("journal.jsonl"))]);
    config.insert("journal".into(), journal.into());
    let target = toml::Table::from_iter([("name".to_owned(), TARGET.into()), ("socket".to_owned(), socket.display().to_string().into())]);
    config.insert("target".into(), vec![toml::Value::from(target)].into());
    let services = config.get_mut("service").and_then(toml::Value::as_array_mut).into_iter().flatten();
    for first in services.filter_map(|s| s.get_mut("command")?.as_array_mut()?.first_mut()) {
        if first.as_str() == Some(PROGRAM) {
            *first = program.display().to_string().into();
        }
    }
    Ok(toml::to_string(&config)?)
}

/// Seals every version: its behaviour is all that is in it.
pub fn seal(scenario: &Scenario, dir: &Path, interrupted: &Interrupted) -> anyhow::Result<Vec<Planned>> {
    let layout = Layout::create(&layout(dir))?;
    let mut planned = Vec::new();
    for (service, part) in &scenario.parts {
        for (i, release) in part.versions.iter().enumerate() {
            interrupted.check()?;
            let source = dir.join("source").join(service).join(i.to_string());
            fs::create_dir_all(&source)?;
            // Named in it, so that no two versions are one artifact because they behave alike.
            let behaviour = format!("# {service} {}\n{}", release.label, toml::to_string(&release.behaves)?);
            fs::write(source.join("behaviour.toml"), behaviour)?;
            let options = SealOptions {
                version: Some(release.label.clone()),
                revert_unsafe: release.revert_unsafe.clone(),
                ..SealOptions::default()
            };
            let artifact = crate::artifact::seal(&source, &layout, &options)?.digest;
            let label = release.label.clone();
            planned.push(Planned { service: service.clone(), label, artifact, at: release.at(), first: i == 0 });
        }
    }
    planned.sort_by_key(|p| p.at);
    Ok(planned)
}
