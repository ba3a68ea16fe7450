//! Everything an instance needs before its process can be started, and the cleaning up after it.
//! Blocks; runs on blocking threads only.

use super::{
    Inner, PoolPlan, cgroup,
    logs::{InstanceLog, file_name},
    order::{Identity, Order},
    proc,
    records::Record,
    secrets, start,
};
use crate::{
    host::preflight::PATH,
    model::{digest::Digest, text::Text},
    watchdog::plain,
};
use nix::unistd::User;
use rand::RngExt as _;
use secrecy::ExposeSecret as _;
use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    os::unix::fs::{DirBuilderExt as _, chown},
    path::PathBuf,
};

/// Ports that are tried for one instance.
const TRIES: u32 = 200;

/// One start, ready to go.
pub struct Prepared {
    /// For the supervisor. Holds secrets.
    pub order: Order,
    /// The port that was picked, to be given back, or the one of the instance beside.
    pub port: u16,
    /// Keyed hash of the secrets in the order.
    pub secrets: Option<Digest>,
    /// Where its processes are written down.
    pub file: PathBuf,
    /// What is known of them so far.
    pub record: Record,
}

/// A command that runs beside an instance, in place of the service's own.
pub struct Beside {
    /// Program and arguments; `{port}` is replaced.
    pub command: Vec<String>,
    /// The instance's port.
    pub port: u16,
}

/// Prepares one start, or says in one line why there can be none.
pub fn prepare(inner: &Inner, plan: &PoolPlan, log: &InstanceLog, name: &str, beside: Option<&Beside>) -> Result<Prepared, Text> {
    let runtime = &plan.runtime;
    // The reason first: where a line is cut, it is the place that is.
    log.make_file().map_err(|e| Text::from(format!("{}: cannot make the log file {}", plain(&e), log.path().display())))?;
    if !plan.root.is_dir() {
        return Err(format!("artifact gone: {} is not there", plan.root.display()).into());
    }
    (plan.verify)().map_err(|why| Text::from(format!("drift: {why}")))?;
    let user = runtime.user.as_deref().map(resolve).transpose()?.flatten();
    let secrets = secrets::read(runtime, &inner.settings.lookup, &inner.key)?;

    let key = format!("{}.{}", file_name(plan.service.as_str()), file_name(name));
    let dir = start::homes_dir(&inner.settings.run_dir).join(&key);
    let (home, tmp) = (dir.join("home"), dir.join("tmp"));
    make_private(&dir, &[&home, &tmp], user.as_ref())
        .map_err(|e| Text::from(format!("{}: cannot make HOME {}", plain(&e), home.display())))?;
    let group = inner.cgroups.as_ref().map(|base| base.join(start::group_prefix(&inner.settings.host_id) + &key));
    let group = group.filter(|group| match cgroup::make(group) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, group = %group.display(), "no control group for an instance");
            false
        }
    });

    let port = match beside {
        Some(beside) => beside.port,
        None => pick_port(inner)?,
    };
    let command = beside.map_or(&runtime.command, |b| &b.command);
    // In this order, later ones win: our places, what is declared, secrets, and the port in any case.
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("HOME".to_owned(), home.to_string_lossy().into_owned()),
        ("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned()),
    ]);
    environment.extend(runtime.environment.iter().map(|(k, v)| (k.clone(), v.clone())));
    environment.extend(secrets.values.iter().map(|(k, v)| (k.clone(), v.expose_secret().to_owned())));
    environment.insert("PORT".to_owned(), port.to_string());

    let record =
        Record { boot: proc::boot_id(), service: plan.service.clone(), instance: name.into(), cgroup: group.clone(), ..Record::default() };
    let order = Order {
        command: command.iter().map(|part| part.replace("{port}", &port.to_string())).collect(),
        environment: environment.into_iter().collect(),
        root: plan.root.clone(),
        user,
        home,
        cgroup: group,
        last_words: log.last_words(),
    };
    let file = start::records_dir(&inner.settings.run_dir).join(key + ".json");
    Ok(Prepared { order, port, secrets: secrets.hash, file, record })
}

/// Removes what [`prepare`] and the instance left. Whatever cannot be removed is removed by the next host.
pub fn clean_up(inner: &Inner, file: &PathBuf, home: &std::path::Path, group: Option<&PathBuf>, port: Option<u16>) {
    if let Some(group) = group {
        let _ = cgroup::sweep(group); // empty, unless the supervisor was killed
    }
    if let Some(dir) = home.parent()
        && let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, dir = %dir.display(), "cannot remove an instance's directory");
    }
    let _ = fs::remove_file(file);
    if let Some(port) = port {
        inner.lock().ports.remove(&port);
    }
}

