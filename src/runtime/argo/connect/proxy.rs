//! Which proxy the environment wants for an address, by the rules that kubectl has from its language:
//! `HTTPS_PROXY` for https, `HTTP_PROXY` for http, neither for this machine, and `NO_PROXY` names hosts,
//! domains, addresses and networks that need none.

use hyper::Uri;
use std::net::IpAddr;

/// The variables; those that are empty count as not set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxies {
    /// `HTTPS_PROXY` or `https_proxy`.
    pub https: Option<String>,
    /// `HTTP_PROXY` or `http_proxy`.
    pub http: Option<String>,
    /// `NO_PROXY` or `no_proxy`.
    pub except: Option<String>,
}

impl Proxies {
    /// The proxy for this address, if it needs one.
    #[must_use]
    pub fn of(&self, url: &Uri) -> Option<String> {
        let (proxy, usual) = match url.scheme_str() {
            Some("https") => (self.https.as_ref()?, 443),
            _ => (self.http.as_ref()?, 80),
        };
        let host = url.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|a| a.is_loopback()) {
            return None;
        }
        let port = url.port_u16().unwrap_or(usual);
        let excepted = self.except.iter().flat_map(|list| list.split(',')).any(|entry| covers(entry.trim(), &host, address, port));
        // A proxy without a scheme is an HTTP one.
        (!excepted).then(|| if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") })
    }
}

/// Whether an entry of `NO_PROXY` means this host.
fn covers(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let (Ok(network), Ok(bits), Some(address)) = (network.parse::<IpAddr>(), bits.parse::<u32>(), address) else { return false };
        return within(address, network, bits);
    }
    if let Ok(only) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return address == Some(only);
    }
    let (name, only) = match entry.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) => (name, Some(port)),
        _ => (entry, None),
    };
    let name = name.trim_matches(['[', ']']).trim_start_matches('*').to_ascii_lowercase();
    if name.is_empty() || only.is_some_and(|only| only != port) {
        return false;
    }
    match name.strip_prefix('.') {
        // A domain with a dot before it means what is below it, without one also itself.
        Some(domain) => host.strip_suffix(domain).is_some_and(|below| below.ends_with('.')),
        None => host == name || host.strip_suffix(name.as_str()).is_some_and(|below| below.ends_with('.')),
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let same = |a: u128, b: u128, width: u32| bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => same(u128::from(a.to_bits()), u128::from(n.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => same(a.to_bits(), n.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Proxies;

    #[test]
    fn the_environment_is_read_as_kubectl_reads_it() {
        let proxies =
            |except: &str| Proxies { https: Some("proxy:3128".into()), http: Some("http://plain:1".into()), except: Some(except.into()) };
        let of = |except: &str, url: &str| proxies(except).of(&url.parse().unwrap());
        assert_eq!(of("", "https://api.example.org:6443").as_deref(), Some("http://proxy:3128"));
        assert_eq!(of("", "http://api.example.org").as_deref(), Some("http://plain:1"));
        for (except, url) in [
            ("*", "https://api.example.org"),
            ("example.org", "https://api.example.org"),
            ("a, EXAMPLE.org ,b", "https://example.org"),
            (".example.org", "https://api.example.org"),
            ("*.example.org", "https://api.example.org"),
            ("api.example.org:443", "https://api.example.org"),
            ("10.0.0.0/8", "https://10.1.2.3:6443"),
            ("10.1.2.3", "https://10.1.2.3:6443"),
            ("fd00::/8", "https://[fd12::1]:6443"),
            ("", "https://127.0.0.1:6443"),
            ("", "https://localhost:6443"),
            ("", "https://[::1]:6443"),
        ] {
            assert_eq!(of(except, url), None, "{except} {url}");
        }
        for (except, url) in [
            (".example.org", "https://example.org"),
            ("ample.org", "https://example.org"),
            ("api.example.org:444", "https://api.example.org"),
            ("10.0.0.0/8", "https://11.1.2.3"),
            ("10.0.0.0/99", "https://10.1.2.3"),
            (",,", "https://api.example.org"),
        ] {
            assert!(of(except, url).is_some(), "{except} {url}");
        }
        assert_eq!(Proxies::default().of(&"https://a.b".parse().unwrap()), None);
    }
}
