//! Each configured service: its command, its secrets, its port.

use super::{Facts, Line};
use crate::{
    config,
    host::preflight::PATH as SEARCH_PATH,
    model::spec::{SecretSource, ServiceSpec},
    watchdog::plain,
};
use std::{fs, io, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for service in &facts.loaded.config.services {
        let before = lines.len();
        lines.extend(command(service));
        lines.extend(secrets(service, facts.host_is_up()));
        lines.extend(port(service, facts));
        if lines.len() == before {
            lines.push(Line::ok(format!("{}: command, secrets and port are as they must be", service.name)));
        }
    }
    lines
}

/// A program of the machine is there; one of the artifact is looked for when it is deployed.
fn command(service: &ServiceSpec) -> Option<Line> {
    let program = service.command.first()?;
    let name = &service.name;
    if program.starts_with('/') {
        let runs = fs::metadata(program).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
        return (!runs).then(|| Line::bad(format!("{name}: {program} is no program"), "install it, or mend `command`"));
    }
    if program.contains('/') {
        return None;
    }
    let found = SEARCH_PATH.split(':').any(|dir| Path::new(dir).join(program).is_file());
    (!found).then(|| Line::bad(format!("{name}: no program `{program}` in {SEARCH_PATH}"), "install it, or mend `command`"))
}

fn secrets(service: &ServiceSpec, host_is_up: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for (variable, source) in &service.secrets {
        let name = &service.name;
        match source {
            SecretSource::File(file) => match fs::File::open(file) {
                Ok(_) => {}
                Err(e) => lines.push(Line::bad(
                    format!("{name}: secret {variable}: cannot read {}: {}", file.display(), plain(&e)),
                    "put it there, readable for the user who runs the host",
                )),
            },
            // The host's environment is its own: only that of a host that is not there yet is ours.
            SecretSource::Env(env) if !host_is_up && config::secret(env).is_none() => {
                lines.push(Line::warn(format!("{name}: secret {variable}: ${env} is not set here"), "set it where the host is started"))
            }
            SecretSource::Env(_) => {}
        }
    }
    lines
}

/// The port is the host's, or free for it.
fn port(service: &ServiceSpec, facts: &Facts<'_>) -> Option<Line> {
    if facts.host_is_up() && facts.rollouts().any(|r| r.key.service.as_str() == service.name) {
        return None;
    }
    match TcpListener::bind(service.listen) {
        Ok(_) => None,
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            Some(Line::bad(format!("{}: {} is taken", service.name, service.listen), "end what listens there, or change `listen`"))
        }
        Err(e) => Some(Line::bad(format!("{}: cannot listen on {}: {}", service.name, service.listen, plain(&e)), "change `listen`")),
    }
}

#[cfg(test)]
mod tests {
    use super::{command, secrets};
    use crate::{cli::doctor::State, model::spec::ServiceSpec};

    fn service(toml: &str) -> ServiceSpec {
        let rest = "name = \"web\"\nlisten = \"127.0.0.1:0\"\nreadiness = { path = \"/\" }\nsteps = []\n";
        toml::from_str(&format!("{rest}{toml}")).unwrap()
    }

    #[test]
    fn programs_of_the_machine_must_be_there() {
        let state = |program: &str| command(&service(&format!("command = [\"{program}\"]"))).map(|l| l.state);
        assert_eq!(["sh", "/bin/sh", "./server", "bin/server"].map(state), [None; 4]);
        assert_eq!(["no-such-program", "/bin/no-such", "/etc/passwd", "/bin"].map(state), [Some(State::Bad); 4]);
    }

    #[test]
    fn secrets_must_be_there() {
        let lines = |secret: &str, up| {
            let spec = service(&format!("command = [\"sh\"]\nsecrets = {{ TOKEN = {secret} }}"));
            secrets(&spec, up).into_iter().map(|l| (l.state, l.what)).collect::<Vec<_>>()
        };
        assert_eq!(lines("{ file = \"/dev/null\" }", false), []);
        assert_eq!(
            lines("{ file = \"/no/such\" }", true),
            [(State::Bad, "web: secret TOKEN: cannot read /no/such: no such file or directory".to_owned())]
        );
        assert_eq!(lines("{ env = \"PATH\" }", false), []);
        assert_eq!(lines("{ env = \"CUTOVER_NO_SUCH\" }", false)[0].0, State::Warn);
        assert_eq!(lines("{ env = \"CUTOVER_NO_SUCH\" }", true), [], "the host has an environment of its own");
    }
}
