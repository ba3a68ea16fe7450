use super::{
    ColorChoice, Config, ConfigError, Env, Flags, Loaded, Origin, Switch, check_private, default_socket, load, parse, private_dir, render,
};
use proptest::prelude::*;
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

mod bad_input;
mod doubts;
mod example;
mod metrics;
mod schema;

/// The least that a service needs.
const SERVICE: &str = r#"
[[service]]
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/healthz" }
steps = [{ weight = 5 }]
"#;

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn env_in(home: &Path) -> Env {
    Env::from_vars([("HOME", home)], uid())
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn without_a_file_there_are_defaults_and_one_target() {
    let home = tempfile::tempdir().unwrap();
    let env = Env { xdg_runtime_dir: Some("/run/user/7".into()), ..env_in(home.path()) };
    let loaded = load(None, &env).unwrap();
    assert_eq!(loaded.path, None);
    let targets: Vec<_> = loaded.config.targets.iter().map(|t| (t.name.as_str(), t.socket.clone())).collect();
    assert_eq!(targets, [("host", Some(PathBuf::from("/run/user/7/cutover/host.sock")))]);
    assert_eq!(Config { targets: vec![], ..loaded.config }, Config::default());
}

#[test]
fn the_flag_wins_over_the_variable_over_the_usual_place() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, rate: u32| {
        let path = home.path().join(name);
        write(&path, &format!("host.verify_rate = {rate}\n"));
        path
    };
    let rate = |loaded: Loaded| (loaded.config.host.verify_rate, loaded.path);
    let usual = file(".config/cutover/config.toml", 1);
    let env = env_in(home.path());
    assert_eq!(rate(load(None, &env).unwrap()), (1, Some(usual)));

    let xdg = file("xdg/cutover/config.toml", 2);
    let env = Env { xdg_config_home: Some(home.path().join("xdg")), ..env };
    assert_eq!(rate(load(None, &env).unwrap()), (2, Some(xdg)));

    let variable = file("variable.toml", 3);
    let env = Env { config: Some(variable.clone()), ..env };
    assert_eq!(rate(load(None, &env).unwrap()), (3, Some(variable)));

    let flag = file("flag.toml", 4);
    assert_eq!(rate(load(Some(&flag), &env).unwrap()), (4, Some(flag)));

    // A file that was named must be there.
    let error = load(Some(Path::new("/nowhere/x.toml")), &env).unwrap_err();
    assert_eq!(error.to_string(), "cannot read configuration /nowhere/x.toml: no such file or directory");
}

#[test]
fn every_value_knows_where_it_came_from() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("c.toml");
    write(&path, "[console]\nascii = true\n[[target]]\nname = \"shop\"\n");
    let env = Env { no_color: true, ..env_in(home.path()) };
    let loaded = load(Some(&path), &env).unwrap();
    assert_eq!((loaded.config.console.ascii, loaded.origins.of("console.ascii")), (Switch::On, Origin::File { line: 2 }));
    assert_eq!((loaded.config.console.color, loaded.origins.of("console.color")), (ColorChoice::Never, Origin::Env("NO_COLOR")));
    assert_eq!(loaded.origins.of("console.synchronized"), Origin::Default);
    let loaded = loaded.with_flags(Flags { color: Some(ColorChoice::Always), read_only: true });
    assert_eq!((loaded.config.console.color, loaded.origins.of("console.color")), (ColorChoice::Always, Origin::Flag("--color")));
    assert!(loaded.config.targets[0].read_only);

    // What a person has configured wins over the variable, as its convention says.
    write(&path, "console.color = \"always\"\n");
    assert_eq!(load(Some(&path), &env).unwrap().config.console.color, ColorChoice::Always);
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("c.toml");
    let text = example::uncommented().replace("[keys]\n", "[keys]\n\"next panel\" = []\n");
    write(&path, &text);
    let env = Env { xdg_runtime_dir: Some("/run/user/7".into()), no_color: true, ..env_in(home.path()) };
    let loaded = load(Some(&path), &env).unwrap();
    let printed = render(&loaded);
    assert_eq!(parse(&printed, "printed").unwrap(), loaded.config, "{printed}");

    let plain = load(None, &Env { home: Some("/home/ana".into()), uid: 1000, no_color: true, ..Env::default() }).unwrap();
    assert_eq!(
        render(&plain.with_flags(Flags { color: None, read_only: true })),
        r#"# effective configuration from no file, defaults only
version = 1  # default

[console]
ascii = "auto"  # default
color = "never"  # $NO_COLOR
synchronized = "auto"  # default

[host]
allow_users = []  # default
isolation = "auto"  # default
read_users = []  # default
run = "/home/ana/.local/state/cutover/host/run"  # default
socket = "/tmp/cutover-1000/host.sock"  # default
state = "/home/ana/.local/state/cutover/host"  # default
store = "/home/ana/.local/share/cutover/store"  # default
verify_rate = 8388608  # default

[journal]
path = "/home/ana/.local/state/cutover/journal.jsonl"  # default

[metrics]
kind = "host"  # default

[[target]]  # default
kind = "host"  # default
name = "host"  # default
read_only = true  # --read-only
socket = "/tmp/cutover-1000/host.sock"  # default
"#
    );
}

