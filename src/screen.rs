//! Standard error, shared by log lines and a table that is drawn over in place.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::{Term, measure_text_width};

/// The one screen of the process.
static SCREEN: Mutex<Screen> = Mutex::new(Screen { table: Vec::new() });

/// What stands below the log lines at the moment; redrawn under each new one.
struct Screen {
    table: Vec<String>,
}

/// Whether a table can be drawn over, and colours be seen.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Colours only where a person sees them and has not said no.
pub(crate) fn has_colours() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Replaces the table. Rows wider than the terminal are cut, and those that do not fit below each other are counted.
#[cfg(feature = "pipeline")]
pub(crate) fn draw(rows: &[String]) {
    let (height, width) = size();
    let mut screen = lock();
    let erase = erase(&screen.table, width);
    screen.table = fitting(rows, height, width);
    write(&(erase + &lines(&screen.table)));
}

/// Leaves the table where it stands: what is written from now on comes below.
#[cfg(feature = "pipeline")]
pub(crate) fn leave() {
    lock().table.clear();
}

/// A line above the table, if there is one.
#[cfg(feature = "pipeline")]
pub(crate) fn say(line: &str) {
    // Who closed standard error reads nothing.
    let _ = LogWriter.write_all(format!("{line}\n").as_bytes());
}

/// Where logs are written: above the table, if there is one. Takes whole lines.
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let screen = lock();
        if screen.table.is_empty() {
            return io::stderr().write_all(bytes).map(|()| bytes.len());
        }
        let erase = erase(&screen.table, size().1);
        write(&(erase + &String::from_utf8_lossy(bytes) + &lines(&screen.table)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size() -> (usize, usize) {
    let (height, width) = Term::stderr().size();
    (usize::from(height), usize::from(width))
}

/// All in one write, so that nothing flickers. A terminal that went away is no reason to stop.
fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn lines(rows: &[String]) -> String {
    rows.iter().flat_map(|row| [row.as_str(), "\n"]).collect()
}

/// Moves to where the table began and clears from there. A terminal made narrower since has wrapped its rows.
fn erase(table: &[String], width: usize) -> String {
    let height: usize = table.iter().map(|row| measure_text_width(row).div_ceil(width.max(1)).max(1)).sum();
    if height == 0 { String::new() } else { format!("\r\x1b[{height}A\x1b[J") }
}

#[cfg(feature = "pipeline")]
fn fitting(rows: &[String], height: usize, width: usize) -> Vec<String> {
    // One line is the cursor's; what scrolled away can't be drawn over.
    let room = height.saturating_sub(2).max(3);
    let cut = |row: &String| console::truncate_str(row, width.saturating_sub(1), "…").into_owned();
    if rows.len() <= room {
        return rows.iter().map(cut).collect();
    }
    let more = format!("… and {} cameras more", rows.len() - room);
    rows[..room].iter().chain([&more]).map(cut).collect()
}

#[cfg(all(test, feature = "pipeline"))]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_to_the_terminal_and_those_that_do_not_fit_are_counted() {
        let rows: Vec<_> = (0..30).map(|n| format!("camera-{n} {}", "x".repeat(100))).collect();
        let shown = fitting(&rows, 12, 40);
        assert_eq!(shown.len(), 11);
        assert_eq!(shown[10], "… and 20 cameras more");
        assert!(shown.iter().all(|row| measure_text_width(row) <= 39), "{shown:?}");
        assert_eq!(fitting(&rows[..5], 12, 400), rows[..5]);
    }

    #[test]
    fn a_table_is_erased_by_the_height_it_has_now() {
        let table = vec!["x".repeat(79), "y".repeat(10)];
        assert_eq!(erase(&table, 80), "\r\x1b[2A\x1b[J");
        assert_eq!(erase(&table, 40), "\r\x1b[3A\x1b[J");
        assert_eq!(erase(&[], 80), "");
    }
}
