//! Writes a report as a table or as JSON.

use crate::grade::{Finding, Report};

const HEADINGS: [&str; 4] = ["field", "found", "verdict", "what to do"];
const MAX_FOUND: usize = 60;

/// A table of the findings, and the grade below it.
pub fn table(report: &Report) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(report.findings.iter().map(row));
    let widths: [usize; 4] = std::array::from_fn(|column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    rows.insert(1, widths.map(|width| "-".repeat(width)));
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join(" | ").trim_end());
        text.push('\n');
    }
    text.push_str(&format!("\ngrade {}: {} of 100 points\n", report.grade.name(), report.score));
    text
}

/// The report as one line of JSON.
pub fn json(report: &Report) -> String {
    // Text, numbers and lists: there is nothing in it that could not be written.
    let mut text = serde_json::to_string(report).unwrap_or_default();
    text.push('\n');
    text
}

fn row(finding: &Finding) -> [String; 4] {
    let verdict = match finding.points {
        0 => finding.verdict.name().to_owned(),
        points => format!("{} (-{points})", finding.verdict.name()),
    };
    let found = finding.found.as_deref().map_or_else(|| "-".to_owned(), cut);
    [cut(&finding.field), found, verdict, finding.advice.clone()]
}

fn cut(value: &str) -> String {
    if value.chars().count() <= MAX_FOUND {
        return value.to_owned();
    }
    value.chars().take(MAX_FOUND).chain(['…']).collect()
}
