//! A rule that somebody else judges by, read as counts that our judge can take: a share of requests becomes
//! how many failed and of how many there were, for stable too.
//!
//! ```text
//! sum(rate(req{code!~"5..",svc="web-canary"}[5m])) / sum(rate(req{svc="web-canary"}[5m]))   result[0] >= 0.95
//!   canary  errors req{code=~"5..",svc="web-canary"}   of req{svc="web-canary"}   limit 5 %
//!   stable  errors req{code=~"5..",svc="web-stable"}   of req{svc="web-stable"}
//! ```
//!
//! The ratio itself is never judged: without how many requests it is of, it says nothing of chance. What
//! cannot be read so is refused with why.

mod syntax;

use super::preset::{Queries, Written};
use crate::model::{
    ident::GateId,
    rollout::Asked,
    spec::{GateSignal, GateSpec, OnFail},
};
use std::collections::BTreeSet;
use syntax::{Expr, Matcher, Selector, parse};

/// A gate, and what it is counted from.
#[derive(Clone, PartialEq, Debug)]
pub struct Borrowed {
    /// It advises.
    pub gate: GateSpec,
    /// `requests` and `errors` of both versions.
    pub queries: Queries,
}

/// How the candidate is called in queries, and stable in the same place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// Hashes of pod templates: parts of names of pods and ReplicaSets.
    pub hashes: Option<[String; 2]>,
    /// Services: parts of host names.
    pub services: Option<[String; 2]>,
    /// Versions, as series and as people call them: whole values.
    pub versions: Vec<[String; 2]>,
}

/// A share of something, as an expression gives it.
struct Share {
    hits: Selector,
    of: Selector,
    /// It is 1 or 100, where it is everything.
    whole: f64,
    /// It is what the hits leave.
    rest: bool,
}

/// What one bound of a condition says.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Bound {
    /// The value must stay under this.
    Under(f64),
    /// Over this.
    Over(f64),
}

/// Reads a metric of this name.
///
/// # Errors
/// In one line, why it is no counts of one version.
pub fn read(name: &str, asked: &Asked, names: &Names) -> Result<Borrowed, String> {
    let query = asked.query.as_str();
    if let Some((_, hole)) = query.split_once("{{") {
        let hole = hole.split("}}").next().unwrap_or_default().trim();
        return Err(format!("`{}` in its query has no value here: it is a secret, perhaps", hole.escape_debug()));
    }
    let share = share(&parse(query)?)?;
    let bound = bound(asked)?;
    let (good, least) = match bound {
        Bound::Over(value) => (!share.rest, value / share.whole),
        Bound::Under(value) => (share.rest, 1.0 - value / share.whole),
    };
    // Over or under, it is so much of what is good that must be there.
    let limit = 1.0 - least;
    if !(0.0..1.0).contains(&limit) {
        return Err("its condition is no limit of a share".into());
    }
    let errors = if good { others(&share)? } else { share.hits };
    let [requests, errors] = [both(&share.of, names)?, both(&errors, names)?];
    Ok(Borrowed { gate: gate(name, limit), queries: Queries::of_counts(requests, errors)? })
}

fn gate(name: &str, limit: f64) -> GateSpec {
    // A hundredth of a percent, the least that a gate can be held to.
    let limit = ((limit * 1e6).round() / 1e4).max(0.01);
    GateSpec { limit: Some(limit), on_fail: OnFail::Advise, ..GateSpec::new(GateId::new(name), GateSignal::Errors) }
}

