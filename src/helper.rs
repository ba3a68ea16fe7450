//! Programs that help us to a credential: exec plugins of a kubeconfig, a `bearer_command`. They get no
//! terminal, no input and a time limit, and everything that they started ends with them.

use crate::model::text::Text;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    time::{sleep, timeout},
};

/// The argument that turns a process of ours into a helper: see [`apart`].
pub const APART: &str = "credential-plugin";
/// How long a helper may take.
pub const LIMIT: Duration = Duration::from_secs(30);
/// From asking its processes to end to ending them.
const MERCY: Duration = Duration::from_millis(500);
/// Between two looks whether a helper has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Printed on standard output, and on standard error, at most.
const PRINTED: u64 = 1 << 20;

/// What starts a helper apart from our terminal: a program and arguments that the helper's are added to.
#[must_use]
pub fn launcher() -> Vec<OsString> {
    vec!["/proc/self/exe".into(), APART.into()]
}

/// A program that is to be run.
#[derive(Clone, Debug)]
pub struct Helper {
    /// A path, or a name that is looked for in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside those that we have.
    pub environment: Vec<(String, String)>,
}

/// What a helper that ended well printed. It may be a secret.
pub struct Printed {
    /// On standard output.
    pub out: Vec<u8>,
    err: Vec<u8>,
}

impl Printed {
    /// The last line on standard error that says something, cleaned.
    #[must_use]
    pub fn said(&self) -> Option<Text> {
        last_line(&self.err)
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.out.len())
    }
}

/// Why a helper helped nothing; reads on after its name. What it printed on standard output is never part
/// of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no such program.
    #[error("is not installed")]
    NotInstalled,
    /// It is there and cannot be started.
    #[error("cannot be run: {0}")]
    CannotRun(io::Error),
    /// The system does not tell how it ends.
    #[error("was lost: {0}")]
    Lost(io::Error),
    /// The limit was reached.
    #[error("did not end within {0} s and was ended: does it wait for a person?")]
    Slow(u64),
    /// Nobody prints a credential of this size.
    #[error("printed more than a credential")]
    TooMuch,
    /// It says itself that something went wrong: its exit code or signal, and its last words.
    #[error("ended with {how}{}", .said.as_ref().map_or_else(String::new, |line| format!(": {line}")))]
    Ended {
        /// `3`, `signal 9`.
        how: String,
        /// The last line on standard error.
        said: Option<Text>,
    },
}

impl Failure {
    fn start(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::NotInstalled } else { Self::CannotRun(error) }
    }
}

/// Everything that a helper started; dropped, it ends all of it.
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

/// Runs a helper to its end. Dropped before, it ends the helper.
///
/// # Errors
/// Why it helped nothing.
pub async fn run(helper: &Helper, launcher: &[OsString], limit: Duration) -> Result<Printed, Failure> {
    let mut group = start(helper, launcher).map_err(Failure::start)?;
    let (status, printed) = match timeout(limit, finished(&mut group)).await {
        Ok(done) => done.map_err(Failure::Lost)?,
        Err(_) => {
            group.signal(Signal::TERM);
            sleep(MERCY).await;
            return Err(Failure::Slow(limit.as_secs()));
        }
    };
    if u64::try_from(printed.out.len()).unwrap_or(u64::MAX) >= PRINTED {
        return Err(Failure::TooMuch);
    }
    if let Some(missing) = not_there(status) {
        return Err(Failure::start(missing));
    }
    if !status.success() {
        let how = status.code().map_or_else(|| format!("signal {}", status.signal().unwrap_or_default()), |code| code.to_string());
        return Err(Failure::Ended { how, said: printed.said() });
    }
    Ok(printed)
}

fn start(helper: &Helper, launcher: &[OsString]) -> io::Result<Group> {
    let mut words = launcher.iter().map(OsString::as_os_str).chain([OsStr::new(&helper.program)]);
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(program);
    if launcher.is_empty() {
        // A launcher makes a session, and the leader of a group could not.
        command.process_group(0);
    }
    let child = command
        .args(words)
        .args(&helper.arguments)
        .envs(helper.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = Pid::from_child(&child);
    Ok(Group { child, pid, reaped: false })
}

/// For the process that is to become a helper: leaves the terminal's session, so that not even
/// `/dev/tty` leads to the terminal, and becomes the program that the arguments name.
pub fn apart(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    use std::io::Write;
    let Some(program) = arguments.next() else { return ExitCode::from(2) };
    // The leader of a group cannot leave its session; then the helper is at least in no group of the terminal's.
    let _ = rustix::process::setsid();
    let error = Command::new(&program).args(arguments).exec();
    let _ = writeln!(io::stderr(), "{}: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

async fn finished(group: &mut Group) -> io::Result<(ExitStatus, Printed)> {
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
    Ok((status, Printed { out: printed, err: complained }))
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

/// The last line that says something, cleaned.
fn last_line(err: &[u8]) -> Option<Text> {
    let text = String::from_utf8_lossy(err);
    let line = text.lines().rev().map(Text::clean).find(|line| !line.as_str().trim().is_empty())?;
    Some(line.as_str().trim().chars().take(200).collect::<String>().into())
}
