//! Where services listen. A service that was deployed listens where its stable version was configured
//! to, whatever the file says by now; one that was not, where the file says.

use super::{Engine, preview::Preview, service::Service};
use crate::{
    host::proxy::{self, Proxy},
    model::{event::Level, spec::ServiceSpec, text::Text},
};
use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

impl Engine {
    /// Opens the listeners of everything that is remembered or configured, and says where they are.
    /// An address of the frozen configuration that cannot be had gives way to the file's, so that a
    /// port lost to another program does not keep the host from starting.
    ///
    /// # Errors
    /// When a service cannot be listened for. One that was never deployed and whose port another
    /// service here still has is only said: that service goes on serving.
    pub fn open(&mut self, configured: &[ServiceSpec]) -> io::Result<Vec<(String, SocketAddr)>> {
        let mut wanted: BTreeMap<String, Vec<ServiceSpec>> = BTreeMap::new();
        for (name, state) in &self.state.services {
            let frozen = state.life.stable.as_ref().or(state.life.run.as_ref().map(|r| &r.candidate));
            wanted.entry(name.clone()).or_default().extend(frozen.map(|d| d.spec.clone()));
        }
        let remembered: Vec<String> = wanted.keys().cloned().collect();
        for spec in configured {
            wanted.entry(spec.name.clone()).or_default().push(spec.clone());
        }
        // Those that serve come first.
        let (old, new): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(name, _)| remembered.contains(name));
        let mut open = Vec::new();
        for (name, specs) in old.into_iter().chain(new) {
            match self.bind_first(&specs) {
                Ok(Some(service)) => {
                    open.push((name.clone(), service.proxy.local_addr()));
                    self.services.insert(name, service);
                }
                Ok(None) => {}
                Err(why) => {
                    let holder = specs.last().and_then(|s| self.holder(s.listen.port()));
                    match holder {
                        Some(holder) if !remembered.contains(&name) => {
                            let what =
                                format!("service {name} cannot be opened: its port is that of {holder}, until that is deployed anew");
                            tracing::warn!("{what}");
                            self.news.push((holder, Level::Warn, what.into()));
                        }
                        _ => return Err(why),
                    }
                }
            }
        }
        Ok(open)
    }

    /// For a deploy: a new service gets its listener, which is used once the deploy has taken effect.
    pub(super) fn open_for(&mut self, spec: &ServiceSpec) -> io::Result<()> {
        let deployed = self.state.services.get(&spec.name).is_some_and(|s| s.life.run.is_some());
        let listens = self.services.get(&spec.name).is_some_and(|s| deployed || s.listen == spec.listen);
        let opened = self.opening.as_ref().is_some_and(|(name, s)| *name == spec.name && s.listen == spec.listen);
        if !listens && !opened {
            self.opening = Some((spec.name.clone(), self.bind(spec)?));
        }
        Ok(())
    }

    /// Whether the preview of a service can be listened for: by another program was asked before; here, by
    /// another service of this host, whatever the file says now.
    pub(super) fn preview_taken(&self, spec: &ServiceSpec) -> Option<Text> {
        let listen = spec.preview_listen.filter(|listen| listen.port() != 0)?;
        // One that is new here may have been opened for this very deploy.
        let opening = self.opening.as_ref().filter(|(name, _)| *name == spec.name).map(|(_, s)| s);
        let own = self.services.get(&spec.name).into_iter().chain(opening);
        if own.filter_map(|s| s.preview.as_ref()?.proxy()).any(|proxy| proxy.local_addr() == listen) {
            return None;
        }
        let why = std::net::TcpListener::bind(listen).err()?;
        let holder = self.holder(listen.port()).filter(|_| why.kind() == io::ErrorKind::AddrInUse);
        Some(match holder {
            Some(holder) => format!("preview_listen: port {} is that of service `{holder}`: choose another one", listen.port()).into(),
            None => format!("preview_listen: {}", proxy::not_listening(listen, &why)).into(),
        })
    }

    fn bind_first(&self, specs: &[ServiceSpec]) -> io::Result<Option<Service>> {
        let mut refused = None;
        for spec in specs {
            match self.bind(spec) {
                Ok(service) => return Ok(Some(service)),
                Err(why) => {
                    tracing::warn!("service {}: {why}", spec.name);
                    refused = refused.or(Some(why));
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    fn bind(&self, spec: &ServiceSpec) -> io::Result<Service> {
        let proxy = Proxy::bind(spec.name.as_str().into(), spec.listen, spec.proxy.clone(), Arc::clone(&self.clock))?;
        let mut service = Service::new(proxy, spec.listen, spec.proxy.clone());
        service.preview = spec.preview_listen.map(|listen| Preview::open(&spec.name, listen, spec, &self.clock));
        Ok(service)
    }

    fn holder(&self, port: u16) -> Option<String> {
        let has = |s: &Service| {
            [Some(&s.proxy), s.preview.as_ref().and_then(Preview::proxy)].into_iter().flatten().any(|p| p.local_addr().port() == port)
        };
        self.services.iter().find(|(_, s)| has(s)).map(|(name, _)| name.clone())
    }
}
