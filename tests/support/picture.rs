//! A screen as an SVG: what a terminal would show, for the README.

use std::fmt::Write as _;
use vt100::{Cell, Color, Screen};

/// One cell in pixels.
const CELL: (f32, f32) = (8.4, 18.0);
/// Around the screen.
const MARGIN: f32 = 14.0;
const INK: &str = "#d5d9e0";
const PAPER: &str = "#14171c";
/// The sixteen colours that a terminal may choose.
const PALETTE: [&str; 16] = [
    "#30363f", "#f0606b", "#74c476", "#e8b14e", "#6ea8fe", "#c58af9", "#4fc3d0", "#c9ced6", "#6b7482", "#ff7b86", "#8fdc91", "#ffc965",
    "#8dbcff", "#d7a5ff", "#72dbe6", "#ffffff",
];

/// The screen as an SVG of its own, without fonts or scripts.
pub fn svg(screen: &Screen, title: &str) -> String {
    let (rows, cols) = (screen.size().0.get(), screen.size().1.get());
    let (width, height) = (CELL.0 * f32::from(cols) + 2.0 * MARGIN, CELL.1 * f32::from(rows) + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"{}\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" fill=\"{INK}\" \
         xml:space=\"preserve\" style=\"white-space:pre\">\n",
        escaped(title),
        escaped(title),
    );
    for row in 0..rows {
        let cells: Vec<&Cell> = (0..cols).filter_map(|col| screen.cell(row, col)).collect();
        let mut col = 0;
        while let Some(first) = cells.get(col) {
            let run = cells[col..].iter().take_while(|c| look(c) == look(first)).count();
            let text: String = cells[col..col + run].iter().map(|c| if c.has_contents() { c.contents() } else { " " }).collect();
            piece(&mut out, &text, first, (row, col, run));
            col += run;
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

type Looks = (Color, Color, bool, bool, bool, bool);

fn look(cell: &Cell) -> Looks {
    (cell.fgcolor(), cell.bgcolor(), cell.bold(), cell.dim(), cell.inverse(), cell.underline())
}

/// Cells that look alike: their background, then their text, at the width that the grid gives them.
fn piece(out: &mut String, text: &str, cell: &Cell, (row, col, run): (u16, usize, usize)) {
    let (ink, paper) = (colour(cell.fgcolor(), INK), colour(cell.bgcolor(), PAPER));
    let (ink, paper) = if cell.inverse() { (paper, ink) } else { (ink, paper) };
    #[expect(clippy::cast_precision_loss, reason = "a few hundred columns")]
    let (x, width) = (MARGIN + CELL.0 * col as f32, CELL.0 * run as f32);
    let y = MARGIN + CELL.1 * f32::from(row);
    if paper != PAPER {
        let _ = writeln!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{paper}\"/>", CELL.1);
    }
    if text.trim().is_empty() {
        return;
    }
    let mut style = String::new();
    if ink != INK {
        let _ = write!(style, " fill=\"{ink}\"");
    }
    if cell.bold() {
        style.push_str(" font-weight=\"700\"");
    }
    if cell.dim() {
        style.push_str(" opacity=\".62\"");
    }
    if cell.underline() {
        style.push_str(" text-decoration=\"underline\"");
    }
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\"{style}>{}</text>",
        y + CELL.1 * 0.74,
        escaped(text),
    );
}

fn colour(color: Color, otherwise: &str) -> String {
    match color {
        Color::Default => otherwise.to_owned(),
        Color::Idx(i @ 0..=15) => PALETTE[usize::from(i)].to_owned(),
        Color::Idx(i @ 16..=231) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let i = i - 16;
            format!("#{:02x}{:02x}{:02x}", level(i / 36), level(i / 6 % 6), level(i % 6))
        }
        Color::Idx(i) => {
            let grey = 8 + 10 * (i - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
