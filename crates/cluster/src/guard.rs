//! Who stops a server when the program that started it ends in whatever way, SIGKILL too.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Stdio},
};

use crate::{Error, account::Account, error::io_error};

/// A shell that waits at a pipe. A line means that nothing is left to do; the pipe's end, that its other end died.
const SCRIPT: &str = r#"read -r line && exit
"$1" stop --silent --mode=fast --pgdata="$2" >/dev/null 2>&1
[ -z "$3" ] || rm -rf -- "$3""#;

#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Watches over the server of a data folder; `remove` goes with it.
    pub(crate) fn post(
        account: Account,
        pg_ctl: &Path,
        data: &Path,
        remove: Option<&Path>,
    ) -> Result<Self, Error> {
        let shell = Path::new("/bin/sh");
        let mut command = account.command(shell);
        command.args(["-c", SCRIPT, "sh"]).arg(pg_ctl).arg(data).arg(remove.unwrap_or(Path::new("")));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C at a terminal reaches the whole foreground group, of which this mustn't be one.
        command.process_group(0);
        command.spawn().map(Self).map_err(io_error("run", shell))
    }

    /// Sends it home.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            // Whether it hears this or is gone already, it does nothing more.
            let _ = pipe.write_all(b"\n");
        }
        let _ = self.0.wait();
    }
}
