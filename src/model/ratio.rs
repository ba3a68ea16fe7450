//! Exact shares of traffic.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// A declared or programmed share of traffic in hundredths of a percent: 0 to 10,000, exact.
/// Written as a percentage with at most two decimals, in configuration and on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Weight(u16);

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const FULL: Self = Self(10_000);

    /// From hundredths of a percent; `None` above 10,000.
    #[must_use]
    pub const fn from_bp(bp: u16) -> Option<Self> {
        if bp <= 10_000 { Some(Self(bp)) } else { None }
    }

    /// From a percentage: `None` unless it is 0 to 100 with at most two decimals.
    #[must_use]
    pub fn from_percent(percent: f64) -> Option<Self> {
        let bp = (percent * 100.0).round();
        let exact = (percent * 100.0 - bp).abs() < 1e-6;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be 0 to 10,000")]
        ((0.0..=10_000.0).contains(&bp) && exact).then_some(Self(bp as u16))
    }

    /// Hundredths of a percent.
    #[must_use]
    pub const fn bp(self) -> u16 {
        self.0
    }

    /// The percentage.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// What is left of all traffic.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(10_000 - self.0)
    }
}

impl fmt::Display for Weight {
    /// Without needless decimals: `5 %`, `33.33 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(f, "{whole} %"),
            p if p % 10 == 0 => write!(f, "{whole}.{} %", p / 10),
            p => write!(f, "{whole}.{p:02} %"),
        }
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.percent())
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(d)?;
        Self::from_percent(percent)
            .ok_or_else(|| D::Error::custom(format!("weight {percent} is not a percentage from 0 to 100 with at most two decimals")))
    }
}

/// A share as a runtime expresses it, exact whatever its unit: 0.01 %, thousandths, millionths, replicas.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ratio {
    /// How many of `whole`.
    pub parts: u64,
    /// The whole; zero means that there is nothing to share.
    pub whole: u64,
}

impl Ratio {
    /// The percentage, or `None` of nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
    pub fn percent(self) -> Option<f64> {
        (self.whole > 0).then(|| self.parts as f64 * 100.0 / self.whole as f64)
    }
}

impl From<Weight> for Ratio {
    fn from(w: Weight) -> Self {
        Self { parts: u64::from(w.bp()), whole: 10_000 }
    }
}

impl PartialEq for Ratio {
    fn eq(&self, other: &Self) -> bool {
        u128::from(self.parts) * u128::from(other.whole) == u128::from(other.parts) * u128::from(self.whole)
            && (self.whole == 0) == (other.whole == 0)
    }
}

impl Eq for Ratio {}

#[cfg(test)]
mod tests {
    use super::{Ratio, Weight};

    #[test]
    fn weights_are_exact_hundredths() {
        assert_eq!(Weight::from_percent(33.33).map(Weight::bp), Some(3333));
        assert_eq!(Weight::from_percent(0.01).map(Weight::bp), Some(1));
        assert_eq!(Weight::from_percent(33.333), None);
        assert_eq!(Weight::from_percent(100.01), None);
        assert_eq!(Weight::from_percent(-1.0), None);
        assert_eq!(Weight::from_percent(f64::NAN), None);
        for bp in 0..=10_000 {
            let weight = Weight::from_bp(bp);
            assert_eq!(Weight::from_percent(f64::from(bp) / 100.0), weight);
        }
    }

    #[test]
    fn shares_of_different_units_compare() {
        assert_eq!(Ratio { parts: 1, whole: 4 }, Ratio { parts: 2500, whole: 10_000 });
        assert_ne!(Ratio { parts: 0, whole: 4 }, Ratio { parts: 0, whole: 0 });
        assert_eq!(Ratio { parts: 0, whole: 0 }.percent(), None);
    }
}
