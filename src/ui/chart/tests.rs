//! Charts, cell by cell.

use super::{Chart, Frame};
use crate::{
    model::{
        history::{History, Point, Span},
        signal::SignalId,
        time::Time,
    },
    ui::look::{Look, Tone},
};
use chrono::DateTime;
use proptest::prelude::*;
use ratatui::{buffer::Buffer, layout::Rect, style::Color};

const ASCII: Look = Look { ascii: true, color: false };

fn at(s: i64) -> Time {
    DateTime::from_timestamp(s, 0).unwrap()
}

fn drawn(chart: &Chart<'_>, look: &Look, width: u16, height: u16) -> Vec<String> {
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    chart.draw(look, area, &mut buf);
    (0..height).map(|y| (0..width).map(|x| buf[(x, y)].symbol()).collect::<String>().trim_end().to_owned()).collect()
}

const LINE: [Option<f64>; 10] =
    [Some(25.0), Some(25.0), None, Some(25.0), Some(50.0), Some(25.0), Some(25.0), Some(25.0), Some(25.0), Some(100.0)];
const FILL: [Option<f64>; 10] = [None, Some(0.0), Some(50.0), Some(50.1), Some(100.0), None, Some(1.0), Some(25.0), Some(25.0), Some(25.0)];

fn chart<'a>(frame: Frame, marks: &'a [(Time, String)]) -> Chart<'a> {
    let (line, fill) = ((&LINE[..], Tone::Stable), (&FILL[..], Tone::Candidate));
    Chart { frame, line, fill, top: 100.0, ends: ["100 %", "0 %"], limit: Some(75.0), marks }
}

/// Ten cells of 180 s, the last of which `now` is in.
fn frame() -> Frame {
    Frame::of(Span::HalfHour, 10, at(9_899))
}

#[test]
fn a_line_over_a_fill_with_gaps_and_a_limit() {
    let expected = [
        "    100 %     █    ⠉", //
        "          ╌╌╌▁█╌╌╌╌╌",
        "            ██⠉",
        "      0 % ⠉▁█⠉█⠉⠉█⠉█",
        "                 now",
    ];
    assert_eq!(drawn(&chart(frame(), &[]), &Look::FULL, 20, 5), expected);
    let ascii = [
        "    100 %     #    '", //
        "          ===.#=====",
        "            ##'",
        "      0 % '.#'#''#'#",
        "                 now",
    ];
    assert_eq!(drawn(&chart(frame(), &[]), &ASCII, 20, 5), ascii);
    assert_eq!(drawn(&chart(frame(), &[]), &Look::FULL, 20, 1), ["    100 % ⣀▁▄▅⠤⣀⣀▂⣀▂"], "without room for the time");
    assert!(drawn(&chart(frame(), &[]), &Look::FULL, 10, 3).iter().all(String::is_empty), "no room for anything");
}

#[test]
fn both_have_their_colour() {
    let area = Rect::new(0, 0, 20, 5);
    let mut buf = Buffer::empty(area);
    chart(frame(), &[]).draw(&Look::FULL, area, &mut buf);
    let color = |x, y| buf[(x, y)].fg;
    assert_eq!((color(10, 3), color(12, 3)), (Color::Blue, Color::Magenta));
    assert_eq!(color(15, 1), Color::Yellow, "the limit");
}

#[test]
fn marks_stand_where_something_began_and_the_newest_are_named() {
    let wide = Frame::of(Span::HalfHour, 45, at(9_899));
    let marks = [(900, "5 %"), (320, "10 %"), (300, "25 %"), (4_000, "1 %")].map(|(ago, what)| (at(9_899 - ago), what.to_owned()));
    let rows = drawn(&chart(wide, &marks), &Look::FULL, 55, 5);
    assert_eq!(rows[0], "    100 %     █    ⠉           │              │");
    assert_eq!(rows[4], "          30 min ago           5 %            25 %  now", "no room for 10 %, and 1 % is too long ago");
}

#[test]
fn a_frame_covers_its_span_and_no_more_columns_than_there_are() {
    let mut history = History::default();
    for s in 1..=600 {
        let errors = u64::from(s > 590);
        history.push(Point { at: at(s), secs: 1, requests: 10, errors, slow: 0, p50: None, p99: None });
    }
    let minutes = Frame::of(Span::Minutes, 68, at(601));
    assert_eq!((minutes.cells, minutes.wide), (60, 1));
    let course = minutes.course(&history, SignalId::Errors);
    assert_eq!((course.first(), course.last()), (Some(&Some(0.0)), Some(&Some(0.1))));
    // A cell of the half hour that is not over yet is filled from seconds.
    let half = Frame::of(Span::HalfHour, 188, at(600));
    assert_eq!((half.cells, half.wide), (180, 1));
    let course = half.course(&history, SignalId::Requests);
    assert_eq!(course.iter().flatten().count(), 60);
    assert_eq!(Frame::of(Span::Day, 400, at(0)).columns(), 288);
    assert_eq!(Frame::of(Span::Minutes, 400, at(0)).columns(), 360);
}

proptest! {
    #[test]
    fn any_chart_of_any_size_keeps_to_its_place(
        columns in 0_u16..600, width in 0_u16..300, height in 0_u16..60, now in -4_000_000_000_i64..4_000_000_000,
        back in -400_000_i64..400_000, top in any::<f64>(), limit in any::<f64>(), line in prop::collection::vec(any::<Option<f64>>(), 0..400),
        which in 0_usize..3,
    ) {
        let frame = Frame::of(Span::ALL[which], columns, at(now));
        prop_assert!(frame.columns() <= usize::from(columns.max(1)) && frame.cells > 0);
        prop_assert_eq!(frame.course(&History::default(), SignalId::P99).len(), frame.cells);
        prop_assert!(frame.column(at(now.saturating_sub(back))).is_none_or(|c| c < frame.columns()));
        let marks = [(at(now.saturating_sub(back)), "33.33 %".to_owned())];
        let courses = ((&line[..], Tone::Stable), (&line[..line.len() / 2], Tone::Candidate));
        let chart = Chart { frame, line: courses.0, fill: courses.1, top, ends: ["a very long end", ""], limit: Some(limit), marks: &marks };
        let whole = Rect::new(0, 0, 320, 70);
        let area = Rect::new(3, 2, width, height);
        let mut buf = Buffer::empty(whole);
        chart.draw(&Look::FULL, area, &mut buf);
        for position in whole.positions().filter(|p| !area.contains(*p)) {
            prop_assert_eq!(buf[position].symbol(), " ");
        }
    }
}
