//! Clusters that cannot be looked at, through the whole program: they are named in one line, and delay nobody.

use super::{
    program::{Home, press, stderr, story},
    rig::{NAMESPACE, still},
};
use rustix::net::{AddressFamily, SocketType};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

/// A port whose packets are dropped: its queue of connections is full, and nobody takes any out of it.
struct Hole {
    listener: TcpListener,
    _full: Vec<TcpStream>,
}

impl Hole {
    fn new() -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let mut full = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            full.push(stream);
            assert!(full.len() < 16, "the queue is never full");
        }
        Self { listener, _full: full }
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}

/// A kubeconfig with one more context for each of these servers.
fn with(mut kubeconfig: Value, servers: &[(&str, String)]) -> Value {
    for (name, server) in servers {
        let push = |list: &mut Value, one: Value| list.as_array_mut().unwrap().push(one);
        push(&mut kubeconfig["clusters"], json!({ "name": name, "cluster": { "server": server } }));
        push(&mut kubeconfig["users"], json!({ "name": name, "user": {} }));
        push(&mut kubeconfig["contexts"], json!({ "name": name, "context": { "cluster": name, "user": name } }));
    }
    kubeconfig
}

#[test]
fn clusters_that_drop_packets_or_never_answer_delay_no_other() {
    let home = Home::new(story(), still());
    let (hole, mute) = (Hole::new(), TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let mute = format!("http://{}", mute.local_addr().unwrap());
    home.kubeconfig(with(home.server.kubeconfig(), &[("hole", hole.url()), ("mute", mute)]));
    let config = home.dir.path().join("config.toml");
    let target = |name: &str| format!("[[target]]\nname = \"{name}\"\nkind = \"argo\"\ncontext = \"{name}\"\n");
    std::fs::write(&config, ["hole", "mute", "shop"].map(target).concat()).unwrap();
    let config = config.to_str().unwrap();
    let began = Instant::now();
    let get = home.command(&["-c", config, "get"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The console shows the one that answers at once.
    let mut pty = home.console(&["-c", config]);
    pty.shows("web");
    let shown = began.elapsed();
    assert!(shown < Duration::from_secs(5), "{shown:?}");
    press(&mut pty, "q");
    assert_eq!(pty.ends().exit_code(), 0);
    // The command waits for the others, and not for long.
    let output = get.wait_with_output().unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(14), "{took:?}");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("shop/web@2  held"), "{output:?}");
    let said = stderr(&output);
    for (name, why) in [("hole", "no connection within 8 s"), ("mute", "has been silent for 10 s")] {
        let line = said.lines().find(|line| line.contains(&format!("context {name} "))).unwrap_or_else(|| panic!("{said}"));
        assert!(line.ends_with(why), "{said}");
    }
}

#[test]
fn several_files_users_and_namespaces_are_understood_as_kubectl_does() {
    let home = Home::new(story(), still());
    let all = home.server.kubeconfig();
    std::fs::remove_file(home.dir.path().join(".kube/config")).unwrap();
    // What is where: the cluster and the user in one file, the context in another, and one that is not there.
    let write = |name: &str, text: Value| {
        std::fs::write(home.dir.path().join(name), text.to_string()).unwrap();
        home.dir.path().join(name).display().to_string()
    };
    let first = write("first", json!({ "contexts": all["contexts"], "current-context": all["current-context"] }));
    let second = write("second", json!({ "clusters": all["clusters"], "users": all["users"], "current-context": "another" }));
    let files = format!("{first}:{}/gone::{second}", home.dir.path().display());
    let run = |arguments: &[&str]| home.command(arguments).env("KUBECONFIG", &files).output().unwrap();
    let output = run(&["get", "--context", "shop", "--as", "ana", "--namespace", NAMESPACE]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("shop/web@2  held"), "{output:?}");
    let log = home.server.log();
    assert!(!log.is_empty());
    assert!(log.iter().all(|r| r.acts_as.as_deref() == Some("ana") && r.path.contains("/namespaces/shop/")), "{log:?}");
    // The current context of the first file that names one.
    assert!(run(&["get", "--namespace", NAMESPACE]).status.success());
    let output = run(&["get", "--context", "shopp"]);
    assert!(stderr(&output).ends_with("no context `shopp`: did you mean `shop`?"), "{output:?}");
    // Without any of them, and in no pod.
    let output = home.command(&["get", "--context", "shop"]).env("KUBECONFIG", "/gone/one:/gone/two").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("there is no kubeconfig at /gone/one or /gone/two: set KUBECONFIG"), "{output:?}");
}

/// The recording is from another day than this machine's clock, by which nothing may be said.
#[test]
fn times_are_told_by_the_clock_of_the_cluster() {
    let home = Home::new(story(), still());
    let output = home.run(&["get", "--context", "shop"]);
    // It has waited since 11:06:00, and it is 11:06:40 there.
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(["40 s", "41 s", "42 s"].iter().any(|ago| line.contains(&format!("since 11:06 ({ago})"))), "{line}");
    let mut pty = home.console(&["--context", "shop"]);
    pty.shows("CANARY step 2/3");
    pty.shows("11:06:4");
    press(&mut pty, "q");
    assert_eq!(pty.ends().exit_code(), 0);
}
