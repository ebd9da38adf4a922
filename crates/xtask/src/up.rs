//! A server, its database and one real agent on this machine.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Lines, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::{
    config::Config,
    error::Error,
    run::{announce, cargo, json, line, read, run, target_folder},
    setup,
};

/// The vendor's product that the agent is licensed for.
const PRODUCT: &str = "acme-render";

/// The enforcement profile of the license: quick, so that there is something to see.
const PROFILE: &str = "quick";
const KNOBS: &str = r#"{
  "silence_tolerance": 20, "silence_grace": 60, "silence_degraded": 60,
  "cadence": {
    "authorized": {"interval": 5, "token_ttl": 15}, "warned": {"interval": 5, "token_ttl": 15},
    "grace": {"interval": 5, "token_ttl": 15}, "degraded": {"interval": 5, "token_ttl": 15},
    "pending": {"interval": 5, "token_ttl": 15}, "locked": {"interval": 5, "token_ttl": 15},
    "quarantined": {"interval": 5, "token_ttl": 15}, "suspended": {"interval": 5, "token_ttl": 15}
  }
}"#;

/// The agent's exit status of `status` when it was never activated, or has to be again.
const NOT_ACTIVATED: i32 = 3;

/// Runs everything until Ctrl-C. What the last run left is used again.
pub(crate) fn up(config: &Config, folder: Option<PathBuf>) -> Result<(), Error> {
    setup::to_run(config)?;
    run(&mut cargo(config, ["build", "--package", "qubictether", "--package", "qubictether-agent"]))?;
    let folder = std::path::absolute(folder.unwrap_or_else(|| config.default_dev_folder()));
    let folder = folder.map_err(Error::io("find", "."))?;
    fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
    let site = Site { programs: target_folder(config)?.join("debug"), folder };

    let (server, hello) = site.serve()?;
    let _tie = Tie::new(&[server.id()])?;
    let url = member(&hello, "listening")?;
    announce(&format!("the server listens at {url}; all it keeps is in {}", site.folder.display()));

    site.activate(url, member(&hello, "root_public_key")?)?;
    announce(&format!(
        "the agent beats; in another terminal, try\n    {0} install list\n    {0} install suspend INSTALL_ID",
        line(&site.operator(&[])),
    ));
    let mut agent = spawn(site.agent("run").stdout(Stdio::piped()))?;
    let _tie = Tie::new(&[agent.id()])?;
    for text in lines(&mut agent) {
        show(&text.map_err(Error::io("read", "the agent's output"))?);
    }
    let status = agent.wait().map_err(Error::io("wait for", "the agent"))?;
    Err(Error::Failed { command: line(&site.agent("run")), status })
}

/// The programs and the folder of a run.
struct Site {
    programs: PathBuf,
    folder: PathBuf,
}

impl Site {
    /// Starts the server, and waits until it says that it listens, and where.
    fn serve(&self) -> Result<(Child, Value), Error> {
        let path = self.folder.join("server.log");
        let log = File::create(&path).map_err(Error::io("make", &path))?;
        announce(&format!("starting the server with a PostgreSQL of its own; its log is {}", path.display()));
        let mut command = Command::new(self.programs.join("qubictether"));
        command.args(["serve", "--dev", "--dev-dir"]).arg(&self.folder).stderr(log).stdout(Stdio::piped());
        let mut server = spawn(&mut command)?;
        if let Some(Ok(hello)) = lines(&mut server).next() {
            return Ok((server, json(&hello)?));
        }
        let said = fs::read_to_string(&path).unwrap_or_default();
        let said: Vec<&str> = said.lines().rev().take(10).collect();
        let said = said.into_iter().rev().collect::<Vec<_>>().join("\n");
        Err(Error::Unexpected { what: "the end of the server", found: said })
    }

