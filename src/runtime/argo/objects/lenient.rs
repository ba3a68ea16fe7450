//! Reading fields whatever stands in them: controllers and custom resources of other versions put null, a
//! number for a string or an object for a list where we expect something else. What cannot be understood
//! is as if it were absent; only text that is no JSON is an error.

use crate::model::time::Time;
use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

/// Text that is kept for long: no spare capacity.
pub type Str = Box<str>;

/// Longer texts from outside are cut: nobody reads more of a message, and there may be 10,000 of them.
const LONGEST: usize = 600;

/// The visits that mean "something else": answers what absence means.
macro_rules! otherwise {
    (scalars) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
    (text) => {
        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
    (nothing) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
    (list) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (object) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Option<Str>;
    otherwise!(nothing);
    otherwise!(list);
    otherwise!(object);

    fn visit_bool<E: Error>(self, is: bool) -> Result<Option<Str>, E> {
        Ok(Some(is.to_string().into()))
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<Option<Str>, E> {
        Ok(Some(n.to_string().into()))
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<Option<Str>, E> {
        Ok(Some(n.to_string().into()))
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<Option<Str>, E> {
        Ok(Some(n.to_string().into()))
    }
    fn visit_str<E: Error>(self, s: &str) -> Result<Option<Str>, E> {
        let mut end = s.len().min(LONGEST);
        while !s.is_char_boundary(end) {
            end -= 1;
        }
        Ok(Some(s.get(..end).unwrap_or_default().into()))
    }
}

/// Text; numbers and booleans as they are written.
pub fn text<'de, D: Deserializer<'de>>(d: D) -> Result<Str, D::Error> {
    d.deserialize_any(Words).map(Option::unwrap_or_default)
}

/// Text that may be absent, and where absent is not empty.
pub fn maybe_text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Str>, D::Error> {
    d.deserialize_any(Words)
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Option<i64>;
    otherwise!(nothing);
    otherwise!(list);
    otherwise!(object);

    fn visit_bool<E: Error>(self, _: bool) -> Result<Option<i64>, E> {
        Ok(None)
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<Option<i64>, E> {
        Ok(Some(n))
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<Option<i64>, E> {
        Ok(i64::try_from(n).ok())
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<Option<i64>, E> {
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number that fits")]
        Ok((n.fract() == 0.0 && n.abs() < 9e15).then_some(n as i64))
    }
    fn visit_str<E: Error>(self, s: &str) -> Result<Option<i64>, E> {
        Ok(s.parse().ok())
    }
}

/// A whole number, or the text of one (`intOrString`).
pub fn whole<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    d.deserialize_any(Whole)
}

/// A count that is left out when it is zero.
pub fn count<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    Ok(whole(d)?.and_then(|n| u32::try_from(n.max(0)).ok()).unwrap_or_default())
}

struct Flag;

impl<'de> Visitor<'de> for Flag {
    type Value = Option<bool>;
    otherwise!(nothing);
    otherwise!(list);
    otherwise!(object);
    otherwise!(text);

    fn visit_bool<E: Error>(self, is: bool) -> Result<Option<bool>, E> {
        Ok(Some(is))
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Option<bool>, E> {
        Ok(None)
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Option<bool>, E> {
        Ok(None)
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Option<bool>, E> {
        Ok(None)
    }
}

/// Whether; absent is no.
pub fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    d.deserialize_any(Flag).map(Option::unwrap_or_default)
}

/// Whether, where absent is something else than no.
pub fn maybe_flag<'de, D: Deserializer<'de>>(d: D) -> Result<Option<bool>, D::Error> {
    d.deserialize_any(Flag)
}

struct When;

impl<'de> Visitor<'de> for When {
    type Value = Option<Time>;
    otherwise!(nothing);
    otherwise!(scalars);
    otherwise!(list);
    otherwise!(object);

    fn visit_str<E: Error>(self, s: &str) -> Result<Option<Time>, E> {
        Ok(instant(s))
    }
}

/// An instant as the API writes it; whole seconds in most places.
pub fn when<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Time>, D::Error> {
    d.deserialize_any(When)
}

/// An instant as the API writes it.
#[must_use]
pub fn instant(rfc3339: &str) -> Option<Time> {
    DateTime::parse_from_rfc3339(rfc3339).ok().map(|t| t.with_timezone(&Utc))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;
    otherwise!(nothing);
    otherwise!(scalars);
    otherwise!(text);
    otherwise!(list);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

/// An object that may be absent. `{}` is there.
pub fn maybe<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    d.deserialize_any(Object(PhantomData))
}

/// An object; absent is all of its defaults.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    maybe(d).map(Option::unwrap_or_default)
}

struct Item<T>(Option<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        maybe(d).map(Self)
    }
}

struct List<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for List<T> {
    type Value = Vec<T>;
    otherwise!(nothing);
    otherwise!(scalars);
    otherwise!(text);
    otherwise!(object);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = seq.next_element()? {
            all.push(item);
        }
        all.shrink_to_fit();
        Ok(all)
    }
}

/// The objects of a list; what is none is left out.
pub fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(d: D) -> Result<Vec<T>, D::Error> {
    let all: Vec<Item<T>> = every(d)?;
    Ok(all.into_iter().filter_map(|item| item.0).collect())
}

/// Everything in a list, whatever it is; `T` must take anything.
pub fn every<'de, D: Deserializer<'de>, T: DeserializeOwned>(d: D) -> Result<Vec<T>, D::Error> {
    d.deserialize_any(List(PhantomData))
}

struct Name(Option<Str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        maybe_text(d).map(Self)
    }
}

/// Labels or annotations that mean something to us, by key. The others are not kept: there may be 10,000 pods.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Marks(Vec<(Str, Str)>);

impl Marks {
    /// The value of this one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
    }

    fn means_something(key: &str) -> bool {
        const OURS: [&str; 9] = [
            "argo",
            "rollouts-pod-template-hash",
            "rollout-type",
            "step-index",
            "scale-down-deadline",
            "toolkit.fluxcd.io/",
            "helm.sh/",
            "app.kubernetes.io/instance",
            "kubernetes.io/change-cause",
        ];
        OURS.iter().any(|part| key.contains(part))
    }
}

struct MarksVisitor;

impl<'de> Visitor<'de> for MarksVisitor {
    type Value = Marks;
    otherwise!(nothing);
    otherwise!(scalars);
    otherwise!(text);
    otherwise!(list);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Marks, A::Error> {
        let mut marks = Vec::new();
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if Marks::means_something(&key) {
                let key = Str::from(&*key);
                if let Name(Some(value)) = map.next_value()? {
                    marks.push((key, value));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        marks.shrink_to_fit();
        Ok(Marks(marks))
    }
}

/// Labels or annotations.
pub fn marks<'de, D: Deserializer<'de>>(d: D) -> Result<Marks, D::Error> {
    d.deserialize_any(MarksVisitor)
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<Str>;
    otherwise!(nothing);
    otherwise!(scalars);
    otherwise!(text);
    otherwise!(list);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Str>, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            keys.push(key.into());
        }
        Ok(keys)
    }
}

/// The names of an object's fields.
pub fn keys<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Str>, D::Error> {
    d.deserialize_any(Keys)
}
