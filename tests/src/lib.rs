//! The suites that cross rooms. `tests/functions` calls the functions without a socket, on a clock that the tests turn;
//! `tests/programs` starts the real programs.
