//! From TOML to [`Config`], with the place of everything that is wrong.

use super::{Config, ConfigError, Doubt, Finding, Origin, Origins, Switch, VERSION, check};
use crate::model::text::Text;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned},
};
use std::{collections::BTreeMap, fmt, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

/// Reads a configuration; `name` is what errors call it.
///
/// # Errors
/// Everything that is wrong with its values, or the first thing that is wrong with its form.
pub fn parse(text: &str, name: &str) -> Result<Config, ConfigError> {
    read(text, name, configuration)
}

/// [`parse`], with the line of every value and with what is probably not meant.
pub fn parse_with_origins(text: &str, name: &str) -> Result<(Config, Origins, Vec<Doubt>), ConfigError> {
    read(text, name, |table, places| {
        let config = configuration(table, places)?;
        let doubts = check::doubts(&config, places);
        Ok((config, places.origins(), doubts))
    })
}

/// Reads a configuration that has one table more, `other`, which is none of ours; what is said of it has
/// its place like everything else. `check` tells what is wrong with either beside the other.
///
/// # Errors
/// As [`parse`]; without such a table too.
pub fn parse_beside<T: DeserializeOwned>(
    text: &str,
    name: &str,
    other: &str,
    check: impl FnOnce(&Config, &T, &Places<'_>) -> Vec<Finding>,
) -> Result<(Config, T), ConfigError> {
    read(text, name, |mut table, places| {
        let Some(beside) = table.get_mut().remove(other) else {
            return Err(places.invalid(None, &format!("[{other}] is missing: add it, or use the file as a configuration with -c")));
        };
        let beside = T::deserialize(ValueDeserializer::from(beside)).map_err(|e| places.wrong(&e))?;
        let config = configuration(table, places)?;
        let findings = check(&config, &beside, places);
        if findings.is_empty() { Ok((config, beside)) } else { Err(ConfigError::Invalid(findings)) }
    })
}

fn read<T>(
    text: &str,
    name: &str,
    then: impl FnOnce(Spanned<DeTable<'_>>, &Places<'_>) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let mut places = Places::new(text, name);
    let table = DeTable::parse(text).map_err(|e| places.invalid(e.span(), &one_line(e.message())))?;
    if let Some(found) = table.get_ref().get("version")
        && let DeValue::Integer(number) = found.get_ref()
        && number.as_str().replace('_', "").parse::<u64>().is_ok_and(|n| n > u64::from(VERSION))
    {
        let what = format!("this is a configuration of version {}, this cutover knows {VERSION}: upgrade cutover", number.as_str());
        return Err(places.invalid(Some(found.span()), &what));
    }
    places.collect(String::new(), table.get_ref());
    then(table, &places)
}

fn configuration(table: Spanned<DeTable<'_>>, places: &Places<'_>) -> Result<Config, ConfigError> {
    let config = Config::deserialize(toml::Deserializer::from(table)).map_err(|e| places.wrong(&e))?;
    let findings = check::check(&config, places);
    if findings.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(findings)) }
}

/// Where every key and value stands in a text.
pub struct Places<'a> {
    text: &'a str,
    name: &'a str,
    at: BTreeMap<String, Place>,
}

struct Place {
    key: usize,
    value: Range<usize>,
    /// Whether it is a value and no table.
    plain: bool,
}

impl<'a> Places<'a> {
    const fn new(text: &'a str, name: &'a str) -> Self {
        Self { text, name, at: BTreeMap::new() }
    }

