//! Whether an expression counts: how many came, and not how many a second, a mean or a share. Those look like
//! counts, only smaller, and a gate over them would wait for evidence that it has had for long.

use super::selector::is_name;

/// Functions of a range that give how many came in it, here and in the dialects of this language. What changes
/// or was reset is counted too: starts of a process, say.
const COUNT: [&str; 9] =
    ["increase", "increase_pure", "increase_prometheus", "xincrease", "delta", "delta_prometheus", "xdelta", "changes", "resets"];

/// What makes something else of counts.
const SPOIL: [&str; 11] = [
    "avg",
    "count",
    "count_values",
    "group",
    "quantile",
    "stddev",
    "stdvar",
    "histogram_avg",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_sum",
];

/// A pair of parentheses: what is called with them, and which pair they stand in.
struct Call {
    name: String,
    /// Of `by` and `without`, what adds up.
    of: String,
    within: Option<usize>,
    /// Whether a range stands directly in it.
    ranged: bool,
}

/// Why an expression gives no counts, in a line; `None` where it may. What a recorded series holds nobody can
/// see in its name.
pub fn why_none(text: &str) -> Option<String> {
    let seen = scan(text);
    let within = |call: &Call| std::iter::successors(call.within, |at| seen.calls.get(*at)?.within).filter_map(|at| seen.calls.get(at));
    // Of functions of ranges in each other, the outermost says what it is.
    let outermost = seen.calls.iter().filter(|call| call.ranged && !within(call).any(|outer| outer.ranged));
    for call in outermost {
        let spoils = within(call).find(|outer| SPOIL.contains(&outer.name.as_str()));
        if let Some(wrong) = (!COUNT.contains(&call.name.as_str())).then_some(call).or(spoils) {
            return Some(format!("`{}` gives no counts, and counts are wanted: write increase(…[{{{{window}}}}])", wrong.name));
        }
    }
    let divides = "it divides counts, and counts are wanted: write each as a query of its own, as increase(…[{{window}}])";
    seen.is_ratio().then(|| divides.to_owned())
}

#[derive(Default)]
struct Seen {
    calls: Vec<Call>,
    /// Ranges and divisions in their order: in which parentheses, and whether it is a division.
    marks: Vec<(Option<usize>, bool)>,
}

impl Seen {
    /// Whether what is divided and what it is divided by both come from ranges.
    fn is_ratio(&self) -> bool {
        let inside = |place: Option<usize>, outer: Option<usize>| {
            place == outer || outer.is_none() || std::iter::successors(place, |at| self.calls.get(*at)?.within).any(|at| Some(at) == outer)
        };
        self.marks.iter().enumerate().filter(|(_, (_, divides))| *divides).any(|(n, (outer, _))| {
            let ranged = |marks: &[(Option<usize>, bool)]| marks.iter().any(|(place, divides)| !divides && inside(*place, *outer));
            self.marks.get(..n).is_some_and(ranged) && self.marks.get(n + 1..).is_some_and(ranged)
        })
    }
}

