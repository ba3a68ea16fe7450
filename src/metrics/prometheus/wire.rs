//! What a Prometheus-like server writes, as Rust types: <https://prometheus.io/docs/prometheus/latest/querying/api/>.
//! Numbers stand there as text, because JSON has neither `NaN` nor `Inf`.

use crate::metrics::{Labels, Native};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt};

/// Around every answer, good or bad.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<'a> {
    /// `success` or `error`.
    pub status: String,
    /// Of a success.
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
    /// Of an error: its kind.
    pub error_type: Option<String>,
    /// Of an error: what it says.
    pub error: Option<String>,
    /// What it warns of.
    #[serde(default)]
    pub warnings: Option<Vec<String>>,
    /// What it remarks of a query: that it is not of a counter, say.
    #[serde(default)]
    pub infos: Option<Vec<String>>,
}

/// The data of a query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Data<'a> {
    /// What the result is.
    pub result_type: String,
    /// In the form that its type says.
    #[serde(borrow)]
    pub result: &'a RawValue,
}

/// A series of a vector or of a matrix.
#[derive(Deserialize)]
pub struct Element {
    /// Its labels.
    pub metric: Named,
    /// In a vector: a number, or
    pub value: Option<Number>,
    /// a native histogram.
    pub histogram: Option<(f64, Histogram)>,
    /// In a matrix: numbers,
    #[serde(default)]
    pub values: Vec<Number>,
    /// and native histograms.
    #[serde(default)]
    pub histograms: Vec<(f64, Histogram)>,
}

/// Seconds since 1970, and a number as text.
pub type Number = (f64, Float);

/// The data of `alerts`.
#[derive(Deserialize)]
pub struct Alerts {
    /// All of them.
    pub alerts: Vec<Alert>,
}

/// An alert that is pending or fires.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// With its name.
    pub labels: Named,
    /// For people.
    #[serde(default)]
    pub annotations: Named,
    /// `pending`, `firing`.
    pub state: String,
    /// Since when its condition holds.
    pub active_at: chrono::DateTime<chrono::Utc>,
}

/// Names and values.
#[derive(Default)]
pub struct Named(pub Labels);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        BTreeMap::<String, String>::deserialize(d).map(|labels| Self(Labels::new(labels)))
    }
}

/// A number, as text or as it is.
#[derive(Clone, Copy)]
pub struct Float(pub f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Float;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number as text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Float, E> {
                text.parse().map(Float).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Float, E> {
                Ok(Float(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Float, E> {
                #[expect(clippy::cast_precision_loss, reason = "as every number of this server")]
                Ok(Float(number as f64))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Float, E> {
                #[expect(clippy::cast_precision_loss, reason = "as every number of this server")]
                Ok(Float(number as f64))
            }
        }

        d.deserialize_any(Visitor)
    }
}

/// A native histogram.
#[derive(Deserialize)]
pub struct Histogram {
    count: Float,
    sum: Float,
    /// Which edges belong to it (0 to 3), lower edge, upper edge, count.
    #[serde(default)]
    buckets: Vec<(u8, Float, Float, Float)>,
}

impl Histogram {
    /// `None` when an edge is no number.
    pub fn native(self) -> Option<Native> {
        let mut buckets: Vec<(f64, f64, f64)> = self.buckets.into_iter().map(|(_, low, high, count)| (low.0, high.0, count.0)).collect();
        if buckets.iter().any(|(low, high, count)| low.is_nan() || high.is_nan() || count.is_nan()) {
            return None;
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some(Native { count: self.count.0, sum: self.sum.0, buckets })
    }
}