    fn collect(&mut self, path: String, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            self.value(path, key.span().start, value);
        }
    }

    fn value(&mut self, path: String, key: usize, value: &Spanned<DeValue<'_>>) {
        self.at.insert(path.clone(), Place { key, value: value.span(), plain: !matches!(value.get_ref(), DeValue::Table(_)) });
        match value.get_ref() {
            DeValue::Table(table) => self.collect(path, table),
            DeValue::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.value(format!("{path}.{i}"), item.span().start, item);
                }
            }
            _ => {}
        }
    }

    fn origins(&self) -> Origins {
        Origins(self.at.iter().map(|(path, place)| (path.clone(), Origin::File { line: self.line_column(place.key).0 })).collect())
    }

    /// A finding about the value at `path`, or about the nearest thing around it that is there.
    pub fn finding(&self, path: &str, what: &str) -> Finding {
        let mut path = path;
        let place = loop {
            if let Some(place) = self.at.get(path) {
                break place.value.start;
            }
            match path.rsplit_once('.') {
                Some((around, _)) => path = around,
                None => break 0,
            }
        };
        self.at_offset(place, what)
    }

    /// The keys of the table at `path`, in the order of the file.
    pub fn keys(&self, path: &str) -> impl Iterator<Item = &str> {
        let inside = |at: &'_ String| at.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let below = self.at.iter().filter(|(at, _)| inside(at));
        let mut keys: Vec<(usize, &str)> = below.filter_map(|(at, place)| Some((place.key, at.get(path.len() + 1..)?))).collect();
        keys.retain(|(_, key)| !key.contains('.'));
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key)
    }

    /// Whether anything stands at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.at.contains_key(path)
    }

    /// A finding about a key that lacks in the table at `path`: where the table's heading is.
    pub fn missing(&self, path: &str, what: &str) -> Finding {
        self.at_offset(self.at.get(path).map_or(0, |place| place.key), what)
    }

    /// The line of the value at `path`, for a finding about another one.
    pub fn line(&self, path: &str) -> usize {
        self.at.get(path).map_or(1, |place| self.line_column(place.value.start).0)
    }

    fn at_offset(&self, offset: usize, what: &str) -> Finding {
        let (line, column) = self.line_column(offset);
        Finding { file: Text::clean(self.name), line, column, what: Text::clean(what) }
    }

    fn wrong(&self, error: &toml::de::Error) -> ConfigError {
        self.invalid(error.span(), &self.explain(error.span(), error.message()))
    }

    fn invalid(&self, span: Option<Range<usize>>, what: &str) -> ConfigError {
        ConfigError::Invalid(vec![self.at_offset(span.map_or(0, |s| s.start), what)])
    }

    fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        // Continuation bytes of UTF-8 are no characters.
        let columns = before.iter().skip(line_start).filter(|b| **b & 0xc0 != 0x80).count();
        (before.iter().filter(|b| **b == b'\n').count() + 1, columns + 1)
    }

    /// The innermost path whose value contains a place.
    fn path_at(&self, span: Option<Range<usize>>) -> Option<(&str, &Place)> {
        let span = span?;
        let around = self.at.iter().filter(|(_, place)| place.value.start <= span.start && span.end <= place.value.end);
        around.max_by_key(|(path, _)| path.len()).map(|(path, place)| (path.as_str(), place))
    }

    /// What serde says, in words for a person. It quotes the value, and one that stands where a secret's place
    /// belongs is most likely the secret.
    fn explain(&self, span: Option<Range<usize>>, message: &str) -> String {
        let at = self.path_at(span);
        if let Some(write) = at.filter(|(_, place)| place.plain).and_then(|(path, _)| instead_of_secret(path)) {
            return format!("its value is a secret: write {write}");
        }
        let path = at.map_or("", |(path, _)| path);
        let key = path.rsplit('.').find(|part| part.parse::<usize>().is_err()).unwrap_or_default();
        if let Some(rest) = message.strip_prefix("unknown field ") {
            return suggest("key", rest);
        }
        if let Some(rest) = message.strip_prefix("unknown variant ") {
            // What only other runtimes have is nothing to suggest.
            let own = rest.replace(", `native`", "");
            return if key == "steps" { suggest("step", &own) } else { suggest("value", rest) };
        }
        if let Some(field) = message.strip_prefix("missing field ") {
            let field = field.trim_matches('`');
            return match advice(field) {
                Some(advice) => format!("`{field}` is missing: {advice}"),
                None => format!("`{field}` is missing"),
            };
        }
        if message.starts_with("invalid type: map, expected a sequence") {
            return format!("`{key}` is a list: write [[{key}]] with two brackets");
        }
        if message.contains("socket address") {
            return format!("`{key}` must be an address and a port, such as \"127.0.0.1:8080\"");
        }
        if message.contains("IP address") {
            return format!("`{key}` must be addresses, such as \"10.0.0.1\"");
        }
        if key == "steps" && message.contains("exactly 1 element") {
            return "a step has one key: write several, such as { weight = 5 }, { pause = \"2m\" }".to_owned();
        }
        if let Some(rest) = message.strip_prefix("invalid type: ")
            && let Some((is, expected)) = rest.rsplit_once(", expected ")
            && let Some(write) = wanted(is, expected.trim()).filter(|_| !key.is_empty())
        {
            let told = [("integer ", "the number "), ("floating point ", "the number "), ("string ", "the text ")];
            let is =
                told.iter().find_map(|(type_, word)| Some(format!("{word}{}", is.strip_prefix(type_)?))).unwrap_or_else(|| is.to_owned());
            return format!("`{key}` is {}: {write}", one_line(&is));
        }
        // A step's own messages begin with what it is.
        if key.is_empty() || key == "steps" || message.contains(&format!("`{key}`")) {
            one_line(message)
        } else {
            format!("`{key}`: {}", one_line(message))
        }
    }
}

