//! The Prometheus of the demo: a private one on a loopback port that scrapes the demo's host every second. It
//! belongs to the load generator, which outlives whoever started the demo, and ends with it, however that ends.

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::{
    convert::Infallible,
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
};

/// Arguments of the hidden subcommand.
#[derive(clap::Args, Debug)]
pub struct ScraperArgs {
    /// Whose child it is: without that one it ends.
    #[arg(long)]
    of: i32,
    /// Where its configuration and its samples are.
    #[arg(long)]
    dir: PathBuf,
    /// Where it answers.
    #[arg(long)]
    port: u16,
}

/// Becomes a Prometheus that the system ends when its parent does. `Command` alone cannot say so of a child.
///
/// # Errors
/// When the parent is gone, or the program cannot be run.
pub fn become_one(args: &ScraperArgs) -> io::Result<Infallible> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before that was said.
    if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(args.of) {
        return Err(io::Error::other("whoever started it is gone"));
    }
    let shown = args.dir.display();
    Err(Command::new(PROGRAM)
        .arg(format!("--config.file={shown}/prometheus.yml"))
        .arg(format!("--storage.tsdb.path={shown}/data"))
        .arg(format!("--web.listen-address=127.0.0.1:{}", args.port))
        .exec())
}

/// What it is called in `PATH`.
const PROGRAM: &str = "prometheus";

/// Where the two meet, on loopback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// Where it answers.
    pub scraper: u16,
    /// Where the host is scraped.
    pub host: u16,
}

impl Ports {
    /// Two that nobody has now.
    ///
    /// # Errors
    /// When there are none.
    pub fn free() -> io::Result<Self> {
        let taken = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let [scraper, host] = taken;
        let (scraper, host) = (scraper?, host?);
        Ok(Self { scraper: scraper.local_addr()?.port(), host: host.local_addr()?.port() })
    }
}

/// Whether it can be started at all.
///
/// # Errors
/// One line: it is not installed, or cannot be run.
pub fn look_for() -> Result<(), String> {
    let asked = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match asked {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(format!("no `{PROGRAM}` in PATH: apt install prometheus, brew install prometheus, or https://prometheus.io/download"))
        }
        Err(e) => Err(format!("`{PROGRAM}` cannot be run: {e}")),
    }
}

/// A running one. It ends with this value.
pub struct Scraper(Child);

impl Scraper {
    /// Starts it, with everything below the demo's directory. On the main thread: it ends with the thread that
    /// started it.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(demo: &Path, ports: Ports) -> io::Result<Self> {
        let dir = demo.join(PROGRAM);
        fs::create_dir_all(&dir)?;
        let target = ports.host;
        fs::write(
            dir.join("prometheus.yml"),
            format!(
                "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: cutover\n  \
                 static_configs: [{{ targets: [\"127.0.0.1:{target}\"] }}]\n"
            ),
        )?;
        let log = File::create(demo.join("prometheus.log"))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("scraper").arg("--of").arg(process::id().to_string()).arg("--dir").arg(&dir);
        command.arg("--port").arg(ports.scraper.to_string());
        Ok(Self(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?))
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