/// What is called with what: texts, comments, holes and what selectors compare are passed over.
fn scan(text: &str) -> Seen {
    let mut seen = Seen::default();
    let (mut open, mut word, mut before, mut over) = (None::<usize>, String::new(), String::new(), false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' | '\'' | '`' => quoted(rest, c),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '{' if rest.starts_with("{{") => rest.find("}}").map_or(rest.len(), |at| at + 2),
            _ => c.len_utf8(),
        };
        if is_name(c) {
            if std::mem::take(&mut over) {
                before = std::mem::take(&mut word);
            }
            word.push(c);
        } else if c.is_whitespace() || c == '#' {
            over = true;
        } else {
            let name = std::mem::take(&mut word);
            match c {
                '(' => {
                    let of = std::mem::take(&mut before);
                    seen.calls.push(Call { name: name.to_ascii_lowercase(), of, within: open, ranged: false });
                    open = Some(seen.calls.len() - 1);
                }
                ')' => {
                    let call = open.and_then(|at| seen.calls.get(at));
                    // What stands behind `sum by (a)` is what `sum` adds up.
                    if let Some(call) = call.filter(|call| ["by", "without"].contains(&call.name.as_str())) {
                        (word, over) = (call.of.clone(), true);
                    }
                    open = call.and_then(|call| call.within);
                }
                '[' => {
                    seen.marks.push((open, false));
                    seen.note_range(open);
                }
                '/' => seen.marks.push((open, true)),
                _ => {}
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    seen
}

impl Seen {
    /// A range belongs to the nearest function around it: parentheses alone are none.
    fn note_range(&mut self, open: Option<usize>) {
        let mut at = open;
        while let Some(call) = at.and_then(|at| self.calls.get_mut(at)) {
            if !call.name.is_empty() {
                call.ranged = true;
                return;
            }
            at = call.within;
        }
    }
}

/// How long the text is that begins here, with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_let_through() {
        for text in [
            "increase(x{v=\"a\"}[{{window}}])",
            "sum by (class) (increase(rate_total{a=\"rate(x[5m])\",v='it\\'s'}[{{window}}]))",
            "sum by (code) (increase(http_rate{v=\"a\"}[{{window}}]) * on (job,instance) group_left() avg by (job) (rate:info{v=\"b\"}))",
            "# rate(x[1m]) is what it was\nsum(increase(x{v=\"a\"}[{{window}}])) # / sum(rate(y[1m]))\n * 2",
            "label_replace(increase(x[{{window}}]), \"rate(\", \"$1\", \"a\", \"(.*)\")",
            "sum(delta (x_{{version}}[{{window}}])) + sum(changes(process_start_time_seconds[{{window}}]))",
            "sum(increase((x[{{window}}])))",
            "histogram_count(sum(increase(x[{{window}}])))",
            "sum(increase(x[{{window}}])) / 2",
            "increase(x[{{window}}] offset 1m)",
            "sum(increase(rate(x[1m])[{{window}}:15s]))",
        ] {
            assert_eq!(why_none(text), None, "{text}");
        }
    }

    #[test]
    fn what_gives_something_else_is_named() {
        for (text, name) in [
            ("rate(x[{{window}}])", "rate"),
            ("sum by (class) (RATE (x{v=\"a\"}[{{window}}]))", "rate"),
            ("sum(irate(x[{{window}}])) * 60", "irate"),
            ("deriv(x[{{window}}])", "deriv"),
            ("idelta(x[{{window}}])", "idelta"),
            ("sum(avg_over_time(x{increase=\"increase(\"}[{{window}}]))", "avg_over_time"),
            ("quantile_over_time(0.9, x[{{window}}])", "quantile_over_time"),
            ("max_over_time(increase(x[1m])[{{window}}:])", "max_over_time"),
            ("increase(x[{{window}}]) + rate(y[{{window}}])", "rate"),
            ("avg by (code) (increase(x[{{window}}]))", "avg"),
            ("avg(increase(x[{{window}}])) by (code)", "avg"),
            ("sum(stddev without(a, b)(increase(x[{{window}}])))", "stddev"),
            ("histogram_quantile(0.99, sum by (le) (increase(x[{{window}}])))", "histogram_quantile"),
            ("last_over_time(x[{{window}}])", "last_over_time"),
        ] {
            let want = format!("`{name}` gives no counts, and counts are wanted: write increase(…[{{{{window}}}}])");
            assert_eq!(why_none(text), Some(want), "{text}");
        }
        for text in
            ["sum(increase(x[{{window}}])) / sum(increase(y[{{window}}]))", "sum(increase(x[{{window}}]) / on (a) increase(y[{{window}}]))"]
        {
            assert!(why_none(text).is_some_and(|why| why.starts_with("it divides counts")), "{text}");
        }
    }

    #[test]
    fn nothing_makes_it_panic() {
        for text in ["", ")", "((", "rate(x[", "\"", "{{", "x{a=\"", "a'\\", "sum(]é[)", "#"] {
            let _ = why_none(text);
        }
    }
}
