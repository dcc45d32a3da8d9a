//! How long apps stay away, drawn: bars for a terminal, and a picture.
#![expect(clippy::cast_precision_loss, reason = "counts that are drawn, not reckoned with")]

use std::fmt::Write as _;

/// Gaps of about the same length, shortest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GapBin {
    pub(crate) up_to_days: Option<f64>,
    pub(crate) count: u64,
}

/// A bin as it is drawn.
struct PlottedBin {
    label: String,
    count: u64,
    /// Of the longest bar, from 0 to 1.
    height: f64,
    /// How many are no longer, from 0 to 1.
    back_by_then: f64,
}

const BAR_WIDTH: usize = 40;

/// Bars of blocks, and how many are back by then.
pub(crate) fn plot_text(bins: &[GapBin]) -> String {
    let drawn = drawn(bins);
    if drawn.is_empty() {
        return "no reinstalls, so nothing to draw\n".to_owned();
    }
    let mut text = format!("\n{:>9} {:<BAR_WIDTH$} {:>10} {:>9}\n", "AWAY", "", "REINSTALLS", "BACK");
    for PlottedBin { label, count, height, back_by_then } in drawn {
        let bar: String =
            (0..BAR_WIDTH).map_while(|at| (height * BAR_WIDTH as f64 > at as f64).then_some('█')).collect();
        let percent = back_by_then * 100.0;
        let _ = writeln!(text, "{label:>9} {bar:<BAR_WIDTH$} {count:>10} {percent:>7.1} %");
    }
    text
}

/// The same as a picture: a bar for each bin, and a line for how many are back by then.
pub(crate) fn plot_svg(bins: &[GapBin]) -> String {
    const STEP: f64 = 44.0;
    const LEFT: f64 = 50.0;
    const TOP: f64 = 50.0;
    const HEIGHT: f64 = 240.0;
    let drawn = drawn(bins);
    let (width, bottom) = (STEP.mul_add(drawn.len() as f64, LEFT + 30.0), TOP + HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">From uninstall to reinstall: {} reinstalls</text>\n",
        bottom + 60.0,
        bins.iter().map(|bin| bin.count).sum::<u64>(),
    );
    let mut line = String::new();
    for (at, PlottedBin { label, count, height, back_by_then }) in drawn.iter().enumerate() {
        let (x, bar) = (STEP.mul_add(at as f64, LEFT), height * HEIGHT);
        let (middle, top) = (x + STEP / 2.0, bottom - bar);
        let percent = back_by_then * 100.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{bar:.1}\" fill=\"#4c78a8\">\
             <title>{label}: {count}, {percent:.1} % back by then</title></rect>\n\
             <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n\
             <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#888\">{percent:.0} %</text>",
            x + 4.0,
            STEP - 8.0,
            bottom + 18.0,
            bottom + 36.0,
        );
        let _ = write!(line, "{middle:.1},{:.1} ", back_by_then.mul_add(-HEIGHT, bottom));
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#e45756\" stroke-width=\"2\"/>\n\
         <line x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\" stroke=\"black\"/>\n</svg>",
        line.trim_end(),
        width - 20.0,
    );
    svg
}

/// Without the empty bins at both ends.
fn drawn(bins: &[GapBin]) -> Vec<PlottedBin> {
    let all: u64 = bins.iter().map(|bin| bin.count).sum();
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or_default();
    let first = bins.iter().position(|bin| bin.count > 0).unwrap_or(bins.len());
    let last = bins.iter().rposition(|bin| bin.count > 0).map_or(0, |last| last + 1);
    let mut so_far = 0;
    let drawn = bins.iter().enumerate().take(last).skip(first).map(|(at, bin)| {
        so_far += bin.count;
        let before = at.checked_sub(1).and_then(|before| bins[before].up_to_days);
        let label = bin.up_to_days.map_or_else(
            || format!("> {}", before.map(span).unwrap_or_default()),
            |end| format!("≤ {}", span(end)),
        );
        let (height, back_by_then) = (bin.count as f64 / most as f64, so_far as f64 / all as f64);
        PlottedBin { label, count: bin.count, height, back_by_then }
    });
    drawn.collect()
}

/// Days, or hours below two of them.
fn span(days: f64) -> String {
    if days < 2.0 { format!("{:.0} h", days * 24.0) } else { format!("{days:.0} d") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINS: [GapBin; 5] = [
        GapBin { up_to_days: Some(1.0 / 24.0), count: 0 },
        GapBin { up_to_days: Some(0.25), count: 4 },
        GapBin { up_to_days: Some(7.0), count: 0 },
        GapBin { up_to_days: Some(30.0), count: 1 },
        GapBin { up_to_days: None, count: 3 },
    ];

    #[test]
    fn bars_are_as_long_as_they_are_many() {
        let text = plot_text(&BINS);
        let rows: Vec<(usize, &str)> =
            text.lines().skip(2).map(|row| (row.matches('█').count(), row.trim())).collect();
        assert_eq!(rows.iter().map(|(bar, _)| *bar).collect::<Vec<_>>(), [40, 0, 10, 30]);
        assert!(rows[0].1.starts_with("≤ 6 h") && rows[0].1.ends_with("4    50.0 %"), "{}", rows[0].1);
        assert!(rows[3].1.starts_with("> 30 d") && rows[3].1.ends_with("3   100.0 %"), "{}", rows[3].1);
    }

    #[test]
    fn a_picture_has_a_bar_for_each_bin_and_a_line() {
        let svg = plot_svg(&BINS);
        assert_eq!(svg.matches("<title>").count(), 4);
        assert!(svg.contains("<title>≤ 30 d: 1, 62.5 % back by then</title>"), "{svg}");
        assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 1);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(plot_text(&[]), "no reinstalls, so nothing to draw\n");
        assert!(plot_svg(&[GapBin { up_to_days: None, count: 0 }]).contains("0 reinstalls"));
    }
}
