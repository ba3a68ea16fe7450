//! The log files: `<dir>/<service>/<instance>.jsonl`, one line of JSON per line, rotated once.
//! One thread writes them, so that a slow disk holds nobody up; what it cannot keep up with is
//! counted and said in the file.

use super::Who;
use crate::model::{
    event::{LogLine, LogStream},
    ident::InstanceId,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::SystemTime,
};

/// A file of this size becomes the older of two.
const ROTATE: u64 = 8 * 1024 * 1024;
/// Files kept per service.
const FILES: usize = 200;
/// Bytes kept per service.
const BYTES: u64 = 512 * 1024 * 1024;
/// Bytes that may wait for the disk.
const WAITING: usize = 16 * 1024 * 1024;

enum Job {
    Line(Who, Vec<u8>),
    Close(Who),
    Flush(mpsc::Sender<()>),
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Of the lines that wait.
    bytes: usize,
    dropped: HashMap<Who, (u64, LogLine)>,
    live: HashSet<Who>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands lines to the writing thread. Dropping it lets the thread finish what waits, and end.
pub struct Writer {
    dir: PathBuf,
    shared: Arc<Shared>,
}

impl Writer {
    pub fn start(dir: PathBuf) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (own, base) = (Arc::clone(&shared), dir.clone());
        thread::Builder::new().name("logs".to_owned()).spawn(move || work(&own, &base))?;
        Ok(Self { dir, shared })
    }

    fn submit(&self, job: Job) {
        self.shared.lock().jobs.push_back(job);
        self.shared.more.notify_one();
    }

    pub fn path(&self, who: &Who) -> PathBuf {
        path(&self.dir, who)
    }

    /// Makes an instance's file and room for it.
    pub fn make(&self, who: &Who) -> io::Result<()> {
        self.shared.lock().live.insert(who.clone());
        let path = self.path(who);
        let dir = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(dir)?;
        File::options().append(true).create(true).open(&path)?;
        let live = self.shared.lock().live.clone();
        prune(dir, &live);
        Ok(())
    }

    /// Takes a line, or counts it if too much waits.
    pub fn write(&self, who: &Who, line: &LogLine) {
        let mut queue = self.shared.lock();
        if queue.bytes >= WAITING {
            queue.dropped.entry(who.clone()).or_insert_with(|| (0, line.clone())).0 += 1;
            return;
        }
        let gap = queue.dropped.remove(who).map(|(lines, like)| {
            let text = format!("{lines} lines are not in this file: the disk was too slow");
            LogLine { stream: LogStream::End, line: text.into(), ..like }
        });
        for json in gap.iter().chain([line]).filter_map(json) {
            queue.bytes += json.len();
            queue.jobs.push_back(Job::Line(who.clone(), json));
        }
        drop(queue);
        self.shared.more.notify_one();
    }

    pub fn close(&self, who: &Who) {
        self.shared.lock().live.remove(who);
        self.submit(Job::Close(who.clone()));
    }

    pub fn flush(&self) {
        let (done, wait) = mpsc::channel();
        self.submit(Job::Flush(done));
        let _ = wait.recv();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.more.notify_one();
    }
}

fn work(shared: &Shared, dir: &Path) {
    let mut open: HashMap<Who, (File, u64)> = HashMap::new();
    loop {
        let (jobs, live) = {
            let mut queue = shared.lock();
            while queue.jobs.is_empty() {
                if queue.closed {
                    return;
                }
                queue = shared.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.bytes = 0;
            (std::mem::take(&mut queue.jobs), queue.live.clone())
        };
        // One write per file and batch.
        let mut batch: BTreeMap<Who, Vec<u8>> = BTreeMap::new();
        let (mut closing, mut waiting) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Line(who, json) => batch.entry(who).or_default().extend(json),
                Job::Close(who) => closing.push(who),
                Job::Flush(done) => waiting.push(done),
            }
        }
        for (who, bytes) in batch {
            if let Err(error) = append(&mut open, &live, dir, &who, &bytes) {
                open.remove(&who);
                tracing::warn!(instance = %who.instance.text(), %error, "cannot write the log file");
            }
        }
        for who in closing {
            open.remove(&who);
        }
        for done in waiting {
            let _ = done.send(());
        }
    }
}

fn append(open: &mut HashMap<Who, (File, u64)>, live: &HashSet<Who>, dir: &Path, who: &Who, bytes: &[u8]) -> io::Result<()> {
    let path = path(dir, who);
    if !open.contains_key(who) {
        let file = File::options().append(true).create(true).open(&path)?;
        let size = file.metadata()?.len();
        open.insert(who.clone(), (file, size));
    }
    let Some((file, size)) = open.get_mut(who) else { return Ok(()) };
    file.write_all(bytes)?;
    *size += bytes.len() as u64;
    if *size >= ROTATE {
        open.remove(who);
        fs::rename(&path, path.with_extension("jsonl.1"))?;
        prune(path.parent().unwrap_or(dir), live);
    }
    Ok(())
}

fn json(line: &LogLine) -> Option<Vec<u8>> {
    let mut json = serde_json::to_vec(line).ok()?;
    json.push(b'\n');
    Some(json)
}

fn path(dir: &Path, who: &Who) -> PathBuf {
    dir.join(file_name(who.service.as_str())).join(file_name(who.instance.as_str()) + ".jsonl")
}