/// Whom to become; `None` if that is who we are.
pub fn resolve(name: &str) -> Result<Option<Identity>, Text> {
    let user = match User::from_name(name) {
        Ok(Some(user)) => user,
        Ok(None) => return Err(format!("user {name} does not exist").into()),
        Err(error) => return Err(format!("user {name} cannot be looked up: {error}").into()),
    };
    let me = nix::unistd::geteuid();
    if me == user.uid {
        return Ok(None);
    }
    if !me.is_root() {
        return Err(format!("user {name}: only a host that runs as root can start services as another user").into());
    }
    Ok(Some(Identity { name: name.to_owned(), uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

/// Makes an instance's own directories, empty.
fn make_private(dir: &PathBuf, own: &[&PathBuf], user: Option<&Identity>) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o711).create(dir)?;
    for path in own {
        DirBuilder::new().mode(0o700).create(path)?;
        if let Some(user) = user {
            chown(path, Some(user.uid), Some(user.gid))?;
        }
    }
    Ok(())
}

/// A port that nobody listens on now and that no other instance was given. Somebody may take it
/// before the service does: then the service ends, and its next start gets another.
fn pick_port(inner: &Inner) -> Result<u16, Text> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr().map(|at| at.port());
    pick(above(&range).as_ref(), bind, |port| inner.lock().ports.insert(port))
}

/// The first of some ports that can be had; `bind` is given 0 for any.
fn pick(above: Option<&RangeInclusive<u16>>, bind: impl Fn(u16) -> io::Result<u16>, take: impl Fn(u16) -> bool) -> Result<u16, Text> {
    let mut why = None;
    for attempt in 0..TRIES {
        // At last wherever the system likes.
        let wanted = above.filter(|_| attempt < TRIES / 2).map_or(0, |ports| rand::rng().random_range(ports.clone()));
        match bind(wanted) {
            Ok(port) if take(port) => return Ok(port),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => why = Some(error),
        }
    }
    Err(match why {
        Some(error) => format!("no free port: {}", plain(&error)).into(),
        None => format!("no free port: {TRIES} were tried and all are taken; end what holds them, or run fewer instances").into(),
    })
}

/// The ports that outgoing connections never get by themselves: while a service is still loading,
/// every connection on this machine (our own probes among them) could take any other. `None` if
/// the system leaves too few.
fn above(range: &str) -> Option<RangeInclusive<u16>> {
    let last: u16 = range.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let ports = last.checked_add(1)?..=u16::MAX;
    (ports.len() >= 1_000).then_some(ports)
}

#[cfg(test)]
mod tests {
    use super::{TRIES, above, pick};
    use std::{
        cell::{Cell, RefCell},
        collections::BTreeSet,
        io,
    };

    #[test]
    fn a_machine_without_a_free_port_says_so_in_one_line() {
        let (tried, range) = (Cell::new(0), 61_000..=65_535);
        let taken = |_: u16| -> io::Result<u16> {
            tried.set(tried.get() + 1);
            Err(io::ErrorKind::AddrInUse.into())
        };
        let said = pick(Some(&range), taken, |_| true).unwrap_err();
        assert_eq!(said.as_str(), "no free port: 200 were tried and all are taken; end what holds them, or run fewer instances");
        assert_eq!(tried.get(), TRIES);
        let said = pick(None, |_| Err(io::Error::from_raw_os_error(24)), |_| true).unwrap_err();
        assert_eq!(said.as_str(), "no free port: too many open files");
        // What the range has not, the system may have; no port is given twice.
        let (next, given) = (Cell::new(40_000), RefCell::new(BTreeSet::from([40_001])));
        let any = |port: u16| -> io::Result<u16> {
            if port == 0 { Ok(next.replace(next.get() + 1)) } else { Err(io::ErrorKind::AddrInUse.into()) }
        };
        let take = |port: u16| given.borrow_mut().insert(port);
        assert_eq!([pick(Some(&range), any, take), pick(Some(&range), any, take)], [Ok(40_000), Ok(40_002)]);
    }

    #[test]
    fn ports_are_not_those_of_outgoing_connections() {
        assert_eq!(above("32768\t60999\n"), Some(61_000..=65_535));
        for unusable in ["1024 65535", "1024 65000", "", "nonsense"] {
            assert_eq!(above(unusable), None, "{unusable}");
        }
    }
}
