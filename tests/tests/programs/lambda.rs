//! The functions' own binaries, run as Lambda runs them.

mod start;
mod thaw;
mod trips;
