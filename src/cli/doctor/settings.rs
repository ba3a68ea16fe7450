//! The configuration: which one it is, whether its keys can be used, who may read what it names.

use super::{Facts, Line};
use crate::{app::keymap::Keymap, cli::config::counted, model::spec::SecretSource, panel};
use std::os::unix::fs::MetadataExt;

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    let loaded = facts.loaded;
    let (services, targets) = (counted(loaded.config.services.len(), "service"), counted(loaded.config.targets.len(), "target"));
    // Reading it has refused a file that others may write.
    let mut lines = vec![match &loaded.path {
        Some(path) => Line::ok(format!("{}: {services}, {targets}", path.display())),
        None => Line::ok("no file: everything is at its default"),
    }];
    lines.extend(
        loaded
            .doubts
            .iter()
            .map(|d| Line::warn(format!("{}:{}: {}", d.found.file, d.found.line, d.found.what), "mend the file if it is not meant")),
    );
    match Keymap::new(&panel::tables(&panel::all()), &loaded.config.keys) {
        Ok(_) => {}
        Err(e) => lines.push(Line::bad(format!("keys: {e}"), "mend [keys]; the console does not start with it")),
    }
    let files = loaded.config.services.iter().flat_map(|service| service.secrets.values());
    for file in files.filter_map(|source| if let SecretSource::File(file) = source { Some(file) } else { None }) {
        if let Ok(seen) = file.metadata()
            && seen.mode() & 0o077 != 0
        {
            let mode = seen.mode() & 0o777;
            lines.push(Line::warn(
                format!("secret {} may be read by others (mode {mode:03o})", file.display()),
                format!("chmod 600 {}", file.display()),
            ));
        }
    }
    lines
}