/// A name that stays inside its directory, whatever it was.
pub fn file_name(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect();
    if clean.is_empty() || clean.starts_with('.') { format!("_{clean}") } else { clean }
}

fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".1").unwrap_or(name).strip_suffix(".jsonl")
}

/// Removes the files of the instances that ended longest ago until the limits hold.
fn prune(dir: &Path, live: &HashSet<Who>) {
    prune_to(dir, live, FILES, BYTES);
}

fn prune_to(dir: &Path, live: &HashSet<Who>, most_files: usize, most_bytes: u64) {
    let live: HashSet<String> = live.iter().map(|w| file_name(w.instance.as_str())).collect();
    let mut found: HashMap<String, (SystemTime, Vec<PathBuf>, u64)> = HashMap::new();
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (Some(stem), Ok(meta)) = (stem(&name), entry.metadata()) else { continue };
        files += 1;
        bytes += meta.len();
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let one = found.entry(stem.to_owned()).or_insert_with(|| (modified, Vec::new(), 0));
        one.0 = one.0.max(modified);
        one.1.push(entry.path());
        one.2 += meta.len();
    }
    let mut ended: Vec<_> = found.into_iter().filter(|(stem, _)| !live.contains(stem)).map(|(_, one)| one).collect();
    ended.sort_unstable_by_key(|one| one.0);
    for (_, paths, size) in ended {
        if files <= most_files && bytes <= most_bytes {
            break;
        }
        files -= paths.len();
        bytes -= size;
        for path in paths {
            let _ = fs::remove_file(path);
        }
    }
}

/// The greatest number in a name of each service's files. The newest files are always kept.
pub fn last_numbers(dir: &Path) -> io::Result<HashMap<String, u64>> {
    let number = |name: &str| stem(name)?.rsplit('-').next()?.parse().ok();
    let services = fs::read_dir(dir)?.flatten().map(|service| {
        let files = fs::read_dir(service.path()).into_iter().flatten().flatten();
        let last = files.filter_map(|file| number(&file.file_name().to_string_lossy())).max();
        (service.file_name().to_string_lossy().into_owned(), last.unwrap_or_default())
    });
    Ok(services.collect())
}

/// The last lines of the instances that printed last, oldest first, for a host that starts.
pub fn load(dir: &Path, instances: usize, bytes: u64) -> io::Result<Vec<LogLine>> {
    fs::create_dir_all(dir)?;
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(dir)?
        .flatten()
        .filter_map(|service| fs::read_dir(service.path()).ok())
        .flat_map(|entries| entries.flatten())
        .filter(|file| file.path().extension().is_some_and(|e| e == "jsonl"))
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    files.sort_unstable();
    let newest = files.split_off(files.len().saturating_sub(instances));
    let mut lines: Vec<LogLine> = newest.iter().flat_map(|(_, path)| last_lines(path, bytes).unwrap_or_default()).collect();
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}

fn last_lines(path: &Path, bytes: u64) -> io::Result<Vec<LogLine>> {
    let mut file = File::open(path)?;
    let skip = file.metadata()?.len().saturating_sub(bytes);
    file.seek(SeekFrom::Start(skip))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    // A first line that was torn by the seek, or a last one by a crash, is no JSON.
    Ok(text.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The name of the `number`-th instance of a service.
pub fn instance_id(version: &str, generation: u32, number: u64) -> InstanceId {
    let version: String = version.chars().filter(char::is_ascii_alphanumeric).take(6).collect();
    InstanceId::new(format!("{version}-{generation}-{number}"))
}

#[cfg(test)]
mod tests {
    use super::{Who, file_name, prune_to, stem};
    use crate::model::ident::InstanceId;
    use std::{collections::HashSet, fs, time::SystemTime};

    #[test]
    fn names_stay_inside() {
        for (name, file) in [("checkout", "checkout"), ("../x", "_.._x"), ("a/b", "a_b"), ("", "_"), (".", "_.")] {
            assert_eq!(file_name(name), file);
        }
        assert_eq!((stem("a-1-2.jsonl"), stem("a-1-2.jsonl.1"), stem("a.txt")), (Some("a-1-2"), Some("a-1-2"), None));
    }

    #[test]
    fn the_oldest_ended_go_first_and_the_living_stay() {
        let dir = tempfile::tempdir().unwrap();
        let age = |n: u64| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n);
        for (name, at) in [("a-1-1.jsonl", 1), ("a-1-2.jsonl", 2), ("a-1-2.jsonl.1", 1), ("a-1-3.jsonl", 3), ("a-1-4.jsonl", 4)] {
            fs::write(dir.path().join(name), [0; 100]).unwrap();
            fs::File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(age(at)).unwrap();
        }
        let left = || {
            let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let live = HashSet::from([Who { service: "s".into(), instance: InstanceId::new("a-1-1") }]);
        prune_to(dir.path(), &live, 5, 500);
        assert_eq!(left().len(), 5);
        prune_to(dir.path(), &live, 4, 500);
        assert_eq!(left(), ["a-1-1.jsonl", "a-1-3.jsonl", "a-1-4.jsonl"]);
        prune_to(dir.path(), &live, 5, 299);
        assert_eq!(left(), ["a-1-1.jsonl", "a-1-4.jsonl"]);
        prune_to(dir.path(), &live, 0, 0);
        assert_eq!(left(), ["a-1-1.jsonl"]);
    }
}
