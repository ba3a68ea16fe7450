//! The worlds of the suite: a real host behind a socket on which things go wrong, and proxies in memory.

use super::{
    faulty::Faulty,
    memory::Proxies,
    suite::{Weather, World, ask},
};
use crate::{
    engine::rig::{deploy, sample, version},
    support::host::Host,
};
use cutover::{
    clock::SystemClock,
    model::{
        action::{Action, Outcome},
        ident::TargetId,
        ratio::Weight,
        rollout::{Hold, Rollout},
    },
    runtime::{Runtime, host::HostRuntime},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A host process with a canary that waits for a person, twice more.
pub struct Hosted {
    host: Host,
    faulty: Faulty,
    runtime: HostRuntime,
    moves: AtomicUsize,
}

impl Hosted {
    pub async fn start() -> Self {
        let pause = "{ pause = \"manual\" }";
        let more = format!("{pause}, {{ weight = 60 }}, {pause}, {{ weight = 70 }}, {pause}");
        let service = sample("web", "").replace(pause, &more);
        let host = tokio::task::spawn_blocking(move || {
            let host = Host::start(&service);
            deploy(&host, "web", &version(&host, "v1", ""), "completed");
            deploy(&host, "web", &version(&host, "v2", ""), "paused");
            host
        });
        let host = host.await.unwrap();
        let faulty = Faulty::before(&host.dir.join("host.sock"));
        let runtime = HostRuntime::new(TargetId::new("far"), faulty.socket.clone(), Arc::new(SystemClock::start())).unwrap();
        Self { host, faulty, runtime, moves: AtomicUsize::new(0) }
    }

    /// By the host's own socket, whatever the weather.
    async fn now(&self) -> Rollout {
        self.host.client().rollouts().await.unwrap().pop().unwrap()
    }

    async fn act(&self, action: Action) {
        let rollout = self.now().await;
        let id = format!("other-{}", self.moves.fetch_add(1, Ordering::SeqCst));
        let client = self.host.client();
        let plan = client.plan(&rollout, &ask(&id, action)).unwrap();
        let outcome = client.apply(&plan).await;
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
}

impl World for Hosted {
    type Runtime = HostRuntime;

    fn target(&self) -> TargetId {
        TargetId::new("far")
    }

    fn runtime(&self) -> HostRuntime {
        self.runtime.clone()
    }

    fn weather(&self, weather: Weather) {
        self.faulty.weather(weather);
    }

    fn cut(&self) {
        self.faulty.cut();
    }

    fn acted(&self) -> usize {
        self.faulty.acted()
    }

    fn taken(&self) -> usize {
        self.faulty.taken()
    }

    fn remembers(&self) -> bool {
        true
    }

    async fn moves(&self) {
        if self.now().await.holds.iter().any(|h| matches!(h, Hold::Manual { .. })) {
            self.act(Action::Resume).await;
        }
        let settled = |r: &Rollout| r.candidate().is_some_and(|t| t.share.programmed == t.share.declared);
        let next = self.now().await.at.unwrap().index + 2;
        loop {
            let now = self.now().await;
            match now.at {
                Some(at) if at.index == next && settled(&now) => return,
                Some(at) if at.index + 2 == next && settled(&now) => self.act(Action::Step).await,
                _ => tokio::task::yield_now().await,
            }
        }
    }
}

/// Three proxies that agree.
pub struct Cloudy(pub Proxies);

impl Cloudy {
    pub fn start() -> Self {
        Self(Proxies::new(TargetId::new("edge"), &["lb-1", "lb-2", "lb-3"]))
    }
}

impl World for Cloudy {
    type Runtime = Proxies;

    fn target(&self) -> TargetId {
        self.0.target().clone()
    }

    fn runtime(&self) -> Proxies {
        self.0.clone()
    }

    fn weather(&self, weather: Weather) {
        self.0.weather(weather);
    }

    fn cut(&self) {
        self.0.cut();
    }

    fn acted(&self) -> usize {
        self.0.acted()
    }

    fn taken(&self) -> usize {
        self.0.taken()
    }

    fn remembers(&self) -> bool {
        false
    }

    async fn moves(&self) {
        for name in ["lb-1", "lb-2", "lb-3"] {
            self.0.by_hand(name, Weight::from_percent(60.0).unwrap());
        }
    }
}
