//! Who asks: what keeps a client on the version it got, and what lets a tester through.
//!
//! A client's place is a number below 1 that its value and the candidate's version give it, always the
//! same one; it is the candidate's while it lies below the share. So a share that grows moves only those
//! that lie between the old share and the new one, none moves back, with no share nobody is kept, and
//! another candidate meets other clients first. A client without a value is dealt like any request, which
//! keeps the split exact, and then gets a value that lies where it was dealt to.
//!
//! A tester's value is compared by its digest, in the same time whatever differs; what is remembered of
//! the secret is that digest.

use crate::model::{
    digest::Digest,
    ratio::Weight,
    routing::{Routing, Sticky},
};
use hyper::{
    HeaderMap,
    header::{COOKIE, HeaderName, HeaderValue},
};

/// Longer values are no values of ours.
const LONGEST: usize = 256;

/// How often a value is drawn for a client at most; at the smallest share, 0.01 %, one of 10,000 fits.
const DRAWS: u32 = 200_000;

/// Told apart by these rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    sticky: Option<Mark>,
    /// Never passed on, whether or not its value is known.
    tester: Option<(HeaderName, Option<Digest>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Cookie(String),
    Header(HeaderName),
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// Dealt anew.
    Anyone,
    /// Dealt, and told where it belongs from then on.
    New,
    /// Belongs where this puts it.
    Client(u64),
    /// To the candidate.
    Tester,
}

/// What became of a client without a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dealt {
    /// Whether it is the candidate's.
    pub candidate: bool,
    /// The candidate's share then.
    pub weight: Weight,
    /// See [`salt`].
    pub salt: u64,
}

impl Rules {
    /// The rules of a configuration; without the digest of their value, nobody is a tester.
    pub fn new(routing: &Routing, tester: Option<Digest>) -> Self {
        let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        Self {
            sticky: match &routing.sticky {
                Some(Sticky::Cookie(name)) => Some(Mark::Cookie(name.clone())),
                Some(Sticky::Header(name)) => header(name).map(Mark::Header),
                None => None,
            },
            tester: routing.tester.as_ref().and_then(|t| Some((header(&t.header)?, tester))),
        }
    }

    /// Who asks with this head.
    pub fn who(&self, head: &HeaderMap) -> Who {
        if let Some((name, Some(expected))) = &self.tester
            && let Some(value) = head.get(name)
            && same(&Digest::of(value.as_bytes()), expected)
        {
            return Who::Tester;
        }
        match &self.sticky {
            None => Who::Anyone,
            Some(Mark::Header(name)) => head.get(name).and_then(|v| usable(v.as_bytes())).map_or(Who::Anyone, |v| Who::Client(hash(v))),
            Some(Mark::Cookie(name)) => cookie(head, name).map_or(Who::New, |value| Who::Client(hash(value))),
        }
    }

    /// Takes out what no instance may see.
    pub fn hide(&self, head: &mut HeaderMap) {
        if let Some((name, _)) = &self.tester {
            head.remove(name);
        }
    }

    /// The cookie for a client that was dealt; `None` where nothing is shared, so that nobody has to stay.
    pub fn cookie(&self, dealt: Dealt) -> Option<HeaderValue> {
        let Some(Mark::Cookie(name)) = &self.sticky else { return None };
        if dealt.weight == Weight::ZERO || dealt.weight == Weight::FULL {
            return None;
        }
        let fits = |value: &String| is_candidates(hash(value.as_bytes()), dealt.salt, dealt.weight) == dealt.candidate;
        let value = (0..DRAWS).map(|_| format!("{:016x}", rand::random::<u64>())).find(fits)?;
        HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax")).ok()
    }
}

/// Whether a client is the candidate's at this share.
pub fn is_candidates(client: u64, salt: u64, weight: Weight) -> bool {
    let place = (u128::from(mix(client ^ salt)) * 10_000) >> 64;
    place < u128::from(weight.bp())
}

/// What makes another candidate meet other clients first.
pub fn salt(version: &str) -> u64 {
    mix(hash(version.as_bytes()))
}

