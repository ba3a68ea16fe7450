//! A watcher that is too slow for what happens: nobody waits for it, and it starts again from a full picture.

use super::rig::clock;
use crate::support::host::CUTOVER;
use cutover::{
    artifact::Store,
    host::{
        api::{self, Access, Api, Peer},
        bus::Bus,
        deploy::Depot,
        drift::Watchman,
        engine::{Command, SELF},
        guests::Guests,
        instances::{InstanceSettings, Instances},
    },
    model::{
        event::{Event, Level},
        ident::{Key, TargetId},
        text::Raw,
    },
};
use std::sync::Arc;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_slow_watcher_holds_nobody_and_gets_a_fresh_picture() {
    let dir = tempfile::tempdir().unwrap();
    let usual = InstanceSettings::new("test", dir.path().join("run"), dir.path().join("logs"), Arc::new(|_| None));
    let supervisor = [CUTOVER, "supervise"].map(Into::into).to_vec();
    let (instances, _) = Instances::start(InstanceSettings { supervisor, ..usual }, clock()).unwrap();
    let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
    let (engine, mut commands) = mpsc::channel(8);
    let cancel = CancellationToken::new();
    let depot = Depot::new(store, Watchman::new(clock()), Arc::new(|| Ok(Vec::new())));
    let access = Arc::new(Access::own(rustix::process::geteuid().as_raw()));
    let app = api::control(Api {
        engine,
        depot,
        logs: instances.logs(),
        access,
        guests: Guests::default(),
        clock: clock(),
        cancel: cancel.clone(),
    });
    let socket = dir.path().join("sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, app.into_make_service_with_connect_info::<Peer>()).await });

    let mut watcher = UnixStream::connect(&socket).await.unwrap();
    watcher.write_all(b"GET /v1/watch HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut bus = Bus::new(7);
    let Some(Command::Subscribe { reply }) = commands.recv().await else { panic!("no watcher") };
    reply.send(bus.subscribe(clock().now())).ok().unwrap();
    // The first line is there: it is a watcher now. It reads nothing more while a lot happens.
    watcher.read_exact(&mut [0; 16]).await.unwrap();
    let key = Key { target: TargetId::new(SELF), scope: Vec::new(), service: Raw::new("web"), uid: None };
    // More than the backlog and what the system keeps for a reader.
    for seq in 0..4_000 {
        let what = "x".repeat(4_096).as_str().into();
        bus.events(&key, [&Event { seq, at: clock().now(), run: None, level: Level::Info, by: "host".into(), what }]);
        tokio::task::yield_now().await;
    }
    let mut lines = BufReader::new(watcher).lines();
    let mut inits = 0;
    while inits == 0 {
        tokio::select! {
            line = lines.next_line() => inits += usize::from(line.unwrap().unwrap().contains("\"delta\":\"init\"")),
            Some(command) = commands.recv() => {
                let Command::Subscribe { reply } = command else { panic!("what else?") };
                reply.send(bus.subscribe(clock().now())).ok().unwrap();
            }
        }
    }
    cancel.cancel();
}
