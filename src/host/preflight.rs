//! Everything that can be known before anything moves: looked at before the first instance of a candidate
//! is started, all of it, one line for each failure. Blocks.

use super::{instances::Instances, proxy};
use crate::{
    artifact::Store,
    model::{digest::Digest, spec::ServiceSpec, text::Text},
};
use rustix::fs::{Access, access, statvfs};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Where services find programs unless they declare it.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Beside an artifact's bytes there are names, directories and what the file system needs for itself.
const MARGIN: u64 = 4 << 20;

/// The machine that a candidate is to run on.
#[derive(Clone)]
pub struct Machine {
    /// Users, secrets and directories of instances.
    pub instances: Instances,
    /// Directories that the host must be able to write.
    pub writes: Vec<PathBuf>,
}

impl Machine {
    /// Everything that does not need the artifact.
    #[must_use]
    pub fn check(&self, spec: &ServiceSpec, store: &Store) -> Vec<Text> {
        let mut failures = self.instances.preflight(&spec.runtime(), store.layout().dir());
        if let Some(tester) = &spec.routing.tester {
            failures.extend(self.instances.secret_there("tester", &tester.secret).err());
        }
        for (key, listen) in [("listen", Some(spec.listen)), ("preview_listen", spec.preview_listen)] {
            failures.extend(listen.and_then(|listen| self.port(key, listen)));
        }
        for dir in self.writes.iter().chain([&store.layout().dir().to_owned()]) {
            if let Err(e) = access(dir, Access::WRITE_OK | Access::EXEC_OK) {
                failures.push(format!("{} cannot be written: {}", dir.display(), io::Error::from(e)).into());
            }
        }
        failures
    }

    /// Whether an address can be listened on, or is by this host already.
    fn port(&self, key: &str, listen: SocketAddr) -> Option<Text> {
        if listen.port() == 0 {
            return None;
        }
        let refused = TcpListener::bind(listen).err()?;
        if refused.kind() != io::ErrorKind::AddrInUse {
            return Some(format!("{key}: {}", proxy::not_listening(listen, &refused)).into());
        }
        self.instances.taken_by(listen.port()).map(|by| format!("{key}: port {} is taken by {by}", listen.port()).into())
    }
}

/// Whether there is room for so many copies of an artifact of this size.
#[must_use]
pub fn room(store: &Store, artifact: &Digest, bytes: u64, copies: u64) -> Option<Text> {
    if copies == 0 {
        return None;
    }
    let dir = store.layout().dir();
    let needed = bytes.saturating_mul(copies).saturating_mul(11) / 10 + MARGIN;
    // A disk that cannot be asked will say so when it is written.
    let found = statvfs(dir).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    (free < needed).then(|| {
        let (artifact, dir) = (artifact.short(), dir.display());
        format!("disk: artifact {artifact} needs {} MiB below {dir}, {} MiB are free", mib(needed), free >> 20).into()
    })
}

/// Whether the command can be executed: a program with a slash is in the artifact or on the machine, one
/// without is found in the service's `PATH`.
///
/// # Errors
/// Why not, in one line.
pub fn command(spec: &ServiceSpec, root: &Path) -> Result<(), Text> {
    let Some(program) = spec.command.first() else { return Err("the service has no command".into()) };
    let service = &spec.name;
    if !program.contains('/') {
        let path = spec.environment.get("PATH").map_or(PATH, String::as_str);
        let mut places = path.split(':').map(|dir| root.join(dir).join(program));
        if places.any(|place| place.is_file() && executable(&place)) {
            return Ok(());
        }
        return Err(format!("command `{program}` of service `{service}` is not in its PATH, {path}").into());
    }
    // An absolute path replaces the root.
    let place = root.join(program);
    if !place.is_file() {
        let where_ = if Path::new(program).is_absolute() { "on this machine" } else { "in the artifact" };
        return Err(format!("command `{program}` of service `{service}` is not {where_}").into());
    }
    if !executable(&place) {
        return Err(format!("command `{program}` of service `{service}` may not be executed: it has no executable bit").into());
    }
    match interpreter(&place) {
        Some(interpreter) if !Path::new(&interpreter).exists() => {
            Err(format!("command `{program}` of service `{service}` needs {interpreter}, which is not on this machine").into())
        }
        _ => Ok(()),
    }
}

fn executable(place: &Path) -> bool {
    fs::metadata(place).is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
}

/// What a script is executed by.
fn interpreter(place: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(place).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let name = String::from_utf8_lossy(line).split_whitespace().next()?.to_owned();
    name.starts_with('/').then_some(name)
}

#[cfg(test)]
mod tests {
    use super::command;
    use crate::model::spec::ServiceSpec;
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    fn said(root: &Path, program: &str, path: Option<&str>) -> Option<String> {
        let mut spec: ServiceSpec = serde_json::from_value(serde_json::json!({
            "name": "web", "listen": "127.0.0.1:0", "command": [program], "readiness": { "path": "/" }, "steps": []
        }))
        .unwrap();
        spec.environment.extend(path.map(|path| ("PATH".to_owned(), path.to_owned())));
        command(&spec, root).err().map(|e| e.as_str().to_owned())
    }

    #[test]
    fn a_command_is_found_where_it_will_be_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let file = |name: &str, text: &str, mode: u32| {
            fs::write(root.join(name), text).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        file("serve", "#!/bin/sh\n", 0o755);
        file("plain", "x", 0o644);
        file("odd", "#! /no/such/thing -x\n", 0o755);
        for fine in ["./serve", "sh", "/bin/sh"] {
            assert_eq!(said(root, fine, None), None);
        }
        assert_eq!(said(root, "serve", Some("/nowhere:.")), None, "a relative PATH starts in the artifact");
        for (program, why) in [
            ("serve", "command `serve` of service `web` is not in its PATH, /usr/local/sbin"),
            ("./no", "command `./no` of service `web` is not in the artifact"),
            ("/no/such", "command `/no/such` of service `web` is not on this machine"),
            ("./plain", "command `./plain` of service `web` may not be executed"),
            ("./odd", "command `./odd` of service `web` needs /no/such/thing, which is not on this machine"),
        ] {
            let line = said(root, program, None).unwrap();
            assert!(line.starts_with(why), "{line}");
        }
    }
}
