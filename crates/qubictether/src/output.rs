//! What goes to standard output and standard error.

use std::io::Write;

use serde::Serialize;

use crate::error::Error;

/// Prints a line for people.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    write(&printable(text))
}

/// What agents call themselves is theirs to choose: none of it shall move the cursor or make a line of its own.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// It is an error when nobody takes it: what a script waits for, a license key among it, is lost then.
fn write(text: &str) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}").and_then(|()| output.flush()).map_err(Error::io("write to standard output"))
}

/// Tells people on standard error how far something is. It is no matter when nobody listens.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(text));
}

/// Prints one JSON value on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(value).map_err(|cause| Error::io("write JSON")(cause.into()))?;
    write(&text)
}

/// One line on standard error: what went wrong, with all its causes, and what to do.
pub(crate) fn complain(error: &Error) {
    let mut text = format!("qubictether: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    if let Some(remedy) = error.remedy() {
        text = format!("{text}; {remedy}");
    }
    // Nobody is left to tell when this fails.
    let _ = writeln!(std::io::stderr(), "{}", text.replace('\n', " "));
}

/// Prints rows in columns, under a heading; `nothing` where there are none.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
    nothing: &str,
) -> Result<(), Error> {
    if rows.is_empty() {
        return line(nothing);
    }
    let mut widths = heading.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let padded = |cells: [&str; N]| {
        let cells: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        printable(cells.join("  ").trim_end())
    };
    let cells = rows.iter().map(|row| row.each_ref().map(String::as_str));
    let lines: Vec<_> = std::iter::once(heading).chain(cells).map(padded).collect();
    write(&lines.join("\n"))
}
