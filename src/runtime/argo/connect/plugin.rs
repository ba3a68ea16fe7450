//! A credential plugin: a program that prints a credential. It gets no terminal, no input and 30 s, and
//! everything that it started ends with it.

use crate::model::{text::Text, time::Time};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    time::{sleep, timeout},
};

/// The argument that turns a process of ours into a plugin: see [`apart`].
pub const APART: &str = "credential-plugin";
/// How long a plugin may take.
pub const LIMIT: Duration = Duration::from_secs(30);
/// From asking its processes to end to ending them.
const MERCY: Duration = Duration::from_millis(500);
/// Between two looks whether a plugin has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Printed on standard output, and on standard error, at most.
const PRINTED: u64 = 1 << 20;

/// A program that prints a credential.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// A path, or a name that is looked for in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside those that we have.
    pub environment: Vec<(String, String)>,
    /// The form in which it is asked and answers.
    pub api_version: String,
    /// The cluster it is for, if it wants to know.
    pub cluster: Option<serde_json::Value>,
    /// What to do when it is not installed.
    pub hint: Option<Text>,
}

/// What proves who we are.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A certificate and its key, both PEM.
    pub certificate: Option<(String, SecretString)>,
    /// When it ends, if it does.
    pub expires: Option<Time>,
}

impl Credential {
    /// Whether both prove the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let token = |c: &Self| c.token.as_ref().map(|t| t.expose_secret().to_owned());
        let certificate = |c: &Self| c.certificate.as_ref().map(|(certificate, _)| certificate.clone());
        token(self) == token(other) && certificate(self) == certificate(other)
    }
}

/// The answer of a plugin.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    kind: Option<String>,
    api_version: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Everything that a plugin started; dropped, it ends all of it.
struct Group {
    child: Child,
    pid: Pid,
    /// Its number may belong to somebody else from then on.
    reaped: bool,
}

impl Group {
    fn signal(&self, signal: Signal) {
        // Whoever is gone already needs no signal.
        let _ = kill_process_group(self.pid, signal);
    }

    /// Ends what is left of it.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if !self.reaped {
            self.signal(Signal::KILL);
            // It may not have left our group yet.
            let _ = self.child.kill();
            self.reaped = true;
        }
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Runs a plugin. What it printed is never part of an error: it may be a secret.
///
/// # Errors
/// Why there is no credential, in one line.
pub async fn run(plugin: &Plugin, launcher: &[OsString], limit: Duration) -> Result<Credential, String> {
    let name = Text::clean(&plugin.program);
    let mut group = start(plugin, launcher).map_err(|e| failed_to_start(plugin, &e))?;
    let printed = match timeout(limit, finished(&mut group)).await {
        Ok(done) => done.map_err(|e| format!("exec plugin `{name}`: {e}"))?,
        Err(_) => {
            group.signal(Signal::TERM);
            sleep(MERCY).await;
            return Err(format!("exec plugin `{name}` did not end within {} s and was ended: does it wait for a person?", limit.as_secs()));
        }
    };
    let Printed { status, out, err } = printed;
    if u64::try_from(out.len()).unwrap_or(u64::MAX) >= PRINTED {
        return Err(format!("exec plugin `{name}` printed more than a credential"));
    }
    if let Some(missing) = not_there(status) {
        return Err(failed_to_start(plugin, &missing));
    }
    if !status.success() {
        let how = status.code().map_or_else(|| format!("signal {}", status.signal().unwrap_or_default()), |code| code.to_string());
        let said = last_line(&err).map_or_else(String::new, |line| format!(": {line}"));
        return Err(format!("exec plugin `{name}` ended with {how}{said}"));
    }
    understand(plugin, &out).map_err(|what| {
        let said = last_line(&err).map_or_else(String::new, |line| format!(" ({line})"));
        format!("exec plugin `{name}` {what}{said}")
    })
}

