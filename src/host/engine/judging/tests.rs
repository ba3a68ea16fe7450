//! A router that does something else than it says. The proxy's own split is exact, so it is doctored: it
//! keeps clients on their version although the version asks for no such thing, and all of them are one.

use super::*;
use crate::{
    clock::{Clock, ManualClock},
    conductor::{
        NewRun, Ordered,
        life::{Deployed, Observed},
    },
    host::{
        engine::turning::{observed, table},
        proxy::Proxy,
    },
    model::{
        action::{Action, Refusal},
        digest::Digest,
        gate::Verdict,
        ident::{InstanceId, Key, TargetId, VersionId},
        routing::{Routing, Sticky},
        spec::ServiceSpec,
        text::Raw,
        time::after,
    },
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const PLAN: &str = "name = \"web\"\nlisten = \"127.0.0.1:0\"\ncommand = [\"./serve\"]\ninstances = 1\nbake = \"0s\"\n\
                    readiness = { path = \"/\" }\nsteps = [{ weight = 50 }, { pause = \"5m\" }, { weight = 80 }, { pause = \"manual\" }]";

/// Answers every request with nothing, on a port of its own.
async fn answering() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4_096];
                while client.read(&mut head).await.is_ok_and(|n| n > 0) {
                    if client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

/// The host's parts around one service, without processes: its proxy, its judge, its conductor.
struct Rig {
    service: Service,
    state: ServiceState,
    clock: Arc<ManualClock>,
    client: reqwest::Client,
    upstream: SocketAddr,
}

impl Rig {
    /// v41 is stable, v42 gets half of the traffic.
    async fn start() -> Self {
        crate::tls::ready();
        let clock = Arc::new(ManualClock::new(after(Time::UNIX_EPOCH, Duration::from_secs(10_800))));
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let proxy = Proxy::bind("web".into(), listen, spec().proxy, Arc::<ManualClock>::clone(&clock)).unwrap();
        let mut rig = Self {
            service: Service::new(proxy, listen, spec().proxy),
            state: ServiceState::default(),
            clock,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            upstream: answering().await,
        };
        for label in ["v41", "v42"] {
            let candidate = Deployed {
                id: VersionId::new(label),
                generation: 0,
                artifact: Digest::of(label.as_bytes()),
                label: label.into(),
                revision: None,
                spec: spec(),
                at: rig.clock.now(),
            };
            let id = rig.state.next_run();
            rig.state.life.deploy(NewRun { id, candidate, by: "ana".into(), now: rig.clock.now() }).unwrap();
            for _ in 0..20 {
                rig.turn(false);
            }
            rig.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(rig.weight(), Weight::from_percent(50.0).unwrap());
        rig
    }

    fn pools(&self) -> Vec<PoolStatus> {
        let wanted = self.state.life.wanted();
        let whole = |d: &Deployed| PoolStatus {
            id: d.pool(),
            service: "web".into(),
            desired: 1,
            instances: Vec::new(),
            ready: vec![(InstanceId::new(d.label.as_str()), self.upstream)],
            leaving: Vec::new(),
            trouble: None,
            secrets: None,
        };
        wanted.pools.iter().map(whole).collect()
    }

    fn seen(&self) -> Observed {
        observed(&self.service, &self.pools(), Vec::new(), std::collections::BTreeSet::new())
    }

    /// What a turn of the engine does, as far as traffic and plans go.
    fn turn(&mut self, everything: bool) {
        let (now, pools) = (self.clock.now(), self.pools());
        self.service.judge(&self.state, &pools, (now, self.clock.uptime()), everything);
        let seen = self.seen();
        self.state.life.advance(&seen, &self.service.gates, now);
        self.service.proxy.program(table(&self.state.life.wanted(), &self.pools()));
    }

    fn weight(&self) -> Weight {
        self.state.life.wanted().weight
    }

    fn requests_of(&self, label: &str) -> u64 {
        let pools = self.pools();
        let pool = pools.iter().find(|p| p.id.version.as_str() == label).unwrap();
        self.service.proxy.meter(&pool.id).totals().started
    }

    async fn ask(&self, user: &str) {
        let url = format!("http://{}/", self.service.proxy.local_addr());
        assert_eq!(self.client.get(url).header("x-user", user).send().await.unwrap().status(), 200);
    }

    /// Ten requests of a client in each of so many seconds.
    async fn seconds(&mut self, seconds: u32, user: &str) {
        for _ in 0..seconds {
            for _ in 0..10 {
                self.ask(user).await;
            }
            self.clock.advance(Duration::from_secs(1));
            self.turn(true);
        }
    }

    /// What an action would be answered now; nothing is done.
    fn answer(&self, action: Action, reason: Option<&str>) -> Result<Life, Refusal> {
        let (mut life, key) =
            (self.state.life.clone(), Key { target: TargetId::new("t"), scope: Vec::new(), service: Raw::new("web"), uid: None });
        let ask = Ordered {
            action,
            belief: life.belief(key),
            by: "ben".into(),
            reason: reason.map(Into::into),
            force: reason.is_some(),
            switch_only: false,
            fresh: RunId::new("9"),
        };
        life.act(&ask, &self.seen(), &self.service.gates, self.clock.now())?;
        Ok(life)
    }
}

fn spec() -> ServiceSpec {
    toml::from_str(PLAN).unwrap()
}

#[tokio::test]
async fn a_router_that_does_what_it_says_is_not_spoken_of() {
    let mut rig = Rig::start().await;
    rig.seconds(290, "ana").await;
    assert!(rig.service.gates.is_empty(), "{:?}", rig.service.gates);
    assert_eq!(rig.requests_of("v41"), rig.requests_of("v42"));
    rig.seconds(15, "ana").await;
    assert_eq!(rig.weight(), Weight::from_percent(80.0).unwrap(), "the plan went on by itself");
}

#[tokio::test]
async fn a_router_that_does_something_else_gets_no_more_and_the_way_back_is_free() {
    let mut rig = Rig::start().await;
    rig.service.proxy.route(&Routing { sticky: Some(Sticky::Header("x-user".into())), ..Routing::default() }, None);
    // Somebody who is kept on stable.
    let mut user = "user 0".to_owned();
    rig.ask(&user).await;
    for n in 1..64 {
        if rig.requests_of("v41") > 0 {
            break;
        }
        user = format!("user {n}");
        rig.ask(&user).await;
    }
    rig.seconds(60, &user).await;
    assert!(rig.service.gates.is_empty(), "not for long enough: {:?}", rig.service.gates);
    rig.seconds(60, &user).await;
    let [split] = rig.service.gates.as_slice() else { panic!("{:?}", rig.service.gates) };
    assert_eq!(split.id.as_str(), crate::judge::SPLIT);
    let Verdict::Fail { why, .. } = &split.verdict else { panic!("{split:?}") };
    assert!(why.as_str().contains(" % of requests, 50.00 declared (n "), "{why}");

    let weight = |percent: f64| Action::SetWeight { weight: Weight::from_percent(percent).unwrap() };
    for action in [Action::Step, Action::Promote, weight(60.0)] {
        let refused = rig.answer(action.clone(), None).unwrap_err();
        assert!(
            matches!(&refused, Refusal::Guarded { .. }) && refused.to_string().contains("gate split has not passed"),
            "{action:?}: {refused}"
        );
        rig.answer(action, Some("the balancer in front is known to stick")).unwrap();
    }
    assert_eq!(rig.answer(weight(20.0), None).unwrap().wanted().weight, Weight::from_percent(20.0).unwrap());
    let back = rig.answer(Action::Back { to: VersionId::new("v41") }, None).unwrap();
    assert_eq!(back.wanted().weight, Weight::ZERO);

    // By itself it goes nowhere, neither on nor back, and says why.
    rig.seconds(185, &user).await;
    assert_eq!(rig.weight(), Weight::from_percent(50.0).unwrap());
    let view = rig.state.life.view(&rig.seen(), &rig.service.gates, rig.clock.now());
    assert!(view.holds.iter().any(|hold| format!("{hold:?}").contains("split")), "{:?}", view.holds);

    // The router is mended: that is seen, and a person goes on.
    rig.service.proxy.route(&Routing::default(), None);
    rig.seconds(250, &user).await;
    assert!(rig.service.gates.iter().all(|gate| gate.verdict.passed()), "{:?}", rig.service.gates);
    assert_eq!(rig.weight(), Weight::from_percent(50.0).unwrap(), "nothing goes on by itself after a failure");
    rig.answer(Action::Step, None).unwrap();
}
