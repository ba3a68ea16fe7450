//! People of one machine: their verbs through the real program, their names in what is remembered, and
//! the socket that lets them in.

use super::rig::{belief, canary, sample};
use crate::support::{
    host::{CUTOVER, Host},
    need_root,
};
use cutover::{
    journal::Line,
    model::rollout::{Hold, Rollout},
};
use nix::unistd::{Group, User};
use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A user of this machine with a copy of the program and a configuration that names the host's socket.
struct Person<'a> {
    name: &'a str,
    gid: u32,
    program: &'a Path,
    home: PathBuf,
}

impl<'a> Person<'a> {
    fn new(name: &'a str, group: Option<&str>, program: &'a Path, socket: &Path) -> Self {
        let user = User::from_name(name).unwrap().unwrap();
        let gid = group.map_or(user.gid, |g| Group::from_name(g).unwrap().unwrap().gid).as_raw();
        let home = program.parent().unwrap().join(format!("{name}-{gid}"));
        fs::create_dir(&home).unwrap();
        fs::write(home.join("config.toml"), format!("[[target]]\nname = \"test\"\nsocket = \"{}\"\n", socket.display())).unwrap();
        fs::set_permissions(home.join("config.toml"), Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::chown(&home, Some(user.uid.as_raw()), Some(gid)).unwrap();
        fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
        Self { name, gid, program, home }
    }

    fn verb(&self, args: &[&str]) -> Output {
        let user = User::from_name(self.name).unwrap().unwrap();
        let mut command = Command::new(self.program);
        command.args(args).arg("-c").arg(self.home.join("config.toml")).env_clear().env("USER", self.name).env("PATH", "/usr/bin:/bin");
        for name in ["HOME", "XDG_STATE_HOME", "TMPDIR"] {
            command.env(name, &self.home);
        }
        command.uid(user.uid.as_raw()).gid(self.gid).current_dir("/").output().unwrap()
    }

    #[track_caller]
    fn may(&self, args: &[&str]) -> String {
        let done = self.verb(args);
        assert!(done.status.success(), "{} {args:?}: {done:?}", self.name);
        String::from_utf8(done.stdout).unwrap()
    }

    /// Denied with one line; it.
    #[track_caller]
    fn may_not(&self, args: &[&str]) -> String {
        let done = self.verb(args);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), said.trim().lines().count()), (Some(3), 1), "{} {args:?}: {said}", self.name);
        said
    }
}

/// A directory that everybody may pass, with a program that everybody may run.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
    let program = dir.path().join("cutover");
    fs::copy(CUTOVER, &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    (dir, program)
}

fn host(dir: &Path, access: &str) -> Host {
    let mut host = Host::prepare(dir, &sample("web", ""));
    let config = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), config.replacen("[host]\n", &format!("[host]\n{access}\n"), 1)).unwrap();
    host.run();
    host
}

fn canary_on(host: &Host) -> Rollout {
    for (label, goal) in [("v1", "completed"), ("v2", "paused")] {
        super::rig::deploy(host, "web", &super::rig::version(host, label, ""), goal);
    }
    host.rollout()
}

#[test]
fn who_acted_is_remembered_by_the_kernels_name_and_a_reader_is_told_why_not() {
    if !need_root() {
        return;
    }
    let (dir, program) = place();
    let host = host(dir.path(), "allow_users = [\"daemon\"]\nread_users = [\"nobody\"]");
    canary_on(&host);
    let person = |name| Person::new(name, None, &program, &host.dir.join("host.sock"));
    let (daemon, nobody, games) = (person("daemon"), person("nobody"), person("games"));

    // Who may only look sees everything and moves nothing, whatever the verb.
    assert!(nobody.may(&["get"]).contains("web"));
    let before = belief(&host.rollout());
    for verb in
        [&["pause", "web", "--yes"][..], &["step", "web", "--yes"], &["revert", "web"], &["freeze", "web", "--reason", "x", "--yes"]]
    {
        let said = nobody.may_not(verb);
        assert!(said.contains("nobody may look and not act here"), "{verb:?}: {said}");
    }
    assert_eq!(belief(&host.rollout()), before);
    // Who is not named does not even look.
    let said = games.may_not(&["get"]);
    assert!(said.contains("games"), "{said}");

    // Who is named acts, under the name the kernel knows.
    daemon.may(&["pause", "web", "--yes"]);
    let paused = host.rollout();
    let by = |hold: &Hold| matches!(hold, Hold::Manual { by, .. } if by.as_str() == "daemon");
    assert!(paused.holds.iter().any(by), "{:?}", paused.holds);
    assert_eq!(paused.last.unwrap().by.as_str(), "daemon");
    daemon.may(&["revert", "web"]);
    let back = host.rollout();
    assert_eq!(back.last.unwrap().by.as_str(), "daemon");
    assert!(back.proof.is_some());
    // Also for whoever reads it afterwards: in the host's timeline and in the journal of who acted.
    let events = super::rig::Http::to(&host).lines("/v1/watch", |lines| lines.iter().any(|(_, l)| l["delta"] == "init_done"));
    let said = events.iter().filter(|(_, l)| l["delta"] == "events").flat_map(|(_, l)| l["events"].as_array().cloned().unwrap_or_default());
    let of_daemon = said.filter(|e| e["by"] == "daemon").count();
    assert!(of_daemon >= 2, "the pause and the way back: {of_daemon}");
    let journal = fs::read_to_string(daemon.home.join("cutover/journal.jsonl")).unwrap();
    let actors: Vec<(String, String)> = journal
        .lines()
        .map(|l| serde_json::from_str::<Line>(l).unwrap().entry)
        .filter_map(|e| Some((e.action?.verb().to_owned(), e.actor.to_string())))
        .collect();
    for verb in ["pause", "revert"] {
        assert!(actors.contains(&(verb.into(), "daemon".into())), "{verb}: {actors:?}");
    }
}

#[test]
fn a_group_lets_its_members_in_and_the_socket_follows() {
    if !need_root() {
        return;
    }
    let (dir, program) = place();
    let host = host(dir.path(), "allow_group = \"sys\"");
    canary_on(&host);
    let socket = host.dir.join("host.sock");
    let seen = fs::metadata(&socket).unwrap();
    let sys = Group::from_name("sys").unwrap().unwrap().gid.as_raw();
    assert_eq!((seen.mode() & 0o777, seen.gid()), (0o660, sys));
    let member = Person::new("games", Some("sys"), &program, &socket);
    member.may(&["pause", "web", "--yes"]);
    assert_eq!(host.rollout().last.unwrap().by.as_str(), "games");
    // The kernel itself keeps the others out, and that is said with the socket's name.
    let said = Person::new("nobody", None, &program, &socket).may_not(&["get"]);
    assert!(said.contains("host.sock denies access: no right to open the socket"), "{said}");
}

#[test]
fn without_a_word_about_others_the_socket_is_its_owners() {
    let host = canary("");
    assert_eq!(fs::metadata(host.dir.join("host.sock")).unwrap().mode() & 0o777, 0o600);
}