/// FNV-1a: the same on every machine and in every release, unlike the library's.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Spreads it evenly (the end of splitmix64).
const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// In the same time whatever differs.
fn same(a: &Digest, b: &Digest) -> bool {
    a.as_array().iter().zip(b.as_array()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn usable(value: &[u8]) -> Option<&[u8]> {
    (1..=LONGEST).contains(&value.len()).then_some(value)
}

/// The value of a cookie, without the quotes some libraries put around it.
fn cookie<'a>(head: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = head.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    pairs
        .filter_map(|pair| {
            let at = pair.iter().position(|b| *b == b'=')?;
            let (key, value) = pair.split_at_checked(at)?;
            let value = value.get(1..)?.trim_ascii();
            let bare = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
            (key.trim_ascii() == name.as_bytes()).then_some(bare)
        })
        .find_map(usable)
}

#[cfg(test)]
mod tests {
    use super::{Dealt, Rules, Who, is_candidates, salt};
    use crate::model::{
        digest::Digest,
        ratio::Weight,
        routing::{OnRevert, Routing, Sticky, Tester},
        spec::SecretSource,
    };
    use hyper::{HeaderMap, header::HeaderName};
    use proptest::prelude::*;

    fn weight(bp: u16) -> Weight {
        Weight::from_bp(bp).unwrap()
    }

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    fn rules(sticky: Option<Sticky>) -> Rules {
        let tester = Some(Tester { header: "X-Track".into(), secret: SecretSource::Env("T".into()) });
        Rules::new(&Routing { sticky, tester, on_revert: OnRevert::Finish }, Some(Digest::of(b"hunter2")))
    }

    proptest! {
        #[test]
        fn a_growing_share_moves_only_those_who_must_and_a_cookie_stays_where_it_was_dealt(
            low in 1u16..9_999, more in 1u16..9_999, candidate: bool, version in "[a-f0-9]{12}",
        ) {
            let (low, high) = (weight(low), weight(low.saturating_add(more).min(10_000)));
            let salt = salt(&version);
            let clients = 0..4_000_u64;
            let on = |w: Weight| clients.clone().filter(|c| is_candidates(super::hash(&c.to_be_bytes()), salt, w)).collect::<Vec<_>>();
            let (few, many) = (on(low), on(high));
            prop_assert!(few.iter().all(|c| many.contains(c)), "nobody moves back");
            let share = few.len() as f64 / 4_000.0;
            prop_assert!((share - low.percent() / 100.0).abs() < 0.05, "{share} at {low}");
            prop_assert!(on(Weight::ZERO).is_empty() && on(Weight::FULL).len() == 4_000);

            let rules = rules(Some(Sticky::Cookie("track".into())));
            let set = rules.cookie(Dealt { candidate, weight: low, salt }).unwrap();
            let set = set.to_str().unwrap();
            let (pair, attributes) = set.split_once("; ").unwrap();
            prop_assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
            let Who::Client(known) = rules.who(&head(&[("cookie", pair)])) else { panic!("{set}") };
            prop_assert_eq!(is_candidates(known, salt, low), candidate);
        }
    }

    #[test]
    fn another_candidate_meets_other_clients_first() {
        let clients: Vec<u64> = (0..10_000_u64).map(|c| super::hash(&c.to_be_bytes())).collect();
        let first = |version: &str| clients.iter().map(|c| is_candidates(*c, salt(version), weight(1_000))).collect::<Vec<_>>();
        let both = first("aaaaaaaaaaaa").into_iter().zip(first("bbbbbbbbbbbb")).filter(|(a, b)| *a && *b).count();
        assert!((50..200).contains(&both), "of 1,000 each, {both} in both");
    }

    #[test]
    fn a_client_is_known_by_its_cookie_or_header() {
        let cookies = rules(Some(Sticky::Cookie("track".into())));
        let known = cookies.who(&head(&[("cookie", "a=b; track=x1")]));
        assert!(matches!(known, Who::Client(_)));
        for same in ["track=x1", "track=\"x1\" ; b=c", "atrack=no; track = x1"] {
            assert_eq!(cookies.who(&head(&[("cookie", same)])), known, "{same}");
        }
        assert_eq!(cookies.who(&head(&[("cookie", "a=b"), ("cookie", "track=x1")])), known);
        let long = format!("track={}", "x".repeat(257));
        for none in ["", "track", "track=", "track=\"\"", "Track=x1", &long] {
            assert_eq!(cookies.who(&head(&[("cookie", none)])), Who::New, "{none}");
        }
        let headers = rules(Some(Sticky::Header("X-User".into())));
        assert!(matches!(headers.who(&head(&[("x-user", "ana")])), Who::Client(_)));
        assert_eq!(headers.who(&head(&[("cookie", "track=x1")])), Who::Anyone);
        let dealt = Dealt { candidate: true, weight: weight(500), salt: 1 };
        assert_eq!(headers.cookie(dealt), None);
        assert_eq!(cookies.cookie(Dealt { weight: Weight::FULL, ..dealt }), None);
    }

    #[test]
    fn a_tester_has_the_value_and_it_goes_no_further() {
        let rules = rules(None);
        assert_eq!(rules.who(&head(&[("x-track", "hunter2")])), Who::Tester);
        for other in ["hunter3", "hunter", "hunter22", "", "candidate"] {
            assert_eq!(rules.who(&head(&[("x-track", other)])), Who::Anyone, "{other}");
        }
        let mut headers = head(&[("x-track", "hunter2"), ("x-track", "again"), ("host", "shop")]);
        rules.hide(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(!format!("{rules:?}").contains("hunter2"));
        let off = Rules { tester: rules.tester.clone().map(|(name, _)| (name, None)), sticky: None };
        assert_eq!(off.who(&head(&[("x-track", "hunter2")])), Who::Anyone);
        let mut headers = head(&[("x-track", "hunter2")]);
        off.hide(&mut headers);
        assert!(headers.is_empty());
    }
}
