//! Where things stand in a row of figures.
//!
//! At 80 columns: margin 1, label 8, gap 1, [value 11 right, gap 1, spark 8], gap 2, the same 20
//! again, gap 2, verdict 25; column 80 stays empty.

/// Some columns of a row, counted from the row's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// The first column.
    pub x: u16,
    /// How many; 0 where there is no room for it.
    pub width: u16,
}

/// One version's place in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Side {
    /// All of it: for text.
    pub whole: Slot,
    /// The figure, flush right.
    pub value: Slot,
    /// Its course.
    pub spark: Slot,
}

/// A row of figures of two versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    /// What the row is about.
    pub label: Slot,
    /// Stable.
    pub left: Side,
    /// The candidate.
    pub right: Side,
    /// What follows from the two.
    pub verdict: Slot,
}

/// Columns of a label.
pub const LABEL: u16 = 8;
/// Columns of a figure.
pub const VALUE: u16 = 11;
const SPARK: u16 = 8;
const VERDICT: u16 = 25;

impl Grid {
    /// The grid of a screen of this width. Below 80 columns the sparks go, below 62 the verdict,
    /// above 80 only the verdict grows.
    #[must_use]
    pub const fn of(width: u16) -> Self {
        let spark = if width >= 80 { SPARK } else { 0 };
        let left = side(1 + LABEL + 1, spark);
        let right = side(left.whole.x + left.whole.width + 2, spark);
        let x = right.whole.x + right.whole.width + 2;
        let room = width.saturating_sub(x + 1);
        let verdict = Slot { x, width: if room >= VERDICT { room } else { 0 } };
        Self { label: Slot { x: 1, width: LABEL }, left, right, verdict }
    }
}

const fn side(x: u16, spark: u16) -> Side {
    let gap = if spark > 0 { 1 } else { 0 };
    Side {
        whole: Slot { x, width: VALUE + gap + spark },
        value: Slot { x, width: VALUE },
        spark: Slot { x: x + VALUE + gap, width: spark },
    }
}

/// A row of figures of one version inside a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pane {
    /// What the row is about.
    pub label: Slot,
    /// The figure, flush right.
    pub value: Slot,
    /// Its course: 14 columns in a frame of 59, two thirds of what is more.
    pub spark: Slot,
    /// What follows from it: 18 columns in a frame of 59, one third of what is more.
    pub note: Slot,
}

impl Pane {
    /// The inside of a frame of this width, frame included: 59 or more.
    #[must_use]
    pub const fn of(width: u16) -> Self {
        let more = width.saturating_sub(59);
        let spark = Slot { x: 23, width: 14 + more - more / 3 };
        Self {
            label: Slot { x: 2, width: LABEL },
            value: Slot { x: 11, width: VALUE },
            spark,
            note: Slot { x: spark.x + spark.width + 2, width: 18 + more / 3 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Grid, Pane, Slot};

    #[test]
    fn the_grid_is_as_it_was_drawn() {
        let grid = Grid::of(80);
        assert_eq!(grid.left.value, Slot { x: 10, width: 11 });
        assert_eq!(grid.left.spark, Slot { x: 22, width: 8 });
        assert_eq!(grid.right.whole, Slot { x: 32, width: 20 });
        assert_eq!(grid.verdict, Slot { x: 54, width: 25 });
        assert_eq!(Grid::of(62).verdict, Slot { x: 36, width: 25 });
        assert_eq!(Grid::of(61).verdict.width, 0);
        let pane = Pane::of(59);
        assert_eq!((pane.spark, pane.note), (Slot { x: 23, width: 14 }, Slot { x: 39, width: 18 }));
    }

    #[test]
    fn nothing_stands_outside() {
        for width in 40..400 {
            let grid = Grid::of(width);
            assert!(grid.right.whole.x + grid.right.whole.width < width, "{width}");
            assert!(grid.verdict.width == 0 || grid.verdict.x + grid.verdict.width < width, "{width}");
        }
        for width in 59..400 {
            let pane = Pane::of(width);
            assert_eq!(pane.note.x + pane.note.width + 2, width);
        }
    }
}