fn start(plugin: &Plugin, launcher: &[OsString]) -> io::Result<Group> {
    let mut words = launcher.iter().map(OsString::as_os_str).chain([OsStr::new(&plugin.program)]);
    let program = words.next().unwrap_or_default();
    let spec = match &plugin.cluster {
        None => serde_json::json!({ "interactive": false }),
        Some(cluster) => serde_json::json!({ "interactive": false, "cluster": cluster }),
    };
    let asked = serde_json::json!({ "apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec });
    let mut command = Command::new(program);
    if launcher.is_empty() {
        // A launcher makes a session, and the leader of a group could not.
        command.process_group(0);
    }
    let child = command
        .args(words)
        .args(&plugin.arguments)
        .envs(plugin.environment.iter().map(|(name, value)| (name, value)))
        .env("KUBERNETES_EXEC_INFO", asked.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = Pid::from_child(&child);
    Ok(Group { child, pid, reaped: false })
}

/// For the process that is to become a plugin: leaves the terminal's session, so that not even
/// `/dev/tty` leads to the terminal, and becomes the program that the arguments name.
pub fn apart(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    use std::io::Write;
    let Some(program) = arguments.next() else { return ExitCode::from(2) };
    // The leader of a group cannot leave its session; then the plugin is at least in no group of the terminal's.
    let _ = rustix::process::setsid();
    let error = Command::new(&program).args(arguments).exec();
    let _ = writeln!(io::stderr(), "{}: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

/// What a plugin left.
struct Printed {
    status: ExitStatus,
    out: Vec<u8>,
    err: Vec<u8>,
}

async fn finished(group: &mut Group) -> io::Result<Printed> {
    let (Some(out), Some(err)) = (group.child.stdout.take(), group.child.stderr.take()) else {
        return Err(io::Error::other("it has no output"));
    };
    let out = pipe::Receiver::from_owned_fd(out.into())?;
    let err = pipe::Receiver::from_owned_fd(err.into())?;
    let pid = group.pid;
    let (mut printed, mut complained) = (Vec::new(), Vec::new());
    {
        // Whoever prints on after the limit finds the pipe closed.
        let reading = async { tokio::join!(read(out, &mut printed), read(err, &mut complained)) };
        tokio::pin!(reading);
        tokio::select! {
            _ = &mut reading => ended(pid).await?,
            done = ended(pid) => {
                done?;
                // Somebody it started may keep the pipes open for ever; what it has printed is there by now.
                let _ = timeout(MERCY, reading).await;
            }
        }
    }
    let status = group.end()?;
    Ok(Printed { status, out: printed, err: complained })
}

async fn read(from: pipe::Receiver, to: &mut Vec<u8>) {
    // What came before an error may be all that there is.
    let _ = from.take(PRINTED).read_to_end(to).await;
}

/// Waits until a child has ended, and leaves it to be asked how: until then its number is nobody else's.
async fn ended(pid: Pid) -> io::Result<()> {
    let quietly = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while waitid(WaitId::Pid(pid), quietly)?.is_none() {
        sleep(LOOK).await;
    }
    Ok(())
}

/// By the exit codes that shells and [`apart`] use for a program that cannot be run.
fn not_there(status: ExitStatus) -> Option<io::Error> {
    match status.code() {
        Some(127) => Some(io::ErrorKind::NotFound.into()),
        Some(126) => Some(io::ErrorKind::PermissionDenied.into()),
        _ => None,
    }
}

fn failed_to_start(plugin: &Plugin, error: &io::Error) -> String {
    let name = Text::clean(&plugin.program);
    match (error.kind(), &plugin.hint) {
        (io::ErrorKind::NotFound, Some(hint)) => format!("exec plugin `{name}` is not installed: {hint}"),
        (io::ErrorKind::NotFound, None) => format!("exec plugin `{name}` is not installed"),
        _ => format!("exec plugin `{name}` cannot be run: {error}"),
    }
}

fn understand(plugin: &Plugin, out: &[u8]) -> Result<Credential, String> {
    let answer: Answer = serde_json::from_slice(out).map_err(|_| "printed something else than a credential".to_owned())?;
    if answer.kind.as_deref().is_some_and(|kind| kind != "ExecCredential") {
        return Err("printed something else than a credential".into());
    }
    if let Some(version) = answer.api_version.filter(|version| *version != plugin.api_version) {
        return Err(format!("answers in the form {}, but was asked in {}", Text::clean(&version), plugin.api_version));
    }
    let Some(status) = answer.status else { return Err("printed a credential without a status".into()) };
    let expires = match status.expiration_timestamp {
        None => None,
        Some(at) => {
            let at = chrono::DateTime::parse_from_rfc3339(&at).map_err(|_| "printed an expiration that is no time".to_owned())?;
            Some(at.to_utc())
        }
    };
    let certificate = match (status.client_certificate_data, status.client_key_data) {
        (Some(certificate), Some(key)) => Some((certificate, key.into())),
        (None, None) => None,
        _ => return Err("printed a certificate without its key, or the other way round".into()),
    };
    let token = status.token.filter(|token| !token.is_empty()).map(SecretString::from);
    if token.is_none() && certificate.is_none() {
        return Err("printed neither a token nor a certificate".into());
    }
    Ok(Credential { token, certificate, expires })
}

/// The last line that says something, cleaned.
fn last_line(err: &[u8]) -> Option<Text> {
    let text = String::from_utf8_lossy(err);
    let line = text.lines().rev().map(Text::clean).find(|line| !line.as_str().trim().is_empty())?;
    Some(line.as_str().trim().chars().take(200).collect::<String>().into())
}