/// The share that an expression is.
fn share(expr: &Expr) -> Result<Share, String> {
    match expr {
        Expr::Binary("or", share_of, other) if is_number(other) => share(share_of),
        Expr::Call(name, inside) if name == "scalar" => share(inside.first().ok_or("`scalar` of nothing")?),
        Expr::Binary("/", hits, of) => {
            // `(all - bad) / all` is `1 - bad / all`.
            if let Expr::Binary("-", all, bad) = &**hits
                && all == of
            {
                return Ok(Share { hits: counter(bad)?, of: counter(of)?, whole: 1.0, rest: true });
            }
            Ok(Share { hits: counter(hits)?, of: counter(of)?, whole: 1.0, rest: false })
        }
        Expr::Binary("*", one, other) => match (&**one, &**other) {
            (Expr::Number(by), of) | (of, Expr::Number(by)) if (*by - 100.0).abs() < 1e-9 => {
                let share = share(of)?;
                Ok(Share { whole: share.whole * by, ..share })
            }
            _ => Err("it is a product, and no share of requests".into()),
        },
        Expr::Binary("-", whole, of) => match &**whole {
            Expr::Number(whole) => {
                let share = share(of)?;
                let fits = (share.whole - whole).abs() < 1e-9;
                if fits { Ok(Share { rest: !share.rest, ..share }) } else { Err("it is a difference, and no share of requests".into()) }
            }
            _ => Err("it is a difference, and no share of requests".into()),
        },
        Expr::Call(name, _) if name == "histogram_quantile" => {
            Err("a quantile is no count; gates over p99 and slow requests look at latencies".into())
        }
        other => Err(match counter(other) {
            Ok(_) => "it is a rate: without how many requests it is of, nothing can be said of chance".into(),
            Err(why) => why,
        }),
    }
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) => true,
        Expr::Call(name, inside) => name == "vector" && matches!(inside.as_slice(), [Expr::Number(_)]),
        _ => false,
    }
}

/// The counter behind `sum(rate(…[5m]))`.
fn counter(expr: &Expr) -> Result<Selector, String> {
    match expr {
        Expr::Binary("or", counted, other) if is_number(other) => counter(counted),
        Expr::Call(name, inside) => match (name.as_str(), inside.as_slice()) {
            ("scalar", [one]) => counter(one),
            ("sum", [Expr::Call(rate, of)]) if matches!(rate.as_str(), "rate" | "irate" | "increase") => match of.as_slice() {
                [Expr::Range(selector)] => Ok(selector.clone()),
                _ => Err(format!("`{rate}` of something else than a counter")),
            },
            ("sum", [Expr::Selector(_)]) => Err("it adds up values of now: counts need `rate` or `increase`".into()),
            ("rate" | "irate" | "increase", _) => Err(format!("without `sum`, `{name}` may be several series")),
            _ => Err(format!("`{name}` is no count of requests")),
        },
        Expr::Number(_) => Err("it is a number, and no count of requests".into()),
        Expr::Selector(_) | Expr::Range(_) => Err("it is a value of now: counts need `sum` and `rate`".into()),
        Expr::Binary(operator, ..) => Err(format!("its parts are put together with `{operator}`: only one count of another is a share")),
    }
}

/// The requests that a share of good ones leaves: the same series, with the other values of one label.
fn others(share: &Share) -> Result<Selector, String> {
    let of: BTreeSet<&Matcher> = share.of.matchers.iter().collect();
    let more: Vec<&Matcher> = share.hits.matchers.iter().filter(|m| !of.contains(m)).collect();
    let same = share.hits.metric == share.of.metric && share.hits.matchers.len() == share.of.matchers.len() + more.len();
    match more.as_slice() {
        [one] if same => {
            let how = match one.how {
                "=" => "!=",
                "!=" => "=",
                "=~" => "!~",
                _ => "=~",
            };
            let turned = |m: &Matcher| if m == *one { Matcher { how, ..m.clone() } } else { m.clone() };
            Ok(Selector { matchers: share.hits.matchers.iter().map(turned).collect(), ..share.hits.clone() })
        }
        _ => Err("which requests failed cannot be told from it: the good ones must be all of them but for one label".into()),
    }
}

