//! Instants and durations, and how they are written.

use std::time::Duration;

/// An instant: UTC, as the machine that observed it says.
pub type Time = chrono::DateTime<chrono::Utc>;

/// How long ago `then` was; zero when the clock says it is still to come.
#[must_use]
pub fn elapsed(now: Time, then: Time) -> Duration {
    (now - then).to_std().unwrap_or_default()
}

/// How long until `then`; zero when it has passed.
#[must_use]
pub fn until(now: Time, then: Time) -> Duration {
    elapsed(then, now)
}

/// `then` moved forward; stays where it is if the sum does not fit a calendar.
#[must_use]
pub fn after(then: Time, span: Duration) -> Time {
    chrono::Duration::from_std(span).ok().and_then(|d| then.checked_add_signed(d)).unwrap_or(then)
}

/// A span in one unit, rounded down: `8 s`, `3 min`, `2 h`.
#[must_use]
pub fn span(d: Duration) -> String {
    match d.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// A span in its two largest units, rounded down: `52 s`, `12 m 5 s`, `3 h 10 m`, `2 d 4 h`.
#[must_use]
pub fn spell(d: Duration) -> String {
    let secs = d.as_secs();
    let two = |large: u64, unit: &str, small: u64, name: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {name}") }
    };
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => two(secs / 60, "m", secs % 60, "s"),
        3_600..86_400 => two(secs / 3_600, "h", secs % 3_600 / 60, "m"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
    }
}

/// A [`Duration`] as whole milliseconds on the wire.
pub mod millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    /// Writes whole milliseconds, saturating.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        u64::try_from(d.as_millis()).unwrap_or(u64::MAX).serialize(s)
    }

    /// Reads whole milliseconds.
    ///
    /// # Errors
    /// When it is not a whole number.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }

    /// The same for a duration that may be absent.
    pub mod option {
        use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

        /// Writes whole milliseconds or null.
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
            d.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)).serialize(s)
        }

        /// Reads whole milliseconds or null.
        ///
        /// # Errors
        /// When it is neither.
        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(d)?.map(Duration::from_millis))
        }
    }
}

/// A [`Duration`] as milliseconds with a fraction, exact to the microsecond. Whole milliseconds read too.
pub mod exact_millis {
    /// For a duration that may be absent.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use std::time::Duration;

        /// Writes milliseconds or null.
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
            #[expect(clippy::cast_precision_loss, reason = "below 2^53 microseconds nothing is lost")]
            d.map(|d| d.as_micros() as f64 / 1_000.0).serialize(s)
        }

        /// Reads milliseconds or null.
        ///
        /// # Errors
        /// When it is neither.
        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
            let read = Option::<f64>::deserialize(d)?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            Ok(read.map(|ms| Duration::from_micros((ms * 1_000.0).round() as u64)))
        }
    }
}

/// A [`Duration`] as people write it in configuration: `"30s"`, `"10m"`, `"1h 30m"`.
pub mod human {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::time::Duration;

    /// Writes the shortest exact text, such as `1m 30s`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        humantime::format_duration(*d).to_string().serialize(s)
    }

    /// Reads a duration with its unit.
    ///
    /// # Errors
    /// When the text is no duration; the message shows the right form.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(d)?;
        humantime::parse_duration(&text)
            .map_err(|e| D::Error::custom(format!("`{}` is not a duration such as \"30s\" or \"10m\": {e}", text.escape_debug())))
    }

    /// The same for a duration that may be absent.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use std::time::Duration;

        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        struct Human(#[serde(with = "super")] Duration);

        /// Writes the shortest exact text, or null.
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
            d.map(Human).serialize(s)
        }

        /// Reads a duration with its unit, or null.
        ///
        /// # Errors
        /// When the text is no duration.
        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<Human>::deserialize(d)?.map(|Human(d)| d))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, spell};

    #[test]
    fn two_units_tell_a_span_well_enough() {
        for (secs, said) in
            [(0, "0 s"), (52, "52 s"), (120, "2 m"), (725, "12 m 5 s"), (11_400, "3 h 10 m"), (86_400, "1 d"), (190_000, "2 d 4 h")]
        {
            assert_eq!(spell(Duration::from_secs(secs)), said);
        }
    }
}
