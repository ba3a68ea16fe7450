//! The Prometheus of the demo: a private one on a loopback port that scrapes the demo's host every second. It
//! belongs to the load generator, which outlives whoever started the demo, and ends with it.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

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

/// A running one. Call [`Scraper::end`]: it does not end by itself.
pub struct Scraper(Child);

impl Scraper {
    /// Starts it, with everything below the demo's directory.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(demo: &Path, ports: Ports) -> io::Result<Self> {
        let dir = demo.join(PROGRAM);
        fs::create_dir_all(&dir)?;
        let config = dir.join("prometheus.yml");
        let target = ports.host;
        fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: cutover\n  \
                 static_configs: [{{ targets: [\"127.0.0.1:{target}\"] }}]\n"
            ),
        )?;
        let log = File::create(demo.join("prometheus.log"))?;
        let mut command = Command::new(PROGRAM);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", ports.scraper));
        Ok(Self(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?))
    }

    /// Ends it and waits for that.
    pub fn end(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