#[test]
fn files_that_somebody_else_could_have_written_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("conf");
    let path = dir.join("c.toml");
    write(&path, SERVICE);
    let shown = path.display();
    let env = env_in(home.path());
    let error = |path: &Path| load(Some(path), &env).unwrap_err().to_string();
    assert!(load(Some(&path), &env).is_ok());

    for mode in [0o666, 0o664] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let said = format!(
            "configuration {shown} is refused because it can run commands: it may be written by others (mode {mode:o}): chmod go-w {shown}"
        );
        assert_eq!(error(&path), said);
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    let said = error(&path);
    assert!(said.ends_with(&format!("its directory {0} may be written by others (mode 777): chmod go-w {0}", dir.display())), "{said}");
    // In a sticky directory nobody can replace what is ours.
    fs::set_permissions(&dir, Permissions::from_mode(0o1777)).unwrap();
    assert!(load(Some(&path), &env).is_ok());
    // A link is as good as what it leads to.
    let link = home.path().join("link.toml");
    symlink(&path, &link).unwrap();
    assert!(load(Some(&link), &env).is_ok());
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    assert!(load(Some(&link), &env).is_err());

    let said = error(&dir);
    assert_eq!(said, format!("cannot read configuration {}: it is no regular file", dir.display()));
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    fs::write(&path, b"# fine\nname = \"\xff\"\n").unwrap();
    assert_eq!(error(&path), format!("cannot read configuration {shown}: line 2 is not UTF-8 text"));
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(error(&path), format!("cannot read configuration {shown}: it has 1048577 bytes, the most is 1048576"));

    if uid() == 0 {
        write(&path, SERVICE);
        chown(&path, Some(4242), None).unwrap();
        assert!(error(&path).ends_with("it belongs to user 4242: it must belong to user 0 or to root"));
    }
}

#[test]
fn a_pipe_in_place_of_a_file_keeps_nobody_waiting() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("c.toml");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let error = load(Some(&path), &env_in(home.path())).unwrap_err().to_string();
    assert!(error.ends_with("it is no regular file"), "{error}");
}

