//! `policy evaluate` and `policy ladder`: the engine over JSON lines, streamed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use policy::json::{error_line, evaluate_line, ladder_line};

use crate::error::Error;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Judge each line: {"facts": {…}, "profile": {…}, "at": 1790000000} in, a decision out
    Evaluate(Input),
    /// Draw each line's ladder: the later instants at which state, rule or reason change
    Ladder(Input),
}

#[derive(Args)]
pub(crate) struct Input {
    /// File of JSON lines; without it, or as "-", standard input
    file: Option<PathBuf>,
}

/// Answers a line.
type Answer = fn(&[u8]) -> Result<String, policy::Fault>;

/// A line that can't be read is answered by `{"error": …}`, and the run goes on. Before it waits for more, whatever was
/// asked is answered: who feeds it line by line reads as he goes.
pub(crate) fn run(command: &Command) -> Result<(), Error> {
    let (answer, input): (Answer, _) = match command {
        Command::Evaluate(input) => (evaluate_line, input),
        Command::Ladder(input) => (ladder_line, input),
    };
    let input: Box<dyn Read> = match input.file.as_ref().filter(|file| file.as_os_str() != "-") {
        Some(file) => Box::new(File::open(file).map_err(Error::io(format!("open {}", file.display())))?),
        None => Box::new(io::stdin()),
    };
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut unread = 0;
    let mut line = Vec::new();
    loop {
        if !input.buffer().contains(&b'\n') {
            output.flush().map_err(Error::io("write the answers"))?;
        }
        if input.read_until(b'\n', &mut line).map_err(Error::io("read the lines"))? == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let answered = answer(text).unwrap_or_else(|fault| {
            unread += 1;
            error_line(&fault)
        });
        writeln!(output, "{answered}").map_err(Error::io("write the answers"))?;
        line.clear();
    }
    if unread == 0 { Ok(()) } else { Err(Error::Unread { count: unread }) }
}
