//! Which requests are the candidate's share. Deterministic and exact: of any 10,000 consecutive
//! requests at one weight the candidate gets that weight in hundredths of a percent, give or take
//! one, also right after a change.
//!
//! The smaller share is dealt out in strides: each of its requests lies in one stride of
//! `10,000 / share` requests, and 10,000 requests hold a whole number of strides. Where in its stride
//! it lies is drawn from a fixed sequence, so that traffic with a rhythm of its own (every second
//! request a `POST`) does not fall on one version.

use crate::model::ratio::Weight;

/// Deals requests to candidate (`true`) and stable (`false`).
#[derive(Clone, Debug)]
pub struct Split {
    weight: Weight,
    /// Requests of the current stride already dealt, its length, and which one is picked.
    dealt: u32,
    length: u32,
    picked: u32,
    /// What the whole-numbered strides so far are behind, in parts of the smaller share.
    behind: u32,
    /// State of the fixed sequence; it goes on over changes, so that they favour no version.
    sequence: u64,
}

const WHOLE: u32 = 10_000;

impl Split {
    /// Nothing for the candidate.
    #[must_use]
    pub const fn new() -> Self {
        Self { weight: Weight::ZERO, dealt: 0, length: 0, picked: 0, behind: 0, sequence: 0 }
    }

    /// The candidate's share.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.weight
    }

    /// Gives the candidate this share from the next request on. The same share again changes nothing.
    pub fn set(&mut self, weight: Weight) {
        if weight != self.weight {
            *self = Self { weight, sequence: self.sequence, ..Self::new() };
        }
    }

    /// Whether the next request is the candidate's.
    pub fn deal(&mut self) -> bool {
        let share = u32::from(self.weight.bp());
        let (smaller, candidate_is_smaller) = if share <= WHOLE / 2 { (share, true) } else { (WHOLE - share, false) };
        if smaller == 0 {
            return !candidate_is_smaller;
        }
        if self.dealt >= self.length {
            self.length = (self.behind + WHOLE) / smaller;
            self.behind = (self.behind + WHOLE) % smaller;
            self.dealt = 0;
            self.picked = self.draw(self.length);
        }
        let hit = self.dealt == self.picked;
        self.dealt += 1;
        hit == candidate_is_smaller
    }

    /// The next number below `bound` of the fixed sequence (splitmix64).
    fn draw(&mut self, bound: u32) -> u32 {
        self.sequence = self.sequence.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.sequence;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        u32::try_from(((z >> 32) * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

impl Default for Split {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Split;
    use crate::model::ratio::Weight;
    use proptest::prelude::*;

    fn weight(bp: u16) -> Weight {
        Weight::from_bp(bp).unwrap()
    }

    /// The fewest and the most hits in any 10,000 consecutive requests.
    fn extremes(hits: &[bool]) -> (usize, usize) {
        let mut inside = hits[..10_000].iter().filter(|h| **h).count();
        let (mut least, mut most) = (inside, inside);
        for i in 10_000..hits.len() {
            inside = inside + usize::from(hits[i]) - usize::from(hits[i - 10_000]);
            (least, most) = (least.min(inside), most.max(inside));
        }
        (least, most)
    }

    proptest! {
        #[test]
        fn any_10_000_consecutive_requests_have_the_share_give_or_take_one(
            before in proptest::collection::vec((0u16..=10_000, 0usize..500), 0..4),
            bp in 0u16..=10_000,
        ) {
            let mut split = Split::new();
            for (bp, requests) in before {
                split.set(weight(bp));
                for _ in 0..requests {
                    split.deal();
                }
            }
            split.set(weight(bp));
            let hits: Vec<bool> = (0..35_000).map(|_| split.deal()).collect();
            let (least, most) = extremes(&hits);
            prop_assert!(least + 1 >= usize::from(bp) && most <= usize::from(bp) + 1, "{bp}: {least} to {most}");
            prop_assert_eq!(hits[..10_000].iter().filter(|h| **h).count(), usize::from(bp), "right after the change");
        }
    }

    #[test]
    fn a_rhythm_of_the_traffic_does_not_fall_on_one_version() {
        for bp in [5_000, 2_500, 7_500, 100] {
            let mut split = Split::new();
            split.set(weight(bp));
            let even = (0..200_000).filter(|i| split.deal() && i % 2 == 0).count();
            let share = even as f64 / 200_000.0 * 2.0;
            assert!((share - f64::from(bp) / 10_000.0).abs() < 0.01, "{bp}: every second request has {share}");
        }
    }

    #[test]
    fn the_same_share_again_changes_nothing() {
        let (mut once, mut often) = (Split::new(), Split::new());
        once.set(weight(37));
        for _ in 0..50_000 {
            often.set(weight(37));
            assert_eq!(once.deal(), often.deal());
        }
    }
}