#[test]
fn the_socket_is_where_only_its_user_can_put_it() {
    let env = |runtime: Option<&str>, tmp: &str, uid| Env {
        uid,
        xdg_runtime_dir: runtime.map(Into::into),
        tmpdir: Some(tmp.into()),
        ..Env::default()
    };
    for (runtime, uid, socket) in [
        (Some("/run/user/7"), 7, "/run/user/7/cutover/host.sock"),
        (Some("/run/user/0"), 0, "/run/user/0/cutover/host.sock"),
        (None, 0, "/run/cutover/host.sock"),
        (None, 7, "/var/tmp/cutover-7/host.sock"),
    ] {
        assert_eq!(default_socket(&env(runtime, "/var/tmp", uid)), Path::new(socket));
    }

    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("cutover-7");
    assert!(check_private(&dir, uid()).is_err(), "not there yet");
    private_dir(&dir, uid()).unwrap();
    private_dir(&dir, uid()).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let error = private_dir(&dir, uid() + 1).unwrap_err().to_string();
    let shown = dir.display();
    assert_eq!(error, format!("directory {shown} belongs to user {} and not to {}: remove it, or set host.socket", uid(), uid() + 1));
    fs::set_permissions(&dir, Permissions::from_mode(0o750)).unwrap();
    assert_eq!(
        private_dir(&dir, uid()).unwrap_err().to_string(),
        format!("directory {shown} is open to others (mode 750): chmod 700 {shown}")
    );
    fs::remove_dir(&dir).unwrap();
    symlink(tmp.path(), &dir).unwrap();
    assert_eq!(
        private_dir(&dir, uid()).unwrap_err().to_string(),
        format!("{shown} is a link or no directory: remove it, or set host.socket")
    );
}

#[test]
fn relative_and_empty_variables_count_as_not_set() {
    let env = Env::from_vars([("HOME", "home"), ("XDG_STATE_HOME", ""), ("XDG_DATA_HOME", "data"), ("NO_COLOR", ""), ("LANG", "C")], 1000);
    assert_eq!(env, Env { uid: 1000, locale: Some("C".into()), ..Env::default() });
    // Even then everything has a place, and none of them is the working directory.
    let paths = load(None, &env).unwrap().paths;
    for path in [&paths.socket, &paths.state, &paths.store, &paths.run, &paths.journal] {
        assert!(path.is_absolute(), "{}", path.display());
    }
    assert_eq!(paths.journal, Path::new("/tmp/cutover-1000/.local/state/cutover/journal.jsonl"));
}

#[test]
fn several_mistakes_are_all_found_and_the_first_is_said() {
    let text = SERVICE.replace("weight = 5", "weight = 0").replace("/healthz", "healthz");
    let error = parse(&text, "c.toml").unwrap_err();
    assert_eq!(
        error.lines(),
        [
            "c.toml:6:22: `path` must start with `/` and be written as in a URL, such as \"/healthz\"",
            "c.toml:7:10: weight 0 % does not rise above 0 %: weights of a plan grow from step to step",
        ]
    );
    assert_eq!(error.to_string(), format!("{} (1 more: cutover config check)", error.lines()[0]));
}

/// One line, and nothing in it that could move a cursor.
fn is_one_clean_line(error: &ConfigError) {
    for line in error.lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn nesting_without_end_is_an_error() {
    for text in [
        format!("{}a = 1", "a.".repeat(300_000)),
        format!("[{}a]", "a.".repeat(300_000)),
        format!("a = {}", "[".repeat(500_000)),
        format!("a = {}", "{ a = ".repeat(100_000)),
    ] {
        is_one_clean_line(&parse(&text, "c.toml").unwrap_err());
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Err(error) = parse(&String::from_utf8_lossy(&bytes), "c.toml") {
            is_one_clean_line(&error);
        }
    }

    #[test]
    fn no_change_of_a_good_text_makes_it_panic(
        at in any::<prop::sample::Index>(),
        len in 0..40_usize,
        with in prop_oneof![".{0,12}", "[0-9.\"\\[\\]{}=,\\-]{0,6}", Just("\u{1b}[2J\u{202e}".to_owned())],
    ) {
        let chars: Vec<char> = example::uncommented().chars().collect();
        let at = at.index(chars.len());
        let text: String = chars[..at].iter().copied().chain(with.chars()).chain(chars[(at + len).min(chars.len())..].iter().copied()).collect();
        match parse(&text, "c.toml") {
            Ok(config) => prop_assert!(config.services.iter().all(|s| s.keep >= 2)),
            Err(error) => is_one_clean_line(&error),
        }
    }
}