    /// Activates the agent, unless it is, by a new license.
    fn activate(&self, url: &str, root_key: &str) -> Result<(), Error> {
        let status = self.agent("status").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if status.map_err(Error::io("run", "qubictether-agent"))?.code() != Some(NOT_ACTIVATED) {
            announce("the agent is activated already");
            return Ok(());
        }
        let profile = self.profile()?;
        announce("making a license and activating this machine by it");
        let license = ["license", "create", "--product", PRODUCT, "--customer", "Example Ltd"];
        let mut create = self.operator(&license);
        create.args(["--profile-id", &profile, "--max-installs", "5", "--json"]);
        let license = json(&read(&mut create)?)?;
        let mut activate = self.agent("activate");
        activate.args([
            "--server",
            url,
            "--product",
            PRODUCT,
            "--root-key",
            root_key,
            "--license-key-file",
            "-",
        ]);
        let mut child = spawn(activate.stdin(Stdio::piped()))?;
        if let Some(mut input) = child.stdin.take() {
            // By standard input: what stands in the arguments, every account of the machine can read.
            let written = writeln!(input, "{}", member(&license, "license_key")?);
            written.map_err(Error::io("write to", "qubictether-agent"))?;
        }
        let status = child.wait().map_err(Error::io("wait for", "qubictether-agent"))?;
        if status.success() { Ok(()) } else { Err(Error::Failed { command: line(&activate), status }) }
    }

    /// The id of the quick profile, made at the first time.
    fn profile(&self) -> Result<String, Error> {
        let profiles = json(&read(self.operator(&["profile", "list"]).arg("--json"))?)?;
        let mut profiles = profiles.as_array().into_iter().flatten();
        let profile = match profiles.find(|profile| profile["name"] == PROFILE) {
            Some(profile) => profile.clone(),
            None => json(&read(
                &mut self.operator(&["profile", "create", "--name", PROFILE, "--knobs", KNOBS, "--json"]),
            )?)?,
        };
        member(&profile, "id").map(str::to_owned)
    }

    fn operator(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("qubictether"));
        command.arg("--dev-dir").arg(&self.folder).args(arguments);
        command
    }

    fn agent(&self, what: &str) -> Command {
        let mut command = Command::new(self.programs.join("qubictether-agent"));
        command.arg(what).arg("--state").arg(self.folder.join("agent"));
        command
    }
}

/// Ends processes when this program ends, in whatever way: a shell waits at a pipe for that. The terminal's Ctrl-C
/// reaches this program alone, so that the others end in order.
struct Tie {
    _shell: Child,
}

impl Tie {
    fn new(ids: &[u32]) -> Result<Self, Error> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"read -r _; kill "$@""#, "sh"]).args(ids.iter().map(u32::to_string));
        spawn(command.stdin(Stdio::piped()).stderr(Stdio::null())).map(|shell| Self { _shell: shell })
    }
}

/// Starts a program outside the terminal's foreground group.
fn spawn(command: &mut Command) -> Result<Child, Error> {
    command.process_group(0).spawn().map_err(Error::io("run", command.get_program()))
}

fn lines(child: &mut Child) -> impl Iterator<Item = std::io::Result<String>> + use<> {
    let output: Option<Lines<BufReader<ChildStdout>>> =
        child.stdout.take().map(|output| BufReader::new(output).lines());
    output.into_iter().flatten()
}

fn member<'a>(object: &'a Value, name: &'static str) -> Result<&'a str, Error> {
    let found = || Error::Unexpected { what: name, found: object.to_string() };
    object[name].as_str().ok_or_else(found)
}

/// Shows a line of the agent's: what holds now, and why.
fn show(text: &str) {
    let Ok(answer) = serde_json::from_str::<Value>(text) else {
        println!("    {text}");
        return;
    };
    let word = |name: &str| answer[name].as_str().unwrap_or("-").to_owned();
    let wait = answer["next_heartbeat_at"].as_i64().zip(answer["at"].as_i64()).map(|(next, at)| next - at);
    let next = wait.map(|seconds| format!("next beat in {seconds} s")).unwrap_or_default();
    let error = answer["last_error"].as_str().map(|error| format!("  ({error})")).unwrap_or_default();
    println!("    {:12} rule {:>2}  {:22} {next}{error}", word("state"), answer["rule"], word("reason"));
}
