//! Killing a server's processes without a word, as a crash would (Linux: it reads `/proc`).

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, error::io_error};

/// How long the kernel may take to end killed processes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Kills a process and all its children by SIGKILL, and returns when they are gone.
pub(crate) fn kill_family(parent: u32) -> Result<(), Error> {
    // Stopped, it makes no new children while they are counted, and can't begin to recover from their loss.
    signal("STOP", &[parent])?;
    let mut family = children(parent);
    family.insert(0, parent);
    signal("KILL", &family)?;
    let begun = Instant::now();
    while family.iter().any(|&id| is_alive(id)) {
        if begun.elapsed() > PATIENCE {
            return Err(Error::StillRunning);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Sends a signal. One of the processes may be gone already, which is no error: the caller looks for what is alive.
fn signal(name: &str, ids: &[u32]) -> Result<(), Error> {
    // The shell's own `kill`: a program of that name isn't on every machine.
    let shell = Path::new("/bin/sh");
    let mut command = Command::new(shell);
    command.args(["-c", r#"kill -s "$@""#, "sh", name]).args(ids.iter().map(u32::to_string));
    command.stderr(Stdio::null()).status().map_err(io_error("run", shell))?;
    Ok(())
}

fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|&id| stat(id).is_some_and(|(_, its_parent)| its_parent == parent)).collect()
}

/// A zombie is dead: whoever is to collect it may not do so for long.
fn is_alive(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// State and parent of a process, by proc(5).
fn stat(id: u32) -> Option<(char, u32)> {
    parse_stat(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// `id (name) state parent …`, where the name may hold anything, parentheses and spaces too.
fn parse_stat(line: &str) -> Option<(char, u32)> {
    let (_, after_name) = line.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_confuses_nobody() {
        assert_eq!(parse_stat("42 (a) b (c) S 7 42 42 0"), Some(('S', 7)));
        assert_eq!(parse_stat("42 (postgres) Z 1"), Some(('Z', 1)));
        assert_eq!(parse_stat("42"), None);
    }
}