/// What to write at `path` instead of a value that is one or has one in it; `None` where no secret belongs.
fn instead_of_secret(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        [.., "metrics", "auth"] => Some("{ bearer = { file = \"…\" } }, or { env = \"…\" } in it"),
        [.., "auth", "basic"] => Some("{ user = \"…\", password = { file = \"…\" } }, or { env = \"…\" } in it"),
        [.., "auth", "bearer"] | [.., "basic", "password"] | [.., "secrets", _] | [.., "secret"] => {
            Some("{ file = \"…\" } or { env = \"…\" }")
        }
        _ => None,
    }
}

/// What to write instead of a value of another type, where serde has only the name of the type in the program.
fn wanted(is: &str, expected: &str) -> Option<&'static str> {
    Some(match expected {
        "f64" | "f32" => "write a number without quotes and unit, such as 5",
        "u8" | "u16" | "u32" | "u64" | "usize" => "write a whole number without quotes and unit, such as 5",
        "a boolean" => "write true or false, without quotes",
        "a sequence" => "write a list, such as [\"a\", \"b\"]",
        "a string" | "a duration" if is.starts_with("integer") || is.starts_with("floating") => {
            "write it in quotes; a time has a unit, such as \"30s\" or \"10m\""
        }
        "a string" => "write it in quotes",
        _ => return None,
    })
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

/// What to write for a key that is missing.
fn advice(field: &str) -> Option<&'static str> {
    Some(match field {
        "readiness" => "add readiness = { path = \"/healthz\" }, so that an instance gets traffic only once it answers",
        "steps" => "add for example steps = [{ weight = 5 }, { gate = \"all\" }, { pause = \"10m\" }, { weight = 50 }]",
        "command" => "add for example command = [\"./serve\", \"--port\", \"{port}\"]",
        "listen" => "add for example listen = \"127.0.0.1:8080\"",
        "name" => "give it a name of lower-case letters, digits, `-`, `_` and `.`",
        "signal" => "add signal = \"errors\", \"slow\", \"timeouts\", \"restarts\", or a quantile of the latency such as \"p99\"",
        "path" => "add for example path = \"/healthz\"",
        _ => return None,
    })
}

/// From serde's "`x`, expected one of `a`, `b`": the nearest name, or all of them.
fn suggest(what: &str, rest: &str) -> String {
    // The unknown name is the person's and may hold anything, so the list is looked for from the end.
    let (unknown, list) = rest.rsplit_once(", expected ").unwrap_or((rest, ""));
    let known: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    nearest(what, unknown.trim_matches('`'), &known)
}

/// An unknown name, with the nearest of those that are known, or all of them.
pub fn nearest(what: &str, unknown: &str, known: &[&str]) -> String {
    let near = |name: &&&str| strsim::damerau_levenshtein(unknown, name);
    let best = known.iter().min_by_key(near).filter(|name| near(name) <= unknown.len().max(3) / 3);
    let shown: String = unknown.chars().take(60).collect();
    match (best, known) {
        (Some(best), _) => format!("unknown {what} `{shown}`: did you mean `{best}`?"),
        (None, []) => format!("unknown {what} `{shown}`"),
        (None, [only]) => format!("unknown {what} `{shown}`: expected {only}"),
        (None, known) => format!("unknown {what} `{shown}`: expected one of {}", known.join(", ")),
    }
}

/// Names: one, or a list.
pub fn one_or_more<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write a name or a list of names")]
    enum Names {
        One(String),
        More(Vec<String>),
    }
    Ok(match Names::deserialize(d)? {
        Names::One(name) => vec![name],
        Names::More(names) => names,
    })
}

/// Keys of a command: one, or a list.
pub fn keys<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    struct Keys(Vec<String>);

    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            d.deserialize_any(OneOrMore)
        }
    }

    struct OneOrMore;

    impl<'de> de::Visitor<'de> for OneOrMore {
        type Value = Keys;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a key such as \"ctrl-l\" or a list of keys")
        }

        fn visit_str<E: de::Error>(self, key: &str) -> Result<Keys, E> {
            Ok(Keys(vec![key.to_owned()]))
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Keys, A::Error> {
            let mut keys = Vec::new();
            while let Some(key) = seq.next_element()? {
                keys.push(key);
            }
            Ok(Keys(keys))
        }
    }

    Ok(BTreeMap::<String, Keys>::deserialize(d)?.into_iter().map(|(command, keys)| (command, keys.0)).collect())
}

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => s.serialize_str("auto"),
            Self::On => s.serialize_bool(true),
            Self::Off => s.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Switch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"auto\"")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Switch, E> {
                Ok(if on { Switch::On } else { Switch::Off })
            }

            fn visit_str<E: de::Error>(self, s: &str) -> Result<Switch, E> {
                if s == "auto" { Ok(Switch::Auto) } else { Err(E::invalid_value(de::Unexpected::Str(s), &self)) }
            }
        }

        d.deserialize_any(Visitor)
    }
}