/// The same of both versions.
fn both(canary: &Selector, names: &Names) -> Result<Written, String> {
    let pairs = [(&names.hashes, Part::Hash), (&names.services, Part::Name)].map(|(pair, part)| (pair.as_ref(), part));
    let versions = names.versions.iter().map(|pair| (Some(pair), Part::Whole));
    let pairs = pairs.into_iter().chain(versions).filter_map(|(pair, part)| Some((pair?, part)));
    let pairs: Vec<(&[String; 2], Part)> = pairs.filter(|([new, old], _)| new != old).collect();
    let mut stable = canary.clone();
    for matcher in &mut stable.matchers {
        let other = pairs.iter().find_map(|([new, old], part)| swapped(&matcher.value, new, old, *part));
        if other.is_some() && matcher.how.starts_with('!') {
            return Err(format!("`{}{}` looks at every version but the new one", matcher.label, matcher.how));
        }
        if let Some(other) = other {
            matcher.value = other;
        }
    }
    if stable == *canary {
        let is_old = |m: &Matcher| pairs.iter().any(|([new, old], part)| swapped(&m.value, old, new, *part).is_some());
        return Err(if canary.matchers.iter().any(is_old) {
            "it looks at stable alone, which ours compares anyway".into()
        } else {
            "it measures all versions together: its series must name the pod hash or the canary's service".into()
        });
    }
    Ok(Written::Pair { stable: stable.to_string(), canary: canary.to_string() })
}

/// Where a name may stand in a value.
#[derive(Clone, Copy)]
enum Part {
    Hash,
    Name,
    Whole,
}

/// The value with another name in the place of this one; `None` where it is not there.
fn swapped(value: &str, from: &str, to: &str, part: Part) -> Option<String> {
    let goes_on = |c: Option<char>| match part {
        Part::Hash => c.is_some_and(char::is_alphanumeric),
        Part::Name => c.is_some_and(|c| c.is_alphanumeric() || "-_".contains(c)),
        Part::Whole => c.is_some(),
    };
    let (mut text, mut rest, mut last) = (String::new(), value, None);
    let mut found = false;
    while let Some(at) = rest.find(from).filter(|_| !from.is_empty()) {
        let (before, after) = (rest.get(..at)?, rest.get(at + from.len()..)?);
        let alone = !goes_on(before.chars().next_back().or(last)) && !goes_on(after.chars().next());
        found |= alone;
        text.push_str(before);
        text.push_str(if alone { to } else { from });
        last = from.chars().next_back();
        rest = after;
    }
    text.push_str(rest);
    found.then_some(text)
}

/// The one bound of its conditions.
fn bound(asked: &Asked) -> Result<Bound, String> {
    let (success, failure) = (asked.success.as_str(), asked.failure.as_str());
    if !success.trim().is_empty() {
        return only(success);
    }
    if failure.trim().is_empty() {
        return Err("it has no condition".into());
    }
    Ok(match only(failure)? {
        Bound::Under(value) => Bound::Over(value),
        Bound::Over(value) => Bound::Under(value),
    })
}

/// The one bound in a condition. What is said of no data beside it decides nothing here: without data our
/// gate is blind.
fn only(condition: &str) -> Result<Bound, String> {
    let none = || format!("its condition `{}` is no single bound", condition.escape_debug());
    let mut found = None;
    for part in condition.split("&&").flat_map(|part| part.split("||")).map(str::trim) {
        if part.contains("isNaN") || part.contains("isInf") || part.contains("len(") || part.contains("isNil") {
            continue;
        }
        let one = comparison(part.trim_matches(['(', ')'])).ok_or_else(none)?;
        if found.replace(one).is_some() {
            return Err(none());
        }
    }
    found.ok_or_else(none)
}

/// `result[0] >= 0.95`, also the other way round.
fn comparison(text: &str) -> Option<Bound> {
    let at = text.find(['<', '>'])?;
    let (left, right) = text.split_at(at);
    let over = right.starts_with('>');
    let right = right.trim_start_matches(['<', '>', '=']);
    let is_result = |side: &str| matches!(side.replace(' ', "").as_str(), "result" | "result[0]" | "asFloat(result" | "asFloat(result[0]");
    let number = |side: &str| side.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    let (over, value) = match (is_result(left.trim().trim_end_matches(')')), is_result(right.trim().trim_end_matches(')'))) {
        (true, false) => (over, number(right)?),
        (false, true) => (!over, number(left)?),
        _ => return None,
    };
    Some(if over { Bound::Over(value) } else { Bound::Under(value) })
}

#[cfg(test)]
mod tests;
