//! What was done and how it went: a table, and one line of sums.

use std::{
    fmt,
    ops::{Add, AddAssign},
};

use crate::{complain, error::Error, run::announce};

/// How many tests went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// As they should.
    pub(crate) passed: u64,
    /// Not as they should.
    pub(crate) failed: u64,
    /// Not at all.
    pub(crate) skipped: u64,
}

impl Tally {
    /// One that passed.
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    /// One that failed.
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    /// One that couldn't be run.
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// `N passed, N failed`, and `, N skipped` where there are any.
impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(formatter, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

/// What was done, in its order.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(String, Tally)>);

impl Report {
    /// Does one step, which counts as one test; says so when it fails, and goes on. What it made is returned.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T, Error>) -> Option<T> {
        announce(name);
        match work() {
            Ok(made) => {
                self.add(name, Tally::PASSED);
                Some(made)
            }
            Err(error) => {
                complain(&error);
                self.add(name, Tally::FAILED);
                None
            }
        }
    }

    /// Takes down how a step went.
    pub(crate) fn add(&mut self, name: &str, tally: Tally) {
        self.0.push((name.to_owned(), tally));
    }

    /// The sums.
    pub(crate) fn total(&self) -> Tally {
        self.0.iter().fold(Tally::default(), |sum, (_, tally)| sum + *tally)
    }

    /// Whether nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        self.total().failed == 0
    }
}

/// A table, a line for every step.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, tally) in &self.0 {
            match *tally {
                Tally::PASSED => writeln!(formatter, "    {name:width$}  ok")?,
                Tally::FAILED => writeln!(formatter, "    {name:width$}  FAILED")?,
                Tally::SKIPPED => writeln!(formatter, "    {name:width$}  skipped")?,
                many => writeln!(formatter, "    {name:width$}  {many}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_counted_and_the_rest_goes_on() {
        let mut report = Report::default();
        assert_eq!(report.step("good", || Ok(7)), Some(7));
        assert!(report.is_good());
        assert_eq!(report.step("bad", || Err::<(), _>(Error::missing("a thing", "get one"))), None);
        report.add("tests", Tally { passed: 12, failed: 0, skipped: 2 });
        assert!(!report.is_good());
        assert_eq!(report.total().to_string(), "13 passed, 1 failed, 2 skipped");
        assert_eq!(
            report.to_string(),
            "    good   ok\n    bad    FAILED\n    tests  12 passed, 0 failed, 2 skipped\n"
        );
    }
}
