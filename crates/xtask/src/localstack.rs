//! An emulated AWS on this machine: KMS, and the Lambda functions behind their function URLs.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{OpenOptionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use cluster::{Cluster, Options};
use serde_json::{Map, Value, json};

use crate::{
    config::Config,
    error::Error,
    lambda::FUNCTIONS,
    run::{announce, cargo, json as parse, read, run, target_folder},
    setup,
};

/// What is said on the command line.
#[derive(clap::Args)]
pub(crate) struct Localstack {
    /// Where everything is kept [default: localstack-dev in the tools' folder; as root /var/lib/qubictether-localstack].
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Where AWS's interfaces are.
    #[arg(long, default_value_t = 4566)]
    aws_port: u16,
    /// Where the four functions are behind one origin, which is the public URL of what they sign.
    #[arg(long, default_value_t = 8090)]
    port: u16,
    /// Deploy the zips that `cargo xtask build-lambda` has made, instead of a debug build.
    #[arg(long)]
    zips: bool,
}

/// Runs everything until Ctrl-C. What the last run left is used again.
pub(crate) fn localstack(config: &Config, arguments: &Localstack) -> Result<(), Error> {
    let python = setup::to_emulate(config)?;
    let mut build = cargo(config, ["build", "--package", "qubictether", "--package", "qubictether-agent"]);
    for function in FUNCTIONS {
        build.args(["--package", function]);
    }
    run(&mut build)?;
    let folder = arguments.dir.clone().unwrap_or_else(|| config.default_localstack_folder());
    fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
    let folder = folder.canonicalize().map_err(Error::io("find", &folder))?;

    announce("PostgreSQL");
    let mut database = Cluster::create_or_open(folder.join("postgres"), Options::durable())?;
    database.start()?;
    let mut emulator = Emulator::start(config, &python, arguments.aws_port, &folder)?;
    let key = emulator.text(&json!({ "do": "make-key" }), "key_id")?;
    let origin = format!("http://127.0.0.1:{}", arguments.port);
    let settings = [
        ("QT_DATABASE_URL", database.url("postgres")),
        ("QT_KEY_PROVIDER", "kms".into()),
        ("QT_KMS_KEY_ID", key),
        ("QT_PUBLIC_URL", origin),
    ];
    let mut urls = Map::new();
    for function in FUNCTIONS {
        announce(&format!("deploying {function}"));
        let environment: Map<_, _> =
            settings.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
        let code = code(config, &folder, function, arguments.zips)?;
        let deploy = json!({ "do": "deploy", "name": function, "code": code, "environment": environment });
        urls.insert(function.into(), emulator.text(&deploy, "url")?.into());
    }
    let origin =
        emulator.text(&json!({ "do": "serve-origin", "port": arguments.port, "functions": urls }), "url")?;

    announce("making the keys, unless they are there");
    let aws = [
        ("AWS_ENDPOINT_URL", emulator.endpoint.clone()),
        ("AWS_REGION", emulator.region.clone()),
        ("AWS_ACCESS_KEY_ID", "test".into()),
        ("AWS_SECRET_ACCESS_KEY", "test".into()),
    ];
    let environment = [&settings[..], &aws].concat();
    let program = target_folder(config)?.join("debug/qubictether");
    let made = read(Command::new(program).arg("init").envs(environment.iter().cloned()))?;
    let file = folder.join("env");
    write_environment(&file, &environment)?;
    for line in made.lines() {
        println!("    {line}");
    }
    announce("the functions, each at its own URL; all of them are at the port of AWS's interfaces");
    for (function, url) in &urls {
        println!("    {function:10} {}", url.as_str().unwrap_or_default());
    }
    announce(&format!("for agents, all behind one origin: {origin}"));
    announce(&format!("AWS: {}   the functions' logs: {}", emulator.endpoint, emulator.logs));
    announce(&format!(
        "in another terminal, `. {}` sets what the operator's program and `aws` need",
        file.display()
    ));
    announce("until Ctrl-C");
    let status = emulator.child.wait().map_err(Error::io("wait for", "LocalStack"))?;
    Err(Error::Failed { command: "localstack/emulator.py".into(), status })
}

/// What is deployed: a zip, or a folder that holds the binary as `bootstrap`.
fn code(config: &Config, folder: &Path, function: &str, zips: bool) -> Result<PathBuf, Error> {
    let target = target_folder(config)?;
    if zips {
        let zip = target.join("lambda").join(function).join("bootstrap.zip");
        let what = || format!("{} isn't there", zip.display());
        let missing = || Error::missing(what(), "make it by `cargo xtask build-lambda`");
        return if zip.is_file() { Ok(zip) } else { Err(missing()) };
    }
    let code = folder.join("code").join(function);
    fs::create_dir_all(&code).map_err(Error::io("make", &code))?;
    let bootstrap = code.join("bootstrap");
    // What isn't there needs no removing; what can't be removed shows in the next line.
    let _ = fs::remove_file(&bootstrap);
    symlink(target.join("debug").join(function), &bootstrap).map_err(Error::io("make", bootstrap))?;
    Ok(code)
}

/// For a shell to read. It holds the database's password, and is the owner's alone.
fn write_environment(file: &Path, variables: &[(&str, String)]) -> Result<(), Error> {
    let text = variables.iter().fold(String::new(), |mut text, (name, value)| {
        writeln!(text, "export {name}='{value}'").expect("writing to a string doesn't fail");
        text
    });
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    open.and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(Error::io("write", file))
}

/// The emulated AWS. It ends when its input does, and so with this program, in whatever way that ends.
struct Emulator {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    endpoint: String,
    region: String,
    logs: String,
}

impl Emulator {
    fn start(config: &Config, python: &Path, port: u16, folder: &Path) -> Result<Self, Error> {
        let log = folder.join("localstack.log");
        announce(&format!("starting LocalStack; its log is {}", log.display()));
        let errors = fs::File::create(&log).map_err(Error::io("make", &log))?;
        let folder = folder.join("aws");
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        let mut command = Command::new(python);
        command.arg(config.checkout.join("localstack/emulator.py")).arg(port.to_string()).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        // In a group of its own: the terminal's Ctrl-C reaches this program alone, and functions that are frozen when the
        // emulator dies are woken and ended by the system.
        let spawned = command.process_group(0).spawn();
        let mut child = spawned.map_err(Error::io("run", command.get_program()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Unexpected { what: "a pipe", found: "none".into() });
        };
        let text = String::new;
        let output = BufReader::new(output);
        let mut emulator = Self { child, input, output, endpoint: text(), region: text(), logs: text() };
        let ready = emulator.hear().map_err(|_| Error::Unexpected {
            what: "the end of LocalStack",
            found: fs::read_to_string(&log).unwrap_or_default(),
        })?;
        let member = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        emulator.endpoint = member("endpoint");
        emulator.region = member("region");
        emulator.logs = member("logs");
        Ok(emulator)
    }

    /// Has something done; returns one word of what came of it.
    fn text(&mut self, what: &Value, member: &'static str) -> Result<String, Error> {
        writeln!(self.input, "{what}").map_err(Error::io("write to", "LocalStack"))?;
        let answer = self.hear()?;
        let found = || Error::Unexpected { what: member, found: answer.to_string() };
        answer[member].as_str().map(str::to_owned).ok_or_else(found)
    }

    fn hear(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(Error::io("read", "what LocalStack says"))?;
        parse(&line)
    }
}
