//! What the proxy changes in a head: hop-by-hop fields go, forwarding fields are set, the rest passes.

use hyper::{
    HeaderMap,
    header::{
        CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use std::net::IpAddr;

/// Says which version answered, if configured. Of anyone else it is removed.
pub const VERSION: HeaderName = HeaderName::from_static("x-cutover-version");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED: &str = "x-forwarded-";

/// The protocol that a head asks for or agrees to, if it does.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    tokens(headers, &CONNECTION).any(|t| t.eq_ignore_ascii_case("upgrade")).then(|| headers.get(UPGRADE).cloned()).flatten()
}

/// Whether the client asks for `100 Continue`.
pub fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(hyper::header::EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Removes what concerns one connection only. `Trailer` stays: the trailers do too.
pub fn strip(headers: &mut HeaderMap) {
    // A field that frames or routes the message is not up to whoever writes `Connection`.
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|t| HeaderName::from_bytes(t.as_bytes()).ok())
        .filter(|n| *n != HOST && *n != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VERSION]
    {
        headers.remove(name);
    }
}

/// Says who asks, over what, for which host. What a peer that is not trusted says of that is removed.
pub fn forwarded(headers: &mut HeaderMap, peer: IpAddr, trusted: bool) {
    if !trusted {
        let claimed: Vec<HeaderName> =
            headers.keys().filter(|n| **n == FORWARDED || n.as_str().starts_with(X_FORWARDED)).cloned().collect();
        for name in claimed {
            headers.remove(name);
        }
    }
    let mut chain = Vec::new();
    for before in headers.get_all(X_FORWARDED_FOR) {
        chain.extend_from_slice(before.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(peer.to_string().as_bytes());
    if let Ok(chain) = HeaderValue::from_bytes(&chain) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
}

/// Whether the client takes trailers.
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &TE).any(|t| t.eq_ignore_ascii_case("trailers"))
}

/// The elements of a comma-separated field.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{forwarded, strip, upgrade};
    use hyper::{HeaderMap, header::HeaderName};

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> = headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_concerns_one_connection_goes_and_the_rest_stays() {
        let mut headers = head(&[
            ("connection", "keep-alive, X-Secret"),
            ("connection", "host, content-length"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("host", "shop"),
            ("content-length", "3"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("trailer", "x-sum"),
            ("x-cutover-version", "forged"),
            ("cookie", "a=b"),
        ]);
        strip(&mut headers);
        assert_eq!(lines(&headers), ["content-length: 3", "cookie: a=b", "host: shop", "trailer: x-sum"]);
    }

    #[test]
    fn only_a_trusted_peer_may_say_who_asked_before_it() {
        let said = [
            ("host", "shop"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
            ("forwarded", "for=1.1.1.1"),
        ];
        let mut headers = head(&said);
        forwarded(&mut headers, [10, 0, 0, 1].into(), false);
        assert_eq!(lines(&headers), ["host: shop", "x-forwarded-for: 10.0.0.1", "x-forwarded-host: shop", "x-forwarded-proto: http"]);
        let mut headers = head(&said);
        forwarded(&mut headers, [10, 0, 0, 1].into(), true);
        assert_eq!(
            lines(&headers),
            [
                "forwarded: for=1.1.1.1",
                "host: shop",
                "x-forwarded-for: 1.1.1.1, 10.0.0.1",
                "x-forwarded-host: shop",
                "x-forwarded-port: 443",
                "x-forwarded-proto: https"
            ]
        );
    }

    #[test]
    fn an_upgrade_needs_both_fields() {
        assert_eq!(upgrade(&head(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])).unwrap(), "websocket");
        assert_eq!(upgrade(&head(&[("connection", "keep-alive"), ("upgrade", "websocket")])), None);
        assert_eq!(upgrade(&head(&[("connection", "upgrade")])), None);
    }
}
